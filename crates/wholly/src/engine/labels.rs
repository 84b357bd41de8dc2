//! The labels of a transaction in the log, by which it is listed.

use std::collections::BTreeSet;

use wholly_core::{Target, Transaction};

use crate::log::listing::Labels;

impl Labels {
    /// The labels of a transaction as it is now.
    pub(super) fn of(transaction: &Transaction) -> Self {
        let view = transaction.view();
        let participants = transaction.parts().filter_map(|part| match part.target {
            Target::Participant(participant) => Some(participant),
            Target::Code { .. } => None,
        });
        Self {
            name: view.name.clone(),
            pattern: view.pattern,
            participants: participants.collect::<BTreeSet<_>>().into_iter().collect(),
            state: view.state,
            stuck: view.stuck,
        }
    }

    /// Takes over the parts that may have changed since.
    pub(super) fn update(&mut self, transaction: &Transaction) {
        let view = transaction.view();
        (self.state, self.stuck) = (view.state, view.stuck);
    }
}

#[cfg(test)]
impl crate::log::listing::Row {
    /// True if the labels are those of the transaction.
    pub(crate) fn is_of(&self, transaction: &Transaction) -> bool {
        self.labels == Labels::of(transaction) && self.settled == transaction.is_settled()
    }
}
