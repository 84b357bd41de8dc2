//! Who takes part: a trait for participants in process, and its implementation over HTTP.

#[cfg(feature = "http")]
pub(crate) mod http;
pub(crate) mod slots;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use wholly_core::wire::{Answer, Call, Operation};

/// A service or database that takes part in transactions.
///
/// Every method may be called more than once for the same branch, late and out of order: the
/// answer of the first time is to be repeated, an abort that comes first wins, and a prepare that
/// comes after it is refused. An [`Answer::Unknown`], and a panic, are asked again.
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

    /// Whether [`commit_one_phase`](Self::commit_one_phase) may be called, which saves a
    /// transaction of one branch its second phase.
    fn offers_one_phase(&self) -> bool {
        false
    }
}

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

    fn offers_one_phase(&self) -> bool {
        P::offers_one_phase(self)
    }
}

/// A call in progress.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// [`Participant`] made into an object.
pub(crate) trait Endpoint: Send + Sync + 'static {
    fn call(&self, call: Call) -> Answering<'_>;
    fn one_phase(&self) -> bool;
}

impl<P: Participant> Endpoint for P {
    fn call(&self, call: Call) -> Answering<'_> {
        match call.operation {
            Operation::Prepare => Box::pin(self.prepare(call)),
            Operation::Commit => Box::pin(self.commit(call)),
            Operation::Abort => Box::pin(self.abort(call)),
            Operation::CommitOnePhase => Box::pin(self.commit_one_phase(call)),
        }
    }

    fn one_phase(&self) -> bool {
        self.offers_one_phase()
    }
}
