//! Transactions on two participants that answer, without and with a third that hangs.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{copy, sink};
use tokio::net::TcpListener;

use crate::bench::bare_participant::BareParticipant;
use crate::bench::common::Common;
use crate::bench::error::BenchError;
use crate::bench::load::{Load, Work};
use crate::bench::report::{Figures, Named, Ratio, latency};
use crate::bench::served::{Served, Submitting, participants_at};
use crate::client::Http;

/// The deadline of what touches the participant that hangs.
const DEADLINE_MILLIS: u64 = 1_000;

/// A load that does not touch the participant that hangs, and a stream that does.
pub(super) struct Stream {
    pub per_second: u32,
    pub rounds: u32,
    pub load: Load,
}

#[derive(Debug, Serialize)]
pub(super) struct Hanging {
    concurrency: u32,
    hanging_per_second: u32,
    /// How many transactions touched it, in all rounds.
    touched: u64,
    /// The calls that it held, at the end of the last round.
    calls_held: u64,
    with: Named,
    without: Named,
    ratio: Ratio,
}

impl Stream {
    pub async fn run(&self, common: &Common) -> Result<Hanging, BenchError> {
        let directory = common.directory()?;
        let names = ["healthy-1", "healthy-2"].map(str::to_owned);
        let participants = BareParticipant::start_all(&names, directory.path()).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let text = format!(
            "[participants.hanging]\nurl = 'http://{}'\n{}",
            listener.local_addr()?,
            participants_at(&names, &participants, "")
        );
        let hanging = tokio::spawn(hang(listener));
        let (mut with, mut without) = (Vec::new(), Vec::new());
        let (touched, mut calls_held) = (AtomicU64::new(0), 0);
        for _ in 0..self.rounds {
            let round = self.begin(&text, &names, common, &directory).await?;
            without.push(self.figures(&round.work).await?);
            let round = self.begin(&text, &names, common, &directory).await?;
            let http = Http::new();
            with.push(tokio::select! {
                figures = self.figures(&round.work) => figures?,
                ended = touch(&round.server, &http, self.per_second, &touched) => match ended? {},
            });
            calls_held = calls_of_hanging(&round.server.read(&http, "/v1/participants").await?);
        }
        hanging.abort();
        let with = Named::new("it hangs", with);
        let without = Named::new("nobody uses it", without);
        let ratio = Ratio::of(&with.median, &without.median);
        Ok(Hanging {
            concurrency: self.load.concurrency,
            hanging_per_second: self.per_second,
            touched: touched.into_inner(),
            calls_held,
            with,
            without,
            ratio,
        })
    }

    async fn figures(&self, work: &Arc<impl Work>) -> Result<Figures, BenchError> {
        Ok(Figures::of_run(&self.load.run(Arc::clone(work), || ()).await?))
    }

    /// A server and a log of its own: what hangs in one round is not there in the next.
    async fn begin(
        &self,
        text: &str,
        names: &[String],
        common: &Common,
        directory: &TempDir,
    ) -> Result<Round, BenchError> {
        let directory = tempfile::tempdir_in(directory.path())?;
        let server = Served::start(text, directory.path()).await?;
        let work = Arc::new(Submitting::new(&server, names, &common.payload()?)?);
        Ok(Round { server, work, _directory: directory })
    }
}

struct Round {
    server: Served,
    work: Arc<Submitting>,
    _directory: TempDir,
}

/// Takes every connection and all that is sent, and never answers.
async fn hang(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move { copy(&mut stream, &mut sink()).await });
    }
}

/// Submits so many transactions a second to the participant that hangs.
async fn touch(
    server: &Served,
    http: &Http,
    per_second: u32,
    touched: &AtomicU64,
) -> Result<Infallible, BenchError> {
    let mut times = tokio::time::interval(Duration::from_secs(1) / per_second);
    let url = server.url("/v1/transactions");
    let body = json!({
        "name": "hangs",
        "deadline_millis": DEADLINE_MILLIS,
        "branches": [{"participant": "hanging", "payload": 1}],
    });
    loop {
        times.tick().await;
        let reply = http.post_async(&url, &body).await;
        let reply = reply.map_err(|why| BenchError::BareCall { why: why.to_string() })?;
        if reply.status != 202 {
            return Err(BenchError::BareCall { why: format!("{reply:?}") });
        }
        touched.fetch_add(1, Relaxed);
    }
}

fn calls_of_hanging(body: &Value) -> u64 {
    let participants = body["participants"].as_array().into_iter().flatten();
    let mut hanging = participants.filter(|participant| participant["name"] == "hanging");
    hanging.next().and_then(|participant| participant["in_progress"].as_u64()).unwrap_or(0)
}

impl fmt::Display for Hanging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { concurrency, hanging_per_second, touched, calls_held, .. } = self;
        writeln!(
            f,
            "hanging: {concurrency} at once on two participants, beside {hanging_per_second} a \
             second on a third that never answers ({touched} in all, it held {calls_held} calls); \
             medians of {} rounds\n",
            self.with.runs.len()
        )?;
        writeln!(f, "{:16} {:>14} {:>10} {:>10}", "", "transactions/s", "p50", "p99")?;
        for Named { name, median, .. } in [&self.with, &self.without] {
            let (p50, p99) = (latency(median.p50_micros), latency(median.p99_micros));
            writeln!(f, "{name:16} {:>14.0} {p50:>10} {p99:>10}", median.transactions_per_second)?;
        }
        let Ratio { throughput, p50, p99, .. } = &self.ratio;
        let ratio =
            |value: &Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        write!(f, "{:16} {throughput:>14.2} {:>10} {:>10}", "ratio", ratio(p50), ratio(p99))
    }
}
