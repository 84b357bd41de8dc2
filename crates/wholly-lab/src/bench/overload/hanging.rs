//! Transactions on two participants that answer, beside a third that hangs.
//!
//! The hanging transactions have records in the same log, too. So the same stream on a third
//! participant that answers is measured besides: the difference is the cost of the hanging.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{copy, sink};
use tokio::net::TcpListener;
use wholly::Payload;

use super::Overload;
use crate::bench::served::{Served, Submitting, participants_at, transaction};
use wholly_demo::bench::bare_participant::BareParticipant;
use wholly_demo::bench::common::Common;
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Load;
use wholly_demo::bench::report::{Figures, Named, Ratio, latency, write_table};
use wholly_demo::client::Http;

/// The deadline of what touches the participant that hangs.
const DEADLINE_MILLIS: u64 = 1_000;

/// A load that does not touch the participant that hangs, and a stream that does.
pub(super) struct Stream<'a>(pub &'a Overload);

#[derive(Debug, Serialize)]
pub(super) struct Hanging {
    concurrency: u32,
    touching_per_second: u32,
    /// The number of transactions that touched the one that hangs, in all rounds.
    touched: u64,
    /// The calls that it held, at the end of the last round.
    calls_held: u64,
    hangs: Named,
    answers: Named,
    unused: Named,
    /// Beside a third that answers as many, and beside one that nobody uses.
    to_answers: Ratio,
    to_unused: Ratio,
}

impl Stream<'_> {
    pub async fn run(&self, wholly: &Path) -> Result<Hanging, BenchError> {
        let Overload { concurrency, touching_per_second, rounds, common, .. } = self.0;
        let directory = common.directory()?;
        let names = ["healthy-1", "healthy-2", "third"].map(str::to_owned);
        let answering = BareParticipant::start_all(&names, directory.path()).await?;
        let [healthy, third] = [&names[..2], &names[2..]];
        let all_answer = participants_at(&names, &answering, "");
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let third_hangs = format!(
            "[participants.third]\nurl = 'http://{}'\n{}",
            listener.local_addr()?,
            participants_at(healthy, &answering, "")
        );
        let hanging = tokio::spawn(hang(listener));
        let (mut hangs, mut answers, mut unused) = (Vec::new(), Vec::new(), Vec::new());
        let (touched, mut calls_held) = (AtomicU64::new(0), 0);
        for nth in 0..*rounds {
            let round = Round::begin(wholly, &all_answer, healthy, common, &directory).await?;
            unused.push(self.figures(&round).await?);
            // Each of the two comes first as often, so that a machine that grows slower favours
            // neither.
            for it_hangs in [nth % 2 == 0, nth % 2 == 1] {
                if !it_hangs {
                    let round =
                        Round::begin(wholly, &all_answer, healthy, common, &directory).await?;
                    answers.push(self.beside(&round, third, &AtomicU64::new(0)).await?);
                    continue;
                }
                let round = Round::begin(wholly, &third_hangs, healthy, common, &directory).await?;
                hangs.push(self.beside(&round, third, &touched).await?);
                let participants = round.server.read(&round.work.http, "/v1/participants").await?;
                calls_held = calls_of(third, &participants);
            }
        }
        hanging.abort();
        let hangs = Named::new("it hangs", hangs);
        let answers = Named::new("it answers", answers);
        let unused = Named::new("nobody uses it", unused);
        Ok(Hanging {
            concurrency: *concurrency,
            touching_per_second: *touching_per_second,
            touched: touched.into_inner(),
            calls_held,
            to_answers: Ratio::of(&hangs.median, &answers.median),
            to_unused: Ratio::of(&hangs.median, &unused.median),
            hangs,
            answers,
            unused,
        })
    }

    /// The load's figures, beside the stream.
    async fn beside(
        &self,
        round: &Round,
        third: &[String],
        touched: &AtomicU64,
    ) -> Result<Figures, BenchError> {
        tokio::select! {
            figures = self.figures(round) => figures,
            ended = touch(&round.server, third, self.0.touching_per_second, touched) => match ended? {},
        }
    }

    /// The processor's time is the server's.
    async fn figures(&self, round: &Round) -> Result<Figures, BenchError> {
        let work = Arc::clone(&round.work);
        let load = Load {
            concurrency: self.0.concurrency,
            seconds: (self.0.seconds / (3 * self.0.rounds)).max(1),
            warm_up_seconds: 1,
            rounds: 1,
        };
        let run = load.run(work, || round.server.process.processor_time()).await?;
        Ok(Figures::of_process(&run, round.server.process.resident_bytes()))
    }
}

/// A server and a log of its own: what hangs in one round is not there in the next.
struct Round {
    server: Served,
    work: Arc<Submitting>,
    _directory: TempDir,
}

impl Round {
    async fn begin(
        wholly: &Path,
        text: &str,
        names: &[String],
        common: &Common,
        directory: &TempDir,
    ) -> Result<Self, BenchError> {
        let directory = tempfile::tempdir_in(directory.path())?;
        let server = Served::start(wholly, text, directory.path()).await?;
        let work = Arc::new(Submitting::new(&server, names, &common.payload()?)?);
        Ok(Self { server, work, _directory: directory })
    }
}

/// Takes every connection and all that is sent, and never answers.
async fn hang(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move { copy(&mut stream, &mut sink()).await });
    }
}

/// Submits so many transactions a second to the third participant.
async fn touch(
    server: &Served,
    third: &[String],
    per_second: u32,
    touched: &AtomicU64,
) -> Result<Infallible, BenchError> {
    let mut times = tokio::time::interval(Duration::from_secs(1) / per_second);
    let (http, url) = (Http::default(), server.url("/v1/transactions"));
    let mut body = transaction(third, &Payload::of(&1)?)?;
    body["deadline_millis"] = DEADLINE_MILLIS.into();
    loop {
        times.tick().await;
        let reply = http.post_async(&url, &body).await?;
        if reply.status != 202 {
            return Err(BenchError::BareCall { why: format!("{reply:?}") });
        }
        touched.fetch_add(1, Relaxed);
    }
}

fn calls_of(third: &[String], body: &Value) -> u64 {
    let participants = body["participants"].as_array().into_iter().flatten();
    let mut those = participants.filter(|participant| participant["name"] == third[0]);
    those.next().and_then(|participant| participant["in_progress"].as_u64()).unwrap_or(0)
}

impl fmt::Display for Hanging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { concurrency, touching_per_second, touched, calls_held, .. } = self;
        writeln!(
            f,
            "hanging: {concurrency} at once on two participants, beside {touching_per_second} a \
             second on a third that never answers ({touched} in all, it held {calls_held} calls); \
             medians of {} rounds",
            self.hangs.runs.len()
        )?;
        let row = |Named { name, median, .. }: &Named| {
            vec![
                (*name).to_owned(),
                format!("{:.0}", median.transactions_per_second),
                latency(median.p50_micros),
                latency(median.p99_micros),
                latency(median.processor_micros_per_transaction),
            ]
        };
        let ratio = |name, ratio: &Ratio| [&ratio.row(name)[..], &[String::new()]].concat();
        let ratios = [
            ratio("hangs by answers", &self.to_answers),
            ratio("hangs by nobody", &self.to_unused),
        ];
        let rows = [&self.hangs, &self.answers, &self.unused].map(row).into_iter().chain(ratios);
        write_table(f, &["the third", "transactions/s", "p50", "p99", "server"], rows)
    }
}
