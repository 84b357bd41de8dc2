//! A service as a coordinator meets it: through its routes, on a file, with crashes.

#![allow(
    clippy::unwrap_used,
    reason = "a test may fail by panicking; clippy only sees its helpers"
)]

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use rusqlite::Transaction;
use tempfile::TempDir;
use tower::ServiceExt;
use wholly_core::wire::{Answer, HttpAnswer, Operation};
use wholly_core::{Payload, TransactionId};
use wholly_participant::Failure;
use wholly_participant::barrier::Vote;
use wholly_participant::sqlite::{
    Database, OpenError, Participant, TransactionError, in_doubt, trace,
};

/// A till with 100 coins: holds what is asked, and panics when asked for 13.
struct Till;

impl Participant for Till {
    type Payload = i64;
    type Prepared = i64;

    fn validate(&self, db: &Transaction<'_>, coins: i64) -> Result<Vote<i64>, Failure> {
        assert_ne!(coins, 13, "bad luck");
        db.execute("UPDATE till SET held = held + ?1", [coins])?;
        let left: i64 = db.query_row("SELECT coins - held FROM till", [], |row| row.get(0))?;
        Ok(match (coins, left) {
            (0, _) => Vote::ReadOnly,
            (_, ..0) => Vote::No(format!("{} coins are missing", -left)),
            _ => Vote::Yes(coins),
        })
    }

    fn apply(&self, db: &Transaction<'_>, coins: i64) -> Result<(), Failure> {
        db.execute("UPDATE till SET coins = coins - ?1, held = held - ?1", [coins])?;
        Ok(())
    }

    fn release(&self, db: &Transaction<'_>, coins: i64) -> Result<(), Failure> {
        db.execute("UPDATE till SET held = held - ?1", [coins])?;
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
        (Self::at(&directory.path().join("till.db")).await, directory)
    }

    async fn at(path: &Path) -> Self {
        let database = Database::open(path).unwrap();
        database
            .transaction(|db| {
                db.execute_batch(
                    "CREATE TABLE IF NOT EXISTS till (id INTEGER PRIMARY KEY, coins, held);
                     INSERT OR IGNORE INTO till VALUES (1, 100, 0);",
                )?;
                Ok(())
            })
            .await
            .unwrap();
        let routes = wholly_participant::sqlite::router(Till, database.clone());
        Self { routes, database }
    }

    async fn ask(&self, transaction: u64, operation: Operation, coins: i64) -> Answer {
        ask(self.routes.clone(), request(transaction, operation, coins), operation).await
    }

    /// Coins in the till, coins held, and branches in doubt.
    async fn books(&self) -> (i64, i64, u32) {
        self.database
            .transaction(|db| {
                let till = db.query_row("SELECT coins, held FROM till", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                });
                let (coins, held) = till?;
                Ok((coins, held, in_doubt(db)?))
            })
            .await
            .unwrap()
    }
}

fn id(transaction: u64) -> String {
    format!("{transaction:032x}-0000000000000001").parse::<TransactionId>().unwrap().to_string()
}

fn request(transaction: u64, operation: Operation, coins: i64) -> Request<Body> {
    Request::post(format!("/{operation}"))
        .header("wholly-transaction", id(transaction))
        .header("wholly-branch", "till")
        .header("wholly-operation", operation.as_str())
        .header("wholly-expires", u64::MAX.to_string())
        .body(Body::from(coins.to_string()))
        .unwrap()
}

async fn ask(routes: Router, request: Request<Body>, operation: Operation) -> Answer {
    let (head, body) = routes.oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap());
    let retry_after = header("retry-after").map(|text| text.parse().unwrap());
    let seen = HttpAnswer {
        status: head.status.as_u16(),
        answer: header("wholly-answer"),
        retry_after: retry_after.map(Duration::from_secs),
        body: &body,
        cut_off: false,
        json: header("content-type") == Some("application/json"),
    };
    seen.meaning(operation, &[])
}

use Operation::{Abort, Commit, CommitOnePhase, Prepare};

