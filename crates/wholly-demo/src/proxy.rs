//! The network between processes, as a process of its own: the hidden command `wholly torture-proxy`.
//!
//! Each way leads from a port to another one. Its weather is set by a line on the standard input,
//! `WAY WHAT`, where ways are counted from 0:
//!
//! | what | then |
//! |---|---|
//! | `fair` | everything passes |
//! | `cut` | every connection is closed, and new ones too |
//! | `stalled` | connections stay open, and nothing passes until it is fair |
//! | `late` | the connections of now carry no request until it is fair, and new ones overtake them |
//! | `delay MILLIS` | each piece is that much later |
//! | `throttle BYTES` | so many bytes a second pass |
//! | `half-close requests`, `half-close answers` | the connections of now end in this direction |
//! | `lie OLD NEW` | once, in an answer, the text OLD is NEW |
//! | `unanswered` | requests pass, and each connection is closed in place of its next answer |
//!
//! The line `WAY messages` asks how many requests have passed.
//!
//! It ends when its standard input does.

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::service::say;

/// Forward connections, and disturb them as the standard input says, until that ends.
#[derive(Args, Debug)]
pub struct Proxy {
    /// From this port to that port, both of 127.0.0.1.
    #[arg(value_name = "PORT:PORT")]
    ways: Vec<Ports>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    from: u16,
    to: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |(from, to): (&str, &str)| Some((from.parse().ok()?, to.parse().ok()?));
        match text.split_once(':').and_then(parse) {
            Some((from, to)) => Ok(Self { from, to }),
            None => Err(format!("{text:?} names no two ports; write them like 20001:20002")),
        }
    }
}

impl Proxy {
    /// Forwards until the standard input ends.
    pub fn run(self) -> ExitCode {
        match self.forward() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                wholly_terminal::report(format_args!("wholly: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    fn forward(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut ways = Vec::new();
        for ports in self.ways {
            let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", ports.from)))?;
            let way = Arc::new(Way::to(ports.to));
            ways.push(Arc::clone(&way));
            runtime.spawn(way.accept(listener));
        }
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                match (messages(&ways, &line), obey(&ways, &line)) {
                    (Some(count), _) => say(&count.to_string()),
                    // Whoever told it waits until it is so.
                    (None, Some(())) => say("done"),
                    (None, None) => say(&format!("what is {line:?}?")),
                }
            }
            // Whoever started it is gone.
            std::process::exit(0)
        });
        say("ready");
        runtime.block_on(std::future::pending())
    }
}

/// The requests that have passed, where that is asked.
fn messages(ways: &[Arc<Way>], line: &str) -> Option<u64> {
    let nth: usize = line.strip_suffix(" messages")?.parse().ok()?;
    Some(ways.get(nth)?.requests.load(Relaxed))
}

fn obey(ways: &[Arc<Way>], line: &str) -> Option<()> {
    let words: Vec<&str> = line.split(' ').collect();
    let (nth, words) = words.split_first()?;
    let way = ways.get(nth.parse::<usize>().ok()?)?;
    let now = *way.weather.borrow();
    let weather = match words {
        ["fair"] => now.cleared(),
        ["cut"] => Weather { is_cut: true, ..now.cleared() },
        ["stalled"] => Weather { is_stalled: true, ..now.cleared() },
        ["late"] => Weather { is_late: true, times_late: now.times_late + 1, ..now.cleared() },
        ["delay", millis] => {
            Weather { delay: Duration::from_millis(millis.parse().ok()?), ..now.cleared() }
        }
        ["throttle", bytes] => {
            Weather { bytes_per_second: Some(bytes.parse().ok()?), ..now.cleared() }
        }
        ["unanswered"] => Weather { is_unanswered: true, ..now.cleared() },
        ["half-close", "requests"] => Weather { ends_of_requests: now.ends_of_requests + 1, ..now },
        ["half-close", "answers"] => Weather { ends_of_answers: now.ends_of_answers + 1, ..now },
        ["lie", old, new] => {
            *way.lie() = Some(Lie::new(old, new));
            now
        }
        _ => return None,
    };
    way.weather.send_replace(weather);
    Some(())
}

#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    is_cut: bool,
    is_stalled: bool,
    is_unanswered: bool,
    /// The connections that began before this time do not carry requests.
    is_late: bool,
    times_late: u32,
    delay: Duration,
    bytes_per_second: Option<u32>,
    /// How often the connections of then were ended.
    ends_of_requests: u32,
    ends_of_answers: u32,
}

