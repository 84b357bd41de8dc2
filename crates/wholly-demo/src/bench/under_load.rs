//! The subject of a measurement: a coordinator on a log that is observed, under load.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wholly::log::Entry;
use wholly::{Builder, Coordinator};

use super::error::BenchError;
use super::load::{Load, Work};
use super::observed::{Observed, Seen};
use super::report::Figures;

/// Runs `work` with a coordinator on the log at `path`: the figures, and a sample of the batches.
pub async fn run<W: Work>(
    path: &Path,
    load: &Load,
    with_participants: impl FnOnce(Builder) -> Result<Builder, BenchError>,
    work: impl FnOnce(Coordinator) -> Result<W, BenchError>,
) -> Result<(Figures, Vec<Vec<Entry>>), BenchError> {
    let (log, seen) = Observed::at(path);
    let coordinator = with_participants(Coordinator::builder(log))?.start().await?;
    let work = Arc::new(work(coordinator.clone())?);
    let sampling = tokio::spawn(sample_after(load.warm_up() / 2, seen.clone()));
    let run = load.run(work, || seen.written()).await?;
    sampling.await?;
    let transactions = run.latencies.count() as u64;
    let figures = Figures::of_run(&run).with_log(transactions, run.before, run.after);
    coordinator.shutdown(Duration::from_secs(10)).await;
    Ok((figures, seen.take_sample()))
}

/// Not at once: the first batches are unlike the later ones.
async fn sample_after(pause: Duration, seen: Arc<Seen>) {
    tokio::time::sleep(pause).await;
    seen.begin_sample();
}
