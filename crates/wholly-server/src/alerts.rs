//! Alerts: a webhook is told when a transaction is stuck, and when it no longer is; the same of
//! [choreographies and feeds](observed); and when [damage] is found in the log.
//!
//! There is no queue. The state that the webhook was told is compared with the present one, and the
//! difference is told, as often as it takes: a webhook that is down for an hour costs no memory and
//! loses nothing that still matters. A transaction stuck only meanwhile is not told.
//!
//! Delivery is at least once. A restart forgets the told state, and tells of everything that is
//! still stuck again, under the same `webhook-id`; the end of a stuck state is not told if a
//! restart came in between.
//!
//! The loop waits for none of this: it changes a map that is looked at here.

mod damage;
mod observed;
mod webhook;

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use wholly::{Coordinator, ParticipantName, Pattern, Snapshot, State, Timestamp, TransactionId};

pub use observed::Watched;
pub use webhook::Webhook;

/// The stuck subjects, each with the time since which it is stuck.
type Stuck<K> = BTreeMap<K, Timestamp>;

/// The most changes that are looked up at once: the loop must not wait for long.
const AT_ONCE: usize = 256;
/// The pauses after a failure double from the first up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// A change that the webhook does not know: something is stuck, or no longer is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change<K> {
    of: K,
    since: Timestamp,
    stuck: bool,
}

/// A message to the webhook.
#[derive(Serialize)]
struct Message {
    #[serde(skip)]
    id: String,
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Transaction(TransactionAlert),
    Damage(damage::DamageAlert),
    Choreography(observed::ChoreographyAlert),
    Feed(observed::FeedAlert),
}

/// The transaction, without payloads and without participants' reasons, which may repeat them.
#[derive(Serialize)]
struct TransactionAlert {
    transaction: TransactionId,
    since: Timestamp,
    name: Option<String>,
    pattern: &'static str,
    state: &'static str,
    stuck: bool,
    settled: bool,
    /// The branches or steps that are stuck.
    branches: Vec<StuckBranch>,
}

#[derive(Serialize)]
struct StuckBranch {
    name: String,
    participant: Option<ParticipantName>,
}

/// Sends alerts to the webhook for as long as the coordinator lives. Alerts about damage and about
/// choreographies do not wait for those about transactions.
pub async fn tell(coordinator: Coordinator, watched: Option<Watched>, webhook: Webhook) {
    tokio::join!(
        tell_changes(&coordinator, coordinator.stuck(), &webhook),
        damage::tell(&coordinator, &webhook),
        observed::tell(watched, &webhook)
    );
}

/// A source of alerts, with a message for each change of one of its subjects.
trait Alerting {
    type Subject: Ord + Clone + Send + Sync;

    fn message(&self, change: &Change<Self::Subject>) -> impl Future<Output = Message> + Send;
}

impl Alerting for Coordinator {
    type Subject = TransactionId;

    async fn message(&self, change: &Change<TransactionId>) -> Message {
        message(self, change).await
    }
}

async fn tell_changes<T: Alerting>(
    how: &T,
    mut stuck: watch::Receiver<Stuck<T::Subject>>,
    webhook: &Webhook,
) {
    let mut told = Stuck::new();
    let mut after = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let changes = differences(&stuck.borrow_and_update(), &told, after.as_ref());
        if changes.is_empty() {
            if stuck.changed().await.is_err() {
                return;
            }
            continue;
        }
        for change in changes {
            if !change.still_holds(&stuck.borrow()) {
                continue;
            }
            // One that is never taken must not keep the others away: the next comes after it.
            after = Some(change.of.clone());
            let message = how.message(&change).await;
            match webhook.deliver(&message).await {
                Ok(()) => {
                    change.was_told(&mut told);
                    pause = FIRST_PAUSE;
                }
                Err(why) => {
                    let id = &message.id;
                    tracing::warn!(alert = %id, "the webhook did not accept an alert, which is sent again: {why}");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    break;
                }
            }
        }
    }
}

