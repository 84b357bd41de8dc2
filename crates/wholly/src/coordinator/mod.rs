//! The coordinator as a program sees it.

mod builder;
mod command;
mod driver;
mod incarnation;
mod log_thread;
pub(crate) mod retention;
mod stuck;
mod submission;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use wholly_core::saga::Graph;
use wholly_core::two_phase::Decision;
use wholly_core::{
    BranchName, End, Ended, ParticipantName, Proposal, State, Target, Timestamp, TransactionId,
};

pub use builder::Builder;
pub use submission::{Draft, SagaRun, Submission, TwoPhase};

use crate::clock::Clock;
use crate::engine::{InMemory, Input, NewTransaction, Reply, Wait};
use crate::error::{CancelError, DecisionError, EndError, GetError, ResolveError, SubmitError};
use crate::feed::{EventId, Feed, FeedEvent};
use crate::log::listing::{Cursor, Filter};
use crate::log::{Damage, DamageRegister, Log};
use crate::meter::{Measures, Meter};
use crate::participant::{Endpoint, Slots};
use crate::reader::Reader;
use crate::{AnyOutcome, Listing, Settings, Snapshot};
use command::{Command, QueuedCommand};
use stuck::StuckRegister;

/// The longest wait for the part of a snapshot that is not in the log.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A coordinator, which decides and remembers. This is a handle: clones share one coordinator.
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
    parts: Arc<Parts>,
    commands: mpsc::Sender<QueuedCommand>,
}

/// The parts of a coordinator that its handles use beside the loop.
struct Parts {
    settings: Settings,
    clock: Clock,
    reader: Reader,
    health: watch::Receiver<Health>,
    /// True if the loop ended because it was told to; else it was lost, perhaps with an answer.
    shut_down: Arc<AtomicBool>,
    meter: Arc<Meter>,
    stuck: StuckRegister,
    /// The damage of the log, through all its incarnations.
    damage: DamageRegister,
}

/// The health of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It takes transactions.
    Ready,
    /// The log failed. Reads go on; it tries to open the log again.
    LogFailed {
        /// The failure.
        why: String,
    },
    /// It has stopped, or is about to.
    Stopped,
}

impl Coordinator {
    /// A coordinator that remembers in `log`, of any kind: also an `Arc<dyn Log>`.
    pub fn builder(log: impl Log) -> Builder {
        Builder::new(Arc::new(log))
    }

    /// A transaction in two phases, to be filled and executed. `name` is for people.
    pub fn two_phase(&self, name: &str) -> Submission<TwoPhase> {
        Submission::two_phase(self, name)
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
    pub fn saga(&self, saga: Arc<Graph>) -> Submission<SagaRun> {
        Submission::saga(Some(self.clone()), saga)
    }

    /// A transaction of any pattern whose proposal was put together before.
    pub fn propose(&self, proposal: Proposal) -> Submission<Proposal> {
        Submission::proposal(self, proposal)
    }

    /// A transaction as it is durable, with all that anybody was told of it; `None` if none has
    /// this id. While the log cannot be written, it is shown as it is in the log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn get(&self, id: TransactionId) -> Result<Option<Snapshot>, GetError> {
        let Some(mut snapshot) = self.parts.reader.get(id).await? else { return Ok(None) };
        if !snapshot.settled
            && let Some(known) = self.inspect(id).await
        {
            snapshot.add(known);
        }
        Ok(Some(snapshot))
    }

    /// Asks the loop for the state of a transaction that is in memory alone, and does without it if
    /// the loop has no time. No durable fact depends on it.
    async fn inspect(&self, id: TransactionId) -> Option<InMemory> {
        let (to, reply) = oneshot::channel();
        let command = Command::Input(Input::Inspect { id, to });
        self.commands.try_send(QueuedCommand { since: Instant::now(), command }).ok()?;
        match timeout(INSPECT_TIMEOUT, reply).await {
            Ok(Ok(Reply::Inspected(known))) => Some(known),
            _ => None,
        }
    }