#[tokio::test]
async fn a_handler_knows_the_trace_of_its_call_and_of_no_other() {
    /// Votes no, and says the trace.
    struct Telltale;

    impl Participant for Telltale {
        type Payload = i64;
        type Prepared = i64;

        fn validate(&self, _: &Transaction<'_>, coins: i64) -> Result<Vote<i64>, Failure> {
            assert_ne!(coins, 13, "bad luck");
            Ok(Vote::No(trace().map_or("none".to_owned(), |trace| trace.to_string())))
        }

        fn apply(&self, _: &Transaction<'_>, _: i64) -> Result<(), Failure> {
            Ok(())
        }
    }

    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path().join("traces.db")).unwrap();
    let routes = wholly_participant::sqlite::router(Telltale, database.clone());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let asked = async |transaction, coins, parent: Option<&str>| {
        let mut request = request(transaction, Prepare, coins);
        if let Some(parent) = parent {
            request.headers_mut().insert("traceparent", parent.parse().unwrap());
            request.headers_mut().insert("tracestate", "rojo=1".parse().unwrap());
        }
        ask(routes.clone(), request, Prepare).await
    };
    let traced = Answer::refused(format!("{parent} rojo=1"));
    assert_eq!(asked(1, 1, Some(parent)).await, traced);
    assert_eq!(asked(2, 1, None).await, Answer::refused("none"));
    // The service's own work on the same thread has none, even behind a handler that panicked.
    assert!(matches!(asked(3, 13, Some(parent)).await, Answer::Unknown { .. }));
    assert_eq!(database.transaction(|_| Ok(trace())).await.unwrap(), None);
    assert_eq!(asked(4, 1, Some("nonsense")).await, Answer::refused("none"));
    assert_eq!(trace(), None);
}

#[tokio::test]
async fn a_prepared_change_is_held_until_the_decision() {
    let (service, _directory) = Service::new().await;
    assert_eq!(service.ask(1, Prepare, 60).await, Answer::Done);
    assert_eq!(service.books().await, (100, 60, 1));

    let refused = Answer::refused("20 coins are missing");
    assert_eq!(service.ask(2, Prepare, 60).await, refused);
    assert_eq!(service.books().await, (100, 60, 1), "a no leaves nothing behind");

    assert_eq!(service.ask(1, Abort, 60).await, Answer::Done);
    assert_eq!(service.ask(2, Prepare, 60).await, refused, "what was refused stays refused");
    assert_eq!(service.ask(3, Prepare, 60).await, Answer::Done);
    assert_eq!(service.ask(3, Commit, 60).await, Answer::Done);
    assert_eq!(service.ask(3, Commit, 60).await, Answer::Done);
    assert_eq!(service.books().await, (40, 0, 0));
    assert!(matches!(service.ask(3, Abort, 60).await, Answer::Heuristic { .. }));
    assert!(matches!(service.ask(1, Commit, 60).await, Answer::Heuristic { .. }));
    assert!(matches!(service.ask(4, Commit, 60).await, Answer::Unknown { .. }));
    assert_eq!(service.ask(5, Prepare, 0).await, Answer::ReadOnly);
    assert_eq!(service.ask(6, CommitOnePhase, 15).await, Answer::Done);
    assert_eq!(service.ask(6, CommitOnePhase, 15).await, Answer::Done);
    assert_eq!(service.books().await, (25, 0, 0));
}

#[tokio::test]
async fn a_first_phase_that_comes_after_its_time_is_refused() {
    let (service, _directory) = Service::new().await;
    for (transaction, operation) in [(1, Prepare), (2, CommitOnePhase)] {
        let mut late = request(transaction, operation, 10);
        late.headers_mut().insert("wholly-expires", "1000".parse().unwrap());
        let answer = ask(service.routes.clone(), late, operation).await;
        assert!(matches!(&answer, Answer::Refused { reason } if reason.contains("after its time")));
        assert_eq!(service.ask(transaction, operation, 10).await, answer, "it is remembered");
    }
    assert_eq!(service.books().await, (100, 0, 0));
}

