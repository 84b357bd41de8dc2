//! A client of HTTP servers: hosts by name, TLS where the address says so.
//!
//! It follows no redirect, uses no proxy of the environment, and installs nothing global.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::WantsClientCert;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use crate::Names;

/// The time for which a connection is kept without a request: under the 5 seconds after which
/// widespread servers close one, because a request that meets the closing half-way is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// A client with its connections.
pub type HttpsClient = legacy::Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>;

/// A client that trusts Mozilla's roots, shows no certificate of its own, and gives a connection 5
/// seconds.
///
/// # Errors
/// When TLS is not available.
pub fn web_client() -> Result<HttpsClient, rustls::Error> {
    Ok(client(tls(None)?.with_no_client_auth(), Duration::from_secs(5)))
}

/// A client with this TLS, which connects when it is first used. The look-up of a name and the
/// connection each take at most `connect_timeout`.
pub fn client(tls: ClientConfig, connect_timeout: Duration) -> HttpsClient {
    let mut tcp = HttpConnector::new_with_resolver(Names::system(connect_timeout));
    // A request is one small write whose answer is waited for: Nagle's delay gains nothing.
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.enforce_http(false);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build((tcp, tls).into())
}

/// TLS that trusts these roots, or Mozilla's.
///
/// # Errors
/// When TLS is not available.
pub fn tls(
    roots: Option<RootCertStore>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    // The provider is named here and installed nowhere: a library leaves globals alone.
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(match roots {
        None => builder.with_webpki_roots(),
        Some(roots) => builder.with_root_certificates(roots),
    })
}

/// True for a host with or without a port, and nothing else: no user, no password.
pub fn is_host_and_port(authority: &Authority) -> bool {
    let port = authority.port().map_or(0, |port| 1 + port.as_str().len());
    let host = authority.host().len();
    host > 0 && authority.as_str().len() == host + port
}

/// A text as a part of a path or a query: everything but the unreserved characters of RFC 3986 is
/// written as its bytes.
///
/// ```
/// assert_eq!(wholly_dns::https::percent_encoded("a-z/é"), "a-z%2F%C3%A9");
/// ```
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// The innermost cause of an error: the outer ones only say that a client failed.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
