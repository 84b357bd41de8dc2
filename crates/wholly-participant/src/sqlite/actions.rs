//! A service's part in sagas: its actions and their compensations.

use std::marker::PhantomData;

use rusqlite::Transaction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wholly_clock::Reading;
use wholly_core::wire::{Answer, Call};
use wholly_core::{OperationName, Payload};

use super::database::savepoint;
use super::{Database, answer, now, statements};
use crate::Failure;
use crate::barrier::saga::ActionOutcome;
use crate::http::{Branches, InvalidOperations};
use crate::local::{self, DeclaredOperation, Operations, Start};

/// The actions that a service offers to sagas, each with its compensation or without one.
///
/// Actions and compensations run in the service's own database transaction, and take effect at most
/// once for a step, whatever the coordinator repeats. They block, and only one runs at a time. Changes
/// outside the database are not protected.
///
/// ```
/// use rusqlite::Transaction;
/// use serde::{Deserialize, Serialize};
/// use wholly_participant::Failure;
/// use wholly_participant::barrier::saga::ActionOutcome;
/// use wholly_participant::sqlite::{Actions, Database};
///
/// #[derive(Deserialize)]
/// struct Trip {
///     passenger: String,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Booking {
///     seat: i64,
/// }
///
/// fn book_seat(db: &Transaction, trip: Trip) -> Result<ActionOutcome<Booking>, Failure> {
///     let sql = "UPDATE seat SET passenger = ?1 WHERE number =
///                    (SELECT min(number) FROM seat WHERE passenger IS NULL) RETURNING number";
///     let seat = db.prepare(sql)?.query([trip.passenger])?.next()?.map(|row| row.get(0)).transpose()?;
///     Ok(match seat {
///         Some(seat) => ActionOutcome::Done(Booking { seat }),
///         None => ActionOutcome::Refused("the train is full".to_owned()),
///     })
/// }
///
/// /// Takes the action's input and output.
/// fn free_seat(db: &Transaction, _: Trip, booked: Booking) -> Result<(), Failure> {
///     db.execute("UPDATE seat SET passenger = NULL WHERE number = ?1", [booked.seat])?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("train.db");
/// let database = Database::open(path)?;
/// let app: axum::Router = Actions::new()
///     .action("book-seat", book_seat)
///     .undo("free-seat", free_seat)
///     .router(database)?; // .merge(the service's own routes)
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
#[must_use = "it has no routes yet"]
pub struct Actions {
    operations: Operations<Code>,
}

/// An action whose compensation is yet to be declared.
#[must_use = "declare its compensation, or that it has none"]
pub struct Action<I, O> {
    actions: Actions,
    name: Option<OperationName>,
    types: PhantomData<fn(I) -> O>,
}

impl Actions {
    /// No actions yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers an action under this name. It takes the step's payload; a payload of another form is
    /// refused.
    ///
    /// Its writes are rolled back if it refuses, fails or panics. After a [`Failure`] or a panic the
    /// coordinator calls again. An output longer than [`Payload::LIMIT`] is a failure.
    pub fn action<I, O, F>(mut self, name: &str, run: F) -> Action<I, O>
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(&Transaction<'_>, I) -> Result<ActionOutcome<O>, Failure> + Send + Sync + 'static,
    {
        let run = move |db: &Transaction<'_>, payload: &Payload| match payload.to::<I>() {
            Ok(input) => local::encoded(run(db, input)?),
            // The same payload will never do: a no, not something to ask again.
            Err(error) => Ok(ActionOutcome::Refused(local::unreadable(&error))),
        };
        let name = self.operations.action(name, Code::Action(Box::new(run)));
        Action { actions: self, name, types: PhantomData }
    }

    /// The routes: see [`saga_router`](crate::http::saga_router).
    ///
    /// A call that comes while too many wait is answered with pending and a `Retry-After` of a second.
    ///
    /// # Errors
    /// When a name is invalid, is given twice, or belongs to two-phase.
    pub fn router(self, database: Database) -> Result<axum::Router, InvalidOperations> {
        self.operations.router(|operations| SagaService { operations, database })
    }
}

impl<I: DeserializeOwned + 'static, O: DeserializeOwned + 'static> Action<I, O> {
    /// Offers its compensation under this name. It takes the step's payload and the action's output, and
    /// runs only if the action was done here.
    ///
    /// It cannot refuse: after a [`Failure`] or a panic it is rolled back and called again, for ever. A
    /// new version of the service must still read the payloads and outputs of the old.
    pub fn undo<F>(self, name: &str, run: F) -> Actions
    where
        F: Fn(&Transaction<'_>, I, O) -> Result<(), Failure> + Send + Sync + 'static,
    {
        let run = move |db: &Transaction<'_>, payload: &Payload, output: &Payload| {
            let (input, output) = local::compensation_arguments(payload, output)?;
            run(db, input, output)
        };
        let mut actions = self.actions;
        let code = Code::Compensation(Box::new(run));
        actions.operations.compensation(self.name, name, code);
        actions
    }
}

impl<I, O> Action<I, O> {
    /// Declares that it has no compensation: it comes after the pivot, or its change may stay.
    pub fn without_undo(self) -> Actions {
        self.actions
    }
}

/// The service's code for an operation, its types forgotten.
enum Code {
    Action(Box<ActionCode>),
    Compensation(Box<CompensationCode>),
}

type ActionCode =
    dyn Fn(&Transaction<'_>, &Payload) -> Result<ActionOutcome<Payload>, Failure> + Send + Sync;
type CompensationCode =
    dyn Fn(&Transaction<'_>, &Payload, &Payload) -> Result<(), Failure> + Send + Sync;

struct SagaService {
    operations: Operations<Code>,
    database: Database,
}

impl Branches for SagaService {
    async fn call(&self, call: Call) -> Answer {
        let Some(operation) = self.operations.of(&call) else {
            return Answer::unknown("the service offers no such operation");
        };
        let work = move |db: &Transaction<'_>, call: &Call| execute(&operation, db, call, now());
        answer(&self.database, call, work).await
    }
}

/// The sequence of [`local`], blocking.
fn execute(
    operation: &DeclaredOperation<Code>,
    db: &Transaction<'_>,
    call: &Call,
    now: Reading,
) -> Result<Answer, Failure> {
    let row = statements::find(db, call)?;
    let (change, answer) = match &operation.code {
        Code::Action(run) => {
            let plan = match local::action(call, &operation.action, row, now.wall())? {
                Start::Attempt(()) => {
                    let outcome =
                        savepoint(db, ActionOutcome::is_done, || run(db, &call.payload))??;
                    local::acted(&operation.action, outcome)?
                }
                Start::Plan(plan) => plan,
            };
            (plan.change, plan.answer)
        }
        Code::Compensation(run) => {
            let plan = local::compensation(call, &operation.action, row)?;
            if let Some(output) = plan.effect {
                run(db, &call.payload, &output)?;
            }
            (plan.change, plan.answer)
        }
    };
    statements::change(db, call, change, now.steady)?;
    Ok(answer)
}

#[cfg(test)]
mod tests;
