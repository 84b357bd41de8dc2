//! The connections to one participant: how they are made, kept and reused.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::url::{BaseUrl, InvalidUrl};

/// The most that an answer's head may have, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// How long a connection is kept without a call: under the 5 seconds after which widespread servers
/// close one, because a call that meets the closing half-way is lost.
const IDLE: Duration = Duration::from_secs(4);

/// How a connection is made.
pub(super) enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(std::sync::Arc<rustls::ClientConfig>),
}

/// The pool of connections to one participant.
pub(super) enum Connections {
    Plain(Client<HttpConnector, Full<Bytes>>),
    #[cfg(feature = "tls")]
    Tls(Client<hyper_rustls::HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Transport {
    pub(super) fn for_url(url: &BaseUrl) -> Result<Self, InvalidUrl> {
        if !url.tls {
            return Ok(Self::Plain);
        }
        Self::tls().map_err(|why| InvalidUrl::Tls { url: url.as_str().to_owned(), why })
    }

    #[cfg(feature = "tls")]
    fn tls() -> Result<Self, String> {
        super::tls::config(None, None).map(Self::Tls).map_err(|why| why.to_string())
    }

    #[cfg(not(feature = "tls"))]
    fn tls() -> Result<Self, String> {
        Err("it was left out of this program".to_owned())
    }

    pub(super) fn connections(&self, connect_timeout: Duration) -> Connections {
        let mut tcp = HttpConnector::new();
        // A call is one small write whose answer is waited for: nothing is gained by Nagle's delay.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(HEAD_LIMIT)
            .retry_canceled_requests(true);
        match self {
            Self::Plain => Connections::Plain(client.build(tcp)),
            #[cfg(feature = "tls")]
            Self::Tls(config) => {
                tcp.enforce_http(false);
                Connections::Tls(client.build((tcp, config.clone()).into()))
            }
        }
    }
}

impl Connections {
    pub(super) fn send(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match self {
            Self::Plain(client) => client.request(request),
            #[cfg(feature = "tls")]
            Self::Tls(client) => client.request(request),
        }
    }
}
