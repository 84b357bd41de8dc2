//! A service's actions and compensations as a coordinator meets them: through its routes, on a
//! file.

#![allow(
    clippy::unwrap_used,
    reason = "a test may fail by panicking; clippy only sees its helpers"
)]

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use rusqlite::Transaction;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use wholly_core::wire::{Answer, HttpAnswer, Operation};
use wholly_core::{Payload, TransactionId};
use wholly_participant::Failure;
use wholly_participant::barrier::Vote;
use wholly_participant::barrier::saga::ActionOutcome;
use wholly_participant::http::InvalidOperations;
use wholly_participant::sqlite::{Actions, Database, Participant, router};

use Operation::{Action, Commit, Compensation, Prepare};

/// Writes its payloads down. What it writes first is seen only if the rest goes well.
fn take(db: &Transaction<'_>, note: String) -> Result<ActionOutcome<String>, Failure> {
    db.execute("INSERT INTO note VALUES (?1)", [&note])?;
    match note.as_str() {
        "no" => Ok(ActionOutcome::Refused("not today".into())),
        "fail" => Err("the network is down".into()),
        "panic" => panic!("a mistake in the service's code"),
        "long" => Ok(ActionOutcome::Done("x".repeat(Payload::LIMIT))),
        _ => Ok(ActionOutcome::Done(format!("{note} taken"))),
    }
}

fn drop_it(db: &Transaction<'_>, note: String, taken: String) -> Result<(), Failure> {
    assert_eq!(taken, format!("{note} taken"));
    db.execute("DELETE FROM note WHERE text = ?1", [note])?;
    Ok(())
}

fn ring(_: &Transaction<'_>, _: Value) -> Result<ActionOutcome<()>, Failure> {
    Ok(ActionOutcome::Done(()))
}

/// The same by two-phase.
struct Notes;

impl Participant for Notes {
    type Payload = String;
    type Prepared = String;

    fn validate(&self, _: &Transaction<'_>, note: String) -> Result<Vote<String>, Failure> {
        Ok(Vote::Yes(note))
    }

    fn apply(&self, db: &Transaction<'_>, note: String) -> Result<(), Failure> {
        db.execute("INSERT INTO note VALUES (?1)", [note])?;
        Ok(())
    }
}

struct Service {
    routes: Router,
    database: Database,
}

impl Service {
    async fn new() -> (Self, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (Self::at(&directory.path().join("notes.db")).await, directory)
    }

    async fn at(path: &Path) -> Self {
        let database = Database::open(path).unwrap();
        let create =
            |db: &Transaction<'_>| Ok(db.execute_batch("CREATE TABLE IF NOT EXISTS note (text)")?);
        database.transaction(create).await.unwrap();
        let actions = Actions::new()
            .action("take", take)
            .undo("drop", drop_it)
            .action("ring", ring)
            .without_undo()
            .router(database.clone())
            .unwrap();
        Self { routes: router(Notes, database.clone()).merge(actions), database }
    }

    async fn ask(&self, step: &str, operation: Operation, name: &str, body: Value) -> Answer {
        let (status, meaning) = self.send(step, operation, name, name, body.to_string()).await;
        assert_ne!(status, 404, "{name} is not offered");
        meaning
    }

    async fn send(
        &self,
        step: &str,
        operation: Operation,
        path: &str,
        name: &str,
        body: String,
    ) -> (u16, Answer) {
        let id = format!("{:032x}-0000000000000001", 1).parse::<TransactionId>().unwrap();
        let request = Request::post(format!("/{path}"))
            .header("wholly-transaction", id.to_string())
            .header("wholly-branch", step)
            .header("wholly-operation", name)
            .body(Body::from(body))
            .unwrap();
        let (head, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 100_000).await.unwrap();
        let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap());
        let seen = HttpAnswer {
            status: head.status.as_u16(),
            answer: header("wholly-answer"),
            retry_after: None,
            body: &body,
            cut_off: false,
            json: header("content-type") == Some("application/json"),
        };
        (seen.status, seen.meaning(operation, &[]))
    }

    async fn notes(&self) -> Vec<String> {
        let read = |db: &Transaction<'_>| {
            let mut notes = db.prepare("SELECT text FROM note ORDER BY text")?;
            let notes = notes.query_map([], |row| row.get(0))?;
            Ok(notes.collect::<rusqlite::Result<Vec<String>>>()?)
        };
        self.database.transaction(read).await.unwrap()
    }
}

