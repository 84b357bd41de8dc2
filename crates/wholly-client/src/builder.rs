//! The configuration of a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderValue, Uri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wholly_dns::https;

use crate::client::Client;
use crate::http::Http;

/// Builds a [`Client`].
#[derive(Clone)]
pub struct Builder {
    url: String,
    token: Option<String>,
    ca_file: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    connect_timeout: Duration,
    answer_timeout: Duration,
    retry_for: Duration,
}

/// A configuration that makes no client. No message shows a token or a password.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The text is no URL of a server.
    #[error("this is no URL of a server: {why}; write it like https://wholly.example:7400")]
    Url {
        /// The reason.
        why: String,
    },
    /// The token has characters that a header may not have.
    #[error("the token has characters that no token has")]
    Token,
    /// The file of certificates cannot be used.
    #[error("the certificates in {} cannot be used: {why}", .file.display())]
    CaFile {
        /// The file.
        file: PathBuf,
        /// The reason.
        why: String,
    },
    /// The client's own certificate or key cannot be used.
    #[error("the client's certificate and key in {} cannot be used: {why}", .file.display())]
    Identity {
        /// The file.
        file: PathBuf,
        /// The reason.
        why: String,
    },
    /// TLS is not available.
    #[error("TLS is not available: {why}")]
    Tls {
        /// The reason.
        why: String,
    },
}

impl Builder {
    pub(crate) fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            token: None,
            ca_file: None,
            identity: None,
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(10),
            retry_for: Duration::from_secs(30),
        }
    }

    /// The token of the caller, which is sent with every request. Use it only with `https://`, or on
    /// this machine.
    pub fn token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// Trusts the authorities whose certificates are in this PEM file, instead of Mozilla's roots.
    pub fn ca_file(self, file: impl AsRef<Path>) -> Self {
        Self { ca_file: Some(file.as_ref().to_owned()), ..self }
    }

    /// The certificate of the caller: a PEM file with the client's certificate and those between it and
    /// its authority, and one with its key. Both may be one file.
    pub fn identity(self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        let identity = (certificate.as_ref().to_owned(), key.as_ref().to_owned());
        Self { identity: Some(identity), ..self }
    }

    /// The time in which a connection must be made: 3 seconds unless it is set.
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// The time in which a response must come, beyond the wait that was requested: 10 seconds unless
    /// it is set.
    pub fn answer_timeout(self, answer_timeout: Duration) -> Self {
        Self { answer_timeout, ..self }
    }

    /// The time for which a failed request is repeated: 30 seconds unless it is set. An attempt that is
    /// under way then is not cut short. Zero allows one attempt.
    pub fn retry_for(self, retry_for: Duration) -> Self {
        Self { retry_for, ..self }
    }

    /// Builds the client, which connects when it is first used.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<Client, BuildError> {
        let base = base(&self.url)?;
        let token = self.token.as_deref().map(authorization).transpose()?;
        let tls = tls(self.ca_file.as_deref(), self.identity.as_ref())?;
        let http = Http::new(base, token, tls, self.connect_timeout, self.answer_timeout);
        Ok(Client::new(http, self.retry_for))
    }
}

/// The URL without a slash at its end.
fn base(url: &str) -> Result<String, BuildError> {
    let wrong = |why: &str| Err(BuildError::Url { why: why.to_owned() });
    // The parser drops a fragment silently.
    if url.contains('#') {
        return wrong("it has a fragment");
    }
    let uri: Uri = match url.parse() {
        Ok(uri) => uri,
        Err(why) => return wrong(&format!("{why}")),
    };
    let Some(authority) = uri.authority() else {
        return wrong("it needs a scheme and a host");
    };
    // The parser accepts any port, and the connector takes 80 for one that it cannot read.
    let port = authority.as_str().rsplit_once(':').map(|(_, port)| port);
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return wrong("it must start with http:// or https://"),
    }
    match () {
        () if authority.as_str().contains('@') => wrong("it holds a user or a password"),
        () if authority.host().is_empty() => wrong("it needs a host"),
        () if uri.query().is_some() => wrong("it has a query"),
        () if port
            .is_some_and(|port| !port.ends_with(']') && !matches!(port.parse(), Ok(1u16..))) =>
        {
            wrong("its port is no number from 1 to 65535")
        }
        () => Ok(url.trim_end_matches('/').to_owned()),
    }
}

fn authorization(token: &str) -> Result<HeaderValue, BuildError> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| BuildError::Token)?;
    // A sensitive value is left out where headers are printed.
    value.set_sensitive(true);
    Ok(value)
}

