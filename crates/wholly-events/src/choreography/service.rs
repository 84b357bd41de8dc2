//! A running choreographed service: its handle, its shared state and its feed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub(crate) use super::builder::FollowedFeed;
use super::builder::{CallFunction, Choreography, InvalidChoreography, ServiceSettings};
use super::job::{JobOutput, StoreJob};
use super::observer::ReactionObserver;
use super::plan::ServicePlan;
use super::react::{self, Stamp};
use super::status::{FeedStatus, ParkedStatus, ReactionStatus, ServiceStatus};
use super::{follow, tasks};
use crate::cursor::Cursor;
use crate::declaration::Declaration;
use crate::event::{NewEvent, now, random_bits};
use crate::feed::local::LocalFeed;
use crate::feed::tail::FeedTail;
use crate::feed::{CursorRefusal, FeedInfo, FeedPage, StartFrom};
use crate::names::{EventType, ServiceName};
use crate::session::{Session, SqlError};
use crate::sql;
use crate::store::{ServiceCode, Store, StoreError};

/// The largest number of parked events in a status.
const PARKED_LIMIT: u64 = 1_000;

/// The handle of a running choreographed service.
///
/// Clones share the service. It stops at once, as in a crash, when the last handle is dropped.
pub struct Service<S: Store> {
    runtime: Arc<Runtime<S>>,
    tasks: Arc<Tasks>,
}

/// The error of a start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The choreography is not valid.
    #[error(transparent)]
    Choreography(#[from] InvalidChoreography),
    /// The database failed, or may lose commits.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tables have another version.
    #[error(
        "the tables have version {found}, this program uses {}; start a program of that version",
        sql::SCHEMA_VERSION
    )]
    Version {
        /// The version of the tables.
        found: u64,
    },
    /// The database belongs to another service.
    #[error("this is the database of service {found}, not of {expected}; open the right one")]
    OtherService {
        /// The service that was to start.
        expected: ServiceName,
        /// The service whose outbox is in the database.
        found: ServiceName,
    },
}

/// The state shared by all tasks of a service.
pub(crate) struct Runtime<S: Store> {
    pub(crate) store: S,
    pub(crate) code: Arc<ServiceCode<S::Handler>>,
    pub(crate) calls: Vec<Option<CallFunction>>,
    pub(crate) observer: Option<ReactionObserver>,
    pub(crate) settings: ServiceSettings,
    /// The last events known to be committed.
    pub(crate) tail: watch::Sender<FeedTail>,
    /// Held while positions are assigned, so that the tail grows in order.
    pub(crate) sequencing: tokio::sync::Mutex<()>,
    /// Signals events without a position.
    pub(crate) published: Notify,
    /// Signals parked events that may be due.
    pub(crate) parked: Notify,
    /// Signals time-outs that may be due sooner.
    pub(crate) timeouts: Notify,
    /// Signals that feeds must be read at once.
    pub(crate) read_now: Notify,
    /// Parked events that this process is calling for or retrying.
    pub(crate) busy: Mutex<HashSet<u64>>,
    /// The tasks of calls that are out.
    pub(crate) calling: Arc<Mutex<JoinSet<()>>>,
    pub(crate) feeds: Mutex<Vec<FeedStatus>>,
}

/// The tasks of a service. They end with its last handle.
struct Tasks {
    background: Mutex<JoinSet<()>>,
    calling: Arc<Mutex<JoinSet<()>>>,
}

impl<S: Store> Clone for Service<S> {
    fn clone(&self) -> Self {
        Self { runtime: Arc::clone(&self.runtime), tasks: Arc::clone(&self.tasks) }
    }
}

