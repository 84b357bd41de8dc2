//! The work of a run: messages between processes, log writes, and syncs to disk.
//!
//! Messages are requests that passed the network, each with its answer. A log write is a record of the
//! coordinator's log, or a transaction of a service that changed something. A sync is a commit of a
//! service that changed something, or a sync of the coordinator's log.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::CompareError;
use super::regime::Regime;
use crate::fleet::{Fleet, Role};
use crate::shop::ServiceKind;

/// The work since the processes started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) messages: u64,
    pub(super) log_writes: u64,
    pub(super) syncs: u64,
}

impl Work {
    fn with(self, other: Self, of: fn(u64, u64) -> u64) -> Self {
        Self {
            messages: of(self.messages, other.messages),
            log_writes: of(self.log_writes, other.log_writes),
            syncs: of(self.syncs, other.syncs),
        }
    }

    fn and(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }
}

/// A counter of the work of a run, through kills.
pub(super) struct Meter {
    roles: Vec<Role>,
    /// The work of processes that were killed.
    killed: Work,
    before: Work,
}

impl Meter {
    pub(super) async fn start(regime: Regime, fleet: &Fleet) -> Result<Self, CompareError> {
        let services = ServiceKind::ALL.map(Role::Service).into_iter();
        let roles = match regime {
            Regime::TwoPhase | Regime::Saga => services.chain([Role::Coordinator]).collect(),
            Regime::NoCoordination | Regime::Choreography => services.collect(),
        };
        let mut meter = Self { roles, killed: Work::default(), before: Work::default() };
        meter.before = meter.now(fleet).await?;
        Ok(meter)
    }

    /// Keeps the counts of a process that will be killed.
    pub(super) async fn before_kill(
        &mut self,
        fleet: &Fleet,
        role: Role,
    ) -> Result<(), CompareError> {
        self.killed = self.killed.and(of(fleet, role).await?);
        Ok(())
    }

    /// The work since the start.
    pub(super) async fn work(&self, fleet: &Fleet) -> Result<Work, CompareError> {
        let work = self.now(fleet).await?.and(self.killed);
        Ok(work.with(self.before, u64::saturating_sub))
    }

    async fn now(&self, fleet: &Fleet) -> Result<Work, CompareError> {
        let mut work = Work { messages: fleet.messages(), ..Work::default() };
        for &role in &self.roles {
            work = work.and(of(fleet, role).await?);
        }
        Ok(work)
    }
}

/// The writes of a process since it started.
async fn of(fleet: &Fleet, role: Role) -> Result<Work, CompareError> {
    #[derive(Deserialize)]
    struct Written {
        transactions: u64,
        commits: u64,
    }
    match role {
        Role::Service(_) => {
            let written: Written = fleet.read(&fleet.url(role, "/work")).await?;
            let Written { transactions: log_writes, commits: syncs } = written;
            Ok(Work { messages: 0, log_writes, syncs })
        }
        Role::Coordinator => Ok(of_metrics(&fleet.text(role, "/metrics").await?)),
    }
}

fn of_metrics(text: &str) -> Work {
    let metrics: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let count = |name: &str| metrics.get(name).copied().unwrap_or_default() as u64;
    Work {
        messages: 0,
        log_writes: count("wholly_log_batch_entries_sum"),
        syncs: count("wholly_log_syncs_total"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinators_work_is_in_its_metrics() {
        let text = "# TYPE wholly_log_syncs counter\nwholly_log_syncs_total 7\n\
                    wholly_log_batch_entries_sum 12.0\nwholly_log_batch_entries_count 5\n";
        assert_eq!(of_metrics(text), Work { messages: 0, log_writes: 12, syncs: 7 });
    }
}