fn tls(
    ca_file: Option<&Path>,
    identity: Option<&(PathBuf, PathBuf)>,
) -> Result<rustls::ClientConfig, BuildError> {
    let roots = ca_file.map(authorities).transpose()?;
    let config = https::tls(roots).map_err(|why| BuildError::Tls { why: why.to_string() })?;
    let Some((certificate, key)) = identity else { return Ok(config.with_no_client_auth()) };
    let wrong = |file: &Path, why| BuildError::Identity { file: file.to_owned(), why };
    let chain = certificates(certificate).map_err(|why| wrong(certificate, why))?;
    let read = read(key).and_then(|pem| PrivateKeyDer::from_pem_slice(&pem).map_err(said));
    let own_key = read.map_err(|why| wrong(key, why))?;
    config.with_client_auth_cert(chain, own_key).map_err(|why| wrong(certificate, said(why)))
}

fn authorities(file: &Path) -> Result<rustls::RootCertStore, BuildError> {
    let wrong = |why: String| BuildError::CaFile { file: file.to_owned(), why };
    let mut store = rustls::RootCertStore::empty();
    for certificate in certificates(file).map_err(wrong)? {
        store.add(certificate).map_err(|why| wrong(why.to_string()))?;
    }
    Ok(store)
}

/// At least one certificate.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates.map_err(said)? {
        none if none.is_empty() => Err("there is no certificate in it".to_owned()),
        certificates => Ok(certificates),
    }
}

/// The file's bytes. It is read apart from its parsing, for the system's own error messages.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(said)
}

fn said(why: impl std::fmt::Display) -> String {
    why.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed_once_and_strictly() {
        for (url, means) in [
            ("http://127.0.0.1:7400", "http://127.0.0.1:7400"),
            ("https://wholly.example/", "https://wholly.example"),
            ("http://[::1]:7400/behind/", "http://[::1]:7400/behind"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(base(url).unwrap(), means);
        }
        for (url, says) in [
            ("", "empty"),
            ("127.0.0.1:7400", "http://"),
            ("/v1", "scheme"),
            ("ftp://x", "http://"),
            ("http://x?y=1", "query"),
            ("http://x#y", "fragment"),
            ("http://me:secret@x", "user"),
            ("http://x:0", "port"),
            ("http://x:99999", "port"),
        ] {
            let why = base(url).unwrap_err().to_string();
            assert!(why.contains(says), "{url}: {why}");
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn a_token_and_certificates_are_checked_when_the_client_is_built() {
        let at = || Builder::at("https://wholly.example");
        assert!(at().token("wholly_abc\n").build().is_ok());
        assert!(matches!(at().token("a\nb").build(), Err(BuildError::Token)));
        let missing = at().ca_file("/nowhere/ca.pem").build().err().unwrap().to_string();
        assert!(missing.contains("/nowhere/ca.pem") && missing.contains("No such file"));
        let no_pem = at().ca_file(file!().rsplit('/').next().unwrap()).build();
        assert!(no_pem.is_err());
        let no_pem = at().ca_file(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).build();
        assert!(no_pem.err().unwrap().to_string().contains("no certificate"));
    }

    #[test]
    fn the_clients_own_certificate_and_key_are_checked_when_it_is_built() {
        let directory = tempfile::tempdir().unwrap();
        let made = |name: &str, text: &str| {
            let file = directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let signed = || rcgen::generate_simple_self_signed(["shop".to_owned()]).unwrap();
        let (own, other) = (signed(), signed());
        let certificate = made("shop.pem", &own.cert.pem());
        let key = made("shop.key", &own.signing_key.serialize_pem());
        let other = made("other.key", &other.signing_key.serialize_pem());
        let both = own.cert.pem() + &own.signing_key.serialize_pem();
        let both = made("both.pem", &both);
        let at = || Builder::at("https://wholly.example");
        assert!(at().identity(&certificate, &key).build().is_ok());
        assert!(at().identity(&both, &both).build().is_ok());
        for (certificate, key, says) in [
            (&key, &key, "shop.key cannot be used: there is no certificate in it"),
            (&certificate, &certificate, "shop.pem cannot be used"),
            (&certificate, &other, "shop.pem cannot be used"),
            (&certificate, &"/nowhere.key".into(), "/nowhere.key cannot be used: No such file"),
        ] {
            let why = at().identity(certificate, key).build().err().unwrap().to_string();
            assert!(why.contains(says), "{why}");
        }
    }
}
