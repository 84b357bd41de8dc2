//! A log that has grown, beside an empty one.

use super::made::{self, Made};
use wholly_demo::bench::common::Common;
use wholly_demo::bench::error::BenchError;
use wholly_demo::bench::load::Load;
use wholly_demo::bench::participants;
use wholly_demo::bench::report::{Comparison, Named};
use wholly_demo::bench::run_on;

/// Throughput on a log with many finished transactions, beside that on an empty one.
#[derive(clap::Args, Debug)]
pub(super) struct Growth {
    #[command(flatten)]
    load: Load,
    /// The number of finished transactions in the log.
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    transactions: u64,
    #[command(flatten)]
    pub common: Common,
}

impl Growth {
    pub async fn run(self) -> Result<Comparison, BenchError> {
        let Self { load, transactions, common } = self;
        let directory = common.directory()?;
        let grown = directory.path().join("grown.db");
        let making = {
            let (grown, common) = (grown.clone(), common.clone());
            move || made::log(&grown, &common, transactions, |_| Made::Finished)
        };
        tokio::task::spawn_blocking(making).await??;

        let names = common.names();
        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        for round in 0..load.rounds {
            subject.push(
                run_on(&grown, &common, &load, |builder| participants::add(builder, &names, &[]))
                    .await?
                    .0,
            );
            let empty = directory.path().join(format!("empty-{round}.db"));
            ceiling.push(
                run_on(&empty, &common, &load, |builder| participants::add(builder, &names, &[]))
                    .await?
                    .0,
            );
        }
        let (subject, ceiling) =
            (Named::new("grown log", subject), Named::new("empty log", ceiling));
        let workload = format!(
            "growth: {transactions} finished transactions in the log, {} at once{}",
            load.concurrency,
            if common.keys { ", with keys" } else { "" },
        );
        Ok(Comparison::of(workload, subject, ceiling))
    }
}