#[tokio::test]
async fn a_call_that_cannot_be_read_is_answered_400_and_does_nothing() {
    let (service, _directory) = Service::new().await;
    let bad = [
        ("wholly-transaction", None),
        ("wholly-transaction", Some("42")),
        ("wholly-branch", None),
        ("wholly-branch", Some("Till!")),
        ("wholly-operation", None),
        ("wholly-operation", Some("abort")),
        ("wholly-expires", Some("tomorrow")),
        ("wholly-expires", Some("-1")),
    ];
    for (name, value) in bad {
        let mut request = request(1, Prepare, 10);
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (status, detail) = problem(&service, request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {value:?}");
        assert!(detail.contains(name), "{detail}");
    }
    for (body, expected) in [
        (Body::from("{"), StatusCode::BAD_REQUEST),
        (Body::from(vec![0xff]), StatusCode::BAD_REQUEST),
        (Body::from("1".repeat(Payload::LIMIT + 1)), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let (status, _) = problem(&service, request(1, Prepare, 10).map(|_| body)).await;
        assert_eq!(status, expected);
    }
    assert_eq!(service.books().await, (100, 0, 0));
    assert_eq!(service.ask(1, Prepare, 10).await, Answer::Done, "nothing was remembered either");
}

/// The status of a problem document, and its detail.
async fn problem(service: &Service, request: Request<Body>) -> (StatusCode, String) {
    let response = service.routes.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["status"], status.as_u16());
    (status, problem["detail"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_at_the_same_time_take_effect_once() {
    let (service, _directory) = Service::new().await;
    for operation in [Prepare, Commit] {
        let asked: Vec<_> = (0..200)
            .map(|n| {
                let request = request(1 + n % 5, operation, 10);
                tokio::spawn(ask(service.routes.clone(), request, operation))
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), Answer::Done);
        }
    }
    assert_eq!(service.books().await, (50, 0, 0));
}

#[tokio::test]
async fn a_killed_service_finds_everything_it_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("till.db");
    let service = Service::at(&path).await;
    assert_eq!(service.ask(1, Prepare, 10).await, Answer::Done);
    assert_eq!(service.ask(2, Prepare, 20).await, Answer::Done);
    assert_eq!(service.ask(2, Commit, 20).await, Answer::Done);
    let refused = service.ask(3, Prepare, 90).await;
    assert!(matches!(refused, Answer::Refused { .. }));
    assert_eq!(service.ask(4, Abort, 10).await, Answer::Done);

    // What SIGKILL leaves: the files as they are, the database never closed.
    let after = directory.path().join("after.db");
    for end in ["", "-wal"] {
        let file = |path: &Path| format!("{}{end}", path.display());
        std::fs::copy(file(&path), file(&after)).unwrap();
    }
    let again = Service::at(&after).await;
    assert_eq!(again.books().await, (80, 10, 1));
    assert_eq!(again.ask(2, Commit, 20).await, Answer::Done);
    assert_eq!(again.ask(3, Prepare, 90).await, refused);
    assert!(matches!(again.ask(4, Prepare, 10).await, Answer::Refused { .. }));
    assert_eq!(again.ask(1, Commit, 10).await, Answer::Done);
    assert_eq!(again.books().await, (70, 0, 0));
}

/// Occupies the database's thread until the sender is dropped, so that what is asked meanwhile
/// waits together.
async fn occupy(database: &Database) -> mpsc::Sender<()> {
    let (release, until) = mpsc::channel::<()>();
    let (started, start) = tokio::sync::oneshot::channel();
    let database = database.clone();
    let work = move |_: &Transaction<'_>| {
        started.send(()).unwrap();
        let _ = until.recv();
        Ok(())
    };
    tokio::spawn(async move { database.transaction(work).await.unwrap() });
    start.await.unwrap();
    release
}

#[tokio::test]
async fn a_panic_harms_no_other_call_of_its_batch() {
    let (service, _directory) = Service::new().await;
    let thread = occupy(&service.database).await;
    let (before, bad, after, ()) = tokio::join!(
        service.ask(1, Prepare, 10),
        service.ask(2, Prepare, 13),
        service.ask(3, Prepare, 10),
        async { drop(thread) },
    );
    assert_eq!((before, after), (Answer::Done, Answer::Done));
    assert!(
        matches!(&bad, Answer::Unknown { reason, .. } if reason.contains("panicked")),
        "{bad:?}"
    );
    assert_eq!(service.books().await, (100, 20, 2));
}

#[tokio::test]
async fn nothing_is_answered_before_the_commit_and_a_failed_commit_takes_nothing() {
    let (service, _directory) = Service::new().await;
    let schema = "PRAGMA defer_foreign_keys = on;
        CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);";
    service.database.transaction(move |db| Ok(db.execute_batch(schema)?)).await.unwrap();
    let thread = occupy(&service.database).await;
    // SQLite finds out only when it commits.
    let orphan = service
        .database
        .transaction(|db| Ok(db.execute("INSERT INTO child VALUES (42)", []).map(drop)?));
    let (answer, orphan, ()) =
        tokio::join!(service.ask(1, Prepare, 10), orphan, async { drop(thread) });
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
    assert!(matches!(orphan, Err(TransactionError::Storage(_))), "{orphan:?}");
    assert_eq!(service.books().await, (100, 0, 0));
    assert_eq!(service.ask(1, Prepare, 10).await, Answer::Done, "it goes on");
}