fn gave(output: &str) -> Answer {
    Answer::DoneWith { output: Payload::of(output).unwrap() }
}

fn is_unknown(answer: &Answer, why: &str) -> bool {
    matches!(answer, Answer::Unknown { reason, .. } if reason.contains(why))
}

#[tokio::test]
async fn an_action_is_done_once_and_taken_back_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.db");
    let service = Service::at(&path).await;
    for _ in 0..2 {
        assert_eq!(service.ask("one", Action, "take", json!("milk")).await, gave("milk taken"));
        assert_eq!(service.ask("two", Action, "take", json!("tea")).await, gave("tea taken"));
    }
    assert_eq!(service.notes().await, ["milk", "tea"]);
    // Another process with the same file: it is all in there.
    drop(service);
    let service = Service::at(&path).await;
    assert_eq!(service.ask("one", Action, "take", json!("milk")).await, gave("milk taken"));
    // What the wire says of the output does not count.
    let bodies = [json!({ "input": "milk" }), json!({ "input": "milk", "output": "a lie" })];
    for body in bodies {
        assert_eq!(service.ask("one", Compensation, "drop", body).await, Answer::Done);
        assert_eq!(service.notes().await, ["tea"]);
    }
    let late = service.ask("one", Action, "take", json!("milk")).await;
    assert_eq!(late, Answer::refused("this step was compensated before"));
    assert_eq!(service.notes().await, ["tea"]);
}

#[tokio::test]
async fn a_compensation_that_comes_first_does_nothing_and_its_action_is_refused() {
    let (service, _directory) = Service::new().await;
    for _ in 0..2 {
        // Its handler is not called: it could not even read this.
        let body = json!({ "input": 42 });
        assert_eq!(service.ask("one", Compensation, "drop", body).await, Answer::Done);
        let late = service.ask("one", Action, "take", json!("milk")).await;
        assert_eq!(late, Answer::refused("this step's compensation came before its action"));
    }
    let lost = json!({ "input": "tea", "output": null });
    let lost = service.ask("two", Compensation, "drop", lost).await;
    assert!(is_unknown(&lost, "not here"), "{lost:?}");
    assert_eq!(service.ask("two", Action, "take", json!("tea")).await, gave("tea taken"));
    assert_eq!(service.notes().await, ["tea"]);
}

#[tokio::test]
async fn only_the_writes_of_done_actions_stay() {
    let (service, _directory) = Service::new().await;
    let refused = Answer::refused("not today");
    assert_eq!(service.ask("no", Action, "take", json!("no")).await, refused);
    assert_eq!(service.ask("no", Action, "take", json!("milk")).await, refused, "it stays refused");
    let undo = json!({ "input": "no" });
    assert_eq!(service.ask("no", Compensation, "drop", undo).await, Answer::Done);
    assert_eq!(service.ask("no", Action, "take", json!("milk")).await, refused);

    let odd = service.ask("odd", Action, "take", json!(7)).await;
    assert!(matches!(&odd, Answer::Refused { reason } if reason.contains("payload")), "{odd:?}");
    assert_eq!(service.ask("odd", Action, "take", json!("milk")).await, odd);

    for (note, why) in [("fail", "network"), ("panic", "panicked"), ("long", "bytes long")] {
        let failed = service.ask(note, Action, "take", json!(note)).await;
        assert!(is_unknown(&failed, why), "{failed:?}");
        assert_eq!(service.notes().await, [""; 0], "{note}");
        // Nothing was remembered.
        assert_eq!(
            service.ask(note, Action, "take", json!(why)).await,
            gave(&format!("{why} taken"))
        );
        let undo = json!({ "input": why });
        assert_eq!(service.ask(note, Compensation, "drop", undo).await, Answer::Done);
    }
    assert_eq!(service.ask("bell", Action, "ring", json!(null)).await, Answer::Done);
}

