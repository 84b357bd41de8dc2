//! `[tls]`: the server's certificate, and the authority of its clients' certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use toml::Spanned;

use super::Wrong;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    certificate: Spanned<PathBuf>,
    key: Spanned<PathBuf>,
    client_authority: Option<Spanned<PathBuf>>,
    client_revocations: Option<Spanned<PathBuf>>,
}

impl TlsSection {
    /// True if clients have certificates.
    pub fn asks_clients(&self) -> bool {
        self.client_authority.is_some()
    }

    /// The server's side of TLS. With tokens, a client may come without a certificate; without any,
    /// the handshake already turns it away.
    pub fn server(&self, directory: &Path, tokens_too: bool) -> Result<Arc<ServerConfig>, Wrong> {
        if let (None, Some(revocations)) = (&self.client_authority, &self.client_revocations) {
            let why = "revocations are of certificates; name their `client_authority`, too";
            return Err(Wrong::about(revocations, why.to_owned()));
        }
        let certificates = all(&self.certificate, directory, "the certificate")?;
        let key = PrivateKeyDer::from_pem_file(directory.join(self.key.get_ref()))
            .map_err(|why| unreadable(&self.key, directory, "the key", &why))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|why| Wrong::about(&self.certificate, why.to_string()))?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                self.clients(authority, directory, tokens_too, provider)?,
            ),
        };
        let mut server = builder.with_single_cert(certificates, key).map_err(|why| {
            Wrong::about(&self.certificate, format!("the certificate cannot be used: {why}"))
        })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    }

    /// Makes the verifier of clients' certificates.
    fn clients(
        &self,
        authority: &Spanned<PathBuf>,
        directory: &Path,
        tokens_too: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, Wrong> {
        let wrong = |why: &dyn std::fmt::Display| {
            Wrong::about(authority, format!("the client authority cannot be used: {why}"))
        };
        let mut roots = RootCertStore::empty();
        for root in all(authority, directory, "the certificate")? {
            roots.add(root).map_err(|why| wrong(&why))?;
        }
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        if let Some(revocations) = &self.client_revocations {
            let lists = all(revocations, directory, "the revocation list")?;
            verifier = verifier.with_crls(lists);
        }
        if tokens_too {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map_err(|why| match (&why, &self.client_revocations) {
            (VerifierBuilderError::InvalidCrl(_), Some(revocations)) => {
                Wrong::about(revocations, format!("the revocation list cannot be used: {why}"))
            }
            _ => wrong(&why),
        })
    }
}

/// All of a kind that a file has: at least one.
fn all<T: PemObject>(
    file: &Spanned<PathBuf>,
    directory: &Path,
    what: &str,
) -> Result<Vec<T>, Wrong> {
    let found: Result<Vec<_>, _> =
        T::pem_file_iter(directory.join(file.get_ref())).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => {
            Err(unreadable(file, directory, what, &"there is none in it"))
        }
        Ok(found) => Ok(found),
        Err(why) => Err(unreadable(file, directory, what, &why)),
    }
}

fn unreadable(
    file: &Spanned<PathBuf>,
    directory: &Path,
    what: &str,
    why: &dyn std::fmt::Display,
) -> Wrong {
    let why = match is_pem(file.get_ref()) {
        true => format!("{what} does not stand here itself; name its file"),
        false => {
            let path = directory.join(file.get_ref());
            format!("{what} in {} cannot be read: {why}", path.display())
        }
    };
    Wrong::about(file, why)
}

/// True if the text in the place of a file's name may be a key, which is not repeated.
pub(super) fn is_pem(file: &Path) -> bool {
    file.to_string_lossy().contains("-----BEGIN")
}
