//! A client for what the server tells others: by HTTP, or by TLS under Mozilla's roots.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use wholly_dns::Names;

/// The longest look-up of a host's name.
const NAME_PATIENCE: Duration = Duration::from_secs(5);

/// It follows no redirect.
pub type Client = legacy::Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>;

/// No connection is made before the first request.
///
/// # Errors
/// When TLS cannot be had.
pub fn client() -> Result<Client, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_webpki_roots()
        .with_no_client_auth();
    let mut tcp = HttpConnector::new_with_resolver(Names::system(NAME_PATIENCE));
    tcp.enforce_http(false);
    Ok(legacy::Client::builder(TokioExecutor::new()).build((tcp, tls).into()))
}
