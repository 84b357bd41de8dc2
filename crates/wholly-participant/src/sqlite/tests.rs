//! Any calls, in any order, repeated at will: the properties that hold all the same.

use std::collections::HashMap;

use proptest::prelude::*;
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};
use wholly_clock::Reading;
use wholly_core::wire::{Answer, Call, Operation};
use wholly_core::{BranchName, LogId, Payload, Timestamp, TransactionId};

use super::database::savepoint;
use super::{Participant, execute, statements};
use crate::Failure;
use crate::barrier::Vote;
use crate::local::Expired;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const AT: Reading = Reading { steady: NOW, wall_ahead_millis: 0 };

/// Writes its holds and its changes to the table `book`, and fails after that if told so.
struct Bookkeeper {
    fails: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Booking {
    line: u8,
    vote: char,
}

impl Bookkeeper {
    fn book(&self, db: &Transaction<'_>, line: u8, held: i8, made: i8) -> Result<(), Failure> {
        let sql = "UPDATE book SET held = held + ?2, made = made + ?3 WHERE line = ?1";
        assert_eq!(db.execute(sql, (line, held, made))?, 1);
        if self.fails { Err("the network is down".into()) } else { Ok(()) }
    }
}

impl Participant for Bookkeeper {
    type Payload = Booking;
    type Prepared = u8;

    fn validate(&self, db: &Transaction<'_>, asked: Booking) -> Result<Vote<u8>, Failure> {
        self.book(db, asked.line, 1, 0)?;
        Ok(match asked.vote {
            'y' => Vote::Yes(asked.line),
            'r' => Vote::ReadOnly,
            _ => Vote::No("not today".into()),
        })
    }

    fn apply(&self, db: &Transaction<'_>, line: u8) -> Result<(), Failure> {
        self.book(db, line, -1, 1)
    }

    fn release(&self, db: &Transaction<'_>, line: u8) -> Result<(), Failure> {
        self.book(db, line, -1, 0)
    }
}

#[derive(Clone, Debug)]
struct Attempt {
    line: u8,
    operation: Operation,
    expired: bool,
    fails: bool,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    use Operation::{Abort, Commit, CommitOnePhase, Prepare};
    let operation = prop::sample::select(vec![Prepare, Prepare, Commit, Abort, CommitOnePhase]);
    (0u8..4, operation, prop::bool::weighted(0.2), prop::bool::weighted(0.2))
        .prop_map(|(line, operation, expired, fails)| Attempt { line, operation, expired, fails })
}

/// A service in memory, and its answers so far.
struct TestService {
    connection: Connection,
    said: HashMap<(u8, Operation), Vec<Answer>>,
}

impl TestService {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(statements::SCHEMA).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE book (line, held, made);
                 INSERT INTO book VALUES (0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)",
            )
            .unwrap();
        Self { connection, said: HashMap::new() }
    }

    fn ask(&mut self, attempt: &Attempt, votes: &[char]) {
        let Attempt { line, operation, expired, fails } = *attempt;
        let asked = Booking { line, vote: votes[usize::from(line)] };
        let call = call(line, operation, expired.then_some(NOW), Payload::of(&asked).unwrap());
        let db = self.connection.transaction().unwrap();
        let work = || execute(&Bookkeeper { fails }, &db, &call, AT);
        let answer = savepoint(&db, |_| true, work).unwrap();
        db.commit().unwrap();
        if let Ok(answer) = answer {
            self.said.entry((line, operation)).or_default().push(answer);
        }
    }

    fn said(&self, line: u8, operation: Operation) -> &[Answer] {
        self.said.get(&(line, operation)).map_or(&[], Vec::as_slice)
    }

    fn book(&self, line: u8) -> (i8, i8) {
        let sql = "SELECT held, made FROM book WHERE line = ?1";
        self.connection.query_row(sql, [line], |r| Ok((r.get(0)?, r.get(1)?))).unwrap()
    }

    /// The row's state; `working` without one.
    fn state(&self, line: u8) -> String {
        self.connection
            .query_row(
                "SELECT state FROM wholly_branch WHERE branch = ?1",
                [name(line).as_str()],
                |r| r.get(0),
            )
            .unwrap_or_else(|_| "working".to_owned())
    }
}

fn name(line: u8) -> BranchName {
    BranchName::new(format!("line-{line}")).unwrap()
}

