//! What a participant sees of its coordinator's credentials, and what nobody else does.
#![cfg(all(feature = "http", feature = "tls"))]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wholly::{
    Answer, Call, Endpoint, HttpParticipant, InvalidCredentials, LogId, Operation, Payload,
    Timestamp, TransactionId,
};

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

fn call() -> Call {
    let id = TransactionId::mint(0, Timestamp::default(), 0, LogId::from_bits(1));
    Call::new(id, "payments".parse().unwrap(), Operation::Commit, Payload::null())
}

/// Reads one request, and answers it with this status and the end of the connection; what was read.
async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str) -> String {
    let mut seen = String::new();
    while !seen.contains("\r\n\r\nnull") {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).await.unwrap();
        assert_ne!(read, 0, "the request ended early: {seen}");
        seen.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    seen
}

async fn seen_of(with: impl FnOnce(HttpParticipant) -> HttpParticipant) -> (String, Answer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/tx", listener.local_addr().unwrap());
    let participant = with(HttpParticipant::at(&url).unwrap());
    let serving = async { refuse(listener.accept().await.unwrap().0, "401 Unauthorized").await };
    tokio::join!(serving, participant.call(call()))
}

#[tokio::test]
async fn credentials_go_to_the_participant_and_nowhere_else() {
    let (seen, answer) = seen_of(|participant| participant.bearer(SECRET).unwrap()).await;
    assert!(seen.contains(&format!("\r\nauthorization: Bearer {SECRET}\r\n")), "{seen}");
    assert!(!format!("{answer:?}").contains("hunter2"));

    let (seen, answer) = seen_of(|p| p.basic("Aladdin", "open sesame").unwrap()).await;
    // The example of RFC 7617.
    assert!(seen.contains("\r\nauthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{seen}");
    assert!(!format!("{answer:?}").contains("sesame"));

    let signed = |p: HttpParticipant| p.signed_by("2026-07", SECRET.as_bytes()).unwrap();
    let (seen, answer) = seen_of(signed).await;
    assert!(seen.contains("\r\nsignature: wholly=:"), "{seen}");
    assert!(!seen.contains("hunter2") && !format!("{answer:?}").contains("hunter2"));

    let (seen, _) = seen_of(|participant| participant).await;
    for header in ["authorization", "signature", "signature-input", "content-digest"] {
        assert!(!seen.contains(&format!("\r\n{header}:")), "{seen}");
    }
}

#[test]
fn wrong_credentials_are_not_shown() {
    let at = || HttpParticipant::at("http://payments").unwrap();
    let wrong = [
        at().bearer("hunter2\r\nx: y").err(),
        at().bearer("").err(),
        at().basic("hunter2:", "hunter2").err(),
        at().signed_by("2026", b"hunter2").err(),
        at().tls(Some(b"hunter2"), None).err(),
        HttpParticipant::at("https://a").unwrap().tls(Some(b"hunter2"), None).err(),
        HttpParticipant::at("https://a").unwrap().tls(None, Some((b"", b"hunter2"))).err(),
    ];
    for error in wrong {
        let error: InvalidCredentials = error.unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

/// An authority, and a certificate with its key that it signed; all PEM.
struct Pki {
    authority: String,
    certificate: String,
    key: String,
}

impl Pki {
    fn new() -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let signed = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &issuer).unwrap();
        Self { authority: signed.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A server with this certificate, whose clients must have one of the same authority.
    fn acceptor(&self) -> TlsAcceptor {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap(),
            );
        Arc::new(config.unwrap()).into()
    }

    fn identity(&self) -> Option<(&[u8], &[u8])> {
        Some((self.certificate.as_bytes(), self.key.as_bytes()))
    }
}

#[tokio::test]
async fn both_sides_show_a_certificate_and_look_at_the_others() {
    let (pki, another) = (Pki::new(), Pki::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = pki.acceptor();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client whose certificate is none ends here, or knows that it is not wanted.
            if let Ok(stream) = acceptor.accept(stream).await {
                refuse(stream, "200 OK").await;
            }
        }
    });
    let ask = async |authority: Option<&str>, identity| {
        let participant = HttpParticipant::at(&url).unwrap();
        let participant = participant.tls(authority.map(str::as_bytes), identity).unwrap();
        participant.call(call()).await
    };
    assert_eq!(ask(Some(&pki.authority), pki.identity()).await, Answer::Done);
    let not_done = [
        ask(None, pki.identity()).await,
        ask(Some(&another.authority), pki.identity()).await,
        ask(Some(&pki.authority), another.identity()).await,
        ask(Some(&pki.authority), None).await,
    ];
    for answer in not_done {
        assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
    }
}
