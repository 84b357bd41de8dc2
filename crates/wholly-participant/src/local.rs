//! One call in the service's own database transaction, for every database and without I/O.
//!
//! A call reads the barrier's row, runs the service's code and changes the row, all in one database
//! transaction. The order is the same for blocking and for async databases, and so are the forms of
//! the row, of payloads and of answers. This module holds them as pure functions; a database brings
//! the statements. Its code for two-phase is this, with or without `.await`:
//!
//! ```text
//! let row = find(db, call)?;
//! let plan = match local::two_phase(call, row, now.wall())? {
//!     Start::Attempt(payload) => {
//!         let vote = savepoint(db, Vote::is_yes, || participant.validate(db, payload))?;
//!         local::voted(call, vote)?
//!     }
//!     Start::Plan(plan) => plan,
//! };
//! match plan.effect {
//!     Some(Effect::Apply(prepared)) => participant.apply(db, prepared)?,
//!     Some(Effect::Release(prepared)) => participant.release(db, prepared)?,
//!     None => {}
//! }
//! change(db, call, plan.change, now.steady)?;
//! Ok(plan.answer)
//! ```
//!
//! # What a new database brings
//!
//! [`sqlite`](crate::sqlite) is the model, a file for each:
//!
//! 1. *Statements*: the table `wholly_branch`; find a row; insert or end one ([`RowChange`]); the
//!    youngest row, by transaction id; delete ended rows ([`Expired`]); count the branches in doubt.
//!    Of two calls of one branch at once the primary key and [`one_row_ended`] fail one.
//! 2. *A connection*: a function that runs code in one transaction, which is durable before it
//!    returns, and that maps the driver's errors to [`TransactionError`]. A savepoint: what an
//!    attempt wrote stays only with a yes. An opening makes durable what it finds.
//! 3. *The service's code*, blocking or async as the driver is: a trait with validate, apply and
//!    release, and typed closures for the [`Operations`] of sagas.
//! 4. *The sequence* above, and the one for sagas: [`action`], [`acted`], [`compensation`].
//! 5. *Routes*: [`Branches`](crate::http::Branches) that run the sequence and give its result to
//!    [`answer`], within the call's [trace].
//!
//! INVARIANT: the row and what the service's code writes are committed together or not at all.

mod operations;
mod retention;
mod row;
mod trace;

use std::convert::Infallible;
use std::time::Duration;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use wholly_core::wire::{Answer, Call, CompensationPayload, Operation};
use wholly_core::{OperationName, Payload, Timestamp};

pub use operations::{DeclaredOperation, Operations, compensation_arguments, encoded, unreadable};
pub use retention::{Expired, Retention, millis};
pub use row::{BranchRow, RowChange};
pub use trace::{trace, with_trace};

use crate::Failure;
use crate::barrier::saga::{self, ActionOutcome};
use crate::barrier::{self, BranchMethod, RowState, Transition, Vote};

/// The beginning of a call: an attempt whose result decides, or all that is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start<I, E> {
    /// Run validate or the action with this, in a savepoint that is rolled back unless it says yes.
    /// [`voted`] or [`acted`] turns the result into the plan.
    Attempt(I),
    /// The plan.
    Plan(CallPlan<E>),
}

/// The rest of a call: what to do in the transaction, in the order of the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the answer holds only once the rest is done"]
pub struct CallPlan<E> {
    /// The service's code to run. It has no way to say no; a failure rolls everything back.
    pub effect: Option<E>,
    /// The change of the barrier's row.
    pub change: Option<RowChange>,
    /// The answer, once the transaction is durable.
    pub answer: Answer,
}

/// The second phase of the service's code, with the prepared data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<P> {
    /// Make the change.
    Apply(P),
    /// Let go of what validate held.
    Release(P),
}

/// A database transaction that did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// Too many wait already; nothing was done. Ask again later.
    #[error("too many calls wait for the service's database; ask again later")]
    Busy,
    /// The work itself failed or panicked; it was rolled back.
    #[error("the service failed, and its change was rolled back: {0}")]
    Work(Failure),
    /// The database failed. What was written was not acknowledged; it may still be there after a
    /// crash.
    #[error("the service's database failed: {0}")]
    Storage(String),
}

impl<E> CallPlan<E> {
    fn insert(state: &RowState, answer: Answer) -> Result<Self, Failure> {
        let row = BranchRow::new(state, None)?;
        Ok(Self { effect: None, change: Some(RowChange::Insert(row)), answer })
    }

    fn end(effect: E, change: RowChange) -> Self {
        Self { effect: Some(effect), change: Some(change), answer: Answer::Done }
    }
}

impl<E> From<Answer> for CallPlan<E> {
    fn from(answer: Answer) -> Self {
        Self { effect: None, change: None, answer }
    }
}

