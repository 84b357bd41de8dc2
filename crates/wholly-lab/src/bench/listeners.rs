//! The cost of many listeners: the server's memory, and its work for others meanwhile.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::served::{Served, Submitting, participants_at};
use wholly_demo::bench::bare_participant::BareParticipant;
use wholly_demo::bench::common::Common;
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Load;
use wholly_demo::bench::report::{Figures, latency, memory, write_table};
use wholly_demo::client::Http;

/// The number of transactions that are listened to: each by as many as there are for it.
const LISTENED_TO: usize = 100;
/// The number of connections that are made at once.
const CONNECTING: usize = 100;
/// Longer than all of this takes.
const UNDECIDED_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// A server with many who listen to transactions that stand still: its memory, and how many other
/// transactions it does meanwhile, beside the same without them.
///
/// It needs as many open files as there are listeners, in this process and in the server's.
#[derive(clap::Args, Debug)]
pub(super) struct Listeners {
    /// The number of clients that listen.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=25_000))]
    count: u32,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Serialize)]
pub(super) struct Listened {
    workload: &'static str,
    count: u32,
    /// The server's memory, after a run and before the first listener.
    without_bytes: Option<u64>,
    /// The server's memory with all listeners, after a run.
    with_bytes: Option<u64>,
    /// Both from the clients' side; the processor's time is theirs.
    without: Figures,
    with: Figures,
}

impl Listeners {
    pub async fn run(self, wholly: &Path) -> Result<Listened, BenchError> {
        let Self { count, load, common } = self;
        may_open(u64::from(count) + 1_000)?;
        let directory = common.directory()?;
        let names = common.names();
        let participants = BareParticipant::start_all(&names, directory.path()).await?;
        // Long pauses, so that an unanswered transaction stands still.
        let text = format!(
            "[settings]\nbackoff_first = '10m'\nbackoff_cap = '10m'\n\
             [participants.silent]\nurl = 'http://127.0.0.1:9'\n{}",
            participants_at(&names, &participants, "")
        );
        let server = Served::start(wholly, &text, directory.path()).await?;
        let work = Arc::new(Submitting::new(&server, &names, &common.payload()?)?);
        let mut paths = Vec::new();
        for _ in 0..LISTENED_TO {
            paths.push(undecided(&work.http, &work.url).await?);
        }
        let without = Figures::of_run(&load.run(work.clone(), || ()).await?);
        let without_bytes = server.process.resident_bytes();
        let listeners = listen(&server.address, &paths, count).await?;
        let with = Figures::of_run(&load.run(work, || ()).await?);
        let with_bytes = server.process.resident_bytes();
        drop(listeners);
        Ok(Listened { workload: "listeners", count, without_bytes, with_bytes, without, with })
    }
}

/// Raises this process's limit of open files, which the server's inherits, if it must.
pub(super) fn may_open(files: u64) -> Result<(), BenchError> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        limit.current = Some(files);
        setrlimit(Resource::Nofile, limit).map_err(|why| {
            let what = format!("{files} open files are needed (see ulimit -n): {why}");
            std::io::Error::other(what)
        })?;
    }
    Ok(())
}

/// Submits one that is not decided soon; where its events are.
async fn undecided(http: &Http, url: &str) -> Result<String, BenchError> {
    let body = json!({
        "name": "listened to",
        "deadline_millis": UNDECIDED_MILLIS,
        "branches": [{"participant": "silent", "payload": 1}],
    });
    let reply = http.post_async(url, &body).await?;
    match reply.body["id"].as_str().filter(|_| reply.status == 202) {
        Some(id) => Ok(format!("/v1/transactions/{id}/events")),
        None => Err(BenchError::BareCall { why: format!("{reply:?}") }),
    }
}

/// Connects all of them, each of which has read its transaction's start.
async fn listen(address: &str, paths: &[String], count: u32) -> Result<Vec<TcpStream>, BenchError> {
    let mut listeners = Vec::new();
    let paths: Vec<_> = paths.iter().cycle().take(count as usize).collect();
    for some in paths.chunks(CONNECTING) {
        let connected = some.iter().map(|path| listen_to(address, path));
        listeners.extend(futures_util::future::try_join_all(connected).await?);
    }
    Ok(listeners)
}

async fn listen_to(address: &str, path: &str) -> Result<TcpStream, BenchError> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("event: started") {
        if stream.read_buf(&mut read).await? == 0 {
            let why = String::from_utf8_lossy(&read).into_owned();
            return Err(BenchError::BareCall { why });
        }
    }
    Ok(stream)
}

impl fmt::Display for Listened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listeners: {} of transactions that stand still", self.count)?;
        let row = |name: &str, bytes, figures: &Figures| {
            let Figures { transactions_per_second, p50_micros, p99_micros, .. } = figures;
            let (p50, p99) = (latency(*p50_micros), latency(*p99_micros));
            vec![name.to_owned(), memory(bytes), format!("{transactions_per_second:.0}"), p50, p99]
        };
        let without = row("without", self.without_bytes, &self.without);
        let with = row("with", self.with_bytes, &self.with);
        write_table(f, &["", "memory", "transactions/s", "p50", "p99"], [without, with])?;
        let more = self.with_bytes.zip(self.without_bytes).map(|(a, b)| a.saturating_sub(b));
        write!(f, "\n\nmore memory: {}", memory(more))
    }
}