#[tokio::test]
async fn both_patterns_live_on_one_router_and_are_never_mixed() {
    let (service, _directory) = Service::new().await;
    assert_eq!(service.ask("notes", Prepare, "prepare", json!("milk")).await, Answer::Done);
    assert_eq!(service.ask("one", Action, "take", json!("tea")).await, gave("tea taken"));
    let undo = json!({ "input": "milk" });
    for (step, operation, name, body) in [
        ("notes", Action, "take", json!("milk")),
        ("notes", Compensation, "drop", undo.clone()),
        ("one", Prepare, "prepare", json!("tea")),
        ("one", Commit, "commit", json!("tea")),
        ("one", Operation::Abort, "abort", json!("tea")),
    ] {
        let mixed = service.ask(step, operation, name, body).await;
        assert!(is_unknown(&mixed, "only one"), "{name} of {step}: {mixed:?}");
    }
    // Nor is one action with another's.
    let ring = service.ask("one", Action, "ring", json!("tea")).await;
    assert!(is_unknown(&ring, "has done the action take"), "{ring:?}");
    assert_eq!(service.ask("bell", Action, "ring", json!("tea")).await, Answer::Done);
    let wrong = service.ask("bell", Compensation, "drop", undo).await;
    assert!(is_unknown(&wrong, "has done the action ring"), "{wrong:?}");

    assert_eq!(service.ask("notes", Commit, "commit", json!("milk")).await, Answer::Done);
    assert_eq!(service.notes().await, ["milk", "tea"]);
}

#[tokio::test]
async fn only_declared_operations_can_be_called_under_their_names() {
    let (service, _directory) = Service::new().await;
    let milk = || json!("milk").to_string();
    let undo = || json!({ "input": "milk" }).to_string();
    let long = |length| format!("\"{}\"", "x".repeat(length - 2));
    let most = long(Payload::LIMIT);
    let bad = [
        (404, Action, "give", "give", milk()),
        (400, Action, "take", "drop", milk()),
        (400, Action, "take", "action", milk()),
        (400, Action, "take", "take", "milk".to_owned()),
        (413, Action, "take", "take", long(Payload::LIMIT + 1)),
        (400, Compensation, "drop", "take", undo()),
        (400, Compensation, "drop", "drop", milk()),
        (400, Compensation, "drop", "drop", String::new()),
        (400, Compensation, "drop", "drop", format!("{{\"input\":{}}}", long(Payload::LIMIT + 1))),
        (413, Compensation, "drop", "drop", long(3 * Payload::LIMIT)),
    ];
    for (status, operation, path, name, body) in bad {
        let seen = service.send("one", operation, path, name, body).await;
        assert_eq!(seen.0, status, "{name} at /{path}: {:?}", seen.1);
        assert!(matches!(seen.1, Answer::Unknown { .. }));
    }
    assert_eq!(
        service.send("one", Action, "take", "take", milk()).await,
        (200, gave("milk taken"))
    );
    // The longest compensation that a coordinator can send.
    let body = format!("{{\"input\":\"milk\",\"output\":{most}}}");
    assert_eq!(service.send("one", Compensation, "drop", "drop", body).await.1, Answer::Done);
    let body = format!("{{\"input\":{most},\"output\":{most}}}");
    assert_eq!(service.send("one", Compensation, "drop", "drop", body).await.1, Answer::Done);
}

#[tokio::test]
async fn names_that_cannot_be_offered_are_an_error_when_they_are_declared() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path().join("notes.db")).unwrap();
    let problem = |action, undo| {
        let actions = Actions::new().action("take", take).undo("drop", drop_it);
        let actions = actions.action(action, take).undo(undo, drop_it);
        actions.router(database.clone()).map(drop)
    };
    assert_eq!(problem("grab", "lose"), Ok(()));
    for (action, undo) in [("take", "lose"), ("grab", "drop"), ("grab", "take"), ("grab", "grab")] {
        let twice = problem(action, undo);
        assert!(matches!(twice, Err(InvalidOperations::Twice(_))), "{twice:?}");
    }
    for name in ["prepare", "commit", "abort", "commit-one-phase"] {
        assert!(matches!(problem(name, "lose"), Err(InvalidOperations::TwoPhase(_))));
        assert!(matches!(problem("grab", name), Err(InvalidOperations::TwoPhase(_))));
    }
    for name in ["", "Take", "{take}", "take/it"] {
        assert!(matches!(problem(name, "lose"), Err(InvalidOperations::Name { .. })));
        assert!(matches!(problem("grab", name), Err(InvalidOperations::Name { .. })));
    }
}
