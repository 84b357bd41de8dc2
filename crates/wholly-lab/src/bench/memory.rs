//! The memory of a coordinator with many transactions in flight.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use wholly::{Coordinator, Settings, Slots, SqliteLog};

use super::figures::{Figure, SingleFigures};
use super::participants::{Calls, Counting};
use wholly_demo::bench::common::{Common, Transactions, resident_bytes};
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Work;

/// Long enough that nothing is given up while it is measured.
const PATIENCE: Duration = Duration::from_secs(600);

/// Memory with many transactions in flight: every participant has been asked to prepare every one
/// of them, and none has answered.
#[derive(clap::Args, Debug)]
pub(super) struct Memory {
    /// The number of transactions in flight.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    transactions: u64,
    #[command(flatten)]
    pub common: Common,
}

impl Memory {
    pub async fn run(self) -> Result<SingleFigures<2>, BenchError> {
        let Self { transactions, common } = self;
        let directory = common.directory()?;
        let (go, let_go) = watch::channel(false);
        let calls = Arc::new(Calls::default());
        let mut settings = Settings::default();
        (settings.deadline, settings.call_timeout) = (PATIENCE, PATIENCE);
        let log = SqliteLog::at(directory.path().join("memory.db")).create_if_missing();
        let mut builder = Coordinator::builder(log).settings(settings);
        for name in common.names() {
            let waiting = Counting { calls: calls.clone(), let_go: let_go.clone() };
            // Slots for all: none waits its turn instead of its answer.
            builder = builder.participant_with(&name, waiting, Slots::new(Slots::LIMIT, 64)?);
        }
        let coordinator = builder.start().await?;
        let idle_bytes = resident_bytes();
        let work = Arc::new(Transactions::new(coordinator, &common)?);
        let mut clients = JoinSet::new();
        for _ in 0..transactions {
            let work = work.clone();
            clients.spawn(async move { work.once().await });
        }
        calls.reach(transactions * u64::from(common.participants)).await;
        let resident_bytes = resident_bytes();
        go.send_replace(true);
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        work.coordinator.shutdown(PATIENCE).await;
        // Before the first transaction; and with all of them in flight, their clients counted.
        let figures = [("idle_bytes", idle_bytes), ("resident_bytes", resident_bytes)];
        let figures = figures.map(|(name, bytes)| (name, Figure::Bytes(bytes)));
        Ok(SingleFigures { workload: "memory", transactions, figures })
    }
}
