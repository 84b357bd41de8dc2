//! Distributed transactions that happen wholly or not at all.
//!
//! A [`Coordinator`] runs a change over several services or databases so that it happens at all of
//! them or at none, through crashes of any of them and of itself. It lives in your program, on tokio,
//! and remembers in a [log](log::Log): one SQLite file by default.
//!
//! This page goes from two participants and a file to a saga, tests, metrics and the end of the
//! program. The protocols are those of [`wholly_core`], whose pages are their specification.
//!
//! # Two participants and a file
//!
//! A [`Participant`] holds what it promises (*prepare*), and then makes it (*commit*) or lets it go
//! (*abort*). Calls come at least once, late and out of order, so each answer is kept and repeated. An
//! abort that comes first wins. A service on another machine is an [`HttpParticipant`] instead.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! use wholly::{Answer, Call, Coordinator, Outcome, Participant, SqliteLog, TransactionId};
//!
//! /// A balance, and the change that each transfer holds; `None` once the transfer is over.
//! struct Account(Mutex<(i64, HashMap<TransactionId, Option<i64>>)>);
//!
//! impl Participant for Account {
//!     async fn prepare(&self, call: Call) -> Answer {
//!         let (balance, transfers) = &mut *self.0.lock().unwrap();
//!         match transfers.get(&call.transaction) {
//!             Some(Some(_)) => return Answer::Done, // asked again: the first answer
//!             Some(None) => return Answer::refused("the transfer is over"),
//!             None => {}
//!         }
//!         match call.payload.to::<i64>() {
//!             Ok(change) if *balance + change >= 0 => {
//!                 *balance += change.min(0);
//!                 transfers.insert(call.transaction, Some(change));
//!                 Answer::Done // a vote: yes
//!             }
//!             Ok(_) => Answer::refused("not enough money"), // a vote: no
//!             Err(why) => Answer::refused(why.to_string()),
//!         }
//!     }
//!
//!     async fn commit(&self, call: Call) -> Answer {
//!         let (balance, transfers) = &mut *self.0.lock().unwrap();
//!         let held = transfers.insert(call.transaction, None).flatten();
//!         *balance += held.unwrap_or(0).max(0);
//!         Answer::Done
//!     }
//!
//!     async fn abort(&self, call: Call) -> Answer {
//!         let (balance, transfers) = &mut *self.0.lock().unwrap();
//!         let held = transfers.insert(call.transaction, None).flatten();
//!         *balance -= held.unwrap_or(0).min(0);
//!         Answer::Done
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let file = directory.path().join("wholly.db");
//! let account = |balance| Account(Mutex::new((balance, HashMap::new())));
//! let coordinator = Coordinator::builder(SqliteLog::at(file).create_if_missing())
//!     .participant("alice", account(100))
//!     .participant("bob", account(0))
//!     .start()
//!     .await?;
//!
//! let transfer = coordinator.two_phase("transfer").branch("alice", &-70)?.branch("bob", &70)?;
//! match transfer.execute().await? {
//!     Outcome::Committed(done) => println!("{}: made at both", done.id),
//!     Outcome::Aborted(why) => panic!("made at neither: {}", why.reason),
//!     Outcome::Unsettled(id) => panic!("{id} goes on, with or without a caller"),
//! }
//!
//! let again = coordinator.two_phase("transfer").branch("alice", &-70)?.branch("bob", &70)?;
//! assert!(matches!(again.execute().await?, Outcome::Aborted(_))); // alice has 30 left
//! # Ok(())
//! # }
//! ```
//!
//! These accounts forget everything when the program ends. A real participant keeps its balance and
//! what it holds in one database transaction; the crate `wholly-participant` does that for a service.
//!
//! # A key makes a retry safe
//!
//! A caller that hears nothing does not know whether its transaction began. With a *key* of its own it
//! submits again: the same key with the same content joins the first transaction, whether that is
//! running or over, and also after a restart. The same key with other content is refused. A key counts
//! for as long as its transaction is kept: [`Retention`] says how long, and by default it is for ever.
//!
//! ```
//! # use wholly::{Answer, Call, Coordinator, MemoryLog, Participant, SubmitError};
//! # struct Yes;
//! # impl Participant for Yes {
//! #     async fn prepare(&self, _: Call) -> Answer { Answer::Done }
//! #     async fn commit(&self, _: Call) -> Answer { Answer::Done }
//! #     async fn abort(&self, _: Call) -> Answer { Answer::Done }
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let builder = Coordinator::builder(MemoryLog::default());
//! # let coordinator = builder.participant("alice", Yes).participant("bob", Yes).start().await?;
//! let transfer = |amount: i64| {
//!     let transfer = coordinator.two_phase("transfer").key("T-4711");
//!     transfer.branch("alice", &-amount)?.branch("bob", &amount)
//! };
//! let first = transfer(70)?.execute().await?;
//! let retried = transfer(70)?.execute().await?;
//! assert_eq!(first, retried); // one transfer, one outcome
//!
//! let other = transfer(80)?.execute().await;
//! assert!(matches!(other, Err(SubmitError::KeyReused { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! # A saga in code
//!
//! A [`Saga`] suits services that can hold nothing until a decision: it makes one step after the other, and takes
//! back what it made if a later step is refused. A step is an async function of a [`Step`]; its *undo*
//! is the compensation. An error by `?` means that the outcome is unknown, so the step is asked again
//! with the same [idempotency key](Step::idempotency_key). Only [`StepError::refused`] turns back.
//! After the *pivot* there is no way back: later steps are asked until they are done. A saga goes on
//! after a restart with the code that is registered under its name and version.
//!
//! ```
//! # use std::sync::Arc;
//! # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use wholly::{Coordinator, MemoryLog, Saga, SagaHandle, SagaOutcome, StepError, step};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stock = Arc::new(AtomicU32::new(10));
//! let (taken, returned) = (stock.clone(), stock.clone());
//! let sell = Saga::new("sell", 1)
//!     .step(
//!         // It may be asked twice: a real step passes its idempotency key on to what it calls.
//!         step("reserve", move |_| {
//!             taken.fetch_sub(1, Relaxed);
//!             async { Ok("shelf 12".to_owned()) }
//!         })
//!         // It is given the output of its step, or `None` if the step may or may not be done.
//!         .undo(move |_, shelf: Option<String>| {
//!             returned.fetch_add(u32::from(shelf.is_some()), Relaxed);
//!             async { Ok(()) }
//!         }),
//!     )
//!     .step(
//!         step("pay", async |cx: wholly::Step<u64>| match cx.input {
//!             ..=1_000 => Ok(()),
//!             _ => Err(StepError::refused("declined")),
//!         })
//!         .needs_no_undo()
//!         .pivot(),
//!     );
//!
//! let mut builder = Coordinator::builder(MemoryLog::default());
//! let sell: SagaHandle<u64> = builder.saga(sell)?;
//! let _coordinator = builder.start().await?;
//!
//! assert!(matches!(sell.start(&900).execute().await?, SagaOutcome::Completed(_)));
//! match sell.start(&2_000).key("S-1").execute().await? {
//!     SagaOutcome::Compensated(why) => println!("taken back: {}", why.reason),
//!     other => panic!("{other:?}"),
//! }
//! assert_eq!(stock.load(Relaxed), 9);
//! # Ok(())
//! # }
//! ```
//!
//! # Tests
//!
//! The feature `test` adds `wholly::test`, for the tests of a program or a service. It runs the
//! coordinator on virtual time, scripts the calls to participants, and crashes the coordinator at every
//! record. `fail_each_step` does the same to a saga, at every step and in every way.
//!
//! ```
//! use wholly::Operation::Commit;
//! use wholly::test::{Act, crash_at_every_record};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // in a `#[tokio::test(start_paused = true)]`
//! let crashes = crash_at_every_record(
//!     |harness| {
//!         harness.stand_in("alice"); // or `harness.participant("alice", your own)`
//!         harness.stand_in("bob").nth(Commit, 0, Act::LoseAnswer);
//!     },
//!     async |coordinator, ()| {
//!         let transfer = coordinator.two_phase("transfer").branch("alice", &-70).unwrap();
//!         transfer.branch("bob", &70).unwrap().execute().await.unwrap();
//!     },
//!     async |_, ()| {}, // all or nothing has been asserted; what else must hold?
//! )
//! .await;
//! assert!(crashes >= 6);
//! # }
//! ```
//!
//! # After a restart
//!
//! [`Builder::start`] is the only way to recover: it reads what has not settled and goes on with it.
//!
//! | what the log says | what happens |
//! |---|---|
//! | two phases, undecided | it aborts |
//! | two phases, decided | the branches that have not acknowledged are asked again |
//! | a saga that runs | the steps that may have been asked are asked again, in their order |
//! | a saga that turned back | what is not yet taken back is |
//! | a participant or a saga that this program did not register | its transactions wait for it |
//!
//! Settled transactions and their keys stay in the log.
//!
//! ```
//! # use wholly::{Answer, Call, Coordinator, Participant, SqliteLog, State};
//! # struct Yes;
//! # impl Participant for Yes {
//! #     async fn prepare(&self, _: Call) -> Answer { Answer::Done }
//! #     async fn commit(&self, _: Call) -> Answer { Answer::Done }
//! #     async fn abort(&self, _: Call) -> Answer { Answer::Done }
//! # }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let file = directory.path().join("wholly.db");
//! let start = || {
//!     let log = SqliteLog::at(&file).create_if_missing();
//!     Coordinator::builder(log).participant("alice", Yes).participant("bob", Yes).start()
//! };
//! let transfer = |coordinator: &Coordinator| {
//!     let transfer = coordinator.two_phase("transfer").key("T-4711");
//!     transfer.branch("alice", &-70)?.branch("bob", &70)
//! };
//! let first = start().await?;
//! let done = transfer(&first)?.execute().await?;
//! first.shutdown(std::time::Duration::ZERO).await;
//!
//! let second = start().await?;
//! let found = second.get(done.id()).await?.expect("the log has it");
//! assert_eq!(found.state, Some(State::Committed));
//! assert_eq!(transfer(&second)?.execute().await?, done); // joined by its key
//! # Ok(())
//! # }
//! ```
//!
//! # Metrics and shutdown
//!
//! [`Coordinator::measures`] counts what an operator needs: transactions begun and ended, the oldest
//! that is undecided, how long a batch takes to become durable, and how each participant answers. Export
//! them to the metrics library of your choice. `stuck` is the number to alert on: those transactions
//! need an operator. [`Coordinator::health`] tells if transactions are taken.
//!
//! [`Coordinator::shutdown`] refuses new transactions, waits for a grace period until those in flight
//! have settled, and closes the log. What has not settled by then goes on with the next start, as it
//! does after a kill: a shutdown saves time, and safety does not rest on it.
//!
//! ```
//! # use std::time::Duration;
//! # use wholly::{Coordinator, Health, MemoryLog};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let coordinator = Coordinator::builder(MemoryLog::default()).start().await?;
//! let measures = coordinator.measures();
//! println!("{} in flight, {} stuck", measures.in_flight, measures.stuck);
//! for begun in &measures.begun {
//!     println!("{}: {} begun", begun.pattern, begun.count);
//! }
//! assert_eq!(coordinator.health(), Health::Ready);
//!
//! coordinator.shutdown(Duration::from_secs(10)).await;
//! assert_eq!(coordinator.health(), Health::Stopped);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! | module | what it is |
//! |---|---|
//! | `conformance` | the check of a service, in any language, against the participant's contract |
//! | `coordinator` | the API, and the driver that gives the loop its I/O |
//! | `engine` | the one loop, without I/O: group commit, gates, retries, recovery |
//! | `feed` | what became durable, as events |
//! | `in_code` | sagas in code: typed steps of the program itself |
//! | `meter` | what an operator sees: counters and times |
//! | [`log`] | where it remembers: the trait, SQLite, memory |
//! | `participant` | participants: the trait, HTTP, the lane of each |
//! | `reader` | what is durable, read without the loop |
//!
//! The library installs nothing global: no TLS provider, no tracing subscriber, no signal handler. A
//! program that may run with a limit on the size of files should handle or ignore SIGXFSZ, as
//! `wholly serve` does: else the system ends it where a full disk would be an error.

