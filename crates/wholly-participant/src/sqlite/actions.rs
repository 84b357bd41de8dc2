//! A service's part in sagas: its actions, and what takes each of them back.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use rusqlite::Transaction;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use wholly_clock::Reading;
use wholly_core::wire::{Answer, Call, CompensationPayload};
use wholly_core::{OperationName, Payload};

use super::database::savepoint;
use super::{Database, answer, branch, now};
use crate::Failure;
use crate::barrier::State;
use crate::barrier::saga::{self, Next, Outcome};
use crate::http::{Branches, InvalidOperations, saga_router};

/// The actions that a service offers to sagas, each with its compensation or without one.
///
/// Actions and compensations run in the service's own database transaction, at most once with
/// effect for a step, whatever the coordinator repeats: the barrier sees to that. They block, and
/// only one runs at a time; what else they change outside the database is not protected.
///
/// ```
/// use rusqlite::Transaction;
/// use serde::{Deserialize, Serialize};
/// use wholly_participant::Failure;
/// use wholly_participant::barrier::saga::Outcome;
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
/// fn book_seat(db: &Transaction, trip: Trip) -> Result<Outcome<Booking>, Failure> {
///     let sql = "UPDATE seat SET passenger = ?1 WHERE number =
///                    (SELECT min(number) FROM seat WHERE passenger IS NULL) RETURNING number";
///     let seat = db.prepare(sql)?.query([trip.passenger])?.next()?.map(|row| row.get(0)).transpose()?;
///     Ok(match seat {
///         Some(seat) => Outcome::Done(Booking { seat }),
///         None => Outcome::Refused("the train is full".to_owned()),
///     })
/// }
///
/// /// Is given what the action was given, and what it gave.
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
    actions: Vec<OperationName>,
    compensations: Vec<OperationName>,
    handlers: HashMap<OperationName, Arc<Handler>>,
    /// The first name that is none.
    problem: Option<InvalidOperations>,
}

/// An action of which it remains to be said what takes it back.
#[must_use = "say what takes it back, or that nothing has to"]
pub struct Action<I, O> {
    actions: Actions,
    name: Option<OperationName>,
    types: PhantomData<fn(I) -> O>,
}

impl Actions {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers an action under this name. It is given the step's payload; one that does not have
    /// this form is refused.
    ///
    /// What it writes is rolled back where it refuses, fails or panics. After a [`Failure`] or a
    /// panic the coordinator asks again. An output may be as long as [`Payload::LIMIT`]; a longer
    /// one is a failure.
    pub fn action<I, O, F>(mut self, name: &str, run: F) -> Action<I, O>
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(&Transaction<'_>, I) -> Result<Outcome<O>, Failure> + Send + Sync + 'static,
    {
        let run = move |db: &Transaction<'_>, payload: &Payload| match payload.to::<I>() {
            Ok(input) => Ok(match run(db, input)? {
                Outcome::Done(output) => Outcome::Done(Payload::of(&output)?),
                Outcome::Refused(reason) => Outcome::Refused(reason),
            }),
            // The same payload will never do: a no, not something to ask again.
            Err(error) => {
                Ok(Outcome::Refused(format!("the payload is not what is expected: {error}")))
            }
        };
        let name = self.name(name);
        if let Some(name) = name.clone() {
            let handler = Handler { action: name.clone(), run: Run::Action(Box::new(run)) };
            self.handlers.insert(name.clone(), Arc::new(handler));
            self.actions.push(name);
        }
        Action { actions: self, name, types: PhantomData }
    }

    /// The routes: see [`saga_router`].
    ///
    /// A coordinator that asks while too many calls wait is told to ask again a second later.
    ///
    /// # Errors
    /// Where a name is none, or is given twice, or belongs to two-phase.
    pub fn router(self, database: Database) -> Result<axum::Router, InvalidOperations> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let service = Service { handlers: self.handlers, database };
        saga_router(service, self.actions, self.compensations)
    }

    fn name(&mut self, text: &str) -> Option<OperationName> {
        let name = OperationName::new(text);
        let invalid = |why| InvalidOperations::Name { text: text.to_owned(), why };
        name.map_err(|why| _ = self.problem.get_or_insert_with(|| invalid(why))).ok()
    }
}

