//! Two-phase transactions in a closed loop, beside the log alone or bare calls.

use std::path::Path;
use std::sync::Arc;

use wholly::HttpParticipant;
use wholly::log::Entry;

use super::bare_calls::{BareCalls, Plan};
use super::bare_participant::BareParticipant;
use super::common::{Common, Transactions, Transport};
use super::error::BenchError;
use super::load::Load;
use super::participants::Idle;
use super::report::{Comparison, Figures, Named, Ratio};
use super::{log_alone, under_load};

/// Two-phase transactions in a closed loop: throughput, latency, and what the log costs.
///
/// In process the ceiling is the log alone: the same entries in batches of the same sizes,
/// appended by one thread; its latencies are those of an append. Over HTTP it is the same calls in
/// the same order to the same participants, with no protocol and no log. With --concurrency 1, in
/// process, the latency is also compared with the two syncs that it contains.
#[derive(clap::Args, Debug)]
pub struct TwoPhase {
    #[command(flatten)]
    load: Load,
    /// Where the participants are.
    #[arg(long, value_enum, default_value_t = Transport::InProcess)]
    transport: Transport,
    #[command(flatten)]
    pub common: Common,
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
            ceiling.push(log_alone::run(path, sample, &self.load).await?);
        }
        let (subject, ceiling) = (Named::new("wholly", subject), Named::new("log alone", ceiling));
        let mut ratio = Ratio::of_throughput(&subject.median, &ceiling.median);
        // It forces its start and its decision.
        ratio.latency_by_parts = (self.load.concurrency == 1)
            .then(|| subject.median.p50_micros / (2.0 * ceiling.median.p50_micros));
        Ok(Comparison { ratio, ..Comparison::of(self.workload("in process"), subject, ceiling) })
    }

    async fn over_http(&self, directory: &Path) -> Result<Comparison, BenchError> {
        let names = self.common.names();
        let participants = BareParticipant::start_all(&names, directory).await?;
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
            let bare = Arc::new(BareCalls::of(&Plan::two_phase(&names, &urls, &payload))?);
            ceiling.push(Figures::of_run(&self.load.run(bare, || ()).await?));
        }
        let (subject, ceiling) = (Named::new("wholly", subject), Named::new("bare calls", ceiling));
        Ok(Comparison::of(self.workload("over HTTP"), subject, ceiling))
    }

    fn workload(&self, how: &str) -> String {
        let Common { participants, payload_bytes, keys, .. } = self.common;
        let keyed = if keys { ", with keys" } else { "" };
        format!(
            "two-phase {how}: {} at once, {participants} participants, payloads of \
             {payload_bytes} bytes{keyed}",
            self.load.concurrency
        )
    }
}

/// A coordinator on the log at `path` under load; its figures, and a sample of its batches.
pub async fn run_on(
    path: &Path,
    common: &Common,
    load: &Load,
    with_participants: impl FnOnce(wholly::Builder) -> Result<wholly::Builder, BenchError>,
) -> Result<(Figures, Vec<Vec<Entry>>), BenchError> {
    let first_key = std::time::SystemTime::now();
    let first_key = first_key.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    under_load::run(path, load, with_participants, |coordinator| {
        Ok(Transactions::new(coordinator, common)?.keys_from(first_key.as_nanos() as u64))
    })
    .await
}