mod clock;
#[cfg(all(feature = "http", feature = "conformance"))]
pub mod conformance;
mod coordinator;
mod engine;
mod error;
mod feed;
mod in_code;
mod key_scope;
mod last_answer;
mod listed;
pub mod log;
mod memory;
mod meter;
mod outcome;
mod participant;
mod payloads;
mod reader;
mod replay;
mod settings;
#[cfg(test)]
mod simulation;
mod snapshot;
#[cfg(feature = "test")]
pub mod test;
mod workers;

pub use coordinator::{Builder, Coordinator, Draft, Health, SagaRun, Submission, TwoPhase};
pub use engine::Backoff;
pub use error::{
    CancelError, DecisionError, EndError, GetError, ResolveError, SagaError, StartError,
    SubmitError,
};
pub use feed::{EventId, Feed, FeedEvent, InvalidEventId, Page, Recorded};
pub use in_code::{Retry, Saga, SagaHandle, SagaStep, Step, StepError, step};
pub use key_scope::KeyScope;
pub use last_answer::{CallAttempts, LastAnswer};
pub use listed::{Listed, Listing};
pub use log::listing::{Cursor, Filter, InvalidCursor};
pub use log::memory::MemoryLog;
#[cfg(feature = "sqlite")]
pub use log::sqlite::SqliteLog;
pub use meter::{
    BegunMeasures, CallMeasures, Distribution, EndedMeasures, LastError, Measures,
    SettledTransaction, TargetHealth, TargetMeasures,
};
pub use outcome::{Aborted, AnyOutcome, Committed, Compensated, Completed, Outcome, SagaOutcome};
#[cfg(feature = "http")]
pub use participant::http::{HttpParticipant, InvalidCredentials, InvalidUrl};
pub use participant::{Answer, AnswerFuture, Call, Endpoint, Operation, Participant};
pub use participant::{InvalidSlots, Slots};
pub use settings::{Retention, Settings};
pub use snapshot::{HistoryEntry, PartSnapshot, Snapshot};
pub use wholly_core::saga::{
    Definition, Graph, InvalidDefinition, Reason, Resolution, StepDefinition,
};
pub use wholly_core::two_phase::{AbortReason, Decision, Started, StartedBranch, Vote};
pub use wholly_core::{
    BranchName, End, Ended, InvalidName, InvalidPayload, InvalidProposal, Key, KeyId, LogId, Name,
    OperationName, PartState, ParticipantName, Pattern, Payload, Proposal, Record, State, StepName,
    Target, Timestamp, TraceContext, TransactionId, saga, two_phase,
};
