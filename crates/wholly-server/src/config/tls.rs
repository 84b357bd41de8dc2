//! `[tls]`: the server's certificate, and whose client certificates it takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
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
}

impl TlsSection {
    /// Whether clients have certificates.
    pub fn asks_clients(&self) -> bool {
        self.client_authority.is_some()
    }

    /// How the server speaks TLS. Where there are tokens, a client may come without a certificate;
    /// where there are none, the handshake already turns it away.
    pub fn server(&self, directory: &Path, tokens_too: bool) -> Result<Arc<ServerConfig>, Wrong> {
        let certificates = certificates(&self.certificate, directory)?;
        let key = PrivateKeyDer::from_pem_file(directory.join(self.key.get_ref()))
            .map_err(|why| unreadable(&self.key, directory, "the key", &why))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|why| Wrong::about(&self.certificate, why.to_string()))?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let wrong = |why: &dyn std::fmt::Display| {
                    let why = format!("the client authority cannot be used: {why}");
                    Wrong::about(authority, why)
                };
                let mut roots = RootCertStore::empty();
                for root in self::certificates(authority, directory)? {
                    roots.add(root).map_err(|why| wrong(&why))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = match tokens_too {
                    true => verifier.allow_unauthenticated(),
                    false => verifier,
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|why| wrong(&why))?)
            }
        };
        let mut server = builder.with_single_cert(certificates, key).map_err(|why| {
            Wrong::about(&self.certificate, format!("the certificate cannot be used: {why}"))
        })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    }
}

fn certificates(
    file: &Spanned<PathBuf>,
    directory: &Path,
) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(directory.join(file.get_ref())).and_then(Iterator::collect);
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(unreadable(file, directory, "the certificate", &"there is none in it"))
        }
        Ok(certificates) => Ok(certificates),
        Err(why) => Err(unreadable(file, directory, "the certificate", &why)),
    }
}

fn unreadable(
    file: &Spanned<PathBuf>,
    directory: &Path,
    what: &str,
    why: &dyn std::fmt::Display,
) -> Wrong {
    let path = directory.join(file.get_ref());
    Wrong::about(file, format!("{what} in {} cannot be read: {why}", path.display()))
}