fn call(line: u8, operation: Operation, expires: Option<Timestamp>, payload: Payload) -> Call {
    let transaction = TransactionId::mint(0, NOW, 7, LogId::from_bits(7));
    Call { expires, ..Call::new(transaction, name(line), operation, payload) }
}

proptest! {
    #[test]
    fn no_order_of_calls_breaks_a_promise(
        attempts in prop::collection::vec(attempt(), 1..40),
        votes in prop::collection::vec(prop::sample::select(vec!['y', 'y', 'y', 'r', 'n']), 4),
    ) {
        let mut service = TestService::new();
        for attempt in &attempts {
            service.ask(attempt, &votes);
            for line in 0..4 {
                check(&service, line)?;
            }
        }
    }
}

fn check(service: &TestService, line: u8) -> Result<(), TestCaseError> {
    let done = |operation| service.said(line, operation).contains(&Answer::Done);
    let (held, made) = service.book(line);
    let state = service.state(line);
    let read_only = state == "read-only";

    // Never both: whoever was told done of one is never told done of the other.
    let committed = done(Operation::Commit) || done(Operation::CommitOnePhase);
    prop_assert!(read_only || !(committed && done(Operation::Abort)), "committed and aborted");
    // At most once, and exactly once where it was said to be done.
    prop_assert_eq!(made, i8::from(committed && !read_only), "made {} times", made);
    // Held while in doubt, and only then.
    prop_assert_eq!(held, i8::from(state == "prepared"), "{} holds {}", state, held);

    use Operation::{Abort, Commit, CommitOnePhase, Prepare};
    for operation in [Prepare, Commit, Abort, CommitOnePhase] {
        // Unknown is no answer; every other is repeated, but for a prepare after the abort.
        let mut answers: Vec<_> = service
            .said(line, operation)
            .iter()
            .filter(|answer| !matches!(answer, Answer::Unknown { .. }))
            .collect();
        answers.dedup();
        match (operation, state.as_str()) {
            (Prepare, "aborted") => prop_assert!(answers.len() <= 2),
            _ => prop_assert!(answers.len() <= 1, "{operation} answered {answers:?}"),
        }
    }
    Ok(())
}

#[test]
fn a_payload_of_another_form_is_refused_and_stays_so() {
    let mut connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(statements::SCHEMA).unwrap();
    let db = connection.transaction().unwrap();
    let wrong = call(0, Operation::Prepare, None, Payload::of(&["what"]).unwrap());
    let first = execute(&Bookkeeper { fails: false }, &db, &wrong, AT).unwrap();
    assert!(matches!(&first, Answer::Refused { reason } if reason.contains("payload")));
    let right = Payload::of(&Booking { line: 0, vote: 'y' }).unwrap();
    let again = call(0, Operation::Prepare, None, right);
    assert_eq!(execute(&Bookkeeper { fails: false }, &db, &again, AT).unwrap(), first);
}

#[test]
fn prepared_data_that_cannot_be_read_is_unknown_and_stays_prepared() {
    let mut service = TestService::new();
    let prepare = Attempt { line: 0, operation: Operation::Prepare, expired: false, fails: false };
    service.ask(&prepare, &['y'; 4]);
    service.connection.execute("UPDATE wholly_branch SET data = '{'", []).unwrap();
    for operation in [Operation::Commit, Operation::Abort] {
        service.ask(&Attempt { operation, ..prepare.clone() }, &['y'; 4]);
        assert!(service.said(0, operation).is_empty());
        assert_eq!(service.state(0), "prepared");
    }
}

#[test]
fn a_purge_deletes_old_ended_branches_and_no_prepared_one() {
    use std::time::Duration;
    let mut service = TestService::new();
    let ask = |line, operation| Attempt { line, operation, expired: false, fails: false };
    service.ask(&ask(0, Operation::Prepare), &['y'; 4]);
    service.ask(&ask(1, Operation::Abort), &['y'; 4]);
    let mut purge = |before| {
        let db = service.connection.transaction().unwrap();
        let purged = statements::delete(&db, &Expired::before(before, 10)).unwrap();
        db.commit().unwrap();
        purged
    };
    assert_eq!(purge(NOW), 0, "it is not older than that");
    assert_eq!(purge(NOW + Duration::from_millis(1)), 1);
    assert_eq!(service.state(0), "prepared");
    assert_eq!(service.state(1), "working");
}
