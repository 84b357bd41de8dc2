//! From records to the value: the fold that recovery repeats.
//!
//! The laws are asserted here, where every record passes, just decided or read back.

use super::record::{AbortReason, Decision, Record, Vote};
use super::{Branch, Phase, Progress, Transaction};
use crate::protocol::{BranchIndex, BrokenInvariant, broken, ensure};

impl Transaction {
    /// [`Protocol::apply`](crate::Protocol::apply).
    pub(super) fn fold(&mut self, record: &Record) -> Result<(), BrokenInvariant> {
        // INVARIANT: once settled, nothing follows.
        ensure(!self.settled, "nothing follows once a transaction is settled")?;
        match record {
            Record::Started(_) => broken("a transaction starts once"),
            Record::Vote(branch, vote) => self.apply_vote(*branch, vote),
            Record::Lost(branch) => {
                self.open_branch(*branch)?.lost = true;
                Ok(())
            }
            Record::Committed => self.apply_commit(),
            Record::Aborted(reason) => self.apply_abort(reason),
            Record::Acknowledged(branch) => {
                let decision = self.decided()?;
                // INVARIANT: only what voted yes or read-only is committed.
                let ended = self.open_branch(*branch)?;
                ensure(
                    decision == Decision::Aborted || ended.agrees(),
                    "only a branch that voted yes commits",
                )?;
                ended.end(decision);
                Ok(())
            }
            Record::Heuristic(branch, reason) => {
                self.decided()?;
                let branch = self.open_branch(*branch)?;
                branch.progress = Progress::Heuristic;
                branch.stuck = Some(format!("ended against the decision: {reason}"));
                Ok(())
            }
            Record::Stuck(branch, reason) => {
                self.open_branch(*branch)?.stuck = Some(reason.clone());
                Ok(())
            }
            Record::Resolved(branch, ended, reason) => self.apply_resolved(*branch, *ended, reason),
            Record::Decided(decision, reason) => self.apply_decided(*decision, reason),
            Record::Released(log, _) => {
                self.released = Some(*log);
                Ok(())
            }
            Record::Settled => {
                self.decided()?;
                // INVARIANT: settled only when every branch is over.
                let over = self.branches.iter().all(Branch::is_over);
                ensure(over, "a transaction is settled when every branch is over")?;
                self.settled = true;
                Ok(())
            }
        }
    }

    fn apply_vote(&mut self, branch: BranchIndex, vote: &Vote) -> Result<(), BrokenInvariant> {
        let undecided = self.is_undecided();
        let voting = self.open_branch(branch)?;
        ensure(voting.progress == Progress::Working, "a branch votes once")?;
        voting.progress = match vote {
            Vote::Yes => Progress::Prepared,
            Vote::ReadOnly => {
                // INVARIANT: a read-only vote is believed only where no attempt was lost.
                ensure(!voting.lost, "a read-only vote after a lost attempt is a plain yes")?;
                Progress::ReadOnly
            }
            Vote::No(reason) => Progress::Refused { reason: reason.clone() },
        };
        if undecided && !self.one_phase && self.branches.iter().all(Branch::agrees) {
            self.phase = Phase::Prepared;
        }
        Ok(())
    }

    fn apply_commit(&mut self) -> Result<(), BrokenInvariant> {
        // INVARIANT: a decision never changes.
        ensure(self.is_undecided(), "a decision never changes")?;
        // INVARIANT: commit is decided only on every yes; in one phase the participant decided.
        ensure(
            self.one_phase || self.phase == Phase::Prepared,
            "commit needs the yes of every branch",
        )?;
        self.phase = Phase::Committed;
        if self.one_phase {
            self.branches.iter_mut().for_each(|branch| branch.end(Decision::Committed));
        }
        Ok(())
    }

    fn apply_abort(&mut self, reason: &AbortReason) -> Result<(), BrokenInvariant> {
        // INVARIANT: a decision never changes.
        ensure(self.is_undecided(), "a decision never changes")?;
        if self.one_phase {
            // INVARIANT: in one phase only the participant's word aborts.
            let refused = self
                .branches
                .iter()
                .all(|branch| matches!(branch.progress, Progress::Refused { .. }));
            ensure(refused, "in one phase only the participant's refusal aborts")?;
            self.branches.iter_mut().for_each(|branch| branch.end(Decision::Aborted));
        }
        self.phase = Phase::Aborted(reason.clone());
        Ok(())
    }

    fn apply_resolved(
        &mut self,
        branch: BranchIndex,
        ended: Decision,
        reason: &str,
    ) -> Result<(), BrokenInvariant> {
        ensure(self.one_phase || !self.is_undecided(), "only what is decided is resolved")?;
        self.open_branch(branch)?.end(ended);
        if self.is_undecided() {
            self.phase = match ended {
                Decision::Committed => Phase::Committed,
                Decision::Aborted => {
                    Phase::Aborted(AbortReason::Resolved { reason: reason.to_owned() })
                }
            };
        }
        Ok(())
    }

    fn apply_decided(&mut self, decision: Decision, reason: &str) -> Result<(), BrokenInvariant> {
        // INVARIANT: a decision never changes.
        ensure(self.is_undecided(), "a decision never changes")?;
        // INVARIANT: in one phase only the participant's word decides.
        ensure(!self.one_phase, "in one phase the branch itself is resolved")?;
        self.phase = match decision {
            Decision::Aborted => {
                Phase::Aborted(AbortReason::Resolved { reason: reason.to_owned() })
            }
            Decision::Committed => {
                // A commit implies that every branch had voted yes.
                for branch in self.branches.iter_mut().filter(|branch| !branch.is_over()) {
                    branch.progress = Progress::Prepared;
                }
                Phase::Committed
            }
        };
        Ok(())
    }

    fn decided(&self) -> Result<Decision, BrokenInvariant> {
        self.decision().ok_or(BrokenInvariant { law: "no branch ends before the decision" })
    }

    /// A branch to which something may still happen.
    fn open_branch(&mut self, branch: BranchIndex) -> Result<&mut Branch, BrokenInvariant> {
        match self.branches.get_mut(usize::from(branch)) {
            Some(found) if !found.is_over() => Ok(found),
            Some(_) => broken("nothing happens to a branch that is over"),
            None => broken("a record names a branch that the transaction has"),
        }
    }
}

impl Branch {
    fn end(&mut self, decision: Decision) {
        self.progress = Progress::Ended(decision);
        self.stuck = None;
    }
}
