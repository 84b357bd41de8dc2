//! Reads: what a client was told, and never behind the loop's commands.

use std::sync::{Arc, Mutex, mpsc};

use wholly::Operation::Prepare;
use wholly::test::Act;
use wholly::{Answer, Decision, Filter, MemoryLog};

use super::answers::{Answers, answers};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_reads_what_it_was_told() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    for refused in [false, true] {
        if refused {
            shop.payments.always(Prepare, Act::Refuse);
        }
        let outcome = order(&coordinator).execute().await.unwrap();
        // Not every acknowledgement was durable when the outcome was told.
        let snapshot = shop.snapshot(outcome.id()).await;
        let state = if refused { Some(State::Aborted) } else { Some(State::Committed) };
        assert_eq!((snapshot.state, snapshot.settled), (state, true));
        let decision = if refused { Decision::Aborted } else { Decision::Committed };
        assert_eq!(coordinator.decision(outcome.id()).await.unwrap(), Some(decision));
        let accepted = order(&coordinator).submit().await.unwrap();
        let listed = coordinator.list(&Filter::default(), None, 2).await.unwrap().ids();
        assert_eq!(listed, [accepted, outcome.id()]);
    }
}

/// The loop hangs, and more commands wait than there is room for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_do_not_wait_behind_commands() {
    let (go_on, hangs) = mpsc::channel::<()>();
    let hangs = Mutex::new(hangs);
    let ledger = Answers { offers_one_phase: || true, ..answers(|_| Answer::Done) };
    let builder = Coordinator::builder(MemoryLog::default()).participant("ledger", ledger);
    let builder = builder.on_settled(move |settled| {
        if settled.name.as_str() == "hangs" {
            let _ = hangs.lock().unwrap().recv();
        }
    });
    let coordinator = Arc::new(builder.start().await.unwrap());
    let booking = |name| coordinator.two_phase(name).branch("ledger", &1).unwrap();
    let settled = booking("settles").execute().await.unwrap().id();
    assert!(coordinator.get(settled).await.unwrap().unwrap().settled);
    let hanging = booking("hangs").submit().await.unwrap();
    let in_time = async {
        let mut waiting = tokio::task::JoinSet::new();
        let mut room = 0;
        while coordinator.measures().commands_waiting != room || room == 0 {
            room = coordinator.measures().commands_waiting;
            for _ in 0..1_000 {
                let coordinator = coordinator.clone();
                waiting.spawn(async move { coordinator.outcome(hanging, Duration::ZERO).await });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(coordinator.get(settled).await.unwrap().unwrap().settled);
        assert_eq!(coordinator.get(hanging).await.unwrap().unwrap().state, Some(State::Init));
        let listed = coordinator.list(&Filter::default(), None, 9).await.unwrap().ids();
        assert_eq!(listed, [hanging, settled]);
        let told = coordinator.decision(settled).await.unwrap();
        assert_eq!(told, Some(Decision::Committed));
        assert_eq!(coordinator.decision(hanging).await.unwrap(), None);
        go_on.send(()).unwrap();
        waiting.join_all().await;
    };
    tokio::time::timeout(Duration::from_secs(60), in_time).await.unwrap();
    assert!(coordinator.get(hanging).await.unwrap().unwrap().settled);
}
