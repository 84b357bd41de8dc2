//! TLS for https: the authorities that are trusted, and the certificate that is shown.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::credentials::InvalidCredentials;

/// Trusts Mozilla's roots, unless an `authority` is to be trusted instead; shows an `identity`, a
/// certificate chain and its key, to a server that asks for it. All of them are PEM.
pub(super) fn config(
    authority: Option<&[u8]>,
    identity: Option<(&[u8], &[u8])>,
) -> Result<Arc<ClientConfig>, InvalidCredentials> {
    let roots = authority.map(roots).transpose()?;
    let builder = wholly_dns::https::tls(roots).map_err(unusable("TLS"))?;
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(unusable("the client's key"))?;
            builder
                .with_client_auth_cert(certificates(chain, "the client's certificate")?, key)
                .map_err(unusable("the client's certificate"))?
        }
    };
    Ok(Arc::new(config))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, InvalidCredentials> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "the authority")? {
        roots.add(certificate).map_err(unusable("the authority"))?;
    }
    Ok(roots)
}

fn certificates(
    pem: &[u8],
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, InvalidCredentials> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(unusable(what))?;
    match certificates.is_empty() {
        true => Err(unusable(what)("there is no certificate in it")),
        false => Ok(certificates),
    }
}

fn unusable<E: ToString>(what: &'static str) -> impl FnOnce(E) -> InvalidCredentials {
    move |why| InvalidCredentials::Certificate { what, why: why.to_string() }
}
