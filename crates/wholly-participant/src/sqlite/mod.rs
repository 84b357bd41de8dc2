//! Services that keep their data in SQLite.
//!
//! The service's business data and the barrier's rows are in one database file, and every call
//! changes both in one SQLite transaction: they are committed together or not at all.
//!
//! A service takes part in two-phase as a [`Participant`], and in sagas with its [`Actions`]. One
//! that does both merges the two routers over the same database.

mod actions;
mod branch;
mod database;
#[cfg(test)]
mod tests;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Transaction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wholly_clock::{Reading, SteadyClock};
use wholly_core::wire::{Answer, Call, Operation};

pub use actions::{Action, Actions};
pub use branch::in_doubt;
pub use database::{Database, OpenError, TransactionError, Written};
pub use trace::trace;

use crate::Failure;
use crate::barrier::{self, State, Step, Vote};
use crate::http::Branches;
use database::savepoint;

/// A service's business in a two-phase transaction.
///
/// Each method runs in the service's own database transaction, at most once with effect for a
/// branch, whatever the coordinator repeats: the barrier sees to that. The methods block, and only
/// one runs at a time; what else they change outside the database is not protected. Several calls
/// share a commit, so let constraints be checked at once: one that is deferred fails them all.
///
/// There is an example at the [crate's root](crate).
pub trait Participant: Send + Sync + 'static {
    /// What the client gives for this participant, as JSON. A payload that does not have this form
    /// is refused.
    type Payload: DeserializeOwned;

    /// What lies between validate and apply, as JSON, durable. A new version of the service must
    /// still read what the old one prepared.
    type Prepared: Serialize + DeserializeOwned;

    /// Says whether the change can be made. With a yes it must remain possible until
    /// [`apply`](Self::apply) or [`release`](Self::release): hold what the change needs, so that
    /// no other transaction takes it. With another vote, what was written is rolled back.
    ///
    /// # Errors
    /// Where it cannot be said now; asked again. See [`Failure`].
    fn validate(
        &self,
        db: &Transaction<'_>,
        payload: Self::Payload,
    ) -> Result<Vote<Self::Prepared>, Failure>;

    /// Makes the change. There is no way to say no any more.
    ///
    /// # Errors
    /// Where it cannot be made now; asked again, for ever. See [`Failure`].
    fn apply(&self, db: &Transaction<'_>, prepared: Self::Prepared) -> Result<(), Failure>;

    /// Lets go of what validate held. Does nothing, unless written otherwise.
    ///
    /// # Errors
    /// Where that cannot be done now; asked again, for ever. See [`Failure`].
    fn release(&self, db: &Transaction<'_>, prepared: Self::Prepared) -> Result<(), Failure> {
        let _ = (db, prepared);
        Ok(())
    }
}

/// The routes of a service that takes part: see [`http::router`](crate::http::router).
///
/// A coordinator that asks while too many calls wait is told to ask again a second later.
pub fn router<P: Participant>(participant: P, database: Database) -> axum::Router {
    crate::http::router(Service { participant: Arc::new(participant), database })
}

struct Service<P> {
    participant: Arc<P>,
    database: Database,
}

impl<P: Participant> Branches for Service<P> {
    async fn call(&self, call: Call) -> Answer {
        let participant = Arc::clone(&self.participant);
        let work = move |db: &Transaction<'_>, call: &Call| execute(&*participant, db, call, now());
        answer(&self.database, call, work).await
    }
}

/// Answers a call with what `work` comes to, once that is durable.
async fn answer<W>(database: &Database, call: Call, work: W) -> Answer
where
    // The clock is read when the work is done: an expiry passes while a call waits.
    W: FnOnce(&Transaction<'_>, &Call) -> Result<Answer, Failure> + Send + 'static,
{
    let key = call.idempotency_key();
    let work = move |db: &Transaction<'_>| trace::within(call.trace.clone(), || work(db, &call));
    match database.transaction(work).await {
        Ok(answer) => answer,
        Err(TransactionError::Busy) => Answer::pending(Some(Duration::from_secs(1))),
        Err(error) => {
            tracing::error!(call = key, %error, "the outcome of a call is unknown");
            Answer::unknown(error.to_string())
        }
    }
}

/// Does what the barrier's rules say, in the service's own database transaction.
fn execute<P: Participant>(
    participant: &P,
    db: &Transaction<'_>,
    call: &Call,
    now: Reading,
) -> Result<Answer, Failure> {
    let row = branch::find(db, call)?;
    let state = row.as_ref().map(|row| &row.state);
    match barrier::decide(state, call.operation, call.expires, now.wall()) {
        Step::Say(answer) => Ok(answer),
        Step::Record(state, answer) => {
            branch::insert(db, call, &state, None, now.steady)?;
            Ok(answer)
        }
        Step::Validate => validate(participant, db, call, now),
        Step::Apply => {
            participant.apply(db, branch::prepared(row)?)?;
            branch::end(db, call, &State::Committed, now.steady)?;
            Ok(Answer::Done)
        }
        Step::Release => {
            participant.release(db, branch::prepared(row)?)?;
            branch::end(db, call, &State::Aborted, now.steady)?;
            Ok(Answer::Done)
        }
    }
}

fn validate<P: Participant>(
    participant: &P,
    db: &Transaction<'_>,
    call: &Call,
    now: Reading,
) -> Result<Answer, Failure> {
    let is_yes = |vote: &Result<_, _>| matches!(vote, Ok(Vote::Yes(_)));
    let vote = savepoint(db, is_yes, || match call.payload.to::<P::Payload>() {
        Ok(payload) => participant.validate(db, payload),
        // The same payload will never do: a no, not something to ask again.
        Err(error) => Ok(Vote::No(format!("the payload is not what is expected: {error}"))),
    })??;
    let (state, answer) = barrier::voted(call.operation, &vote);
    let data = match vote {
        Vote::Yes(prepared) if call.operation == Operation::CommitOnePhase => {
            participant.apply(db, prepared)?;
            None
        }
        Vote::Yes(prepared) => Some(serde_json::to_string(&prepared)?),
        Vote::ReadOnly | Vote::No(_) => None,
    };
    branch::insert(db, call, &state, data.as_deref(), now.steady)?;
    Ok(answer)
}

/// Both clocks: a coordinator's expiry is compared with the wall clock, and a row's age is steady.
fn now() -> Reading {
    SteadyClock::of_process().read()
}