impl<I: DeserializeOwned + 'static, O: DeserializeOwned + 'static> Action<I, O> {
    /// Offers its compensation under this name. It is given the step's payload, and what the action
    /// gave here. It is called only where the action was done: where that never happened there is
    /// nothing to undo, and where it is not known to the coordinator, the barrier knows.
    ///
    /// There is no way to say no: after a [`Failure`] or a panic it is rolled back and asked again,
    /// for ever. A new version of the service must still read the payloads and outputs of the old.
    pub fn undo<F>(self, name: &str, run: F) -> Actions
    where
        F: Fn(&Transaction<'_>, I, O) -> Result<(), Failure> + Send + Sync + 'static,
    {
        let run = move |db: &Transaction<'_>, payload: &Payload, output: &Payload| {
            let asked: CompensationPayload<I, IgnoredAny> =
                payload.to().map_err(|e| format!("the step's input cannot be read: {e}"))?;
            let output =
                output.to().map_err(|e| format!("what the action gave cannot be read: {e}"))?;
            run(db, asked.input, output)
        };
        let mut actions = self.actions;
        if let (Some(action), Some(name)) = (self.name, actions.name(name)) {
            let handler = Handler { action, run: Run::Undo(Box::new(run)) };
            actions.handlers.insert(name.clone(), Arc::new(handler));
            actions.compensations.push(name);
        }
        actions
    }
}

impl<I, O> Action<I, O> {
    /// It needs no compensation: it comes after the pivot, or what it did may stay.
    pub fn without_undo(self) -> Actions {
        self.actions
    }
}

/// A declared operation.
struct Handler {
    /// The action that it is, or that it undoes.
    action: OperationName,
    run: Run,
}

/// The service's code, its types forgotten.
enum Run {
    Action(Box<RunAction>),
    Undo(Box<RunUndo>),
}

type RunAction =
    dyn Fn(&Transaction<'_>, &Payload) -> Result<Outcome<Payload>, Failure> + Send + Sync;
type RunUndo = dyn Fn(&Transaction<'_>, &Payload, &Payload) -> Result<(), Failure> + Send + Sync;

struct Service {
    handlers: HashMap<OperationName, Arc<Handler>>,
    database: Database,
}

impl Branches for Service {
    async fn call(&self, call: Call) -> Answer {
        let Some(handler) = self.handlers.get(call.operation_name()).map(Arc::clone) else {
            return Answer::unknown("the service offers no such operation");
        };
        let work = move |db: &Transaction<'_>, call: &Call| execute(&handler, db, call, now());
        answer(&self.database, call, work).await
    }
}

/// Does what the barrier's rules say, in the service's own database transaction.
fn execute(
    handler: &Handler,
    db: &Transaction<'_>,
    call: &Call,
    now: Reading,
) -> Result<Answer, Failure> {
    let Handler { action, run } = handler;
    let found = branch::find(db, call)?.map(|row| row.state);
    let found = found.as_ref();
    match run {
        Run::Action(run) => match saga::action(found, action, call.expires, now.wall()) {
            Next::Say(answer) => Ok(answer),
            Next::Record(state, answer) => record(db, call, &state, answer, now),
            Next::Run(()) => {
                let is_done = |said: &Result<_, _>| matches!(said, Ok(Outcome::Done(_)));
                let outcome = savepoint(db, is_done, || run(db, &call.payload))??;
                let (state, answer) = saga::acted(action, outcome);
                record(db, call, &state, answer, now)
            }
        },
        Run::Undo(run) => match saga::compensation(found, action, known_done(call)?) {
            Next::Say(answer) => Ok(answer),
            Next::Record(state, answer) => record(db, call, &state, answer, now),
            Next::Run(output) => {
                run(db, &call.payload, &output)?;
                branch::end(db, call, &State::Compensated, now.steady)?;
                Ok(Answer::Done)
            }
        },
    }
}

fn record(
    db: &Transaction<'_>,
    call: &Call,
    state: &State,
    answer: Answer,
    now: Reading,
) -> Result<Answer, Failure> {
    branch::insert(db, call, state, None, now.steady)?;
    Ok(answer)
}

fn known_done(call: &Call) -> Result<bool, Failure> {
    let parts: CompensationPayload<IgnoredAny, IgnoredAny> = call.payload.to()?;
    Ok(parts.output.is_some())
}

#[cfg(test)]
mod tests;
