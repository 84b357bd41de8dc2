//! Two-phase transactions in a closed loop, beside the log alone or bare calls.

use std::path::Path;

use wholly::log::Entry;

use super::bare_calls::{self, Plan};
use super::common::{Common, Transactions, Transport};
use super::error::BenchError;
use super::load::Load;
use super::report::{Comparison, Figures, Named, Ratio};
use super::{log_alone, participants, under_load};

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
    /// The place of the participants.
    #[arg(long, value_enum, default_value_t = Transport::InProcess)]
    transport: Transport,
    #[command(flatten)]
    pub common: Common,
}

impl TwoPhase {
    pub async fn run(self) -> Result<Comparison, BenchError> {
        let Self { load, transport, common } = &self;
        let (directory, names) = (common.directory()?, common.names());
        let processes = transport.start(&names, directory.path()).await?;
        let urls: Vec<_> = processes.iter().map(|process| process.url.clone()).collect();
        let path = |what, round| directory.path().join(format!("{what}-{round}.db"));
        let plan = Plan::two_phase(&names, &urls, &common.payload()?);
        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        for round in 0..load.rounds {
            let with_participants = |builder| participants::add(builder, &names, &urls);
            let path = |what| path(what, round);
            let (figures, sample) =
                run_on(&path("wholly"), common, load, with_participants).await?;
            subject.push(figures);
            ceiling.push(match transport {
                Transport::InProcess => log_alone::run(path("alone"), sample, load).await?,
                Transport::Http => bare_calls::run(&plan, load).await?,
            });
        }
        let subject = Named::new("wholly", subject);
        let (ceiling, ratio) = match transport {
            Transport::InProcess => {
                let ceiling = Named::new("log alone", ceiling);
                let mut ratio = Ratio::of_throughput(&subject.median, &ceiling.median);
                // It forces its start and its decision.
                ratio.latency_by_parts = (load.concurrency == 1)
                    .then(|| subject.median.p50_micros / (2.0 * ceiling.median.p50_micros));
                (ceiling, ratio)
            }
            Transport::Http => {
                let ceiling = Named::new("bare calls", ceiling);
                let ratio = Ratio::of(&subject.median, &ceiling.median);
                (ceiling, ratio)
            }
        };
        Ok(Comparison { ratio, ..Comparison::of(self.workload(), subject, ceiling) })
    }

    fn workload(&self) -> String {
        let Common { participants, payload_bytes, keys, .. } = self.common;
        let how = self.transport.as_str();
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
