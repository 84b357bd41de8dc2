//! The coordinator as a program sees it.

mod builder;
mod command;
pub(crate) mod decision;
mod driver;
mod incarnation;
mod log_thread;
pub(crate) mod retention;
mod saga;
mod two_phase;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use wholly_core::saga::Graph;
use wholly_core::{BranchName, Ended, ParticipantName, Target, Timestamp, TransactionId};

pub use builder::Builder;
pub use saga::SagaRun;
pub use two_phase::TwoPhase;

use crate::clock::Clock;
use crate::engine::{Input, Known, Reply, StuckChange, Submission, Wait};
use crate::error::{CancelError, EndError, GetError, ResolveError, SubmitError};
use crate::feed::{EventId, Feed, FeedEvent};
use crate::log::listing::{Cursor, Filter, Query};
use crate::log::{Damage, DamageRegister, Log, LogReader, Position, ReadError};
use crate::meter::{Measures, Meter};
use crate::participant::Endpoint;
use crate::participant::slots::Slots;
use crate::{AnyOutcome, Listing, Settings, Snapshot};
use command::{Command, QueuedCommand};
use workers::Workers;

/// What decides and remembers. A handle: clones share one coordinator.
///
/// ```
/// # use std::time::Duration;
/// # use wholly::{Answer, Call, Coordinator, MemoryLog, Outcome, Participant};
/// # struct Yes;
/// # impl Participant for Yes {
/// #     async fn prepare(&self, _: Call) -> Answer { Answer::Done }
/// #     async fn commit(&self, _: Call) -> Answer { Answer::Done }
/// #     async fn abort(&self, _: Call) -> Answer { Answer::Done }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (orders, payments) = (Yes, Yes);
/// # let (order_id, order, payment) = ("ORD001", "one item1", 1_000);
/// let coordinator = Coordinator::builder(MemoryLog::default())  // or SqliteLog::at("wholly.db")
///     .participant("orders", orders)
///     .participant("payments", payments)                    // or HttpParticipant::at(url)?
///     .start()
///     .await?;                                              // recovery starts here
/// match coordinator
///     .two_phase("place order")
///     .key(order_id)
///     .branch("orders", &order)?
///     .branch("payments", &payment)?
///     .deadline(Duration::from_secs(10))
///     .execute()
///     .await?                                               // dropping the future detaches
/// {
///     Outcome::Committed(done) => println!("{} is made everywhere", done.id),
///     Outcome::Aborted(why) => println!("nowhere: {}", why.reason),
///     Outcome::Unsettled(id) => println!("decided or not, {id} goes on; ask by id"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Coordinator {
    shared: Arc<Shared>,
    commands: mpsc::Sender<QueuedCommand>,
}

/// What the handles share with the loop.
pub(crate) struct Shared {
    settings: Settings,
    clock: Clock,
    /// The end of the log that reads; a new one after the log was opened again.
    reader: RwLock<Arc<dyn LogReader>>,
    /// The threads of reads, and those of look-ups by key: a long list delays no submission.
    reads: Workers,
    look_ups: Workers,
    health: RwLock<Health>,
    /// It was told to stop and did; else the loop was lost, and with it perhaps an answer.
    shut_down: AtomicBool,
    meter: Arc<Meter>,
    stuck: watch::Sender<Stuck>,
    /// What is damaged in the log, through all its incarnations.
    damage: DamageRegister,
    /// The last batch that is durable. Its other end goes when the loop ends.
    durable: watch::Receiver<Position>,
}

/// The transactions that need an operator, and since when.
pub(crate) type Stuck = BTreeMap<TransactionId, Timestamp>;

/// How a coordinator is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It takes transactions.
    Ready,
    /// The log failed. Reads go on; it tries to open the log again.
    LogFailed {
        /// What is wrong.
        why: String,
    },
    /// It has stopped, or is about to.
    Stopped,
}

impl Coordinator {
    /// A coordinator that remembers in `log`, which is of any kind: also an `Arc<dyn Log>`.
    pub fn builder(log: impl Log) -> Builder {
        Builder::new(Arc::new(log))
    }

