//! Two-phase commit with presumed abort: this page is its specification.
//!
//! A [`Transaction`] is a value. [`step`](crate::Protocol::step) turns an input into [records](Record)
//! and folds them in; [`effects`](crate::Protocol::effects) says what is outstanding, from the value
//! alone. Nothing here knows a clock, a network or a disk, so the same code runs in production, in
//! the model checker and in the simulation, and recovery is nothing but
//! [`apply`](crate::Protocol::apply) over the records that were kept.
//!
//! The protocol is Gray's (*Notes on Data Base Operating Systems*, 1978) with the presumed abort
//! and the read-only vote of Mohan, Lindsay and Obermarck (*Transaction Management in the R\*
//! Distributed Database Management System*, 1986), and the one-phase commit and the heuristics of
//! X/Open XA (1991).
//!
//! # States
//!
//! | transaction | meaning |
//! |---|---|
//! | `init` | votes are being asked for |
//! | `prepared` | every vote is in and yes (or read-only); the decision is not recorded yet |
//! | `committed` | decided: every prepared branch is told to commit, until it has |
//! | `aborted` | decided: every branch that may hold something is told to abort, until it has |
//!
//! | branch | meaning |
//! |---|---|
//! | `working` | has not voted, or its vote is not believed |
//! | `prepared` | has voted yes, and waits |
//! | `committed`, `aborted` | is over, that way |
//!
//! *Settled* (every branch is over) and *stuck* (an operator is needed) stand beside the state.
//!
//! # What is forced
//!
//! A *forced* record is durable before anything that follows from it leaves. The others are
//! written when a batch leaves anyway, and may be lost in a crash:
//!
//! | record | forced | why |
//! |---|---|---|
//! | `started` | yes | else nobody would remember to abort what was prepared, and a client's key would be forgotten after its transaction had an outcome |
//! | `vote`, `lost` | no | a restart aborts what is undecided, so it has no use for them |
//! | `committed` | yes (in one phase: no) | it is the one thing that presumption would get wrong. In one phase the participant remembers |
//! | `aborted` | no (in one phase: yes) | presumed: what is found undecided is aborted. In one phase it would be asked again, and a participant that forgot its refusal would say otherwise |
//! | `acknowledged`, `settled` | no | asking a participant again does no harm |
//! | `heuristic`, `stuck` | no | seen again when asked again |
//! | `resolved`, `decided`, `released` | yes | an operator's word is not asked for twice |
//!
//! A decision is told when its record is durable, forced or not.
//!
//! INVARIANT: a restart aborts what is undecided and never prepares it again. An abort that was
//! not forced may have been acted on already; a commit that followed would break it.
//!
//! # Inputs
//!
//! The effect of an input, by the state. An input that the table leaves out changes nothing.
//!
//! | input | `init` | `prepared` | `committed` | `aborted` |
//! |---|---|---|---|---|
//! | yes to prepare | `vote`; with the last one: `prepared`, `committed` | | | |
//! | read-only | the same; the branch is over. After a lost attempt it counts as a plain yes | | | as a no |
//! | no | `vote`, `aborted`; the branch is over. After a lost attempt it is aborted all the same | | | `vote`: the branch is over, unless an attempt was lost |
//! | unknown or pending, to prepare | `lost` the first time; asked again | | | `lost` the first time |
//! | pending, to commit or abort | | | asked again; `stuck` after many tries | the same |
//! | done to commit or abort | | | `acknowledged`; with the last one `settled` | the same |
//! | refused or unknown, to commit or abort | | | asked again; `stuck` after many tries | the same |
//! | heuristic | | | `heuristic`: stuck | `heuristic`: stuck |
//! | time, after the deadline | `aborted` | `aborted` | | |
//! | restart | `aborted` | `aborted` | asked again | asked again |
//! | cancel | `aborted` | `aborted` | an error | the same answer |
//! | resolve by hand | an error | an error | `resolved`; with the last one `settled` | the same |
//!
//! # One branch alone
//!
//! If the only participant offers it, [`Started::one_phase`] hands it the decision: it is asked to
//! commit in one phase until it tells its decision. Deadline, cancel and restart decide nothing
//! (the call itself expires at the deadline, and the participant refuses it from then on).
//!
//! | answer | to the one-phase commit | to the abort that fences |
//! |---|---|---|
//! | done | `committed`, `settled` | `aborted`, `settled` |
//! | refused | `vote`, `aborted`, `settled`; after a lost attempt only the `vote`, and an abort is sent as a fence | asked again |
//! | heuristic | | `committed`, `settled`: the lost attempt had done it |
//! | unknown or pending | `lost` the first time; asked again; `stuck` after many tries | asked again; `stuck` after many tries |
//! | resolve by hand | `resolved`: decided, `settled` | the same |
//!
//! The fence is needed because a refusal says nothing of an earlier attempt that may still be on
//! its way: once the abort is acknowledged, the participant refuses every late call.
//!
//! # What a restored copy holds
//!
//! A copy of the log knows only the past of the moment when it was made; the original may have gone
//! on. So an unsettled transaction in it is *quarantined*: no input reaches it, not even time and
//! the restart, until an operator says `released`; then it goes on as after a restart. An operator
//! may resolve its branches meanwhile. If it is undecided, the first such word is the decision,
//! `decided`: the operator has seen the participants' work, which the copy cannot know.
//!
//! # Laws
//!
//! INVARIANT: commit is decided only when every branch has voted yes or read-only, or by an operator
//! who has seen it done.
//! INVARIANT: a decision never changes.
//! INVARIANT: unknown is never a no: only a refusal, the deadline, a cancel and a restart abort.
//! INVARIANT: a no or read-only vote ends its branch only where no attempt was lost before it.
//! INVARIANT: a transaction is settled only when every branch is over, and then nothing follows.
//!
//! [`apply`](crate::Protocol::apply) asserts them: a record that breaks one is a
//! [`BrokenInvariant`](crate::BrokenInvariant), and its transaction is quarantined.