impl<S: Store> Choreography<S> {
    /// Starts the service over its database: creates missing tables, follows the feeds, and
    /// continues where the service stopped.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(self, store: S) -> Result<Service<S>, StartError> {
        let declaration = self.declaration()?.clone();
        let Self { handlers, calls, mut followed, observer, settings, .. } = self;
        store.check_settings().await?;
        let plan = ServicePlan { declaration, retry: settings.retry };
        let code = Arc::new(ServiceCode { plan, handlers });
        let source = code.plan.declaration.service.clone();
        if let JobOutput::Named(found, name) = store.run(&code, StoreJob::Open).await? {
            if i64::try_from(found) != Ok(sql::SCHEMA_VERSION) {
                return Err(StartError::Version { found });
            }
            if name != source {
                return Err(StartError::OtherService { expected: source, found: name });
            }
        }
        store.run(&code, StoreJob::CallsAgain(now())).await?;
        let runtime = Arc::new(Runtime {
            store,
            code,
            calls,
            observer,
            settings,
            tail: watch::Sender::default(),
            sequencing: tokio::sync::Mutex::default(),
            published: Notify::new(),
            parked: Notify::new(),
            timeouts: Notify::new(),
            read_now: Notify::new(),
            busy: Mutex::default(),
            calling: Arc::default(),
            feeds: Mutex::default(),
        });
        runtime.sequence().await?;
        if runtime.code.plan.follows_itself() {
            followed.push(LocalFeed::followed(&runtime));
        }
        Ok(Service { tasks: Arc::new(Tasks::spawn(&runtime, followed)), runtime })
    }
}

impl Tasks {
    fn spawn<S: Store>(runtime: &Arc<Runtime<S>>, followed: Vec<FollowedFeed>) -> Self {
        let mut tasks = JoinSet::new();
        for (nth, feed) in followed.into_iter().enumerate() {
            lock(&runtime.feeds).push(FeedStatus::new(feed.source.clone()));
            tasks.spawn(follow::follow(Arc::clone(runtime), feed, nth));
        }
        tasks.spawn(tasks::sequence(Arc::clone(runtime)));
        tasks.spawn(tasks::retry_parked(Arc::clone(runtime)));
        tasks.spawn(tasks::time_out(Arc::clone(runtime)));
        tasks.spawn(tasks::trim(Arc::clone(runtime)));
        Self { background: Mutex::new(tasks), calling: Arc::clone(&runtime.calling) }
    }
}

impl<S: Store> Service<S> {
    /// The service's declaration.
    pub fn declaration(&self) -> &Declaration {
        &self.runtime.code.plan.declaration
    }

    /// Runs a task until the last handle is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.tasks.background).spawn(task);
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime<S>> {
        &self.runtime
    }

    /// Wakes the service after the program has committed an event in its own transaction. Without
    /// it, the next poll finds the event.
    pub fn wake(&self) {
        self.runtime.published.notify_one();
        self.runtime.timeouts.notify_one();
    }

    /// A page of the service's own feed.
    ///
    /// # Errors
    /// The database's. The inner error is a refused cursor.
    pub async fn page(
        &self,
        start: StartFrom,
        limit: u64,
        wait: Duration,
    ) -> Result<Result<(FeedInfo, FeedPage), CursorRefusal>, StoreError> {
        self.runtime.read(start, limit, wait).await
    }

    /// The service's status.
    ///
    /// # Errors
    /// The database's.
    pub async fn status(&self) -> Result<ServiceStatus, StoreError> {
        let parked = match self.runtime.run(StoreJob::Parked(0, PARKED_LIMIT)).await? {
            JobOutput::Parked(parked, _) => parked,
            _ => Vec::new(),
        };
        let stuck_after = self.runtime.code.plan.retry.stuck_after;
        Ok(ServiceStatus {
            service: self.runtime.source().clone(),
            feeds: lock(&self.runtime.feeds).clone(),
            parked: parked.into_iter().map(|one| ParkedStatus::of(one, stuck_after)).collect(),
        })
    }

    /// The service's ended reactions to an event.
    ///
    /// # Errors
    /// The database's.
    pub async fn reactions(
        &self,
        source: ServiceName,
        id: crate::EventId,
    ) -> Result<Vec<ReactionStatus>, StoreError> {
        Ok(match self.runtime.run(StoreJob::Reactions(source, id)).await? {
            JobOutput::Reactions(found) => found,
            _ => Vec::new(),
        })
    }
}

