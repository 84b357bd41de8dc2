//! The beginning of a transaction in two phases.

use std::collections::HashSet;
use std::time::Duration;

use super::{Record, Started, StartedBranch, Transaction};
use crate::proposal::{Begin, InvalidProposal, ProtocolProposal};
use crate::{Name, Target};

/// Branches that a client proposes. There is at least one, each with another participant, and no
/// payload has a member twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    name: Name,
    branches: Vec<StartedBranch>,
}

impl Proposal {
    /// The most branches that a transaction may have.
    pub const BRANCH_LIMIT: usize = 64;

    /// The transaction with this name and these branches.
    ///
    /// # Errors
    /// When there are none or too many, two name one participant, or a payload has a member twice.
    pub fn new(name: Name, branches: Vec<StartedBranch>) -> Result<Self, InvalidProposal> {
        if branches.is_empty() {
            return Err(InvalidProposal::NoBranches);
        }
        if branches.len() > Self::BRANCH_LIMIT {
            return Err(InvalidProposal::TooManyBranches { branches: branches.len() });
        }
        let mut seen = HashSet::with_capacity(branches.len());
        for StartedBranch { participant, payload } in &branches {
            if !seen.insert(participant) {
                let participant = participant.clone();
                return Err(InvalidProposal::SameBranchTwice { participant });
            }
            let checked = payload.check_members();
            checked.map_err(|why| InvalidProposal::payload(participant.as_str(), &why))?;
        }
        Ok(Self { name, branches })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its branches, in the order in which they were given.
    pub fn branches(&self) -> &[StartedBranch] {
        &self.branches
    }
}

impl ProtocolProposal for Proposal {
    type Transaction = Transaction;

    fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        self.branches.iter().map(|branch| Target::Participant(branch.participant.clone()))
    }

    fn memory_bytes(&self) -> usize {
        self.branches.iter().map(|branch| branch.payload.as_str().len()).sum()
    }

    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// A transaction with one branch alone leaves the decision to its participant, where that one
    /// offers it.
    fn start(self, begin: Begin, offers_one_phase: impl Fn(&Target) -> bool) -> Record {
        let one_phase =
            self.branches.len() == 1 && self.targets().all(|one| offers_one_phase(&one));
        let Self { name, branches } = self;
        let Begin { key, trace, deadline } = begin;
        Record::Started(Started { name, key, trace, deadline, one_phase, branches })
    }

    fn is_same_as(&self, begun: &Transaction, with_payloads: bool) -> bool {
        self.name == begun.name
            && self.branches.len() == begun.branches.len()
            && self.branches.iter().zip(&begun.branches).all(|(new, old)| {
                new.participant == old.participant
                    && (!with_payloads || new.payload.same_as(&old.payload))
            })
    }
}
