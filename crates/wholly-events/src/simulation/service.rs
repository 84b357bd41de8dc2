//! A simulated service: its durable state, and the state of its process.

use std::collections::BTreeSet;
use std::time::Duration;

use wholly_core::Timestamp;

use super::database::{SimulatedDatabase, TransactionWork};
use super::handlers::ShopHandlers;
use super::ledger::Ledger;
use super::planted::Bug;
use super::shop::{NAMES, ShopKind};
use crate::choreography::feed_reader::{Checkpoint, FeedReader};
use crate::choreography::plan::{ReactionIndex, ServicePlan};
use crate::choreography::status::FeedStatus;
use crate::choreography::timeout::PendingTimeout;
use crate::cursor::Cursor;
use crate::event::Event;
use crate::feed::{FeedError, FeedInfo, FeedPage, FeedRequest, StartFrom};
use crate::names::{Correlation, ServiceName};

pub(super) struct SimulatedService {
    pub(super) name: ServiceName,
    pub(super) plan: ServicePlan,
    pub(super) handlers: ShopHandlers,
    pub(super) database: SimulatedDatabase,
    pub(super) ledger: Ledger,
    /// The services whose feeds it follows.
    pub(super) follows: Vec<usize>,
    pub(super) process: Option<ProcessState>,
}

/// A process of a service.
#[derive(Default)]
pub(super) struct ProcessState {
    /// The last position known to be committed.
    pub(super) head: u64,
    pub(super) feeds: Vec<SimulatedFollower>,
    pub(super) transactions: Vec<OpenTransaction>,
    /// Parked events whose call is out.
    pub(super) busy: BTreeSet<u64>,
    pub(super) calls: Vec<PendingCall>,
}

/// A feed that is followed.
pub(super) struct SimulatedFollower {
    pub(super) source: usize,
    pub(super) status: FeedStatus,
    pub(super) reader: FeedReader,
    pub(super) read: Option<PendingRequest>,
    pub(super) watermark: Option<Checkpoint>,
    /// True after the feed refused the cursor. It is read again later, or when an operator sets
    /// another cursor.
    pub(super) refused: bool,
}

/// A request on its way to a feed, or its answer on the way back.
pub(super) struct PendingRequest {
    pub(super) ask: FeedRequest,
    pub(super) began: Timestamp,
    pub(super) answer: Option<Result<(FeedInfo, FeedPage), FeedError>>,
}

/// A transaction that has begun.
pub(super) struct OpenTransaction {
    pub(super) work: TransactionWork,
    pub(super) then: Next,
    pub(super) correlation: Correlation,
    /// The sequence that its event takes: it holds the correlation's lock.
    pub(super) drawn: Option<u64>,
}

/// The next step after a transaction.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// An event of a feed: its next reactions run.
    Deal { source: usize, lane: Correlation, event: Event, nth: usize },
    /// The same, after a failure was recorded.
    DealFailed { source: usize, lane: Correlation, event: Event, nth: usize },
    /// An invalid entry is stored.
    SetAside { source: usize, lane: Correlation },
    /// A parked event was retried without a call's result.
    Retried { index: ReactionIndex, event: Event },
    /// A call's result was recorded; repeated until it succeeds.
    Recorded { sequence: u64, index: ReactionIndex, event: Event },
    /// A failure was recorded; repeated until it succeeds. A call ends with it.
    Failed { sequence: u64 },
    /// A time-out was fired.
    Fired(PendingTimeout),
    /// A client learns that its order is placed.
    Placed,
    /// None: the follower has stopped.
    Abandoned,
}

/// A call that is out.
pub(super) struct PendingCall {
    pub(super) sequence: u64,
    pub(super) index: ReactionIndex,
    pub(super) event: Event,
    pub(super) key: String,
    /// The gateway's answer is on its way back.
    pub(super) answer: Option<String>,
}

impl SimulatedService {
    pub(super) fn new(shop: ShopKind, service: usize, sequenced: bool, bug: Option<Bug>) -> Self {
        let plan = shop.plan(service);
        let emits = |source: &usize| {
            let declaration = shop.plan(*source).declaration;
            let emitted = declaration.emitted();
            plan.declaration.reactions.iter().any(|one| emitted.contains(&&one.on))
        };
        let follows: Vec<_> = (0..NAMES.len()).filter(emits).collect();
        assert_eq!(follows.contains(&service), plan.follows_itself());
        Self {
            name: plan.declaration.service.clone(),
            handlers: ShopHandlers::new(shop, service),
            database: SimulatedDatabase::new(service, sequenced, bug),
            ledger: Ledger::default(),
            follows,
            process: None,
            plan,
        }
    }
}

impl SimulatedFollower {
    pub(super) fn new(source: usize, cursor: Option<Cursor>) -> Self {
        Self {
            source,
            status: FeedStatus::new(ServiceName::new(NAMES[source]).unwrap()),
            reader: FeedReader::new(cursor.map_or(StartFrom::Earliest, StartFrom::After)),
            read: None,
            watermark: None,
            refused: false,
        }
    }
}

/// The retention times in this world.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetentionTimes {
    pub(super) outbox: Duration,
    pub(super) inbox: Duration,
}
