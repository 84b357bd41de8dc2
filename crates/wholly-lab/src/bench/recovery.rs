//! The time of a start on a log with many transactions in doubt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use wholly::{Coordinator, SqliteLog};

use super::figures::{Figure, SingleFigures};
use super::made::{self, Made};
use super::participants::{Calls, Counting};
use wholly_demo::bench::common::{Common, resident_bytes};
use wholly_demo::bench::error::BenchError;

/// The time of a start on a log with many transactions in doubt, until each is on its way.
///
/// One half is decided and not acknowledged, the other not decided.
#[derive(clap::Args, Debug)]
pub(super) struct Recovery {
    /// The number of transactions in doubt.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    transactions: u64,
    #[command(flatten)]
    pub common: Common,
}

impl Recovery {
    pub async fn run(self) -> Result<SingleFigures<4>, BenchError> {
        let Self { transactions, common } = self;
        let directory = common.directory()?;
        let path = directory.path().join("in-doubt.db");
        let making = {
            let (path, common) = (path.clone(), common.clone());
            let half = |nth| if nth % 2 == 0 { Made::Committed } else { Made::Undecided };
            move || made::log(&path, &common, transactions, half)
        };
        tokio::task::spawn_blocking(making).await??;

        let calls = Arc::new(Calls::default());
        let (_go, let_go) = watch::channel(true);
        let mut builder = Coordinator::builder(SqliteLog::at(&path));
        for name in common.names() {
            builder = builder
                .participant(&name, Counting { calls: calls.clone(), let_go: let_go.clone() });
        }
        let begun = Instant::now();
        let coordinator = builder.start().await?;
        let read_seconds = begun.elapsed().as_secs_f64();
        calls.reach(transactions * u64::from(common.participants)).await;
        let on_their_way_seconds = begun.elapsed().as_secs_f64();
        let resident_bytes = resident_bytes();
        // It ends when nothing is in flight.
        coordinator.shutdown(Duration::from_secs(600)).await;
        let figures = [
            // Until the log was open and all that is in doubt was read.
            ("read_seconds", Figure::Seconds(read_seconds)),
            // Until every participant had been called for every transaction.
            ("on_their_way_seconds", Figure::Seconds(on_their_way_seconds)),
            // Until all had settled, and that was durable.
            ("settled_seconds", Figure::Seconds(begun.elapsed().as_secs_f64())),
            ("resident_bytes", Figure::Bytes(resident_bytes)),
        ];
        Ok(SingleFigures { workload: "recovery", transactions, figures })
    }
}
