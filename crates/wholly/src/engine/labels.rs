//! What a log is told of a transaction, to list it.

use std::collections::BTreeSet;

use wholly_core::{ParticipantName, Transaction, saga, two_phase};

use crate::log::listing::{Labels, Pattern, State};

impl Labels {
    /// What a transaction is now.
    pub(super) fn of(transaction: &Transaction) -> Self {
        let pattern = match transaction {
            Transaction::TwoPhase(_) => Pattern::TwoPhase,
            Transaction::Saga(_) => Pattern::Saga,
        };
        Self {
            name: transaction.name().clone(),
            pattern,
            participants: participants(transaction).into_iter().collect(),
            state: state(transaction),
            stuck: transaction.is_stuck(),
        }
    }

    /// Says what may have changed since.
    pub(super) fn update(&mut self, transaction: &Transaction) {
        self.state = state(transaction);
        self.stuck = transaction.is_stuck();
    }
}

fn participants(transaction: &Transaction) -> BTreeSet<ParticipantName> {
    match transaction {
        Transaction::TwoPhase(transaction) => {
            transaction.branches().iter().map(|branch| branch.participant().clone()).collect()
        }
        Transaction::Saga(saga) => {
            saga.steps().filter_map(|(step, _)| step.participant.clone()).collect()
        }
    }
}

fn state(transaction: &Transaction) -> State {
    match transaction {
        Transaction::TwoPhase(transaction) => match transaction.state() {
            two_phase::State::Init => State::Init,
            two_phase::State::Prepared => State::Prepared,
            two_phase::State::Committed => State::Committed,
            two_phase::State::Aborted(_) => State::Aborted,
        },
        Transaction::Saga(saga) => match saga.state() {
            saga::State::Running => State::Running,
            saga::State::Completed => State::Completed,
            saga::State::Compensating => State::Compensating,
            saga::State::Compensated => State::Compensated,
        },
    }
}

#[cfg(test)]
impl crate::log::listing::Row {
    /// Whether it says what the transaction is.
    pub(crate) fn is_of(&self, transaction: &Transaction) -> bool {
        self.labels == Labels::of(transaction) && self.settled == transaction.is_settled()
    }
}