/// The changes that the webhook does not know, in their order, from behind `after` on.
fn differences<K: Ord + Clone>(
    stuck: &Stuck<K>,
    told: &Stuck<K>,
    after: Option<&K>,
) -> Vec<Change<K>> {
    let behind = |from| {
        let range = (from, Unbounded);
        let unknown = stuck.range(range).filter(|(of, since)| told.get(of) != Some(since));
        let over = told.range(range).filter(|(of, _)| !stuck.contains_key(of));
        let change = |stuck| {
            move |(of, since): (&K, &Timestamp)| Change { of: of.clone(), since: *since, stuck }
        };
        let mut changes: Vec<_> = unknown.map(change(true)).take(AT_ONCE).collect();
        changes.extend(over.map(change(false)).take(AT_ONCE));
        changes.sort_unstable_by(|a, b| a.of.cmp(&b.of));
        changes.truncate(AT_ONCE);
        changes
    };
    match after {
        None => behind(Unbounded),
        Some(of) => match behind(Excluded(of)) {
            changes if changes.is_empty() => behind(Unbounded),
            changes => changes,
        },
    }
}

impl<K: Ord + Clone> Change<K> {
    fn still_holds(&self, stuck: &Stuck<K>) -> bool {
        match self.stuck {
            true => stuck.get(&self.of) == Some(&self.since),
            false => !stuck.contains_key(&self.of),
        }
    }

    fn was_told(self, told: &mut Stuck<K>) {
        match self.stuck {
            true => _ = told.insert(self.of, self.since),
            false => _ = told.remove(&self.of),
        }
    }
}

/// The same change has the same id, however often it is sent.
async fn message(coordinator: &Coordinator, change: &Change<TransactionId>) -> Message {
    let &Change { of: transaction, since, stuck } = change;
    // An alert must not wait for a log that cannot be read.
    let snapshot = coordinator.get(transaction).await.ok().flatten();
    let word = if stuck { "stuck" } else { "unstuck" };
    let last = snapshot.as_ref().and_then(|snapshot| snapshot.history.last());
    Message {
        id: format!("{transaction}-{word}-{}", since.as_millis()),
        r#type: if stuck { "transaction.stuck" } else { "transaction.unstuck" },
        timestamp: if stuck { since } else { last.map_or(since, |event| event.at) },
        data: Data::Transaction(TransactionAlert {
            transaction,
            since,
            name: snapshot.as_ref().and_then(|s| Some(s.name.as_ref()?.to_string())),
            pattern: snapshot.as_ref().and_then(|s| s.pattern).map_or("unknown", Pattern::as_str),
            state: snapshot.as_ref().and_then(|s| s.state).map_or("unknown", State::as_str),
            stuck,
            settled: snapshot.as_ref().is_some_and(|snapshot| snapshot.settled),
            branches: snapshot.as_ref().map(stuck_branches).unwrap_or_default(),
        }),
    }
}

fn stuck_branches(snapshot: &Snapshot) -> Vec<StuckBranch> {
    let parts = snapshot.branches.iter().chain(&snapshot.steps);
    let stuck = parts.filter(|part| part.stuck.is_some()).map(|part| StuckBranch {
        name: part.name.to_string(),
        participant: part.participant.clone(),
    });
    stuck.collect()
}

#[cfg(test)]
mod tests {
    use wholly::LogId;

    use super::*;

    fn id(ordinal: u64) -> TransactionId {
        TransactionId::mint(ordinal, Timestamp::default(), 0, LogId::from_bits(0))
    }

    fn stuck(ids: &[u64]) -> Stuck<TransactionId> {
        ids.iter().map(|n| (id(*n), Timestamp::from_millis(*n))).collect()
    }

    #[test]
    fn what_differs_is_told_from_behind_the_last_and_then_from_the_front() {
        let (is, told) = (stuck(&[1, 2, 4]), stuck(&[2, 3]));
        let changes = |after: Option<TransactionId>| -> Vec<_> {
            let changes = differences(&is, &told, after.as_ref());
            changes.into_iter().map(|change| (change.of, change.stuck)).collect()
        };
        assert_eq!(changes(None), [(id(1), true), (id(3), false), (id(4), true)]);
        assert_eq!(changes(Some(id(1))), [(id(3), false), (id(4), true)]);
        assert_eq!(changes(Some(id(4))), changes(None));
        assert_eq!(differences(&is, &is, Some(&id(2))), []);
        // Stuck again since another time.
        let again = Stuck::from([(id(2), Timestamp::from_millis(9))]);
        assert_eq!(differences(&again, &stuck(&[2]), None).len(), 1);
    }
}
