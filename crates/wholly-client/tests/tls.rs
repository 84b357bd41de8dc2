//! Only a server whose authority is trusted is asked.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use wholly_client::{Client, RequestError};

/// A server of `localhost` without sagas; its port, and its authority in PEM.
async fn server() -> (u16, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust it ends here.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"sagas\":[]}";
            stream.write_all(answer).await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    (port, cert.pem())
}

async fn asked(port: u16, ca: Option<&str>) -> Result<(), RequestError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let mut builder = Client::at(&format!("https://localhost:{port}")).retry_for(Duration::ZERO);
    if let Some(ca) = ca {
        std::fs::write(&file, ca).unwrap();
        builder = builder.ca_file(&file);
    }
    builder.build().unwrap().sagas().await.map(drop)
}

#[tokio::test]
async fn only_a_trusted_server_is_asked() {
    let ((port, ca), (_, other)) = (server().await, server().await);
    asked(port, Some(&ca)).await.unwrap();
    for ca in [None, Some(other.as_str())] {
        let RequestError::Unanswered { why, .. } = asked(port, ca).await.unwrap_err() else {
            panic!()
        };
        assert!(why.contains("certificate"), "{why}");
    }
}