/// The error of a publication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The service does not declare that the event begins a choreography.
    #[error(
        "service {service} does not declare event {kind} as a beginning; declare it with `begins`"
    )]
    Undeclared {
        /// The service.
        service: ServiceName,
        /// The event's type.
        kind: EventType,
    },
    /// The database failed. The caller must then roll back.
    #[error(transparent)]
    Database(#[from] SqlError),
}

impl<S: Store> Service<S> {
    /// Publishes an event with which a choreography begins, in the caller's transaction, and starts
    /// the time-outs that count from it.
    pub(crate) async fn begin(
        &self,
        session: &mut impl Session,
        event: &NewEvent,
    ) -> Result<(), PublishError> {
        let plan = &self.runtime.code.plan;
        if !plan.declaration.begins.contains(&event.kind) {
            let (service, kind) = (plan.declaration.service.clone(), event.kind.clone());
            return Err(PublishError::Undeclared { service, kind });
        }
        Ok(react::emit(session, plan, event, now()).await?)
    }
}

impl<S: Store> Runtime<S> {
    pub(crate) async fn run(&self, job: StoreJob) -> Result<JobOutput, StoreError> {
        self.store.run(&self.code, job).await
    }

    pub(crate) fn source(&self) -> &ServiceName {
        &self.code.plan.declaration.service
    }

    /// Assigns positions to committed events; returns the position of the last one.
    pub(crate) async fn sequence(&self) -> Result<u64, StoreError> {
        let _alone = self.sequencing.lock().await;
        let known = self.tail.borrow().head();
        let JobOutput::Sequenced(found) = self.run(StoreJob::Sequence(known.clone())).await? else {
            return Err(SqlError::unexpected("the end of the feed is something else").into());
        };
        let head = found.head.clone();
        self.tail.send_if_modified(|tail| {
            // Waiting reads are woken only by new events.
            let is_new = known.as_ref() != Some(&head);
            tail.take(found);
            is_new
        });
        Ok(head.position)
    }

    /// A page of the feed. An empty page is returned only after the wait.
    pub(crate) async fn read(
        &self,
        mut start: StartFrom,
        limit: u64,
        wait: Duration,
    ) -> Result<Result<(FeedInfo, FeedPage), CursorRefusal>, StoreError> {
        let mut tail = self.tail.subscribe();
        let give_up = tokio::time::Instant::now() + wait;
        if wait.is_zero() {
            // Without a wait, the reader relies on an empty page: look for events without a
            // position.
            self.sequence().await?;
        }
        loop {
            let (head, page) = {
                let tail = tail.borrow_and_update();
                (tail.head().unwrap_or(Cursor::START), tail.page(&start, limit))
            };
            let page = match page {
                Some(page) => page,
                None => match self.page_behind(start.clone(), head.position, limit).await? {
                    Ok(page) => page,
                    Err(refusal) => return Ok(Err(refusal)),
                },
            };
            if page.ends_wait(&start) || tokio::time::Instant::now() >= give_up {
                return Ok(Ok((self.info(), page)));
            }
            start = StartFrom::After(page.cursor);
            let _ = tokio::time::timeout_at(give_up, tail.changed()).await;
        }
    }

    /// A page from the database, up to the known head.
    async fn page_behind(
        &self,
        start: StartFrom,
        head: u64,
        limit: u64,
    ) -> Result<Result<FeedPage, CursorRefusal>, StoreError> {
        match self.run(StoreJob::Page(start, head, limit)).await? {
            JobOutput::Page(page) => Ok(page),
            _ => Err(SqlError::unexpected("a page is something else").into()),
        }
    }

    pub(crate) fn info(&self) -> FeedInfo {
        let retention = self.settings.outbox_retention;
        FeedInfo { source: self.source().clone(), retention }
    }

    pub(crate) fn feed_status(&self, nth: usize, change: impl FnOnce(&mut FeedStatus)) {
        if let Some(status) = lock(&self.feeds).get_mut(nth) {
            change(status);
        }
    }
}

pub(crate) fn stamp() -> Stamp {
    Stamp { now: now(), random: random_bits() }
}

/// Locks a mutex, also after a panic: every holder makes single writes, so the value is consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Tasks {
    fn drop(&mut self) {
        lock(&self.background).abort_all();
        lock(&self.calling).abort_all();
    }
}