/// Begins a call in two-phase, of a branch with this row.
///
/// # Errors
/// When the row cannot be read.
pub fn two_phase<I: DeserializeOwned, P: Serialize + DeserializeOwned>(
    call: &Call,
    row: Option<BranchRow>,
    now: Timestamp,
) -> Result<Start<I, Effect<P>>, Failure> {
    let state = row.as_ref().map(BranchRow::state).transpose()?;
    let prepared = || BranchRow::prepared(row);
    let method = match barrier::decide(state.as_ref(), call.operation, call.expires, now) {
        Transition::Answer(answer) => return Ok(Start::Plan(answer.into())),
        Transition::Record(state, answer) => {
            return Ok(Start::Plan(CallPlan::insert(&state, answer)?));
        }
        Transition::Run(method) => method,
    };
    Ok(match method {
        BranchMethod::Validate => match call.payload.to() {
            Ok(payload) => Start::Attempt(payload),
            // The same payload will never do: a no, not something to ask again.
            Err(error) => Start::Plan(voted(call, Vote::No(unreadable(&error)))?),
        },
        BranchMethod::Apply => {
            Start::Plan(CallPlan::end(Effect::Apply(prepared()?), RowChange::COMMIT))
        }
        BranchMethod::Release => {
            Start::Plan(CallPlan::end(Effect::Release(prepared()?), RowChange::ABORT))
        }
    })
}

/// The plan once validate has voted. In one phase a yes is applied at once.
///
/// # Errors
/// When the prepared data has no form in JSON.
pub fn voted<P: Serialize>(call: &Call, vote: Vote<P>) -> Result<CallPlan<Effect<P>>, Failure> {
    let (state, answer) = barrier::voted(call.operation, &vote);
    let (effect, data) = match vote {
        Vote::Yes(prepared) if call.operation == Operation::CommitOnePhase => {
            (Some(Effect::Apply(prepared)), None)
        }
        Vote::Yes(prepared) => (None, Some(serde_json::to_string(&prepared)?)),
        Vote::ReadOnly | Vote::No(_) => (None, None),
    };
    let row = BranchRow::new(&state, data)?;
    Ok(CallPlan { effect, change: Some(RowChange::Insert(row)), answer })
}

/// Begins the action `name`, of a step with this row.
///
/// # Errors
/// When the row cannot be read.
pub fn action(
    call: &Call,
    name: &OperationName,
    row: Option<BranchRow>,
    now: Timestamp,
) -> Result<Start<(), Infallible>, Failure> {
    let state = row.as_ref().map(BranchRow::state).transpose()?;
    Ok(match saga::action(state.as_ref(), name, call.expires, now) {
        Transition::Answer(answer) => Start::Plan(answer.into()),
        Transition::Record(state, answer) => Start::Plan(CallPlan::insert(&state, answer)?),
        Transition::Run(()) => Start::Attempt(()),
    })
}

/// The plan once the action `name` has run.
///
/// # Errors
/// When the output has no form in JSON.
pub fn acted(
    name: &OperationName,
    outcome: ActionOutcome<Payload>,
) -> Result<CallPlan<Infallible>, Failure> {
    let (state, answer) = saga::acted(name, outcome);
    CallPlan::insert(&state, answer)
}

/// The plan of the compensation of the action `name`, of a step with this row. Its effect is to run
/// the compensation with the action's output.
///
/// # Errors
/// When the row or the payload cannot be read.
pub fn compensation(
    call: &Call,
    name: &OperationName,
    row: Option<BranchRow>,
) -> Result<CallPlan<Payload>, Failure> {
    let state = row.as_ref().map(BranchRow::state).transpose()?;
    let parts: CompensationPayload<IgnoredAny, IgnoredAny> = call.payload.to()?;
    match saga::compensation(state.as_ref(), name, parts.output.is_some()) {
        Transition::Answer(answer) => Ok(answer.into()),
        Transition::Record(state, answer) => CallPlan::insert(&state, answer),
        Transition::Run(output) => Ok(CallPlan::end(output, RowChange::COMPENSATE)),
    }
}

/// The answer to the call with this idempotency key, from the end of its transaction.
pub fn answer(key: &str, ended: Result<Answer, TransactionError>) -> Answer {
    match ended {
        Ok(answer) => answer,
        Err(TransactionError::Busy) => Answer::pending(Some(Duration::from_secs(1))),
        Err(error) => {
            tracing::error!(call = key, %error, "the outcome of a call is unknown");
            Answer::unknown(error.to_string())
        }
    }
}

/// Checks the number of rows that [`RowChange::End`] changed: exactly one, unless something else
/// writes to the barrier's table.
///
/// # Errors
/// When it is another number.
pub fn one_row_ended(rows: usize) -> Result<(), Failure> {
    match rows {
        1 => Ok(()),
        _ => Err("the branch's row was changed by the service's own code".into()),
    }
}
