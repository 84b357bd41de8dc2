//! The observer: follows the feeds of services that react to each other's events, and shows each
//! choreographed transaction as the log shows any other. It decides nothing, and services never ask
//! it anything.
//!
//! | module | what it is |
//! |---|---|
//! | `store` | what it has read, in a file that can be lost |
//! | `follow` | one feed, read from where it was |
//! | `services` | what a service says of itself |
//! | `judge`, `timeline` | what follows from all that, as functions alone |
//! | `troubles` | what is wrong with feeds, for how long |

mod follow;
mod judge;
mod services;
mod store;
mod timeline;
mod troubles;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use wholly_clock::{Ages, SteadyClock, now};
use wholly_core::Timestamp;
use wholly_events::{Correlation, ServiceName};

use crate::config::ConfiguredFeed;
pub use judge::ChoreographyState;
pub use store::{ChoreographyRow, Filter, StoreError};
use store::{Store, StoredChoreography};
pub use timeline::TimelineEvent;
use troubles::Troubles;
pub use troubles::{Trouble, TroubleKind};

/// The interval at which due choreographies are judged, and counts for operators are made.
const EACH: Duration = Duration::from_secs(1);
/// The interval at which old choreographies are deleted.
const TRIM_EACH: Duration = Duration::from_secs(60);

/// The observer, while it runs: its tasks end with it.
pub struct Observer {
    shared: Arc<ObserverState>,
    _tasks: JoinSet<()>,
}

/// The state that the observer's tasks share.
struct ObserverState {
    store: Store,
    feeds: Vec<Followed>,
    troubles: Troubles,
    /// Told after every change of the store, and at the end.
    changed: watch::Sender<()>,
    /// True once the server stops, and nobody waits any more.
    closed: AtomicBool,
    stuck: watch::Sender<BTreeMap<Correlation, Timestamp>>,
    counts: Mutex<Counts>,
    kept: Duration,
}

/// A feed, the place up to which it is read, and the standing of its service.
struct Followed {
    feed: ConfiguredFeed,
    read: Mutex<FeedProgress>,
    /// The service's last answer; `None` if it gives none, for an old one says nothing of now.
    stands: Mutex<Option<ServiceMeasures>>,
}

#[derive(Clone, Copy, Default)]
struct FeedProgress {
    position: u64,
    head: u64,
    unreachable: bool,
}

/// The counts of choreographies.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub by_state: BTreeMap<ChoreographyState, u64>,
    pub stuck: u64,
}

/// The progress of a follower, the observer or a service, in a feed.
#[derive(Clone, Debug)]
pub struct FeedMeasures {
    pub source: ServiceName,
    /// The number of its events that are not read.
    pub lag: u64,
    /// True if it cannot be read, or is refused.
    pub unreachable: bool,
}

/// The standing of a service, by its own account.
#[derive(Clone, Debug)]
pub struct ServiceMeasures {
    pub service: ServiceName,
    /// The feeds that it follows.
    pub feeds: Vec<FeedMeasures>,
    /// The number of events that wait in it; no more than its status tells.
    pub parked: u64,
    /// The number of these that need an operator.
    pub stuck: u64,
}

/// A choreography with its timeline.
pub struct ObservedChoreography {
    pub row: ChoreographyRow,
    pub events: Vec<TimelineEvent>,
}

impl Observer {
    /// Opens the store and follows the feeds; `kept` says how long a choreography is kept after its
    /// last event.
    ///
    /// # Errors
    /// When the store can be neither used nor begun anew.
    pub async fn start(
        file: &Path,
        feeds: Vec<ConfiguredFeed>,
        kept: Duration,
    ) -> Result<Self, StoreError> {
        let store = Store::open(file)?;
        let sources = feeds.iter().map(|feed| feed.source.clone()).collect();
        store.keep(sources, now()).await?;
        let followed = |feed| Followed { feed, read: Mutex::default(), stands: Mutex::default() };
        let shared = Arc::new(ObserverState {
            store,
            feeds: feeds.into_iter().map(followed).collect(),
            troubles: Troubles::default(),
            changed: watch::Sender::new(()),
            closed: AtomicBool::new(false),
            stuck: watch::Sender::default(),
            counts: Mutex::default(),
            kept,
        });
        let mut tasks = JoinSet::new();
        for nth in 0..shared.feeds.len() {
            tasks.spawn(follow::follow(Arc::clone(&shared), nth));
            tasks.spawn(services::ask(Arc::clone(&shared), nth));
        }
        let youngest = shared.store.youngest().await?;
        let ages = Ages::from(SteadyClock::of_process().read(), youngest, kept);
        tasks.spawn(tend(Arc::clone(&shared), ages));
        Ok(Self { shared, _tasks: tasks })
    }

