//! Participants: services and databases that take part in transactions.
//!
//! A [`Participant`] is one in process, with a method for each operation. An [`Endpoint`] is any kind
//! of participant as the coordinator calls it, with one method for all operations, and an object.
//! [`http`] is the kind that is called over HTTP. The lane of each bounds its calls.

mod attempt;
#[cfg(feature = "http")]
pub(crate) mod http;
mod lane;
mod queue;
mod slots;
pub(crate) mod throttle;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use attempt::{Answered, Attempt};
pub(crate) use lane::Lane;
#[cfg(feature = "test")]
pub(crate) use lane::panic_message;
pub use slots::{InvalidSlots, Slots};
pub use wholly_core::wire::{Answer, Call, Operation};

/// A service or database that takes part in transactions.
///
/// Every method may be called more than once for the same branch or step, late and out of order:
/// the answer of the first time is to be repeated, an abort or a compensation that comes first
/// wins, and a prepare or an action that comes after it is refused. An [`Answer::Unknown`], and a
/// panic, are asked again.
///
/// A two-phase transaction asks for the first four, a saga for
/// [`action`](Self::action) and [`compensate`](Self::compensate).
///
/// ```
/// use wholly::{Answer, Call, Participant};
///
/// struct Audit;
///
/// impl Participant for Audit {
///     async fn prepare(&self, _call: Call) -> Answer {
///         Answer::ReadOnly
///     }
///     async fn commit(&self, _call: Call) -> Answer {
///         Answer::Done
///     }
///     async fn abort(&self, _call: Call) -> Answer {
///         Answer::Done
///     }
/// }
/// ```
pub trait Participant: Send + Sync + 'static {
    /// Validate the change, hold what it needs, and vote: done is a yes.
    fn prepare(&self, call: Call) -> impl Future<Output = Answer> + Send;

    /// Make the prepared change. A refusal is not obeyed: commit is asked again.
    fn commit(&self, call: Call) -> impl Future<Output = Answer> + Send;

    /// Let go of what was prepared, and of nothing where nothing was. Asked again until done.
    fn abort(&self, call: Call) -> impl Future<Output = Answer> + Send;

    /// Validate and make the change at once. Only called where
    /// [`offers_one_phase`](Self::offers_one_phase) says so.
    fn commit_one_phase(&self, call: Call) -> impl Future<Output = Answer> + Send {
        let _ = call;
        async { Answer::unknown("this participant offers no one-phase commit") }
    }

    /// Do what a saga's step does; [`Call::operation_name`] says which of the participant's actions that
    /// is. Done with an output is what later steps may refer to.
    fn action(&self, call: Call) -> impl Future<Output = Answer> + Send {
        let _ = call;
        async { Answer::unknown("this participant offers no actions") }
    }

    /// Take a step back, and nothing where nothing was done; the payload has the form of
    /// [`CompensationPayload`](wholly_core::wire::CompensationPayload). Asked again until done; a
    /// refusal is not obeyed.
    fn compensate(&self, call: Call) -> impl Future<Output = Answer> + Send {
        let _ = call;
        async { Answer::unknown("this participant offers no compensations") }
    }

    /// True if [`commit_one_phase`](Self::commit_one_phase) may be called, which saves a transaction
    /// of one branch its second phase.
    fn offers_one_phase(&self) -> bool {
        false
    }

    /// The participant's address, for an operator, if it is called over a network.
    fn address(&self) -> Option<String> {
        None
    }
}

/// A call in progress.
pub type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// One kind of participant, as a coordinator calls it. Every [`Participant`] is one.
///
/// An endpoint is what a kind of its own implements directly: a service behind another transport, a
/// database. It keeps the rules of [`Participant`] for each [`Operation`] and answers one that it
/// does not offer with [`Answer::Unknown`]. A call that takes too long is dropped, which must leave
/// nothing half done that the next attempt cannot take up.
///
/// ```
/// use wholly::{Answer, AnswerFuture, Call, Coordinator, Endpoint, MemoryLog, Operation, Slots};
///
/// /// A ledger that is reached over ten connections.
/// struct Ledger(Slots);
///
/// impl Endpoint for Ledger {
///     fn call(&self, call: Call) -> AnswerFuture<'_> {
///         Box::pin(async move {
///             match call.operation {
///                 Operation::Prepare | Operation::Commit | Operation::Abort => Answer::Done,
///                 _ => Answer::unknown("the ledger takes part in two phases only"),
///             }
///         })
///     }
///
///     fn slots(&self) -> Slots {
///         self.0
///     }
///
///     fn address(&self) -> Option<String> {
///         Some("ledger.internal".to_owned())
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ledger = Ledger(Slots::new(10, 2)?);
/// Coordinator::builder(MemoryLog::default()).participant("ledger", ledger).start().await?;
/// # Ok(())
/// # }
/// ```
pub trait Endpoint: Send + Sync + 'static {
    /// Makes one call.
    fn call(&self, call: Call) -> AnswerFuture<'_>;

    /// True if [`Operation::CommitOnePhase`] may be called.
    fn offers_one_phase(&self) -> bool {
        false
    }

    /// The calls that it takes at once, unless it is registered with other slots.
    fn slots(&self) -> Slots {
        Slots::default()
    }

    /// The participant's address, for an operator, if it is called over a network.
    fn address(&self) -> Option<String> {
        None
    }

    /// Finds the participant anew, because it may have moved: the next calls use no connection and
    /// no looked-up name from before. Calls in progress go on.
    fn reconnect(&self) {}
}

impl<P: Participant> Endpoint for P {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        match call.operation {
            Operation::Prepare => Box::pin(self.prepare(call)),
            Operation::Commit => Box::pin(self.commit(call)),
            Operation::Abort => Box::pin(self.abort(call)),
            Operation::CommitOnePhase => Box::pin(self.commit_one_phase(call)),
            Operation::Action => Box::pin(self.action(call)),
            Operation::Compensation => Box::pin(self.compensate(call)),
        }
    }

    fn offers_one_phase(&self) -> bool {
        Participant::offers_one_phase(self)
    }

    fn address(&self) -> Option<String> {
        Participant::address(self)
    }
}

/// An endpoint that its owner goes on to look at.
impl<E: Endpoint + ?Sized> Endpoint for Arc<E> {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        E::call(self, call)
    }

    fn offers_one_phase(&self) -> bool {
        E::offers_one_phase(self)
    }

    fn slots(&self) -> Slots {
        E::slots(self)
    }

    fn address(&self) -> Option<String> {
        E::address(self)
    }

    fn reconnect(&self) {
        E::reconnect(self);
    }
}
