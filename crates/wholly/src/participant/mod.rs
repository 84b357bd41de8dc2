//! Participants: the trait for those in process, its implementation over HTTP, and the lane of each,
//! by which it is called.

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

    /// Whether [`commit_one_phase`](Self::commit_one_phase) may be called, which saves a
    /// transaction of one branch its second phase.
    fn offers_one_phase(&self) -> bool {
        false
    }

    /// Where it is, for people who look at the coordinator, if it is called over a network.
    fn address(&self) -> Option<String> {
        None
    }
}

/// The operations of a [`Participant`] that has one method for all of them.
macro_rules! each_operation_by {
    ($method:ident) => {
        crate::participant::each_operation_by! {
            $method: prepare commit abort commit_one_phase action compensate
        }
    };
    ($method:ident: $($operation:ident)*) => {$(
        // Hands on the future as it is: another one around it would hold the call once more.
        fn $operation(&self, call: Call) -> impl Future<Output = Answer> + Send {
            self.$method(call)
        }
    )*};
}

pub(crate) use each_operation_by;

/// A participant that its owner goes on to look at.
impl<P: Participant> Participant for Arc<P> {
    fn prepare(&self, call: Call) -> impl Future<Output = Answer> + Send {
        P::prepare(self, call)
    }

    fn commit(&self, call: Call) -> impl Future<Output = Answer> + Send {
        P::commit(self, call)
    }

    fn abort(&self, call: Call) -> impl Future<Output = Answer> + Send {
        P::abort(self, call)
    }

    fn commit_one_phase(&self, call: Call) -> impl Future<Output = Answer> + Send {
        P::commit_one_phase(self, call)
    }

    fn action(&self, call: Call) -> impl Future<Output = Answer> + Send {
        P::action(self, call)
    }

    fn compensate(&self, call: Call) -> impl Future<Output = Answer> + Send {
        P::compensate(self, call)
    }

    fn offers_one_phase(&self) -> bool {
        P::offers_one_phase(self)
    }

    fn address(&self) -> Option<String> {
        P::address(self)
    }
}

/// A call in progress.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// [`Participant`] made into an object.
pub(crate) trait Endpoint: Send + Sync + 'static {
    fn call(&self, call: Call) -> Answering<'_>;
    fn one_phase(&self) -> bool;
    fn address(&self) -> Option<String>;
}

impl<P: Participant> Endpoint for P {
    fn call(&self, call: Call) -> Answering<'_> {
        match call.operation {
            Operation::Prepare => Box::pin(self.prepare(call)),
            Operation::Commit => Box::pin(self.commit(call)),
            Operation::Abort => Box::pin(self.abort(call)),
            Operation::CommitOnePhase => Box::pin(self.commit_one_phase(call)),
            Operation::Action => Box::pin(self.action(call)),
            Operation::Compensation => Box::pin(self.compensate(call)),
        }
    }

    fn one_phase(&self) -> bool {
        self.offers_one_phase()
    }

    fn address(&self) -> Option<String> {
        Participant::address(self)
    }
}
