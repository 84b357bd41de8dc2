//! From inputs to records.

use super::record::{AbortReason, Decision, Record, Vote};
use super::{Branch, Progress, State, Transaction};
use crate::protocol::{Answered, BranchIndex, BrokenInvariant, Input, Now, TIMELESS};
use crate::wire::{Answer, Operation, cut, still_pending};
use crate::{LogId, Timestamp};

impl Transaction {
    /// Takes an input: decides what it means, folds that in, and does so with what follows from
    /// it, until nothing does. Returns the records, in their order.
    ///
    /// # Errors
    /// When a record breaks a law: the transaction is to be quarantined, and nothing to be kept.
    pub fn step<'a>(
        &mut self,
        input: &Input,
        now: impl Into<Now<'a>>,
    ) -> Result<Vec<Record>, BrokenInvariant> {
        let mut records = self.decide(input);
        for record in &records {
            self.apply(record)?;
        }
        self.follow(&mut records, now.into())?;
        Ok(records)
    }

    /// Takes a client's wish to abort.
    ///
    /// # Errors
    /// When it is decided, or the decision is the participant's.
    pub fn cancel(&mut self, reason: &str, now: Timestamp) -> Result<Vec<Record>, CancelError> {
        match self.state {
            _ if self.one_phase && self.is_undecided() => return Err(CancelError::OnePhase),
            State::Committed => return Err(CancelError::Committed),
            State::Aborted(_) => return Ok(Vec::new()),
            State::Init | State::Prepared => {}
        }
        let reason = AbortReason::Cancelled { reason: cut(reason.to_owned()) };
        Ok(self.record(Record::Aborted(reason), now)?)
    }

    /// Takes an operator's word for how a branch ended.
    ///
    /// # Errors
    /// When there is no such branch, it is over, or the transaction is not decided.
    pub fn resolve(
        &mut self,
        branch: BranchIndex,
        ended: Decision,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Record>, ResolveError> {
        let found = self.find(branch).ok_or(ResolveError::NoSuchBranch)?;
        if found.is_over() {
            return Err(ResolveError::Over);
        }
        if self.is_undecided() && !self.one_phase {
            return Err(ResolveError::Undecided);
        }
        Ok(self.record(Record::Resolved(branch, ended, cut(reason.to_owned())), now)?)
    }

    /// Takes an operator's word for how a branch ended, in a transaction that a restored copy
    /// holds: where it is undecided, the word is the decision, too.
    ///
    /// # Errors
    /// When there is no such branch, or it is over.
    pub fn resolve_quarantined(
        &mut self,
        branch: BranchIndex,
        ended: Decision,
        reason: &str,
    ) -> Result<Vec<Record>, ResolveError> {
        let over = self.find(branch).ok_or(ResolveError::NoSuchBranch)?.is_over();
        let mut records = Vec::new();
        if !over && self.is_undecided() && !self.one_phase {
            records = self.record(Record::Decided(ended, cut(reason.to_owned())), TIMELESS)?;
        }
        records.extend(self.resolve(branch, ended, reason, TIMELESS)?);
        Ok(records)
    }

    /// Takes an operator's word that what came with a restored copy goes on under this identity.
    ///
    /// # Errors
    /// When a law forbids it.
    pub fn release(&mut self, log: LogId, reason: &str) -> Result<Vec<Record>, BrokenInvariant> {
        let record = Record::Released(log, cut(reason.to_owned()));
        self.apply(&record)?;
        Ok(vec![record])
    }

    fn record(&mut self, record: Record, now: Timestamp) -> Result<Vec<Record>, BrokenInvariant> {
        self.apply(&record)?;
        let mut records = vec![record];
        self.follow(&mut records, now.into())?;
        Ok(records)
    }

    fn follow(&mut self, records: &mut Vec<Record>, now: Now<'_>) -> Result<(), BrokenInvariant> {
        while let Some(record) = self.consequence(now) {
            self.apply(&record)?;
            records.push(record);
        }
        Ok(())
    }

    /// Whether a record must be durable before anything that follows from it leaves.
    pub fn forces(&self, record: &Record) -> bool {
        match record {
            Record::Started(_)
            | Record::Resolved(..)
            | Record::Decided(..)
            | Record::Released(..) => true,
            // In one phase a participant that committed will say so again; one that refused may
            // have forgotten, and would be asked again.
            Record::Committed => !self.one_phase,
            Record::Aborted(_) => self.one_phase,
            _ => false,
        }
    }

    /// What the value demands without any input.
    fn consequence(&self, now: Now<'_>) -> Option<Record> {
        if !self.is_undecided() {
            let over = !self.settled && self.branches.iter().all(Branch::is_over);
            return over.then_some(Record::Settled);
        }
        if self.one_phase {
            let branch = self.branches.first().filter(|branch| branch.is_over())?;
            return Some(Record::Aborted(branch.refusal()?));
        }
        if let Some(reason) = self.branches.iter().find_map(Branch::refusal) {
            return Some(Record::Aborted(reason));
        }
        if now.at >= self.deadline {
            let last_answers = now.recorded();
            return Some(Record::Aborted(AbortReason::Deadline { last_answers }));
        }
        (self.state == State::Prepared).then_some(Record::Committed)
    }

    fn decide(&self, input: &Input) -> Vec<Record> {
        match input {
            Input::Time => Vec::new(),
            Input::Restarted => self.decide_restart(),
            Input::Answered(Answered { branch, operation, answer, exhausted, .. }) => {
                let Some(found) = self.find(*branch).filter(|b| !b.is_over()) else {
                    return Vec::new();
                };
                let record = match operation {
                    Operation::Prepare => self.decide_vote(*branch, found, answer),
                    Operation::CommitOnePhase => {
                        self.decide_one_phase(*branch, found, answer, *exhausted)
                    }
                    Operation::Commit | Operation::Abort => {
                        self.decide_end(*branch, found, *operation, answer, *exhausted)
                    }
                    Operation::Action | Operation::Compensation => None,
                };
                record.into_iter().collect()
            }
        }
    }

    fn decide_restart(&self) -> Vec<Record> {
        if !self.is_undecided() {
            return Vec::new();
        }
        if !self.one_phase {
            return vec![Record::Aborted(AbortReason::Restarted)];
        }
        // An attempt of the earlier run may still be on its way, unless its refusal was believed
        // and only the abort that followed did not reach the log.
        let doubtful = |branch: &Branch| !branch.lost && !branch.is_over();
        let branches = (0..).zip(&self.branches).filter(|(_, branch)| doubtful(branch));
        branches.map(|(index, _)| Record::Lost(index)).collect()
    }

    fn decide_vote(&self, index: BranchIndex, branch: &Branch, answer: &Answer) -> Option<Record> {
        if branch.progress != Progress::Working || self.state == State::Committed {
            return None;
        }
        let undecided = self.is_undecided();
        match answer {
            Answer::Done | Answer::DoneWith { .. } if undecided => {
                Some(Record::Vote(index, Vote::Yes))
            }
            // After a lost attempt the branch is committed or aborted all the same.
            Answer::ReadOnly if undecided && branch.lost => Some(Record::Vote(index, Vote::Yes)),
            Answer::ReadOnly if !branch.lost => Some(Record::Vote(index, Vote::ReadOnly)),
            Answer::Refused { reason } if undecided || !branch.lost => {
                Some(Record::Vote(index, Vote::No(reason.clone())))
            }
            // Pending, too: the attempt is still under way when the next one is answered.
            Answer::Pending { .. }
            | Answer::Unknown { .. }
            | Answer::Stuck { .. }
            | Answer::Heuristic { .. }
                if !branch.lost =>
            {
                Some(Record::Lost(index))
            }
            _ => None,
        }
    }

    fn decide_one_phase(
        &self,
        index: BranchIndex,
        branch: &Branch,
        answer: &Answer,
        exhausted: bool,
    ) -> Option<Record> {
        if !self.one_phase || !self.is_undecided() {
            return None;
        }
        match answer {
            Answer::Done | Answer::DoneWith { .. } | Answer::ReadOnly => Some(Record::Committed),
            Answer::Refused { reason } if branch.progress == Progress::Working => {
                Some(Record::Vote(index, Vote::No(reason.clone())))
            }
            // Pending, too: the attempt is still under way when the next one is answered.
            Answer::Pending { .. }
            | Answer::Unknown { .. }
            | Answer::Stuck { .. }
            | Answer::Heuristic { .. }
                if !branch.lost =>
            {
                Some(Record::Lost(index))
            }
            _ => stuck(index, branch, answer, exhausted),
        }
    }

    fn decide_end(
        &self,
        index: BranchIndex,
        branch: &Branch,
        operation: Operation,
        answer: &Answer,
        exhausted: bool,
    ) -> Option<Record> {
        // What is not outstanding was asked in an earlier incarnation; its answer has no say.
        if self.outstanding(branch) != Some(operation) {
            return None;
        }
        let fence = branch.refusal().filter(|_| self.is_undecided());
        match (answer, fence) {
            (Answer::Done | Answer::DoneWith { .. } | Answer::ReadOnly, Some(reason)) => {
                Some(Record::Aborted(reason))
            }
            (Answer::Done | Answer::DoneWith { .. } | Answer::ReadOnly, None) => {
                Some(Record::Acknowledged(index))
            }
            // The fence found that the lost attempt had committed.
            (Answer::Heuristic { .. }, Some(_)) => Some(Record::Committed),
            (Answer::Heuristic { reason }, None) => Some(Record::Heuristic(index, reason.clone())),
            _ => stuck(index, branch, answer, exhausted),
        }
    }
}

