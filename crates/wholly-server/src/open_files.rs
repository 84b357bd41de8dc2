//! The limit on open files: each connection is one.
//!
//! Many systems start a program with a low limit, for the sake of those that use `select`, and let
//! it raise that one up to another, which is far higher.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::accept::TURNED_AWAY;
use crate::config::Config;

/// The files of the log, the audit, the definitions, the webhook, and the runtime itself.
const OTHERS: u64 = 128;

/// Raises the limit to the need of this configuration, as far as the system lets it; warns if that
/// is not enough.
pub fn make_room(config: &Config) {
    let needed = needed(config);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(before) = current.filter(|current| *current < needed) else { return };
    let raised = maximum.map_or(needed, |maximum| needed.min(maximum)).max(before);
    let set = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    let may = if set.is_ok() { raised } else { before };
    if may < needed {
        let connections = config.limits.connections;
        tracing::warn!(
            "the server may have {may} open files, but {connections} connections with the slots of all \
             participants need {needed}: raise its limit (LimitNOFILE, ulimit -n), or lower \
             `connections` in [limits]"
        );
    }
}

/// A call in progress has a connection, too.
fn needed(config: &Config) -> u64 {
    let calls: usize = config.participants.values().map(|one| one.slots.total()).sum();
    let all = config.limits.connections.saturating_add(TURNED_AWAY).saturating_add(calls);
    u64::try_from(all).unwrap_or(u64::MAX).saturating_add(OTHERS)
}