impl Weather {
    fn cleared(self) -> Self {
        let Self { times_late, ends_of_requests, ends_of_answers, .. } = self;
        Self { times_late, ends_of_requests, ends_of_answers, ..Self::default() }
    }

    /// Whether what a connection carries waits, which began when it had been late so often.
    fn holds(self, direction: Direction, began: u32) -> bool {
        let late = self.is_late && direction == Direction::Requests && began < self.times_late;
        self.is_stalled || late
    }

    fn ends(self, direction: Direction) -> u32 {
        match direction {
            Direction::Requests => self.ends_of_requests,
            Direction::Answers => self.ends_of_answers,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

struct Way {
    to: u16,
    weather: watch::Sender<Weather>,
    lie: Mutex<Option<Lie>>,
    /// The requests that have passed.
    requests: AtomicU64,
}

impl Way {
    fn to(to: u16) -> Self {
        let (weather, lie) = (watch::Sender::default(), Mutex::default());
        Self { to, weather, lie, requests: AtomicU64::new(0) }
    }

    fn lie(&self) -> std::sync::MutexGuard<'_, Option<Lie>> {
        self.lie.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut weather = self.weather.subscribe();
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
            _ = weather.wait_for(|weather| weather.is_cut) => {}
        }
    }

    async fn pump(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        direction: Direction,
        asked: &AtomicBool,
    ) -> io::Result<()> {
        let mut weather = self.weather.subscribe();
        let (ends, began) = (weather.borrow().ends(direction), weather.borrow().times_late);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read?,
                _ = weather.wait_for(|weather| weather.ends(direction) != ends) => 0,
            };
            if read == 0 {
                if weather.borrow().times_late > began {
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
                    self.lie().take_if(|lie| lie.told(piece));
                    if weather.borrow().is_unanswered {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
            }
            let _ = weather.wait_for(|weather| !weather.holds(direction, began)).await;
            let Weather { delay, bytes_per_second, .. } = *weather.borrow();
            tokio::time::sleep(delay).await;
            match bytes_per_second {
                None => to.write_all(piece).await?,
                Some(bytes) => trickle(&mut to, piece, bytes.max(1)).await?,
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

    /// Whether it was told here.
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
        let ways = [Arc::new(Way::to(port))];
        tokio::spawn(Arc::clone(&ways[0]).accept(listener));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut heard = [0; 4];

        stream.write_all(b"fair").await.unwrap();
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"fair");
        assert_eq!(messages(&ways, "0 messages"), Some(1));
        obey(&ways, "0 lie slow late").unwrap();
        obey(&ways, "0 throttle 40").unwrap();
        stream.write_all(b"slowslow").await.unwrap();
        let mut all = [0; 8];
        stream.read_exact(&mut all).await.unwrap();
        assert!(all.starts_with(b"sl"), "in pieces that the lie does not fit: {all:?}");

        obey(&ways, "0 late").unwrap();
        stream.write_all(b"late").await.unwrap();
        let mut overtaking = TcpStream::connect(address).await.unwrap();
        overtaking.write_all(b"soon").await.unwrap();
        overtaking.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"soon");
        let held = Duration::from_millis(50);
        assert!(tokio::time::timeout(held, stream.read(&mut heard)).await.is_err());
        obey(&ways, "0 fair").unwrap();
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"late");

        obey(&ways, "0 half-close requests").unwrap();
        // The echo hears the end and ends, too: nothing more comes.
        assert_eq!(stream.read(&mut heard).await.unwrap(), 0);

        let mut unanswered = TcpStream::connect(address).await.unwrap();
        obey(&ways, "0 unanswered").unwrap();
        unanswered.write_all(b"done").await.unwrap();
        assert!(!matches!(unanswered.read(&mut heard).await, Ok(1..)));

        obey(&ways, "0 cut").unwrap();
        let mut refused = TcpStream::connect(address).await.unwrap();
        let _ = refused.write_all(b"lost").await;
        assert!(!matches!(refused.read(&mut heard).await, Ok(1..)));
        assert_eq!(obey(&ways, "1 fair"), None);
        assert_eq!(obey(&ways, "0 nice"), None);
    }
}