mod apply;
mod decide;
mod proposal;
mod record;

pub use decide::{CancelError, ResolveError};
pub use proposal::Proposal;
pub use record::{AbortReason, Decision, Record, Started, StartedBranch, Vote};

use std::sync::Arc;

use crate::protocol::BranchIndex;
use crate::{LogId, Name, PartState, ParticipantName, Payload, State, Timestamp, TraceContext};

/// A transaction in two phases: the value of its records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    name: Name,
    deadline: Timestamp,
    one_phase: bool,
    trace: Option<Arc<TraceContext>>,
    phase: Phase,
    settled: bool,
    released: Option<LogId>,
    branches: Vec<Branch>,
}

/// A transaction's progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Votes are being asked for.
    Init,
    /// Every vote is in and yes.
    Prepared,
    /// Decided: commit.
    Committed,
    /// Decided: abort.
    Aborted(AbortReason),
}

/// One participant's part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch {
    participant: ParticipantName,
    payload: Payload,
    progress: Progress,
    /// An attempt at the first phase went unanswered, or is pending: it may still take effect.
    lost: bool,
    stuck: Option<String>,
}

/// A branch's progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Progress {
    Working,
    Prepared,
    /// Voted read-only: over, whatever is decided.
    ReadOnly,
    /// Voted no. Over, unless an earlier attempt was lost.
    Refused {
        reason: String,
    },
    /// Ended by the participant against the decision; an operator has to look.
    Heuristic,
    Ended(Decision),
}

impl Transaction {
    /// The transaction that this record starts.
    pub fn start(started: &Started) -> Self {
        let branch = |b: &StartedBranch| Branch {
            participant: b.participant.clone(),
            payload: b.payload.clone(),
            progress: Progress::Working,
            lost: false,
            stuck: None,
        };
        Self {
            name: started.name.clone(),
            deadline: started.deadline,
            one_phase: started.one_phase,
            trace: started.trace.clone(),
            phase: Phase::Init,
            settled: false,
            released: None,
            branches: started.branches.iter().map(branch).collect(),
        }
    }

    /// True if its only participant decides.
    pub fn is_one_phase(&self) -> bool {
        self.one_phase
    }

    /// Its state.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Init => State::Init,
            Phase::Prepared => State::Prepared,
            Phase::Committed => State::Committed,
            Phase::Aborted(_) => State::Aborted,
        }
    }

    /// The reason why it aborted, if it did.
    pub const fn abort_reason(&self) -> Option<&AbortReason> {
        match &self.phase {
            Phase::Aborted(reason) => Some(reason),
            Phase::Init | Phase::Prepared | Phase::Committed => None,
        }
    }

    /// The decision, once there is one.
    pub fn decision(&self) -> Option<Decision> {
        match self.phase {
            Phase::Init | Phase::Prepared => None,
            Phase::Committed => Some(Decision::Committed),
            Phase::Aborted(_) => Some(Decision::Aborted),
        }
    }

    /// Its branches, in the order of submission.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// A branch's state. A read-only one shows as prepared until the decision, then as decided.
    pub fn branch_state(&self, branch: &Branch) -> PartState {
        let decided = |decision| match decision {
            Decision::Committed => PartState::Committed,
            Decision::Aborted => PartState::Aborted,
        };
        match branch.progress {
            Progress::Working => PartState::Working,
            Progress::Prepared => PartState::Prepared,
            Progress::ReadOnly => self.decision().map_or(PartState::Prepared, decided),
            Progress::Refused { .. } if branch.lost => PartState::Working,
            Progress::Refused { .. } => PartState::Aborted,
            // It ended against the decision.
            Progress::Heuristic if self.phase == Phase::Committed => PartState::Aborted,
            Progress::Heuristic => PartState::Committed,
            Progress::Ended(decision) => decided(decision),
        }
    }

    fn is_undecided(&self) -> bool {
        self.decision().is_none()
    }

    fn find(&self, branch: BranchIndex) -> Option<&Branch> {
        self.branches.get(usize::from(branch))
    }
}

impl Branch {
    /// The participant; the branch bears its name.
    pub fn participant(&self) -> &ParticipantName {
        &self.participant
    }

    /// The payload of each operation.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The reason why it needs an operator, if it does.
    pub fn stuck(&self) -> Option<&str> {
        self.stuck.as_deref()
    }

    /// True if nothing more will be asked of it, and nobody is waited for.
    pub fn is_over(&self) -> bool {
        match self.progress {
            Progress::Working | Progress::Prepared | Progress::Heuristic => false,
            Progress::ReadOnly | Progress::Ended(_) => true,
            Progress::Refused { .. } => !self.lost,
        }
    }

    /// True if it may be committed: it voted yes or read-only.
    fn agrees(&self) -> bool {
        matches!(self.progress, Progress::Prepared | Progress::ReadOnly)
    }
}

#[cfg(test)]
mod tests;
