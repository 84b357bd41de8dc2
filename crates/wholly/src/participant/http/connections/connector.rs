//! Makes a connection: from the host's name to a stream, over TLS or not.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;
use wholly_dns::{LookUpError, Names};

use super::super::url::{BaseUrl, InvalidUrl};
use super::address_health::AddressHealth;

/// The way to speak to a participant.
#[derive(Clone)]
pub(in super::super) enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Arc<rustls::ClientConfig>),
}

impl Transport {
    pub(in super::super) fn for_url(url: &BaseUrl) -> Result<Self, InvalidUrl> {
        if !url.tls {
            return Ok(Self::Plain);
        }
        Self::tls().map_err(|why| InvalidUrl::Tls { url: url.as_str().to_owned(), why })
    }

    #[cfg(feature = "tls")]
    fn tls() -> Result<Self, String> {
        super::super::tls::config(None, None).map(Self::Tls).map_err(|why| why.to_string())
    }

    #[cfg(not(feature = "tls"))]
    fn tls() -> Result<Self, String> {
        Err("it was left out of this program".to_owned())
    }
}

pub(super) type Stream = Box<dyn Io>;

pub(super) trait Io: hyper::rt::Read + hyper::rt::Write + Send + Unpin {}

impl<T: hyper::rt::Read + hyper::rt::Write + Send + Unpin> Io for T {}

type BoxError = Box<dyn Error + Send + Sync>;
type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// The connector to one host.
pub(super) struct Connector {
    base: Uri,
    names: Names,
    connect_timeout: Duration,
    transport: Transport,
    health: Arc<AddressHealth>,
}

impl Connector {
    /// To the host of `base`, whose name is looked up by `names`.
    pub fn to(base: Uri, names: Names, transport: &Transport, connect_timeout: Duration) -> Self {
        Self { base, names, connect_timeout, transport: transport.clone(), health: Arc::default() }
    }

    /// The same host, by other means.
    pub fn with(&self, transport: &Transport, connect_timeout: Duration) -> Self {
        let names = self.names.clone().patience(connect_timeout);
        Self::to(self.base.clone(), names, transport, connect_timeout)
    }

    /// The health of the host's addresses.
    pub fn health(&self) -> &AddressHealth {
        &self.health
    }

    /// Has the host's name looked up for the next connection.
    pub fn refresh_name(&self) {
        self.names.refresh(self.base.host().unwrap_or_default());
    }

    /// Connects; the route tells how far it came, also if it is given up.
    pub async fn connect(&self, route: &Arc<Route>) -> Result<Stream, BoxError> {
        let (names, health, route) = (self.names.clone(), self.health.clone(), route.clone());
        let ranked = Ranked { names, health: health.clone(), route: route.clone() };
        let mut http = HttpConnector::new_with_resolver(ranked);
        // A call is one small write whose answer is waited for: nothing is gained by Nagle's delay.
        http.set_nodelay(true);
        http.set_connect_timeout(Some(self.connect_timeout));
        http.enforce_http(false);
        let mut tcp = Tcp { http, health, route };
        Ok(match &self.transport {
            Transport::Plain => Box::new(tcp.call(self.base.clone()).await?),
            #[cfg(feature = "tls")]
            Transport::Tls(config) => {
                let mut tls = hyper_rustls::HttpsConnector::from((tcp, config.clone()));
                Box::new(tls.call(self.base.clone()).await?)
            }
        })
    }
}

/// The way of one connection: the addresses that it could have, and the one that it has.
#[derive(Default)]
pub(super) struct Route {
    ranked: OnceLock<Vec<IpAddr>>,
    reached: OnceLock<IpAddr>,
}

impl Route {
    /// The address at the other end, once there is a connection.
    pub fn reached(&self) -> Option<IpAddr> {
        self.reached.get().copied()
    }

    /// Notes that a call by this route failed.
    pub fn failed(&self, health: &AddressHealth) {
        match (self.reached(), self.ranked().first()) {
            (Some(address), _) => health.failed(address),
            // The call was given up while it was being connected.
            (None, Some(address)) => health.unreachable(*address),
            (None, None) => {}
        }
    }

    /// The addresses tried before this one cannot be connected to: all of its family, and at least
    /// the first of the other family.
    fn reaches(&self, address: IpAddr, health: &AddressHealth) {
        let before = self.ranked().iter().take_while(|before| **before != address);
        for (nth, before) in before.enumerate() {
            if nth == 0 || before.is_ipv4() == address.is_ipv4() {
                health.unreachable(*before);
            }
        }
        // It was not set before: a route is of one connection.
        let _ = self.reached.set(address);
    }

    fn reaches_nothing(&self, health: &AddressHealth) {
        for address in self.ranked() {
            health.unreachable(*address);
        }
    }

    fn ranked(&self) -> &[IpAddr] {
        self.ranked.get().map_or(&[], Vec::as_slice)
    }
}

/// The look-up whose addresses come in the order in which they are to be tried.
#[derive(Clone)]
struct Ranked {
    names: Names,
    health: Arc<AddressHealth>,
    route: Arc<Route>,
}

impl Service<Name> for Ranked {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = LookUpError;
    type Future = BoxFuture<Self::Response, LookUpError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LookUpError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { names, health, route } = self.clone();
        Box::pin(async move {
            let ranked = health.ranked(&names.addresses(name.as_str()).await?);
            // The connector sets the port.
            let sockets: Vec<_> = ranked.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            let _ = route.ranked.set(ranked);
            Ok(sockets.into_iter())
        })
    }
}

/// The connector over TCP, which notes how far it came.
struct Tcp {
    http: HttpConnector<Ranked>,
    health: Arc<AddressHealth>,
    route: Arc<Route>,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Uri>::poll_ready(&mut self.http, context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.http.call(to);
        let (health, route) = (self.health.clone(), self.route.clone());
        Box::pin(async move {
            let stream = connecting.await.inspect_err(|_| route.reaches_nothing(&health))?;
            route.reaches(stream.inner().peer_addr()?.ip(), &health);
            Ok(stream)
        })
    }
}