    /// The choreographies that pass, newest first, and true if there are more.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(
        &self,
        filter: Filter,
        limit: usize,
    ) -> Result<(Vec<ChoreographyRow>, bool), StoreError> {
        self.shared.store.list(filter, limit).await
    }

    /// A choreography with its timeline, for which its services are asked.
    ///
    /// # Errors
    /// The store's.
    pub async fn get(&self, of: &Correlation) -> Result<Option<ObservedChoreography>, StoreError> {
        let Some(all) = self.shared.store.all_of(of.clone()).await? else { return Ok(None) };
        let StoredChoreography { row, events, parked, declared } = all;
        let reported = services::reported(&self.shared, &events, &declared).await;
        let events = timeline::timeline(events, &parked, &declared, &reported);
        Ok(Some(ObservedChoreography { row, events }))
    }

    /// Waits until a choreography has another revision than this, but no longer than this time.
    ///
    /// # Errors
    /// The store's.
    pub async fn changed(
        &self,
        of: &Correlation,
        revision: u64,
        wait: Duration,
    ) -> Result<(), StoreError> {
        let give_up = Instant::now() + wait;
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let row = self.shared.store.row(of.clone()).await?;
            let closed = self.shared.closed.load(Ordering::SeqCst);
            if closed || row.is_none_or(|row| row.revision != revision) {
                return Ok(());
            }
            if !matches!(timeout_at(give_up, changed.changed()).await, Ok(Ok(()))) {
                return Ok(());
            }
        }
    }

    /// Ends every wait for a change, now and from now on.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.changed.send_replace(());
    }

    /// The stuck choreographies, each with the time since which it is stuck.
    pub fn stuck(&self) -> watch::Receiver<BTreeMap<Correlation, Timestamp>> {
        self.shared.stuck.subscribe()
    }

    /// The troubles of feeds, each with its beginning.
    pub fn troubles(&self) -> watch::Receiver<BTreeMap<Trouble, Timestamp>> {
        self.shared.troubles.subscribe()
    }

    pub fn counts(&self) -> Counts {
        lock(&self.shared.counts).clone()
    }

    pub fn feeds(&self) -> Vec<FeedMeasures> {
        let measures = |followed: &Followed| {
            let FeedProgress { position, head, unreachable } = *lock(&followed.read);
            let (source, lag) = (followed.feed.source.clone(), head.saturating_sub(position));
            FeedMeasures { source, lag, unreachable }
        };
        self.shared.feeds.iter().map(measures).collect()
    }

    /// The standing of the services that offer it.
    pub fn services(&self) -> Vec<ServiceMeasures> {
        self.shared.feeds.iter().filter_map(|followed| lock(&followed.stands).clone()).collect()
    }
}

/// Does the periodic work: judges due choreographies, counts, deletes old ones.
async fn tend(shared: Arc<ObserverState>, mut ages: Ages) {
    let mut each = interval(EACH);
    each.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trim_at = Instant::now();
    let mut changed = shared.changed.subscribe();
    changed.mark_changed();
    loop {
        each.tick().await;
        shared.troubles.publish(now());
        // Each time, so that no jump of the wall clock is missed.
        let before = ages.before(SteadyClock::of_process().read(), shared.kept);
        let done = async {
            while shared.store.judge_due(now()).await? {
                shared.changed.send_replace(());
            }
            if let Some(before) = before.filter(|_| Instant::now() >= trim_at) {
                while shared.store.trim(before).await? {}
                trim_at = Instant::now() + TRIM_EACH;
                changed.mark_changed();
            }
            if changed.has_changed().unwrap_or(false) {
                changed.mark_unchanged();
                shared.count().await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = done.await {
            tracing::warn!(%error, "the store of observed choreographies cannot be maintained, and is tried again");
            changed.mark_changed();
        }
    }
}

impl ObserverState {
    async fn count(&self) -> Result<(), StoreError> {
        let (by_state, count) = self.store.counts().await?;
        let stuck = self.store.stuck().await?;
        *lock(&self.counts) = Counts { by_state, stuck: count };
        self.stuck.send_if_modified(|known| {
            let is_new = *known != stuck;
            *known = stuck;
            is_new
        });
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A poisoned lock is usable: each holder only writes single values.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub mod tests;
