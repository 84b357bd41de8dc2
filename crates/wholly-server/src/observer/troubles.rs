//! The troubles of feeds, with their beginnings: of those that the observer follows, and of those
//! that the services follow, by their own statuses.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use wholly_core::Timestamp;
use wholly_events::ServiceName;

use super::{lock, millis};

/// The delay before a trouble is reported: a service that restarts is no trouble.
const GRACE: Duration = Duration::from_secs(60);

/// The trouble of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// It has events that are not read.
    Lagging,
    /// It gives no answer, or none that is a feed's.
    Unreachable,
    /// It does not go on from where its follower is, or is another service's.
    Refused,
}

/// A feed, its trouble, and its follower.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    pub feed: ServiceName,
    /// The service that follows it; `None` for the observer.
    pub follower: Option<ServiceName>,
    pub kind: TroubleKind,
}

/// A feed, and its follower.
type FeedAndFollower = (ServiceName, Option<ServiceName>);

/// All troubles of feeds.
#[derive(Default)]
pub struct Troubles {
    /// The troubles with their beginnings, by feed and follower.
    now: Mutex<BTreeMap<FeedAndFollower, (TroubleKind, Timestamp)>>,
    told: watch::Sender<BTreeMap<Trouble, Timestamp>>,
}

impl Troubles {
    /// Sets the trouble of a feed for a follower; returns true if it is new.
    pub fn set(
        &self,
        feed: &ServiceName,
        follower: Option<&ServiceName>,
        kind: Option<TroubleKind>,
        at: Timestamp,
    ) -> bool {
        let mut troubles = lock(&self.now);
        let key = (feed.clone(), follower.cloned());
        let before = troubles.get(&key).map(|(kind, _)| *kind);
        match kind {
            Some(kind) if before != Some(kind) => _ = troubles.insert(key, (kind, at)),
            Some(_) => {}
            None => _ = troubles.remove(&key),
        }
        kind.is_some() && before != kind
    }

    /// Tells the listeners of troubles that have lasted long enough.
    pub fn publish(&self, now: Timestamp) {
        let troubles = lock(&self.now);
        let lasting = troubles.iter().filter(|(_, (kind, since))| {
            let grace = if *kind == TroubleKind::Refused { 0 } else { millis(GRACE) };
            now.as_millis().saturating_sub(since.as_millis()) >= grace
        });
        let lasting = lasting.map(|((feed, follower), (kind, since))| {
            let (feed, follower) = (feed.clone(), follower.clone());
            (Trouble { feed, follower, kind: *kind }, *since)
        });
        let lasting: BTreeMap<_, _> = lasting.collect();
        drop(troubles);
        self.told.send_if_modified(|known| {
            let is_new = *known != lasting;
            *known = lasting;
            is_new
        });
    }

    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<Trouble, Timestamp>> {
        self.told.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_and_a_refusal_at_once() {
        let (troubles, order) = (Troubles::default(), "order".parse().unwrap());
        let told = troubles.subscribe();
        let at = |seconds: u64| Timestamp::from_millis(1_000 * seconds);
        let kinds = || told.borrow().keys().map(|trouble| trouble.kind).collect::<Vec<_>>();
        let set = |kind, seconds| troubles.set(&order, None, kind, at(seconds));
        assert!(
            set(Some(TroubleKind::Unreachable), 100) && !set(Some(TroubleKind::Unreachable), 130)
        );
        troubles.publish(at(159));
        assert_eq!(kinds(), []);
        troubles.publish(at(160));
        assert_eq!(kinds(), [TroubleKind::Unreachable]);
        assert!(!set(None, 161));
        assert!(set(Some(TroubleKind::Refused), 162));
        troubles.publish(at(162));
        assert_eq!(kinds(), [TroubleKind::Refused]);
        // A service's own trouble with the same feed is another one.
        troubles.set(
            &order,
            Some(&"payment".parse().unwrap()),
            Some(TroubleKind::Refused),
            at(162),
        );
        set(None, 163);
        troubles.publish(at(163));
        let follower = told.borrow().keys().next().unwrap().follower.clone();
        assert_eq!(follower, Some("payment".parse().unwrap()));
    }
}
