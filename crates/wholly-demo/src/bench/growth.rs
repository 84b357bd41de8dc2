//! Whether a log that has grown is slower than an empty one.

use super::common::Common;
use super::error::BenchError;
use super::load::Load;
use super::made::{self, Made};
use super::participants::Idle;
use super::report::{Comparison, Named, Ratio};
use super::two_phase::run_on;

/// Throughput on a log with many finished transactions, beside that on an empty one.
#[derive(clap::Args, Debug)]
pub(super) struct Growth {
    #[command(flatten)]
    load: Load,
    /// How many finished transactions the log has.
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

        let (mut subject, mut ceiling) = (Vec::new(), Vec::new());
        let idle = |mut builder: wholly::Builder| {
            for name in common.names() {
                builder = builder.participant(&name, Idle);
            }
            Ok(builder)
        };
        for round in 0..load.rounds {
            subject.push(run_on(&grown, &common, &load, idle).await?.0);
            let empty = directory.path().join(format!("empty-{round}.db"));
            ceiling.push(run_on(&empty, &common, &load, idle).await?.0);
        }
        let (subject, ceiling) =
            (Named::new("grown log", subject), Named::new("empty log", ceiling));
        Ok(Comparison {
            workload: format!(
                "growth: {transactions} finished transactions in the log, {} at once{}",
                load.concurrency,
                if common.keys { ", with keys" } else { "" },
            ),
            rounds: load.rounds as usize,
            ratio: Ratio::of(&subject.median, &ceiling.median),
            subject,
            ceiling,
        })
    }
}
