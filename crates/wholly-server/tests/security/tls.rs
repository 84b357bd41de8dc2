//! TLS, and clients that show a certificate.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::common::{eventually, run, within};
use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Certified {
    certificate: String,
    key: String,
    serial: SerialNumber,
}

enum Valid {
    Now,
    Once,
}

fn certified(by: &Authority, name: &str, valid: Valid) -> Certified {
    let mut params = CertificateParams::default();
    let name = match name.contains("://") {
        true => SanType::URI(name.try_into().unwrap()),
        false => SanType::DnsName(name.try_into().unwrap()),
    };
    params.subject_alt_names = vec![name];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    if matches!(valid, Valid::Once) {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let serial = SerialNumber::from_slice(&key.public_key_raw()[1..17]);
    params.serial_number = Some(serial.clone());
    let certificate = params.signed_by(&key, by).unwrap();
    Certified { certificate: certificate.pem(), key: key.serialize_pem(), serial }
}

/// The list of what an authority took back, in PEM.
fn revocations(by: &Authority, revoked: &[&Certified]) -> String {
    let at = date_time_ymd(2020, 1, 1);
    let entry = |revoked: &&Certified| RevokedCertParams {
        serial_number: revoked.serial.clone(),
        revocation_time: at,
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: at,
        next_update: date_time_ymd(2021, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(by).unwrap().pem().unwrap()
}

/// A server with TLS, its authority, and that of its clients.
struct Encrypted {
    guarded: Guarded,
    own: Authority,
    clients: Authority,
}

impl Encrypted {
    async fn start(more: &str) -> Self {
        let (directory, orders) = (tempdir().unwrap(), Little::start().await);
        let (own, clients) = (authority(), authority());
        write_server(directory.path(), &certified(&own, "localhost", Valid::Now));
        std::fs::write(directory.path().join("clients.pem"), clients.pem()).unwrap();
        let none = revocations(&clients, &[]);
        std::fs::write(directory.path().join("revoked.pem"), none).unwrap();
        let settings = format!(
            "[tls]\ncertificate = 'server.pem'\nkey = 'server.key'\n\
             client_authority = 'clients.pem'\n{more}"
        );
        let server = Server::start_with(directory.path(), &[("orders", &orders)], &settings).await;
        Self { guarded: Guarded { directory, orders, server }, own, clients }
    }

    fn client(&self, certified: Option<&Certified>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.own.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match certified {
            None => builder.with_no_client_auth(),
            Some(Certified { certificate, key, .. }) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        Arc::new(config).into()
    }

    /// The status of an answer; none where the server does not talk.
    async fn status(&self, certified: Option<&Certified>, request: &str) -> Option<String> {
        let talking = async {
            let stream = TcpStream::connect(self.guarded.server.address()).await.ok()?;
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = self.client(certified).connect(name, stream).await.ok()?;
            let request = format!("{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
            let said = String::from_utf8(said).unwrap();
            said.strip_prefix("HTTP/1.1 ").map(|said| said[..3].to_owned())
        };
        within("the server talks, or does not", talking).await
    }
}

fn write_server(directory: &Path, Certified { certificate, key, .. }: &Certified) {
    std::fs::write(directory.join("server.pem"), certificate).unwrap();
    std::fs::write(directory.join("server.key"), key).unwrap();
}

const READ: &str = "GET /v1/transactions HTTP/1.1";
const AUDIT: &str = "GET /v1/audit HTTP/1.1";
const CLIENTS: &str = "[[clients]]\nname = 'shop.internal'\nroles = ['read']\n\
                       [[clients]]\nname = 'spiffe://wholly/ada'\nroles = ['operate']\n";

#[tokio::test]
async fn a_certificate_says_who_asks() {
    let encrypted = Encrypted::start(CLIENTS).await;
    let by = |name| certified(&encrypted.clients, name, Valid::Now);
    let (shop, ada, other) = (by("shop.internal"), by("spiffe://wholly/ada"), by("other.internal"));
    let status = async |certified, request| encrypted.status(Some(certified), request).await;
    assert_eq!(status(&shop, READ).await.as_deref(), Some("200"));
    assert_eq!(status(&shop, AUDIT).await.as_deref(), Some("403"));
    assert_eq!(status(&ada, AUDIT).await.as_deref(), Some("200"));
    assert_eq!(status(&ada, READ).await.as_deref(), Some("403"));
    assert_eq!(status(&other, READ).await.as_deref(), Some("401"));
}

#[tokio::test]
async fn who_has_no_certificate_that_counts_is_not_talked_to() {
    let encrypted = Encrypted::start(CLIENTS).await;
    let expired = certified(&encrypted.clients, "shop.internal", Valid::Once);
    let foreign = certified(&authority(), "shop.internal", Valid::Now);
    for certified in [None, Some(&expired), Some(&foreign)] {
        assert_eq!(encrypted.status(certified, "GET /healthz HTTP/1.1").await, None);
    }
    let good = certified(&encrypted.clients, "shop.internal", Valid::Now);
    assert_eq!(encrypted.status(Some(&good), READ).await.as_deref(), Some("200"));
}

#[tokio::test]
async fn with_tokens_a_certificate_or_a_token_is_enough() {
    let encrypted = Encrypted::start(&format!("{CLIENTS}{}", three_tokens())).await;
    let shop = certified(&encrypted.clients, "shop.internal", Valid::Now);
    let with = |request: &str, token: &str| format!("{request}\r\nAuthorization: Bearer {token}");
    let read = with(READ, "read");
    assert_eq!(encrypted.status(None, &read).await.as_deref(), Some("200"));
    assert_eq!(encrypted.status(None, READ).await.as_deref(), Some("401"));
    assert_eq!(encrypted.status(Some(&shop), READ).await.as_deref(), Some("200"));
    // A wrong token is wrong, whatever else is right.
    assert_eq!(encrypted.status(Some(&shop), &with(READ, "x")).await.as_deref(), Some("401"));
    let expired = certified(&encrypted.clients, "shop.internal", Valid::Once);
    assert_eq!(encrypted.status(Some(&expired), &read).await, None);
}

#[tokio::test]
async fn handshakes_that_do_not_end_hold_nobody_and_are_ended() {
    let limits = "[limits]\nhandshake_timeout = '1h'\n";
    let encrypted = Encrypted::start(&format!("{limits}{CLIENTS}")).await;
    let address = encrypted.guarded.server.address();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let shop = certified(&encrypted.clients, "shop.internal", Valid::Now);
    assert_eq!(encrypted.status(Some(&shop), READ).await.as_deref(), Some("200"));

    let encrypted = Encrypted::start(&limits.replace("1h", "50ms")).await;
    for sent in [&b""[..], b"\x16\x03\x01"] {
        let mut half = TcpStream::connect(encrypted.guarded.server.address()).await.unwrap();
        half.write_all(sent).await.unwrap();
        let mut read = Vec::new();
        let _ = within("the handshake is given up", half.read_to_end(&mut read)).await;
        assert_eq!(read, b"");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up() {
    let encrypted = Encrypted::start(CLIENTS).await;
    let ada = certified(&encrypted.clients, "spiffe://wholly/ada", Valid::Now);
    let directory = encrypted.guarded.directory.path();
    assert_eq!(encrypted.status(Some(&ada), AUDIT).await.as_deref(), Some("200"));
    // One that no client of its authority takes, so that it shows.
    write_server(directory, &certified(&authority(), "localhost", Valid::Now));
    encrypted.guarded.server.signal(rustix::process::Signal::HUP);
    eventually("the other certificate is shown", async || {
        encrypted.status(Some(&ada), AUDIT).await.is_none().then_some(())
    })
    .await;
    std::fs::write(directory.join("server.key"), "no key").unwrap();
    encrypted.guarded.server.signal(rustix::process::Signal::HUP);
    write_server(directory, &certified(&encrypted.own, "localhost", Valid::Now));
    encrypted.guarded.server.signal(rustix::process::Signal::HUP);
    eventually("the first authority's is shown", async || {
        encrypted.status(Some(&ada), AUDIT).await.filter(|status| status == "200")
    })
    .await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_from_the_reload_on() {
    let revocations_too = format!("client_revocations = 'revoked.pem'\n{CLIENTS}");
    let encrypted = Encrypted::start(&revocations_too).await;
    let [lost, good] = [(); 2].map(|()| certified(&encrypted.clients, "shop.internal", Valid::Now));
    let status = async |certified| encrypted.status(Some(certified), READ).await;
    for certified in [&lost, &good] {
        assert_eq!(status(certified).await.as_deref(), Some("200"));
    }
    let directory = encrypted.guarded.directory.path();
    let revoke = |list: &str| std::fs::write(directory.join("revoked.pem"), list).unwrap();
    revoke(&revocations(&encrypted.clients, &[&lost]));
    encrypted.guarded.server.signal(rustix::process::Signal::HUP);
    eventually("it is refused", async || status(&lost).await.is_none().then_some(())).await;
    assert_eq!(status(&good).await.as_deref(), Some("200"));

    let config = directory.join("wholly.toml");
    let pem = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for (list, says) in [("", "there is none in it"), (pem, "the revocation list cannot be used")] {
        revoke(list);
        let (code, _, said) = run(&["config", "check", config.to_str().unwrap()]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn the_command_line_shows_a_certificate() {
    let encrypted = Encrypted::start(CLIENTS).await;
    let server = &encrypted.guarded.server;
    let file = |name: &str, text: &str| {
        let file = encrypted.guarded.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let ca = file("own.pem", &encrypted.own.pem());
    let url = format!("https://localhost:{}", server.address().port());
    let list = ["list", "--server", &url, "--ca", &ca, "--retry-for", "1ms"];
    let by = |authority: &Authority, name: &str| {
        let Certified { certificate, key, .. } = certified(authority, name, Valid::Now);
        [file("client.pem", &certificate), file("client.key", &key)]
    };
    let shown = async |[certificate, key]: [String; 2]| {
        server.wholly(&[&list[..], &["--cert", &certificate, "--cert-key", &key]].concat()).await
    };
    assert_eq!(shown(by(&encrypted.clients, "shop.internal")).await.exits(0), "");
    shown(by(&encrypted.clients, "spiffe://wholly/ada")).await.fails(5, "role");
    shown(by(&authority(), "shop.internal")).await.fails(5, "");
    server.wholly(&list).await.fails(5, "");
}