/// After many tries an operator should know; it is asked on all the same.
fn stuck(index: BranchIndex, branch: &Branch, answer: &Answer, exhausted: bool) -> Option<Record> {
    let reason = match answer {
        Answer::Refused { reason } => format!("refused, which is not obeyed: {reason}"),
        Answer::Pending { reason, .. } => still_pending(reason),
        Answer::Unknown { reason, .. }
        | Answer::Stuck { reason }
        | Answer::Heuristic { reason } => reason.clone(),
        Answer::Done | Answer::DoneWith { .. } | Answer::ReadOnly => return None,
    };
    (exhausted && branch.stuck.is_none()).then(|| Record::Stuck(index, cut(reason)))
}

impl Branch {
    /// The reason to abort that the branch gives, if it said no.
    fn refusal(&self) -> Option<AbortReason> {
        match &self.progress {
            Progress::Refused { reason } => Some(AbortReason::Refused {
                participant: self.participant.clone(),
                reason: reason.clone(),
            }),
            _ => None,
        }
    }
}

/// Why a transaction cannot be aborted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// It is decided.
    #[error("the transaction is committed; a decision never changes")]
    Committed,
    /// The decision is the participant's.
    #[error("the only participant decides, and has been asked to; wait for its answer")]
    OnePhase,
    /// A law was broken.
    #[error(transparent)]
    BrokenInvariant(#[from] BrokenInvariant),
}

/// Why a branch cannot be resolved by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The transaction has no such branch.
    #[error("the transaction has no such branch")]
    NoSuchBranch,
    /// The branch has ended.
    #[error("the branch is over; there is nothing to resolve")]
    Over,
    /// There is no decision to be carried out.
    #[error("the transaction is not decided; abort it instead")]
    Undecided,
    /// A law was broken.
    #[error(transparent)]
    BrokenInvariant(#[from] BrokenInvariant),
}