#[tokio::test]
async fn a_transaction_that_sqlite_rolled_back_fails_everyone_in_it() {
    let (service, _directory) = Service::new().await;
    let thread = occupy(&service.database).await;
    // What SQLite does by itself when the disk is full.
    let rollback = service.database.transaction(|db| Ok(db.execute_batch("ROLLBACK")?));
    let (before, rollback, after, ()) =
        tokio::join!(service.ask(1, Prepare, 10), rollback, service.ask(2, Prepare, 10), async {
            drop(thread)
        },);
    assert!(matches!(before, Answer::Unknown { .. }), "{before:?}");
    assert!(rollback.is_err());
    assert!(matches!(after, Answer::Unknown { .. }), "{after:?}");
    assert_eq!(service.books().await, (100, 0, 0));
}

#[tokio::test]
async fn an_overloaded_service_says_when_to_call_again() {
    let (service, _directory) = Service::new().await;
    let thread = occupy(&service.database).await;
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..2_000 {
        waiting.spawn(ask(service.routes.clone(), request(n, Abort, 0), Abort));
    }
    let first = waiting.join_next().await.unwrap().unwrap();
    let reason = "still at it; ask again".to_owned();
    let again = Answer::Pending { reason, retry_after: Some(Duration::from_secs(1)), http: None };
    assert_eq!(first, again);
    drop(thread);
    let answers = waiting.join_all().await;
    assert!(answers.iter().all(|answer| *answer == Answer::Done || *answer == again));
    assert!(answers.contains(&Answer::Done), "what was accepted is answered");
}

#[tokio::test]
async fn a_purge_deletes_every_old_row_and_no_other() {
    let (service, _directory) = Service::new().await;
    let mut asked = tokio::task::JoinSet::new();
    for n in 0..1_001 {
        asked.spawn(ask(service.routes.clone(), request(n, Abort, 0), Abort));
        if n % 100 == 0 {
            while asked.join_next().await.is_some() {}
        }
    }
    assert_eq!(asked.join_all().await.len(), 0);
    assert_eq!(service.ask(2_000, Prepare, 10).await, Answer::Done);
    // As if they had ended in 1970, as the ids say.
    let age = |db: &Transaction<'_>| {
        Ok(db.execute("UPDATE wholly_branch SET changed_at = 0", []).map(drop)?)
    };
    service.database.transaction(age).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(service.ask(2_001, Abort, 10).await, Answer::Done);
    assert_eq!(service.database.purge(day).await.unwrap(), 1_001);
    assert_eq!(service.ask(2_000, Commit, 10).await, Answer::Done, "what was prepared is there");
    let late = service.ask(2_001, Prepare, 10).await;
    assert!(matches!(late, Answer::Refused { .. }), "the fresh marker is there");
}

#[tokio::test]
async fn an_opening_whose_clock_disagrees_with_the_rows_forgets_nothing() {
    let day = Duration::from_secs(24 * 3600);
    // By this clock the rows are from 1970, or from 2096: it is wrong, or was.
    for changed_at in [0_i64, 4_000_000_000_000] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("till.db");
        let service = Service::at(&path).await;
        assert_eq!(service.ask(1, Abort, 0).await, Answer::Done);
        let age = move |db: &Transaction<'_>| {
            let old = "UPDATE wholly_branch SET changed_at = 0";
            db.execute(old, [])?;
            Ok(())
        };
        service.database.transaction(age).await.unwrap();
        if changed_at > 0 {
            assert_eq!(service.ask(2, Abort, 0).await, Answer::Done);
            let youngest = move |db: &Transaction<'_>| {
                let sql = "UPDATE wholly_branch SET changed_at = ?1 WHERE transaction_id =
                    (SELECT max(transaction_id) FROM wholly_branch)";
                Ok(db.execute(sql, [changed_at]).map(drop)?)
            };
            service.database.transaction(youngest).await.unwrap();
        }
        drop(service);
        let service = Service::at(&path).await;
        assert_eq!(service.database.purge(day).await.unwrap(), 0, "{changed_at}");
        let late = service.ask(1, Prepare, 10).await;
        assert!(matches!(late, Answer::Refused { .. }), "the marker is there: {late:?}");
    }
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.txt");
    let text = "Dear Sir or Madam, ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = Database::open(&path).unwrap_err();
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert!(matches!(Database::open(":memory:"), Err(OpenError::NoWriteAheadLog { .. })));
}
