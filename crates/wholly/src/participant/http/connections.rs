//! The connections to one participant: how they are made, driven, kept and reused.
//!
//! A connection is driven by the call that uses it, and has no task of its own: arriving bytes wake
//! the lane that waits for them, and no task between. Over HTTP most of a transaction's time goes
//! there. An idle connection is not driven; its closing by the server is seen when it is taken
//! again, before anything is sent.
//!
//! No connection outlives the knowledge of the host: one of [`AGE`] is not used again, nor one to
//! an address that fails while another does not, nor any from before [`Connections::close`]. So
//! the name is looked up again under steady traffic, too, and a participant that moved is found.

mod address_health;
mod connector;

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use tokio::time::{Instant, sleep_until};
use wholly_dns::Names;

pub(super) use self::connector::Transport;
use self::connector::{Connector, Route, Stream};

/// The most that an answer's head may have, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// The longest idle time of a connection: under the 5 seconds after which widespread servers close
/// one, because a call that meets the closing half-way is lost.
const IDLE: Duration = Duration::from_secs(4);

/// The greatest age of a connection. Each one's own age is up to a fifth less, so that they do
/// not all end at once.
const AGE: Duration = Duration::from_secs(5 * 60);

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

impl Connections {
    /// Connections to the host of `base`, whose name and whose address may take `connect_timeout`
    /// each.
    pub(super) fn to(base: Uri, transport: &Transport, connect_timeout: Duration) -> Self {
        let names = Names::system(connect_timeout);
        Self::by(Connector::to(base, names, transport, connect_timeout))
    }

    /// New ones to the same host.
    pub(super) fn with(&self, transport: &Transport, connect_timeout: Duration) -> Self {
        Self::by(self.0.connector.with(transport, connect_timeout))
    }

    fn by(connector: Connector) -> Self {
        let (idle, generation) = Default::default();
        Self(Arc::new(Pool { connector, age: AGE, idle, generation }))
    }

    /// Closes the connections, each after the call that is on its way over it; the next calls look
    /// the host's name up again.
    pub(super) fn close(&self) {
        self.0.close();
    }

    /// Sends a call. A kept connection that turns out to be closed *before a byte was sent* is
    /// replaced; one of which anything was sent is the call's end.
    pub(super) async fn send(
        &self,
        request: Outgoing,
    ) -> Result<(Response<Arriving>, Exchange), Failed> {
        let mut request = request;
        loop {
            let kept = poll_fn(|context| Poll::Ready(self.0.take(context))).await;
            let is_new = kept.is_none();
            let route = kept.as_ref().map(|kept| kept.route.clone()).unwrap_or_default();
            let mut exchange = Exchange { pool: self.0.clone(), route, is_over: false };
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.0.connect(&exchange.route).await?,
            };
            let answer = {
                let Connection { sender, driver, .. } = &mut connection;
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
                    let response = response.map(|body| Arriving { body, connection, pool });
                    return Ok((response, exchange));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => {
                        exchange.is_over = true;
                        *request = unsent;
                    }
                    _ => return Err(Failed::call(error.into_error())),
                },
            }
        }
    }
}

/// A call on its way. One that is dropped counts as a failure of its address, unless the participant
/// answered.
pub(super) struct Exchange {
    pool: Arc<Pool>,
    route: Arc<Route>,
    is_over: bool,
}

impl Exchange {
    /// Notes that the participant answered.
    pub(super) fn answered(mut self) {
        self.is_over = true;
        if let Some(address) = self.route.reached() {
            self.pool.connector.health().answered(address);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.route.failed(self.pool.connector.health());
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
    route: Arc<Route>,
    /// The time at which it is too old.
    ends: Instant,
    /// The pool's generation when the connection was begun.
    generation: u64,
}

impl Connection {
    /// True if the next call may go over it, judging by what has arrived.
    fn is_open(&mut self, context: &mut Context<'_>) -> bool {
        drive(&mut self.driver, context);
        self.driver.is_some() && self.sender.is_ready()
    }
}

type Driver = Pin<Box<http1::Connection<Stream, Full<Bytes>>>>;

/// Reads and writes as much as it can. The call under which it ends is told the reason.
fn drive(driver: &mut Option<Driver>, context: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
        *driver = None;
    }
}

struct Pool {
    connector: Connector,
    /// The greatest age of a connection.
    age: Duration,
    idle: Mutex<Idle>,
    /// The number of times that all connections were closed.
    generation: AtomicU64,
}

#[derive(Default)]
struct Idle {
    /// Each with the time since which it is idle; the youngest last, which goes next.
    connections: Vec<(Instant, Connection)>,
    /// True while a task closes those that are idle for too long.
    swept: bool,
}

impl Pool {
    async fn connect(&self, route: &Arc<Route>) -> Result<Connection, Failed> {
        let generation = self.generation.load(Ordering::SeqCst);
        let stream = self.connector.connect(route).await.map_err(Failed::Connect)?;
        self.over(stream, route.clone(), generation).await.map_err(Failed::Call)
    }

    async fn over(
        &self,
        stream: Stream,
        route: Arc<Route>,
        generation: u64,
    ) -> hyper::Result<Connection> {
        let handshake = http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(stream);
        let (sender, driver) = handshake.await?;
        let ends = Instant::now() + spread(self.age);
        Ok(Connection { sender, driver: Some(Box::pin(driver)), route, ends, generation })
    }

    /// A kept connection that is still open.
    fn take(&self, context: &mut Context<'_>) -> Option<Connection> {
        loop {
            let (since, mut connection) = self.idle().connections.pop()?;
            let is_fit = since.elapsed() < IDLE && self.may_use(&connection);
            if is_fit && connection.is_open(context) {
                return Some(connection);
            }
        }
    }

    /// True if the host may still be called over this connection.
    fn may_use(&self, connection: &Connection) -> bool {
        let is_left = |address| self.connector.health().is_left(address);
        connection.generation == self.generation.load(Ordering::SeqCst)
            && Instant::now() < connection.ends
            && !connection.route.reached().is_some_and(is_left)
    }

    fn close(&self) {
        self.connector.refresh_name();
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.idle().connections.clear();
    }

    fn keep(self: Arc<Self>, connection: Connection) {
        if !self.may_use(&connection) {
            return;
        }
        let mut idle = self.idle();
        idle.connections.push((Instant::now(), connection));
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self)));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // A panic happens only between two changes.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The age, or up to a fifth less. Without a random source it is the age.
fn spread(age: Duration) -> Duration {
    let less = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX) / 5.0;
    age.mul_f64(1.0 - less)
}

/// Closes connections that are idle for too long, until none is left.
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

// Elsewhere the loopback network has one address only.
#[cfg(test)]
#[cfg(target_os = "linux")]
mod moved_tests;
#[cfg(test)]
mod tests;
