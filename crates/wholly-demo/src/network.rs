//! The network between the processes of a fleet, which cuts and delays what passes.
//!
//! It forwards from one port to another one, on a thread of its own. A pair of ports is a way, and
//! each way has its weather.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::process::lock;

/// The disturbance of a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    #[default]
    Fair,
    /// Every connection is closed, and new ones too.
    Cut,
    /// Connections stay open, and nothing passes until it is fair.
    Stalled,
    /// The connections of now carry no request until it is fair, and new ones overtake them.
    Late,
    /// Each piece is that much later.
    Delayed(Duration),
    /// So many bytes a second pass.
    Throttled(u32),
    /// The connections of now end in this direction.
    HalfClosed(Direction),
    /// Requests pass, and each connection is closed in place of its next answer.
    Unanswered,
    /// Once, in an answer, the first text is the second.
    Lying(&'static str, &'static str),
}

/// The direction in which a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who asks.
    Requests,
    /// To who asked.
    Answers,
}

impl Weather {
    /// Its name, for reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Fair => "fair",
            Self::Cut => "cut",
            Self::Stalled => "stalled",
            Self::Late => "late",
            Self::Delayed(_) => "delay",
            Self::Throttled(_) => "throttle",
            Self::HalfClosed(_) => "half-close",
            Self::Unanswered => "unanswered",
            Self::Lying(..) => "lie",
        }
    }
}

/// The network. Dropping it ends every connection.
pub struct Network {
    ways: Vec<Arc<Way>>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Network {
    /// Forwards between these pairs of ports, both of 127.0.0.1: from the first to the second.
    ///
    /// # Errors
    /// When a port cannot be listened on, or the system gives no thread.
    pub fn start(ports: impl IntoIterator<Item = (u16, u16)>) -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("network").enable_all().build()?;
        let mut ways = Vec::new();
        for (from, to) in ports {
            let listener = std::net::TcpListener::bind(("127.0.0.1", from))?;
            listener.set_nonblocking(true)?;
            let listener = {
                let _context = runtime.enter();
                TcpListener::from_std(listener)?
            };
            let way = Arc::new(Way::to(to));
            ways.push(Arc::clone(&way));
            runtime.spawn(way.accept(listener));
        }
        Ok(Self { ways, runtime: Some(runtime) })
    }

    /// Sets the weather of a way, counted from 0.
    pub fn set(&self, way: usize, weather: &Weather) {
        if let Some(way) = self.ways.get(way) {
            way.set(weather);
        }
    }

    /// The number of requests that have passed.
    pub fn requests(&self) -> u64 {
        self.ways.iter().map(|way| way.requests.load(Relaxed)).sum()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // To wait for its thread is not allowed among tasks, where fleets are dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct NetworkState {
    weather: Weather,
    /// Connections that began before this time do not carry requests where it is late.
    times_late: u32,
    /// The number of times that the connections of then were ended.
    ends_of_requests: u32,
    ends_of_answers: u32,
}

impl NetworkState {
    /// True if a connection carries nothing now, which began when it had been late so often.
    fn holds(self, direction: Direction, began: u32) -> bool {
        match self.weather {
            Weather::Stalled => true,
            Weather::Late => direction == Direction::Requests && began < self.times_late,
            _ => false,
        }
    }

    fn ends(self, direction: Direction) -> u32 {
        match direction {
            Direction::Requests => self.ends_of_requests,
            Direction::Answers => self.ends_of_answers,
        }
    }
}

struct Way {
    to: u16,
    state: watch::Sender<NetworkState>,
    lie: Mutex<Option<Lie>>,
    /// The requests that have passed.
    requests: AtomicU64,
}

impl Way {
    fn to(to: u16) -> Self {
        let (state, lie) = (watch::Sender::default(), Mutex::default());
        Self { to, state, lie, requests: AtomicU64::new(0) }
    }

