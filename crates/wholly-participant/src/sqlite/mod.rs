//! Services that keep their data in SQLite.
//!
//! The service's business data and the barrier's rows are in one database file, and every call
//! changes both in one SQLite transaction: they are committed together or not at all.
//!
//! A service takes part in two-phase as a [`Participant`], and in sagas with its [`Actions`]. A service
//! with both merges the two routers over the same database.

mod actions;
mod database;
mod statements;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rusqlite::Transaction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wholly_clock::{Reading, SteadyClock};
use wholly_core::wire::{Answer, Call};

pub use crate::local::{TransactionError, trace};
pub use actions::{Action, Actions};
pub use database::{Database, OpenError, WriteCounts};
pub use statements::in_doubt;

use crate::Failure;
use crate::barrier::Vote;
use crate::http::Branches;
use crate::local::{self, Effect, Start};
use database::savepoint;

/// A service's business in a two-phase transaction.
///
/// Each method runs in the service's own database transaction, and takes effect at most once for a
/// branch, whatever the coordinator repeats. The methods block, and only one runs at a time. Changes
/// outside the database are not protected. Several calls share a commit: a deferred constraint that is
/// violated fails them all, so use immediate ones.
///
/// There is an example at the [crate's root](crate).
pub trait Participant: Send + Sync + 'static {
    /// The payload that the client gives for this participant, as JSON. A payload of another form is
    /// refused.
    type Payload: DeserializeOwned;

    /// The data that validate leaves for apply or release, durable as JSON. A new version of the service
    /// must still read the data of the old one.
    type Prepared: Serialize + DeserializeOwned;

    /// Votes on the change. After a yes it must remain possible until [`apply`](Self::apply) or
    /// [`release`](Self::release): hold what the change needs, so that no other transaction takes it.
    /// With another vote, the writes are rolled back.
    ///
    /// # Errors
    /// When there is no vote now; the coordinator calls again. See [`Failure`].
    fn validate(
        &self,
        db: &Transaction<'_>,
        payload: Self::Payload,
    ) -> Result<Vote<Self::Prepared>, Failure>;

    /// Makes the change. It is too late to refuse.
    ///
    /// # Errors
    /// When it cannot be made now; the coordinator calls again, for ever. See [`Failure`].
    fn apply(&self, db: &Transaction<'_>, prepared: Self::Prepared) -> Result<(), Failure>;

    /// Releases what validate held. The default does nothing.
    ///
    /// # Errors
    /// When that cannot be done now; the coordinator calls again, for ever. See [`Failure`].
    fn release(&self, db: &Transaction<'_>, prepared: Self::Prepared) -> Result<(), Failure> {
        let _ = (db, prepared);
        Ok(())
    }
}

/// The routes of a participant: see [`http::router`](crate::http::router).
///
/// A call that comes while too many wait is answered with pending and a `Retry-After` of a second.
pub fn router<P: Participant>(participant: P, database: Database) -> axum::Router {
    crate::http::router(TwoPhaseService { participant: Arc::new(participant), database })
}

struct TwoPhaseService<P> {
    participant: Arc<P>,
    database: Database,
}

impl<P: Participant> Branches for TwoPhaseService<P> {
    async fn call(&self, call: Call) -> Answer {
        let participant = Arc::clone(&self.participant);
        let work = move |db: &Transaction<'_>, call: &Call| execute(&*participant, db, call, now());
        answer(&self.database, call, work).await
    }
}

/// Answers a call with the result of `work`, once that is durable.
async fn answer<W>(database: &Database, call: Call, work: W) -> Answer
where
    // The clock is read when the work begins: a call may expire while it waits.
    W: FnOnce(&Transaction<'_>, &Call) -> Result<Answer, Failure> + Send + 'static,
{
    let key = call.idempotency_key();
    let work =
        move |db: &Transaction<'_>| local::with_trace(call.trace.clone(), || work(db, &call));
    local::answer(&key, database.transaction(work).await)
}

/// The sequence of [`local`], blocking.
fn execute<P: Participant>(
    participant: &P,
    db: &Transaction<'_>,
    call: &Call,
    now: Reading,
) -> Result<Answer, Failure> {
    let row = statements::find(db, call)?;
    let plan = match local::two_phase(call, row, now.wall())? {
        Start::Attempt(payload) => {
            let vote = savepoint(db, Vote::is_yes, || participant.validate(db, payload))??;
            local::voted(call, vote)?
        }
        Start::Plan(plan) => plan,
    };
    match plan.effect {
        Some(Effect::Apply(prepared)) => participant.apply(db, prepared)?,
        Some(Effect::Release(prepared)) => participant.release(db, prepared)?,
        None => {}
    }
    statements::change(db, call, plan.change, now.steady)?;
    Ok(plan.answer)
}

/// Both clocks: a coordinator's expiry is compared with the wall clock, and a row's age is steady.
fn now() -> Reading {
    SteadyClock::of_process().read()
}
