//! From inputs to records, and the other functions of the pattern's face.

use std::fmt;

use super::record::{AbortReason, Decision, Record, Vote};
use super::{Branch, Phase, Progress, Transaction};
use crate::protocol::{
    Answered, BranchIndex, BrokenInvariant, Effect, Input, Inquiry, Now, Protocol, Request,
    TIMELESS, Target,
};
use crate::view::{Part, View};
use crate::wire::{Answer, Operation, cut, what_came_back};
use crate::{LogId, Pattern, Timestamp, saga};

impl Protocol for Transaction {
    type Record = Record;
    type Resolution = Decision;
    type CancelError = CancelError;
    type ResolveError = ResolveError;

    fn apply(&mut self, record: &Record) -> Result<(), BrokenInvariant> {
        self.fold(record)
    }

    fn decide(&self, input: &Input, _now: Now<'_>) -> Vec<Record> {
        match input {
            Input::Time => Vec::new(),
            Input::Restarted => self.decide_restart(),
            Input::Answered(answered) => self.decide_answer(answered).into_iter().collect(),
        }
    }

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
        (self.phase == Phase::Prepared).then_some(Record::Committed)
    }

    fn forces(&self, record: &Record) -> bool {
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

    fn part_count(&self) -> BranchIndex {
        // INVARIANT: a start has few branches.
        BranchIndex::try_from(self.branches.len()).unwrap_or(BranchIndex::MAX)
    }

    fn outstanding(&self, branch: BranchIndex) -> Option<Operation> {
        let branch = self.find(branch).filter(|branch| !branch.is_over())?;
        match (&self.phase, &branch.progress) {
            (_, Progress::Heuristic) => None,
            (Phase::Init, Progress::Working) if self.one_phase => Some(Operation::CommitOnePhase),
            // The fence behind a refusal that came after a lost attempt.
            (Phase::Init, Progress::Refused { .. }) if self.one_phase => Some(Operation::Abort),
            (Phase::Init, Progress::Working) => Some(Operation::Prepare),
            (Phase::Init | Phase::Prepared, _) => None,
            (Phase::Committed, _) => Some(Operation::Commit),
            (Phase::Aborted(_), _) => Some(Operation::Abort),
        }
    }

    fn request(&self, effect: Effect) -> Option<Request> {
        let branch = self.find(effect.branch)?;
        Some(Request {
            target: Target::Participant(branch.participant.clone()),
            branch: branch.participant.clone().into(),
            operation_name: None,
            payload: branch.payload.clone(),
            expires: effect.operation.is_first_phase().then_some(self.deadline),
            // Past its deadline a vote is of no use. In one phase there is no way but to ask.
            useless_once_expired: !self.one_phase,
            timeout: None,
        })
    }

    fn cancel(&mut self, reason: &str, now: Timestamp) -> Result<Vec<Record>, CancelError> {
        match self.phase {
            _ if self.one_phase && self.is_undecided() => return Err(CancelError::OnePhase),
            Phase::Committed => return Err(CancelError::Committed),
            Phase::Aborted(_) => return Ok(Vec::new()),
            Phase::Init | Phase::Prepared => {}
        }
        let reason = AbortReason::Cancelled { reason: cut(reason.to_owned()) };
        Ok(self.record(vec![Record::Aborted(reason)], now)?)
    }

    fn resolve(
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
        let resolved = Record::Resolved(branch, ended, cut(reason.to_owned()));
        Ok(self.record(vec![resolved], now)?)
    }

    fn resolve_quarantined(
        &mut self,
        branch: BranchIndex,
        ended: Decision,
        reason: &str,
    ) -> Result<Vec<Record>, ResolveError> {
        let over = self.find(branch).ok_or(ResolveError::NoSuchBranch)?.is_over();
        let mut records = Vec::new();
        if !over && self.is_undecided() && !self.one_phase {
            let decided = Record::Decided(ended, cut(reason.to_owned()));
            records = self.record(vec![decided], TIMELESS)?;
        }
        records.extend(self.resolve(branch, ended, reason, TIMELESS)?);
        Ok(records)
    }

    fn release(&mut self, log: LogId, reason: &str) -> Result<Vec<Record>, BrokenInvariant> {
        let record = Record::Released(log, cut(reason.to_owned()));
        self.apply(&record)?;
        Ok(vec![record])
    }

    fn inquiry(&self) -> Inquiry {
        Inquiry::Decision(self.decision())
    }

    fn released(&self) -> Option<LogId> {
        self.released
    }

    fn turns_back_at(&self) -> Option<Timestamp> {
        (self.is_undecided() && !self.one_phase).then_some(self.deadline)
    }

    fn retry(&self, _branch: BranchIndex) -> Option<&saga::Retry> {
        None
    }

    fn memory_bytes(&self) -> usize {
        self.branches.iter().map(|branch| branch.payload.as_str().len()).sum()
    }

    fn is_settled(&self) -> bool {
        self.settled
    }

    fn is_stuck(&self) -> bool {
        self.branches.iter().any(|branch| branch.stuck.is_some())
    }

    fn view(&self) -> View<'_> {
        View {
            pattern: Pattern::TwoPhase,
            name: &self.name,
            state: self.state(),
            settled: self.settled,
            stuck: self.is_stuck(),
            reason: self.abort_reason().map(|reason| reason as &dyn fmt::Display),
            deadline: self.deadline,
            version: None,
            input: None,
            trace: self.trace.as_ref(),
        }
    }

    fn part(&self, branch: BranchIndex) -> Option<Part<'_>> {
        let branch = self.find(branch)?;
        Some(Part {
            name: branch.participant.clone().into(),
            target: Target::Participant(branch.participant.clone()),
            state: self.branch_state(branch),
            stuck: branch.stuck.as_deref(),
            payload: Some(&branch.payload),
            output: None,
            pivot: false,
        })
    }
}

impl Transaction {
    fn decide_answer(&self, answered: &Answered) -> Option<Record> {
        let Answered { branch, operation, answer, exhausted, .. } = answered;
        let found = self.find(*branch).filter(|branch| !branch.is_over())?;
        match operation {
            Operation::Prepare => self.decide_vote(*branch, found, answer),
            Operation::CommitOnePhase => self.decide_one_phase(*branch, found, answer, *exhausted),
            Operation::Commit | Operation::Abort => {
                self.decide_end(*branch, found, *operation, answer, *exhausted)
            }
            Operation::Action | Operation::Compensation => None,
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
        if branch.progress != Progress::Working || self.phase == Phase::Committed {
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
        // An operation not outstanding was asked in an earlier incarnation; its answer is ignored.
        if self.outstanding(index) != Some(operation) {
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
    let done = matches!(answer, Answer::Done | Answer::DoneWith { .. } | Answer::ReadOnly);
    (exhausted && !done && branch.stuck.is_none())
        .then(|| Record::Stuck(index, cut(what_came_back(answer))))
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

/// The reason that a transaction cannot be aborted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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

/// The reason that a branch cannot be resolved by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
