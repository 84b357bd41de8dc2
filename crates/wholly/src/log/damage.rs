//! The damage that reads, appends and background checks found in an open log.
//!
//! A damaged entry stops only its own transaction, so nothing fails when it is found. It is noted
//! here for the metrics, the alerts and the messages of a server that is still ready.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// The number of damages that are told apart. Beyond it none are counted: such storage is lost.
const TOLD_APART: usize = 1_000;

/// The damage found in a log since this program first opened it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The number of different damages found; at most 1,000 are told apart.
    pub count: u64,
    /// The last damage found; `None` if nothing is damaged.
    pub last: Option<String>,
}

/// The damage of one log, through all its openings. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct DamageRegister(Arc<watch::Sender<Register>>);

/// The damage, and the words of each known damage.
#[derive(Debug, Default)]
struct Register {
    damage: Damage,
    known: BTreeSet<String>,
}

impl DamageRegister {
    /// Notes a damage, unless it is known, and writes it to the program's log.
    pub fn note(&self, what: impl Into<String>) {
        let what = what.into();
        self.0.send_if_modified(|register| {
            if register.known.len() == TOLD_APART || !register.known.insert(what.clone()) {
                return false;
            }
            tracing::error!("the log is damaged: {what}");
            register.damage.count += 1;
            register.damage.last = Some(what);
            true
        });
    }

    /// The damage found so far.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.0.borrow().damage.clone()
    }

    /// Waits until more damages than `known` are found.
    pub async fn more_than(&self, known: u64) -> Damage {
        let mut receiver = self.0.subscribe();
        let more = receiver.wait_for(|register| register.damage.count > known).await;
        more.map(|register| register.damage.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_damage_counts_once() {
        let register = DamageRegister::default();
        assert_eq!(register.damage(), Damage::default());
        for what in ["one", "two", "one"] {
            register.note(what);
        }
        assert_eq!(register.damage(), Damage { count: 2, last: Some("two".to_owned()) });
    }
}
