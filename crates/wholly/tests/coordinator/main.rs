//! The engine end to end, through the public API: in memory, on virtual time.

// What cannot be unwrapped fails the test.
#![allow(clippy::unwrap_used)]

#[path = "../common/answers.rs"]
mod answers;
mod bad_input;
mod by_hand;
mod damaged;
mod durable;
mod feed;
mod heard;
mod key_scope;
mod keys;
mod listing;
mod log_failures;
mod observed;
mod outcomes;
mod overload;
mod reads;
mod restarts;
mod restored;
mod retention;
mod saga_bad_input;
mod saga_retries;
mod sagas;
mod shutdown;
mod threads;
mod unloaded;

use std::time::Duration;

use wholly::log::listing::Labels;
use wholly::test::{Harness, Scripted};
use wholly::{
    AbortReason, Aborted, AnyOutcome, Committed, Coordinator, Outcome, Pattern, Snapshot, State,
    Submission, TransactionId, TwoPhase,
};

/// Longer than anything here takes, on virtual time.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// A harness whose coordinator runs, with two participants.
struct Shop {
    harness: Harness,
    orders: Scripted,
    payments: Scripted,
}

impl Shop {
    async fn open() -> Self {
        let mut shop = Self::closed();
        shop.start().await;
        shop
    }

    /// One whose coordinator is not started yet.
    fn closed() -> Self {
        let mut harness = Harness::new();
        let (orders, payments) = (harness.stand_in("orders"), harness.stand_in("payments"));
        Self { harness, orders, payments }
    }

    async fn start(&mut self) -> Coordinator {
        self.harness.start().await.unwrap()
    }

    async fn restart(&mut self) -> Coordinator {
        self.harness.restart().await.unwrap()
    }

    fn coordinator(&self) -> Coordinator {
        self.harness.coordinator().clone()
    }

    async fn snapshot(&self, id: TransactionId) -> Snapshot {
        self.coordinator().get(id).await.unwrap().unwrap()
    }

    async fn outcome(&self, id: TransactionId) -> Outcome {
        two_phase(self.coordinator().outcome(id, LONG).await.unwrap())
    }
}

#[track_caller]
fn two_phase(outcome: Option<AnyOutcome>) -> Outcome {
    match outcome {
        Some(AnyOutcome::TwoPhase(outcome)) => outcome,
        other => panic!("no transaction in two phases: {other:?}"),
    }
}

/// A transaction with both.
fn order(coordinator: &Coordinator) -> Submission<TwoPhase> {
    both(coordinator.two_phase("place order"))
}

fn both(transaction: Submission<TwoPhase>) -> Submission<TwoPhase> {
    transaction.branch("orders", "one book").unwrap().branch("payments", &300).unwrap()
}

fn committed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Committed(Committed { .. }))
}

#[track_caller]
fn reason(outcome: Outcome) -> AbortReason {
    match outcome {
        Outcome::Aborted(Aborted { reason, .. }) => reason,
        other => panic!("not aborted: {other:?}"),
    }
}

/// Of what no coordinator wrote.
fn some_labels() -> Labels {
    Labels {
        name: "by hand".parse().unwrap(),
        pattern: Pattern::TwoPhase,
        participants: ["orders".parse().unwrap()].into(),
        state: State::Init,
        stuck: false,
    }
}
