//! The participant of these tests: a barrier as plain as can be, that counts its effects.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use wholly::{Answer, Call, Participant};

use crate::graphs::output;

/// Every step of one saga.
pub struct Ledger {
    /// How often each step's action is refused; `u32::MAX`: for ever, and that is remembered.
    refusals: Mutex<BTreeMap<String, u32>>,
    /// When the saga's actions expire.
    expires: Instant,
    rows: Mutex<BTreeMap<String, Row>>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// How often the action had its effect.
    pub done: u32,
    /// How often that was taken back.
    pub undone: u32,
    /// The action will be refused from now on.
    closed: bool,
}

impl Ledger {
    pub fn new(refusals: BTreeMap<String, u32>, deadline: Duration) -> Self {
        let expires = Instant::now() + deadline;
        Self { refusals: Mutex::new(refusals), expires, rows: Mutex::default() }
    }

    pub fn row(&self, step: &str) -> Row {
        self.rows.lock().unwrap().get(step).copied().unwrap_or_default()
    }
}

impl Participant for Ledger {
    async fn action(&self, call: Call) -> Answer {
        let step = call.branch.as_str();
        let mut rows = self.rows.lock().unwrap();
        let row = rows.entry(step.to_owned()).or_default();
        if row.closed {
            return Answer::refused("it is closed");
        }
        if row.done == 0 {
            if let Some(left) = self.refusals.lock().unwrap().get_mut(step).filter(|n| **n > 0) {
                row.closed = *left == u32::MAX;
                *left -= u32::from(!row.closed);
                return Answer::refused("no");
            }
            if call.expires.is_some() && Instant::now() > self.expires {
                row.closed = true;
                return Answer::refused("it has expired");
            }
            row.done = 1;
        }
        Answer::DoneWith { output: wholly::Payload::of(&output(step)).unwrap() }
    }

    async fn compensate(&self, call: Call) -> Answer {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.entry(call.branch.as_str().to_owned()).or_default();
        row.closed = true;
        row.undone = row.done;
        Answer::Done
    }

    async fn prepare(&self, _: Call) -> Answer {
        Answer::unknown("a saga's participant")
    }
    async fn commit(&self, _: Call) -> Answer {
        Answer::unknown("a saga's participant")
    }
    async fn abort(&self, _: Call) -> Answer {
        Answer::unknown("a saga's participant")
    }
}