    fn set(&self, weather: &Weather) {
        self.state.send_modify(|now| match *weather {
            Weather::HalfClosed(Direction::Requests) => now.ends_of_requests += 1,
            Weather::HalfClosed(Direction::Answers) => now.ends_of_answers += 1,
            Weather::Lying(old, new) => *lock(&self.lie) = Some(Lie::new(old, new)),
            weather => {
                now.times_late += u32::from(weather == Weather::Late);
                now.weather = weather;
            }
        });
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            // Without a free descriptor there is none for a moment; others end meanwhile.
            match listener.accept().await {
                Ok((client, _)) => drop(tokio::spawn(Arc::clone(&self).connect(client))),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn connect(self: Arc<Self>, client: TcpStream) {
        let mut state = self.state.subscribe();
        let forwarded = async {
            let server = TcpStream::connect(("127.0.0.1", self.to)).await?;
            server.set_nodelay(true)?;
            client.set_nodelay(true)?;
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let asked = AtomicBool::new(false);
            tokio::try_join!(
                self.pump(from_client, to_server, Direction::Requests, &asked),
                self.pump(from_server, to_client, Direction::Answers, &asked),
            )
        };
        tokio::select! {
            // A connection that fails ends, as it does on a network.
            _ = forwarded => {}
            _ = state.wait_for(|state| state.weather == Weather::Cut) => {}
        }
    }

    async fn pump(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        direction: Direction,
        asked: &AtomicBool,
    ) -> io::Result<()> {
        let mut state = self.state.subscribe();
        let (ends, began) = (state.borrow().ends(direction), state.borrow().times_late);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read?,
                _ = state.wait_for(|state| state.ends(direction) != ends) => 0,
            };
            if read == 0 {
                if state.borrow().times_late > began {
                    // What was held back is not cut off by the end that comes after it.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                return to.shutdown().await;
            }
            let piece = &mut buffer[..read];
            match direction {
                // No request follows another one that is not answered: pieces are one request.
                Direction::Requests if !asked.swap(true, Relaxed) => {
                    self.requests.fetch_add(1, Relaxed);
                }
                Direction::Requests => {}
                Direction::Answers => {
                    asked.store(false, Relaxed);
                    lock(&self.lie).take_if(|lie| lie.told(piece));
                    if state.borrow().weather == Weather::Unanswered {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
            }
            let _ = state.wait_for(|state| !state.holds(direction, began)).await;
            let weather = state.borrow().weather;
            match weather {
                Weather::Throttled(bytes) => trickle(&mut to, piece, bytes.max(1)).await?,
                Weather::Delayed(delay) => {
                    tokio::time::sleep(delay).await;
                    to.write_all(piece).await?;
                }
                _ => to.write_all(piece).await?,
            }
        }
    }
}

/// Twenty pieces a second.
async fn trickle(to: &mut OwnedWriteHalf, bytes: &[u8], bytes_per_second: u32) -> io::Result<()> {
    for piece in bytes.chunks((bytes_per_second / 20).max(1) as usize) {
        to.write_all(piece).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A text that is altered, and its place taken by one of the same length.
#[derive(Debug)]
struct Lie {
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Lie {
    fn new(old: &str, new: &str) -> Self {
        Self { old: old.into(), new: format!("{new:<width$}", width = old.len()).into() }
    }

    /// True if it was told here.
    fn told(&self, piece: &mut [u8]) -> bool {
        let at = piece.windows(self.old.len().max(1)).position(|window| window == self.old);
        if let Some(at) = at {
            piece[at..at + self.old.len()].copy_from_slice(&self.new[..self.old.len()]);
        }
        at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_is_told_once_and_is_as_long() {
        let mut answer = *br#"{"state":"committed","settled":true}"#;
        assert!(Lie::new("\"committed\"", "\"aborted\"").told(&mut answer));
        assert_eq!(&answer, br#"{"state":"aborted"  ,"settled":true}"#);
        assert!(!Lie::new("\"committed\"", "\"aborted\"").told(&mut answer));
    }

    #[tokio::test]
    async fn the_weather_is_what_was_said_last() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = echo.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = echo.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(Way::to(port));
        tokio::spawn(Arc::clone(&way).accept(listener));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut heard = [0; 4];

        stream.write_all(b"fair").await.unwrap();
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"fair");
        assert_eq!(way.requests.load(Relaxed), 1);
        way.set(&Weather::Lying("slow", "late"));
        way.set(&Weather::Throttled(40));
        stream.write_all(b"slowslow").await.unwrap();
        let mut all = [0; 8];
        stream.read_exact(&mut all).await.unwrap();
        assert!(all.starts_with(b"sl"), "in pieces that the lie does not fit: {all:?}");

        way.set(&Weather::Late);
        stream.write_all(b"late").await.unwrap();
        let mut overtaking = TcpStream::connect(address).await.unwrap();
        overtaking.write_all(b"soon").await.unwrap();
        overtaking.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"soon");
        let held = Duration::from_millis(50);
        assert!(tokio::time::timeout(held, stream.read(&mut heard)).await.is_err());
        way.set(&Weather::Fair);
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"late");

        way.set(&Weather::HalfClosed(Direction::Requests));
        // The echo hears the end and ends, too: nothing more comes.
        assert_eq!(stream.read(&mut heard).await.unwrap(), 0);

        let mut unanswered = TcpStream::connect(address).await.unwrap();
        way.set(&Weather::Unanswered);
        unanswered.write_all(b"done").await.unwrap();
        assert!(!matches!(unanswered.read(&mut heard).await, Ok(1..)));

        way.set(&Weather::Cut);
        let mut refused = TcpStream::connect(address).await.unwrap();
        let _ = refused.write_all(b"lost").await;
        assert!(!matches!(refused.read(&mut heard).await, Ok(1..)));
    }
}