    /// A transaction in two phases, to be filled and executed. `name` is for people.
    pub fn two_phase(&self, name: &str) -> TwoPhase<'_> {
        TwoPhase::new(self, name)
    }

    /// A saga with this definition, to be given its input and executed.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use wholly::{Coordinator, SagaOutcome, SubmitError};
    /// # use wholly_core::saga::Graph;
    /// # async fn example(coordinator: &Coordinator, saga: Arc<Graph>) -> Result<(), SubmitError> {
    /// let order = ("ORD001", "one item1", 1_000);
    /// match coordinator.saga(saga).key("ORD001").input(&order).execute().await? {
    ///     SagaOutcome::Completed(done) => println!("{} is done: every step", done.id),
    ///     SagaOutcome::Compensated(why) => println!("it was taken back: {}", why.reason),
    ///     SagaOutcome::Unsettled(id) => println!("forward or back, {id} goes on; ask by id"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn saga(&self, saga: Arc<Graph>) -> SagaRun {
        SagaRun::new(Some(self.clone()), saga)
    }

    /// What is durable of a transaction; `None` if there is none with this id.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn get(&self, id: TransactionId) -> Result<Option<Snapshot>, GetError> {
        // What is known but not durable yet is made so first. Where that cannot be, because the
        // log failed or the loop stopped, what is durable is shown all the same.
        let known = match self.ask(|to| Input::Read { id, to }).await {
            Some(Reply::Read(known)) => known,
            _ => Known::default(),
        };
        let stored = self.read(move |log| log.history(id)).await?;
        Ok(stored.map(|stored| Snapshot::of(&stored, known)))
    }

    /// The transactions that match, newest first, at most `limit`, from after the page that ended
    /// at `after`. What is known of them is made durable first, where that can be.
    ///
    /// Where few match, a page may be short and others follow: go on while there is a `next`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Listing, GetError> {
        let quarantined = match self.ask(|to| Input::ReadAll { to }).await {
            Some(Reply::ReadAll { quarantined }) => quarantined,
            _ => BTreeSet::new(),
        };
        let query = Query { filter: filter.clone(), after, limit, quarantined };
        Ok(self.read(move |log| log.list(&query)).await?.into())
    }

    /// What becomes durable of all transactions, in the order of the log: after this event, or
    /// from now on.
    pub fn feed(&self, after: Option<EventId>) -> Feed {
        Feed::after(self.shared.clone(), after)
    }

    /// All that is durable of one transaction, oldest first; nothing if there is none with this id.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn events_of(&self, id: TransactionId) -> Result<Vec<FeedEvent>, GetError> {
        let durable = *self.shared.durable.borrow();
        self.shared.read(move |log| crate::feed::events_of(log, id, durable)).await
    }

    /// Waits until a transaction has settled, at most for `patience`. `None` if there is none
    /// with this id.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn outcome(
        &self,
        id: TransactionId,
        patience: Duration,
    ) -> Result<Option<AnyOutcome>, GetError> {
        let until = self.shared.clock.now() + patience;
        match self.ask(|to| Input::Await { id, until, to }).await {
            Some(Reply::Outcome(outcome)) => Ok(Some(outcome)),
            _ => Ok(self.get(id).await?.map(|snapshot| snapshot.outcome())),
        }
    }

    /// Aborts a transaction that is not decided yet, or turns a saga back whose pivot cannot have
    /// left. Where that was done already, it does nothing.
    ///
    /// # Errors
    /// When it is too late for that, its only participant decides, or there is none.
    pub async fn abort(&self, id: TransactionId, reason: &str) -> Result<(), CancelError> {
        let unavailable = |why: &str| CancelError::Unavailable { why: why.to_owned() };
        let reason = reason.to_owned();
        match self.ask(|to| Input::Cancel { id, reason, to }).await {
            Some(Reply::Done) => Ok(()),
            Some(Reply::NotCancelled(error)) => Err(error),
            Some(Reply::NotOpen) => match self.get(id).await {
                Ok(None) => Err(CancelError::NotFound { id }),
                // What cannot be read may have ended either way.
                Ok(Some(snapshot)) if snapshot.quarantined.is_some() => {
                    Err(CancelError::Quarantined { id })
                }
                Ok(Some(snapshot)) => match snapshot.state {
                    "aborted" | "compensated" => Ok(()),
                    "completed" => Err(CancelError::Completed { id }),
                    _ => Err(CancelError::Committed { id }),
                },
                Err(error) => Err(unavailable(&error.to_string())),
            },
            Some(Reply::NotAccepted(error)) => Err(unavailable(&error.to_string())),
            _ => Err(unavailable("the coordinator has stopped")),
        }
    }

    /// Ends a branch or a step by hand: an operator knows how it ended. The word is recorded and
    /// forced.
    ///
    /// # Errors
    /// When the transaction is not in flight, nothing is outstanding of the branch or step, or it
    /// cannot have ended so.
    pub async fn resolve(
        &self,
        id: TransactionId,
        branch: impl Into<BranchName>,
        ended: impl Into<Ended>,
        reason: &str,
    ) -> Result<(), ResolveError> {
        let (branch, ended, reason) = (branch.into(), ended.into(), reason.to_owned());
        let reply = self.ask(|to| Input::Resolve { id, branch, ended, reason, to }).await;
        done_by_hand(id, reply)
    }

    /// Asks everything that is outstanding of a transaction again, now.
    ///
    /// # Errors
    /// When the transaction is not in flight, or came with a restored copy and is quarantined.
    pub async fn retry(&self, id: TransactionId) -> Result<(), ResolveError> {
        done_by_hand(id, self.ask(|to| Input::Retry { id, to }).await)
    }

    /// As [`retry`](Self::retry); and what is quarantined because it came with a restored copy of the log
    /// goes on from now on, as after a restart: what is undecided aborts, what is decided is
    /// carried out, a saga goes on or, past its deadline, back. The reason is recorded and forced.
    ///
    /// # Errors
    /// When the transaction is not in flight.
    pub async fn release(&self, id: TransactionId, reason: &str) -> Result<(), ResolveError> {
        let reason = reason.to_owned();
        done_by_hand(id, self.ask(|to| Input::Release { id, reason, to }).await)
    }

    /// Ends a transaction that was quarantined because its records are damaged, cannot be read or
    /// break a law. The reason is recorded and forced; nobody is asked anything, and what its
    /// participants hold for it stays as it is. Its key stays taken.
    ///
    /// # Errors
    /// When the transaction is not in flight, or was not quarantined for that.
    pub async fn end(&self, id: TransactionId, reason: &str) -> Result<(), EndError> {
        let unavailable = |why: String| EndError::Unavailable { why };
        // The loop does not know which entries there are that it could not read.
        let entries = self.read(move |log| log.entries_of(id.ordinal())).await;
        let entries = entries.map_err(|error| unavailable(error.to_string()))?;
        let last = entries.iter().map(|entry| entry.sequence).max();
        let sequence = last.unwrap_or(0).saturating_add(1);
        let reason = reason.to_owned();
        match self.ask(|to| Input::End { id, reason, sequence, to }).await {
            Some(Reply::Done) => Ok(()),
            Some(Reply::NotEnded(error)) => Err(error),
            Some(Reply::NotOpen) => Err(EndError::NotInFlight { id }),
            Some(Reply::NotAccepted(error)) => Err(unavailable(error.to_string())),
            _ => Err(unavailable("the coordinator has stopped".to_owned())),
        }
    }

    /// Registers a participant while the coordinator runs; what awaited it goes on. One that
    /// has the name already is replaced.
    ///
    /// # Errors
    /// When it cannot have that name.
    pub async fn register(
        &self,
        name: &str,
        participant: impl Endpoint,
        slots: Slots,
    ) -> Result<(), wholly_core::InvalidName> {
        let name = ParticipantName::new(name)?;
        let endpoint: Arc<dyn Endpoint> = Arc::new(participant);
        // A coordinator that has stopped needs no participants.
        let target = Target::Participant(name);
        self.command(|| Command::Register { target, endpoint, slots }).await;
        Ok(())
    }

    /// How the coordinator is.
    pub fn health(&self) -> Health {
        self.shared.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was counted since the coordinator started. Where [`Settings::measured`] is false, only
    /// who is stuck, what waits, and how the participants are.
    pub fn measures(&self) -> Measures {
        let commands_waiting = self.commands.max_capacity() - self.commands.capacity();
        let (stuck, damage) = (self.shared.stuck.borrow().len(), self.damage().count);
        self.shared.meter.read(stuck, damage, commands_waiting)
    }

    /// The transactions that need an operator, and since when; the receiver learns of every change,
    /// once it is durable. A restart finds those again that still are.
    pub fn stuck(&self) -> watch::Receiver<BTreeMap<TransactionId, Timestamp>> {
        self.shared.stuck.subscribe()
    }

    /// What was found damaged in the log since the coordinator started. Damage stops nobody but the
    /// transactions that it was found in; it says that the storage does not keep what it is given.
    pub fn damage(&self) -> Damage {
        self.shared.damage.damage()
    }

    /// Waits until more damage was found than `known`.
    pub async fn damage_beyond(&self, known: u64) -> Damage {
        self.shared.damage.more_than(known).await
    }

    /// Accepts nothing new, lets what is in flight settle for up to `grace`, and closes the log.
    /// What is stuck or quarantined, or waits for a participant that is not here, is not waited for. What
    /// has not settled goes on with the next start.
    pub async fn shutdown(&self, grace: Duration) {
        let (to, stopped) = oneshot::channel();
        let until = self.shared.clock.now() + grace;
        if self.command(|| Command::Shutdown { until, to }).await.is_some() {
            let _ = stopped.await;
        }
    }

    pub(crate) async fn submit(
        &self,
        submission: Submission,
        wait: Wait,
    ) -> Result<Reply, SubmitError> {
        match self.ask(|to| Input::Submit { submission, wait, to }).await {
            Some(Reply::NotAccepted(error)) => Err(error),
            Some(reply) => Ok(reply),
            None if self.shared.shut_down.load(Ordering::Acquire) => Err(SubmitError::ShuttingDown),
            None => Err(SubmitError::Unavailable { why: "the coordinator stopped".to_owned() }),
        }
    }

    /// Puts an input to the loop and waits for its reply; `None` if the loop has ended.
    async fn ask(&self, input: impl FnOnce(Caller) -> Input<Caller>) -> Option<Reply> {
        let (to, reply) = oneshot::channel();
        self.command(|| Command::Input(input(to))).await?;
        reply.await.ok()
    }

    /// Puts a command to the loop; `None` if it has ended. It is made where there is room for it,
    /// so that what waits for a reply has no place for a command.
    async fn command(&self, command: impl FnOnce() -> Command) -> Option<()> {
        let since = Instant::now();
        let room = self.commands.reserve().await.ok()?;
        room.send(QueuedCommand { since, command: command() });
        Some(())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn LogReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, GetError> {
        self.shared.read(read).await
    }
}

fn done_by_hand(id: TransactionId, reply: Option<Reply>) -> Result<(), ResolveError> {
    match reply {
        Some(Reply::Done) => Ok(()),
        Some(Reply::NotResolved(error)) => Err(error),
        Some(Reply::NotOpen) => Err(ResolveError::NotInFlight { id }),
        Some(Reply::NotAccepted(error)) => {
            Err(ResolveError::Unavailable { why: error.to_string() })
        }
        _ => Err(ResolveError::Unavailable { why: "the coordinator has stopped".to_owned() }),
    }
}

/// Where the loop's reply to a caller goes.
pub(crate) type Caller = oneshot::Sender<Reply>;

impl Shared {
    fn reader(&self) -> Arc<dyn LogReader> {
        self.reader.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn LogReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, GetError> {
        let reader = self.reader();
        let done = self.reads.run(move || read(&*reader)).await;
        Ok(done.map_err(|_| GetError::Stopped)??)
    }

    /// The last batch that is durable, and those that become so.
    pub(crate) fn durable(&self) -> watch::Receiver<Position> {
        self.durable.clone()
    }

    fn set_reader(&self, reader: Arc<dyn LogReader>) {
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    fn start_with_stuck(&self, found: Vec<StuckChange>) {
        let found = found.into_iter().filter_map(|(id, since)| Some((id, since?))).collect();
        self.stuck.send_if_modified(|stuck| std::mem::replace(stuck, found) != *stuck);
    }

    fn tell_stuck(&self, changes: Vec<StuckChange>) {
        self.stuck.send_modify(|stuck| {
            for (id, since) in changes {
                match since {
                    // One that was loaded again is told again.
                    Some(since) if stuck.insert(id, since).is_none() => {
                        tracing::warn!(transaction = %id, "the transaction is stuck: it needs an operator");
                    }
                    Some(_) => {}
                    None => {
                        tracing::info!(transaction = %id, "the transaction is no longer stuck");
                        stuck.remove(&id);
                    }
                }
            }
        });
    }

    fn set_health(&self, health: Health) {
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = health;
    }
}
