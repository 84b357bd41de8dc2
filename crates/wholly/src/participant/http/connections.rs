//! The connections to one participant: how they are made, driven, kept and reused.
//!
//! A connection is driven by the call that uses it, and has no task of its own: what arrives wakes
//! the lane that waits for it, and nobody between. Over HTTP that is where most of a transaction's
//! time goes. While a connection is idle nobody drives it; that its server closed it is seen when
//! it is taken again, before anything is sent.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;
use wholly_dns::Names;

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
    Tls(Arc<rustls::ClientConfig>),
}

/// A call as it is sent. Boxed, because a future holds what it was given more than once, and a
/// call's are moved a few times.
pub(super) type Outgoing = Box<Request<Full<Bytes>>>;

/// The pool of connections to one participant.
pub(super) struct Connections(Arc<Pool>);

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("cannot connect to")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    #[error("no answer that can be understood from")]
    Call(#[source] hyper::Error),
    /// The HTTP library's own limit of headers: any other costs an allocation for each call.
    #[error("the answer's head has more than 100 headers or is longer than 64 KiB; it came from")]
    LongHead(#[source] hyper::Error),
}

impl Failed {
    fn call(error: hyper::Error) -> Self {
        match error.is_parse_too_large() {
            true => Self::LongHead(error),
            false => Self::Call(error),
        }
    }
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
}

impl Connections {
    /// Connections to the host of `base`, whose name and whose address may take `connect_timeout`
    /// each.
    pub(super) fn to(base: Uri, transport: &Transport, connect_timeout: Duration) -> Self {
        Self::found_by(Names::system(connect_timeout), base, transport, connect_timeout)
    }

    fn found_by(names: Names, base: Uri, transport: &Transport, connect_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(names);
        // A call is one small write whose answer is waited for: nothing is gained by Nagle's delay.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        let connector = match transport {
            Transport::Plain => Connector::Plain(tcp),
            #[cfg(feature = "tls")]
            Transport::Tls(config) => {
                tcp.enforce_http(false);
                Connector::Tls((tcp, config.clone()).into())
            }
        };
        Self(Arc::new(Pool { base, connector, idle: Mutex::default() }))
    }

    /// New ones to the same host.
    pub(super) fn with(&self, transport: &Transport, connect_timeout: Duration) -> Self {
        Self::to(self.0.base.clone(), transport, connect_timeout)
    }

    /// Sends a call. A kept connection that turns out to be closed *before a byte was sent* is
    /// replaced; one of which anything was sent is the call's end.
    pub(super) async fn send(&self, request: Outgoing) -> Result<Response<Arriving>, Failed> {
        let mut request = request;
        loop {
            let kept = poll_fn(|context| Poll::Ready(self.0.take(context))).await;
            let is_new = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.0.connect().await?,
            };
            let answer = {
                let Connection { sender, driver } = &mut connection;
                let mut answer = pin!(sender.try_send_request(*request));
                poll_fn(|context| {
                    drive(driver, context);
                    answer.as_mut().poll(context)
                })
                .await
            };
            match answer {
                Ok(response) => {
                    let pool = self.0.clone();
                    return Ok(response.map(|body| Arriving { body, connection, pool }));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => *request = unsent,
                    _ => return Err(Failed::call(error.into_error())),
                },
            }
        }
    }
}

/// An answer's body. One that is dropped before its end closes its connection.
pub(super) struct Arriving {
    body: Incoming,
    connection: Connection,
    pool: Arc<Pool>,
}

impl Arriving {
    /// The next piece, or why there is none; `None` after the last.
    pub(super) async fn frame(&mut self) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        let frame = poll_fn(|context| {
            // The first poll asks for a piece, which the connection then reads.
            let mut frame = Pin::new(&mut self.body).poll_frame(context);
            if frame.is_pending() {
                drive(&mut self.connection.driver, context);
                frame = Pin::new(&mut self.body).poll_frame(context);
            }
            frame
        });
        frame.await
    }

    /// Keeps the connection for the next call, if the body has ended.
    pub(super) async fn keep_connection(self) {
        let Self { body, mut connection, pool } = self;
        drop(body);
        if poll_fn(|context| Poll::Ready(connection.is_open(context))).await {
            pool.keep(connection);
        }
    }
}

/// One connection; `driver` is gone when it has ended.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Option<Driver>,
}

impl Connection {
    async fn over(stream: Stream) -> hyper::Result<Self> {
        let handshake = http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(stream);
        let (sender, driver) = handshake.await?;
        Ok(Self { sender, driver: Some(Box::pin(driver)) })
    }

    /// Whether the next call may go over it, as far as what arrived tells.
    fn is_open(&mut self, context: &mut Context<'_>) -> bool {
        drive(&mut self.driver, context);
        self.driver.is_some() && self.sender.is_ready()
    }
}

type Driver = Pin<Box<http1::Connection<Stream, Full<Bytes>>>>;

/// Reads and writes what can be. Why it ended is told to the call that it ended under.
fn drive(driver: &mut Option<Driver>, context: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
        *driver = None;
    }
}

type Stream = Box<dyn Io>;

trait Io: hyper::rt::Read + hyper::rt::Write + Send + Unpin {}

impl<T: hyper::rt::Read + hyper::rt::Write + Send + Unpin> Io for T {}

type Tcp = HttpConnector<Names>;

enum Connector {
    Plain(Tcp),
    #[cfg(feature = "tls")]
    Tls(hyper_rustls::HttpsConnector<Tcp>),
}

struct Pool {
    base: Uri,
    connector: Connector,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// With since when they are; the youngest last, which goes next.
    connections: Vec<(Instant, Connection)>,
    /// Somebody closes those that are idle for too long.
    swept: bool,
}

impl Pool {
    async fn connect(&self) -> Result<Connection, Failed> {
        let stream: Stream = match &self.connector {
            Connector::Plain(tcp) => {
                let stream = tcp.clone().call(self.base.clone()).await;
                Box::new(stream.map_err(|error| Failed::Connect(error.into()))?)
            }
            #[cfg(feature = "tls")]
            Connector::Tls(tls) => {
                let stream = tls.clone().call(self.base.clone()).await;
                Box::new(stream.map_err(Failed::Connect)?)
            }
        };
        Connection::over(stream).await.map_err(Failed::Call)
    }

    /// A kept connection that is still open.
    fn take(&self, context: &mut Context<'_>) -> Option<Connection> {
        loop {
            let (since, mut connection) = self.idle().connections.pop()?;
            if since.elapsed() < IDLE && connection.is_open(context) {
                return Some(connection);
            }
        }
    }

    fn keep(self: Arc<Self>, connection: Connection) {
        let mut idle = self.idle();
        idle.connections.push((Instant::now(), connection));
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self)));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Whoever panicked did so between two changes.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what is idle for too long, until nothing is.
async fn sweep(pool: Weak<Pool>) {
    while let Some(pool) = pool.upgrade() {
        let next = {
            let mut idle = pool.idle();
            let now = Instant::now();
            let old = idle.connections.partition_point(|(since, _)| *since + IDLE <= now);
            idle.connections.drain(..old);
            match idle.connections.first() {
                Some((since, _)) => *since + IDLE,
                None => {
                    idle.swept = false;
                    return;
                }
            }
        };
        drop(pool);
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests;
