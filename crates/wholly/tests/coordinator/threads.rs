//! The coordinator goes on where the program has no blocking thread left, on real time.

use std::sync::mpsc;
use std::time::Duration;

use tokio::time::timeout;
use wholly::log::listing::Filter;
use wholly::{Answer, Coordinator, Outcome, SqliteLog, State};

use super::answers::answers;

/// The time within which what does not hang has happened.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn what_holds_every_blocking_thread_of_the_program_stalls_no_read_no_key_and_no_end() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (end, ended) = mpsc::channel::<()>();
    let (taken, is_taken) = mpsc::channel();
    runtime.spawn_blocking(move || {
        taken.send(()).unwrap();
        // As a look-up of a name that hangs, until the test is over.
        let _ = ended.recv();
    });
    is_taken.recv_timeout(SOON).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::at(directory.path().join("wholly.db")).create_if_missing();
    runtime.block_on(async {
        let starting =
            Coordinator::builder(log).participant("orders", answers(|_| Answer::Done)).start();
        let coordinator = timeout(SOON, starting).await.unwrap().unwrap();
        let order = async || {
            let transaction = coordinator.two_phase("order").key("ORD001");
            let transaction = transaction.branch("orders", &1).unwrap();
            match timeout(SOON, transaction.execute()).await.unwrap().unwrap() {
                Outcome::Committed(committed) => committed.id,
                other => panic!("{other:?}"),
            }
        };
        let id = order().await;
        assert_eq!(order().await, id, "its key is found in the log");
        let read = timeout(SOON, coordinator.get(id)).await.unwrap().unwrap();
        assert_eq!(read.unwrap().state, Some(State::Committed));
        let all = Filter::default();
        let listing = timeout(SOON, coordinator.list(&all, None, 10));
        assert_eq!(listing.await.unwrap().unwrap().transactions.len(), 1);
        timeout(SOON, coordinator.shutdown(Duration::ZERO)).await.unwrap();
    });
    drop(end);
}
