//! Two-phase transactions in a closed loop, beside the log alone or bare calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use wholly::log::Entry;
use wholly::{Coordinator, HttpParticipant};

use super::bare_calls::BareCalls;
use super::bare_participant::BareParticipant;
use super::common::{Common, Transactions};
use super::error::BenchError;
use super::load::Load;
use super::log_alone;
use super::observed::{Observed, Seen};
use super::participants::Idle;
use super::report::{Comparison, Figures, Named, Ratio, median};

/// Two-phase transactions in a closed loop: throughput, latency, and what the log costs.
///
/// In process the ceiling is the log alone: the same entries in batches of the same sizes,
/// appended by one thread; its latencies are those of an append. Over HTTP it is the same calls in
/// the same order to the same participants, with no protocol and no log. With --concurrency 1, in
/// process, the latency is also compared with the two syncs that it contains.
#[derive(clap::Args, Debug)]
pub(super) struct TwoPhase {
    #[command(flatten)]
    load: Load,
    /// Where the participants are.
    #[arg(long, value_enum, default_value_t = Transport::InProcess)]
    transport: Transport,
    #[command(flatten)]
    pub common: Common,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// In this process: they do nothing.
    InProcess,
    /// Processes of their own: they answer 200 at once.
    Http,
}

impl TwoPhase {
    pub async fn run(self) -> Result<Comparison, BenchError> {
        let directory = self.common.directory()?;
        match self.transport {
            Transport::InProcess => self.in_process(directory.path()).await,
            Transport::Http => self.over_http(directory.path()).await,
        }
    }

    async fn in_process(&self, directory: &Path) -> Result<Comparison, BenchError> {
        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        for round in 0..self.load.rounds {
            let path = directory.join(format!("wholly-{round}.db"));
            let (figures, sample) = run_on(&path, &self.common, &self.load, |mut builder| {
                for name in self.common.names() {
                    builder = builder.participant(&name, Idle);
                }
                Ok(builder)
            })
            .await?;
            subject.push(figures);
            let path = directory.join(format!("alone-{round}.db"));
            let alone = log_alone::run(path, sample, &self.load).await?;
            ceiling.push(Figures::new(alone.transactions, alone.seconds, &alone.appends).with_log(
                alone.transactions,
                alone.before,
                alone.after,
            ));
        }
        let two_syncs = |alone: &Figures| 2.0 * alone.p50_micros;
        let latency_by_two_syncs = (self.load.concurrency == 1).then(|| {
            let latency = median(subject.iter().map(|run| run.p50_micros).collect());
            latency / median(ceiling.iter().map(two_syncs).collect())
        });
        let (subject, ceiling) = (Named::new("wholly", subject), Named::new("log alone", ceiling));
        let ratio = Ratio {
            throughput: subject.median.transactions_per_second
                / ceiling.median.transactions_per_second,
            p50: None,
            p99: None,
            latency_by_two_syncs,
        };
        Ok(self.comparison("in process", subject, ceiling, ratio))
    }

    async fn over_http(&self, directory: &Path) -> Result<Comparison, BenchError> {
        let names = self.common.names();
        let mut participants = Vec::new();
        for name in &names {
            participants.push(BareParticipant::start(name, directory).await?);
        }
        let urls: Vec<_> = participants.iter().map(|process| process.url.clone()).collect();
        let payload = self.common.payload()?;
        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        for round in 0..self.load.rounds {
            let path = directory.join(format!("wholly-{round}.db"));
            let (figures, _) = run_on(&path, &self.common, &self.load, |mut builder| {
                for (name, url) in names.iter().zip(&urls) {
                    builder = builder.participant(name, HttpParticipant::at(url)?);
                }
                Ok(builder)
            })
            .await?;
            subject.push(figures);
            let bare = Arc::new(BareCalls::to(&urls, payload.as_str())?);
            ceiling.push(Figures::of_run(&self.load.run(bare, || ()).await?));
        }
        let (subject, ceiling) = (Named::new("wholly", subject), Named::new("bare calls", ceiling));
        let ratio = ratio(&subject.median, &ceiling.median);
        Ok(self.comparison("over HTTP", subject, ceiling, ratio))
    }

    fn comparison(&self, how: &str, subject: Named, ceiling: Named, ratio: Ratio) -> Comparison {
        let Common { participants, payload_bytes, keys, .. } = self.common;
        let keyed = if keys { ", with keys" } else { "" };
        Comparison {
            workload: format!(
                "two-phase {how}: {} at once, {participants} participants, payloads of \
                 {payload_bytes} bytes{keyed}",
                self.load.concurrency
            ),
            rounds: self.load.rounds as usize,
            subject,
            ceiling,
            ratio,
        }
    }
}

/// The ratio of two runs of the same kind.
pub(super) fn ratio(subject: &Figures, ceiling: &Figures) -> Ratio {
    Ratio {
        throughput: subject.transactions_per_second / ceiling.transactions_per_second,
        p50: Some(subject.p50_micros / ceiling.p50_micros),
        p99: Some(subject.p99_micros / ceiling.p99_micros),
        latency_by_two_syncs: None,
    }
}

/// A coordinator on the log at `path` under load; its figures, and a sample of its batches.
pub(super) async fn run_on(
    path: &Path,
    common: &Common,
    load: &Load,
    with_participants: impl FnOnce(wholly::Builder) -> Result<wholly::Builder, BenchError>,
) -> Result<(Figures, Vec<Vec<Entry>>), BenchError> {
    let (log, seen) = Observed::at(path);
    let coordinator = with_participants(Coordinator::builder(log))?.start().await?;
    let first_key = std::time::SystemTime::now();
    let first_key = first_key.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let work = Transactions::new(coordinator, common)?.keys_from(first_key.as_nanos() as u64);
    let work = Arc::new(work);
    let sampling = tokio::spawn(sample_after(load.warm_up() / 2, seen.clone()));
    let run = load.run(work.clone(), || seen.written()).await?;
    sampling.await?;
    let transactions = run.latencies.len() as u64;
    let figures = Figures::of_run(&run).with_log(transactions, run.before, run.after);
    work.coordinator.shutdown(Duration::from_secs(10)).await;
    Ok((figures, seen.take_sample()))
}

/// Not at once: the first batches are unlike the later ones.
async fn sample_after(pause: Duration, seen: Arc<Seen>) {
    tokio::time::sleep(pause).await;
    seen.begin_sample();
}
