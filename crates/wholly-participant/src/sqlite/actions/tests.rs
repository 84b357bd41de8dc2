//! Any deliveries of actions and compensations, in any order: the properties that hold all the
//! same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};
use wholly_clock::Reading;
use wholly_core::wire::{Answer, Call, Operation, compensation_payload};
use wholly_core::{BranchName, LogId, OperationName, Payload, Timestamp, TransactionId};

use super::super::database::savepoint;
use super::super::statements;
use super::{Actions, execute};
use crate::Failure;
use crate::barrier::saga::ActionOutcome;
use crate::local::Expired;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const AT: Reading = Reading { steady: NOW, wall_ahead_millis: 0 };

/// The payload of a step: the line to book, and a refusal if there is one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Booking {
    line: u8,
    refuse: bool,
}

/// Each action that runs gives another number, so that a repeated answer can be told from a new
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Booked {
    number: u32,
}

#[derive(Clone, Debug)]
struct Delivery {
    line: u8,
    operation: Operation,
    expired: bool,
    /// A compensation comes with an output, which the coordinator may even have made up.
    known: bool,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// The service's code fails, after it has written.
    Fails,
    /// The service is killed before it commits.
    Crashes,
}

fn delivery() -> impl Strategy<Value = Delivery> {
    use Fate::{Answered, Crashes, Fails};
    let operation = prop::sample::select(vec![Operation::Action, Operation::Compensation]);
    let fate = prop::sample::select(vec![Answered, Answered, Answered, Fails, Crashes]);
    (0u8..4, operation, prop::bool::weighted(0.2), any::<bool>(), fate).prop_map(
        |(line, operation, expired, known, fate)| Delivery {
            line,
            operation,
            expired,
            known,
            fate,
        },
    )
}

/// A service in memory, and its answers so far.
struct TestService {
    connection: Connection,
    actions: Actions,
    fails: Arc<AtomicBool>,
    said: HashMap<(u8, Operation), Vec<Answer>>,
}

impl TestService {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(statements::SCHEMA).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE booked (line, number);
                 CREATE TABLE unbooked (line, number);",
            )
            .unwrap();
        let (actions, fails) = bookkeeper();
        Self { connection, actions, fails, said: HashMap::new() }
    }

    fn deliver(&mut self, delivery: &Delivery, refusing: &[bool]) -> Option<Answer> {
        let Delivery { line, operation, expired, known, fate } = *delivery;
        let input = Payload::of(&Booking { line, refuse: refusing[usize::from(line)] }).unwrap();
        let (name, payload) = match operation {
            Operation::Action => ("book", input),
            _ => {
                let output = Payload::of(&Booked { number: 1_000_000 }).unwrap();
                let payload = compensation_payload(&input, known.then_some(&output));
                ("unbook", payload)
            }
        };
        self.fails.store(fate == Fate::Fails, Ordering::Relaxed);
        let call = call(line, operation, name, expired.then_some(NOW), payload);
        let operation = self.actions.operations.of(&call).unwrap();
        let db = self.connection.transaction().unwrap();
        let work = || execute(&operation, &db, &call, AT);
        let answer = savepoint(&db, |_| true, work).unwrap();
        if fate == Fate::Crashes {
            return None;
        }
        db.commit().unwrap();
        let answer = answer.ok()?;
        self.said.entry((line, call.operation)).or_default().push(answer.clone());
        Some(answer)
    }

    /// The answers that are not unknown, repetitions left out.
    fn said(&self, line: u8, operation: Operation) -> Vec<&Answer> {
        let said = self.said.get(&(line, operation)).map_or(&[][..], Vec::as_slice);
        let mut said: Vec<_> =
            said.iter().filter(|said| !matches!(said, Answer::Unknown { .. })).collect();
        said.dedup();
        said
    }

    fn numbers(&self, table: &str, line: u8) -> Vec<u32> {
        let sql = format!("SELECT number FROM {table} WHERE line = ?1");
        let mut found = self.connection.prepare(&sql).unwrap();
        found.query_map([line], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// The row's state; `pending` without one.
    fn state(&self, line: u8) -> String {
        let sql = "SELECT state FROM wholly_branch WHERE branch = ?1";
        let state = self.connection.query_row(sql, [format!("line-{line}")], |row| row.get(0));
        state.unwrap_or_else(|_| "pending".to_owned())
    }
}

/// Books and unbooks, and fails after that if told so.
fn bookkeeper() -> (Actions, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let (action_fails, undo_fails) = (Arc::clone(&fails), Arc::clone(&fails));
    let number = AtomicU32::new(0);
    let book = move |db: &Transaction<'_>, asked: Booking| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        db.execute("INSERT INTO booked VALUES (?1, ?2)", (asked.line, number))?;
        match (action_fails.load(Ordering::Relaxed), asked.refuse) {
            (true, _) => Err("the network is down".into()),
            (false, true) => Ok(ActionOutcome::Refused(format!("not today, {number}"))),
            (false, false) => Ok(ActionOutcome::Done(Booked { number })),
        }
    };
    let unbook =
        move |db: &Transaction<'_>, asked: Booking, booked: Booked| -> Result<(), Failure> {
            db.execute("INSERT INTO unbooked VALUES (?1, ?2)", (asked.line, booked.number))?;
            if undo_fails.load(Ordering::Relaxed) { Err("it is down again".into()) } else { Ok(()) }
        };
    (Actions::new().action("book", book).undo("unbook", unbook), fails)
}