    /// The transactions that match, newest first, at most `limit`, from after the page that ended
    /// at `after`, with all that anybody was told of them.
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
        self.parts.reader.list(filter, after, limit).await
    }

    /// The durable decision of a transaction in two phases; `None` while it is undecided.
    ///
    /// Presumed abort: an id that this log minted and does not hold is aborted, for nobody was
    /// asked to prepare before it was durable. Nothing is presumed of an id as old as those that
    /// retention has deleted, which may have committed; nor of one that another log minted, even
    /// the log of which this one is a restored copy, for that one may have gone on.
    ///
    /// # Errors
    /// When it cannot be told; the participant stays in doubt.
    pub async fn decision(&self, id: TransactionId) -> Result<Option<Decision>, DecisionError> {
        self.parts.reader.decision(id).await
    }

    /// The events of all transactions as they become durable, in the order of the log: those after
    /// this event, or from now on.
    pub fn feed(&self, after: Option<EventId>) -> Feed {
        Feed::after(self.parts.reader.clone(), after)
    }

    /// The durable events of one transaction, oldest first; none if there is no transaction with
    /// this id.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn events_of(&self, id: TransactionId) -> Result<Vec<FeedEvent>, GetError> {
        let durable = self.parts.reader.durable();
        self.parts.reader.read(move |log| crate::feed::events_of(log, id, durable)).await
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
        let until = self.parts.clock.now() + patience;
        match self.ask(|to| Input::Await { id, until, to }).await {
            Some(Reply::Outcome(outcome)) => Ok(Some(outcome)),
            _ => Ok(self.parts.reader.get(id).await?.map(|snapshot| snapshot.outcome())),
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
            Some(Reply::NotOpen) => match self.parts.reader.get(id).await {
                Ok(None) => Err(CancelError::NotFound { id }),
                // An unreadable transaction may have ended either way.
                Ok(Some(snapshot)) if snapshot.quarantined.is_some() => {
                    Err(CancelError::Quarantined { id })
                }
                Ok(Some(snapshot)) => match snapshot.state.and_then(State::end) {
                    Some(End::Undone) => Ok(()),
                    Some(End::Made) | None => Err(CancelError::too_late(id, snapshot.pattern)),
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

    /// As [`retry`](Self::retry); and a transaction that is quarantined because it came with a
    /// restored copy of the log goes on, as after a restart: an undecided one aborts, a decision is
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
        // The loop does not know of the entries that it could not read.
        let entries = self.parts.reader.read(move |log| log.entries_of(id.ordinal())).await;
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

    /// Registers a participant while the coordinator runs; transactions that awaited it go on. One
    /// that has the name already is replaced.
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

    /// The health of the coordinator.
    pub fn health(&self) -> Health {
        self.parts.health.borrow().clone()
    }

    /// The counts since the coordinator started. Where [`Settings::measured`] is false, only the
    /// stuck transactions, what waits, and the health of the participants are counted.
    pub fn measures(&self) -> Measures {
        let commands_waiting = self.commands.max_capacity() - self.commands.capacity();
        let (stuck, damage) = (self.parts.stuck.count(), self.damage().count);
        self.parts.meter.read(stuck, damage, commands_waiting)
    }

    /// The transactions that need an operator, and since when; the receiver learns of every change,
    /// once it is durable. A restart finds those again that still are.
    pub fn stuck(&self) -> watch::Receiver<BTreeMap<TransactionId, Timestamp>> {
        self.parts.stuck.subscribe()
    }

    /// The damage that was found in the log since the coordinator started. It stops only the
    /// transactions that it was found in; it says that the storage does not keep its data.
    pub fn damage(&self) -> Damage {
        self.parts.damage.damage()
    }

    /// Waits until more damage was found than `known`.
    pub async fn damage_beyond(&self, known: u64) -> Damage {
        self.parts.damage.more_than(known).await
    }

    /// Accepts nothing new, lets transactions in flight settle for up to `grace`, and closes the
    /// log. Transactions that are stuck, quarantined, or await an unregistered participant are not
    /// waited for. Those that have not settled go on with the next start.
    pub async fn shutdown(&self, grace: Duration) {
        let (to, stopped) = oneshot::channel();
        let until = self.parts.clock.now() + grace;
        if self.command(|| Command::Shutdown { until, to }).await.is_some() {
            let _ = stopped.await;
        }
    }

    pub(crate) async fn submit(
        &self,
        submission: NewTransaction,
        wait: Wait,
    ) -> Result<Reply, SubmitError> {
        match self.ask(|to| Input::Submit { submission, wait, to }).await {
            Some(Reply::NotAccepted(error)) => Err(error),
            Some(reply) => Ok(reply),
            None if self.parts.shut_down.load(Ordering::Acquire) => Err(SubmitError::ShuttingDown),
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
    /// so that the future of a waiting caller has no place for a command.
    async fn command(&self, command: impl FnOnce() -> Command) -> Option<()> {
        let since = Instant::now();
        let room = self.commands.reserve().await.ok()?;
        room.send(QueuedCommand { since, command: command() });
        Some(())
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

/// A caller who waits for a reply of the loop.
pub(crate) type Caller = oneshot::Sender<Reply>;