fn call(
    line: u8,
    operation: Operation,
    name: &str,
    expires: Option<Timestamp>,
    payload: Payload,
) -> Call {
    let id = TransactionId::mint(0, NOW, 7, LogId::from_bits(7));
    let branch = BranchName::new(format!("line-{line}")).unwrap();
    let operation_name = Some(OperationName::new(name).unwrap());
    Call { operation_name, expires, ..Call::new(id, branch, operation, payload) }
}

proptest! {
    #[test]
    fn no_order_of_deliveries_breaks_a_promise(
        deliveries in prop::collection::vec(delivery(), 1..40),
        refusing in prop::collection::vec(prop::bool::weighted(0.3), 4),
    ) {
        let mut service = TestService::new();
        for delivery in &deliveries {
            let before = service.state(delivery.line);
            let answer = service.deliver(delivery, &refusing);
            check(&service, delivery.line)?;
            let lost = delivery.known && before == "pending"
                && delivery.operation == Operation::Compensation;
            if lost {
                prop_assert_eq!(&service.state(delivery.line), "pending");
                let unknown = matches!(answer, None | Some(Answer::Unknown { .. }));
                prop_assert!(unknown, "{:?}", answer);
            }
        }
    }
}

fn check(service: &TestService, line: u8) -> Result<(), TestCaseError> {
    let acted = service.said(line, Operation::Action);
    let compensated = service.said(line, Operation::Compensation);
    let booked = service.numbers("booked", line);
    let unbooked = service.numbers("unbooked", line);
    let state = service.state(line);

    // At most once, and exactly once where it was said to be done, with the first one's output.
    let outputs: Vec<_> = booked
        .iter()
        .map(|&number| Answer::DoneWith { output: Payload::of(&Booked { number }).unwrap() })
        .collect();
    prop_assert!(booked.len() <= 1, "booked {:?}", booked);
    let done = acted.first().filter(|said| !matches!(said, Answer::Refused { .. }));
    prop_assert_eq!(done.map(|said| vec![(*said).clone()]).unwrap_or_default(), outputs);

    // Taken back exactly when that was acknowledged, and nothing else is ever taken back.
    let to_undo = if compensated.is_empty() { vec![] } else { booked };
    prop_assert_eq!(unbooked, to_undo, "{}", state);
    prop_assert!(compensated.iter().all(|said| **said == Answer::Done));

    // The first answer is repeated, but for the action that comes after its compensation.
    match state.as_str() {
        "compensated" => prop_assert!(acted.len() <= 2, "{:?}", acted),
        _ => prop_assert!(acted.len() <= 1, "{}: {:?}", state, acted),
    }
    let refused = |said: &&Answer| matches!(said, Answer::Refused { .. });
    prop_assert!(acted.iter().skip(1).all(refused), "{:?}", acted);
    Ok(())
}

fn deliver(line: u8, operation: Operation) -> Delivery {
    Delivery { line, operation, expired: false, known: false, fate: Fate::Answered }
}

#[test]
fn a_done_step_that_was_purged_is_not_called_compensated() {
    use std::time::Duration;
    let mut service = TestService::new();
    service.deliver(&deliver(0, Operation::Action), &[false; 4]);
    let db = service.connection.transaction().unwrap();
    let later = NOW + Duration::from_millis(1);
    assert_eq!(statements::delete(&db, &Expired::before(later, 10)).unwrap(), 1);
    db.commit().unwrap();
    let known = Delivery { known: true, ..deliver(0, Operation::Compensation) };
    let answer = service.deliver(&known, &[false; 4]);
    assert!(matches!(answer, Some(Answer::Unknown { .. })), "{answer:?}");
    assert_eq!(service.numbers("booked", 0), [0]);
    assert_eq!(service.state(0), "pending");
}

#[test]
fn an_output_that_cannot_be_read_back_is_unknown_and_stays_done() {
    let mut service = TestService::new();
    service.deliver(&deliver(0, Operation::Action), &[false; 4]);
    let other = r#"{"action":"book","output":"what a newer version gave"}"#;
    service.connection.execute("UPDATE wholly_branch SET data = ?1", [other]).unwrap();
    assert_eq!(service.deliver(&deliver(0, Operation::Compensation), &[false; 4]), None);
    assert_eq!(service.state(0), "done");
    assert!(service.numbers("unbooked", 0).is_empty());
}
