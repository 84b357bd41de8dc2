//! A transaction on its way to the coordinator: the part that all patterns have in common, and the
//! part that each pattern adds.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wholly_core::saga::{Definition, Graph};
use wholly_core::two_phase::StartedBranch;
use wholly_core::{
    InvalidName, InvalidPayload, InvalidProposal, Key, Name, ParticipantName, Payload, Proposal,
    TraceContext, TransactionId, saga, two_phase,
};

use super::Coordinator;
use crate::engine::{NewTransaction, OtherKey, Reply, Wait};
use crate::outcome::AnyOutcome;
use crate::{KeyScope, Outcome, SagaOutcome, SubmitError};

/// A transaction that is being put together. It exists for the coordinator once it is executed or
/// submitted. `D` is its pattern's part: [`TwoPhase`], [`SagaRun`], or a whole [`Proposal`].
#[must_use = "nothing happens until it is executed or submitted"]
pub struct Submission<D> {
    coordinator: Result<Coordinator, SubmitError>,
    draft: D,
    key: Option<Result<Key, InvalidName>>,
    other_key: Option<OtherKey>,
    trace: Option<Arc<TraceContext>>,
    deadline: Option<Duration>,
    patience: Option<Duration>,
}

/// The part of a submission that one pattern adds.
pub trait Draft: Sized {
    /// The outcome of such a transaction.
    type Outcome;

    /// The proposal that was put together.
    ///
    /// # Errors
    /// When a part of it is invalid.
    fn propose(self) -> Result<Proposal, SubmitError>;

    /// The deadline that a definition gives.
    fn deadline(&self) -> Option<Duration>;

    /// The outcome, as a caller of this pattern takes it.
    fn outcome(outcome: AnyOutcome) -> Self::Outcome;
}

/// Branches of a transaction in two phases.
pub struct TwoPhase {
    name: Result<Name, InvalidName>,
    branches: Vec<StartedBranch>,
}

/// A saga and its input.
pub struct SagaRun {
    saga: Arc<Graph>,
    input: Result<Payload, InvalidPayload>,
    any_version: bool,
}

impl<D: Draft> Submission<D> {
    fn new(coordinator: Result<Coordinator, SubmitError>, draft: D) -> Self {
        let (key, other_key, trace, deadline, patience) = (None, None, None, None, None);
        Self { coordinator, draft, key, other_key, trace, deadline, patience }
    }

    /// The client's own key: submitting again with the same key and content joins the first
    /// transaction instead of beginning another.
    pub fn key(mut self, key: impl std::fmt::Display) -> Self {
        self.key = Some(Key::new(key.to_string()));
        self
    }

    /// The client's own key as one of this caller's keys, or of everybody's. A transaction that the
    /// caller began with it in the other scope is joined, too. All submissions of one coordinator
    /// have to go by one scope; it may be another one after a restart.
    pub fn key_of(mut self, caller: &Name, scope: KeyScope, key: impl std::fmt::Display) -> Self {
        let (key, other_key) = scope.keys(caller, Key::new(key.to_string()));
        (self.key, self.other_key) = (Some(key), other_key);
        self
    }

    /// The trace that it belongs to, which every call carries on. If the key joins an earlier
    /// transaction, that one keeps its own.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(Arc::new(trace));
        self
    }

    /// The time, from its acceptance on, after which a transaction in two phases aborts if it is
    /// not decided, and a saga turns back if its pivot has not left or, without one, if it is not
    /// done. By default that of a saga's definition, or of the coordinator's settings.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The time for which [`execute`](Self::execute) waits for the transaction to settle, in all.
    /// By default the deadline and [`Settings::patience`](crate::Settings::patience).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Submits the transaction and waits until it has settled. Dropping the future detaches from
    /// the transaction; it never aborts it or turns it back.
    ///
    /// # Errors
    /// When the transaction was not accepted.
    pub async fn execute(self) -> Result<D::Outcome, SubmitError> {
        let parts = self.coordinator.clone()?.parts;
        let patience = self.patience.unwrap_or_else(|| {
            let deadline = self.deadline.or(self.draft.deadline());
            deadline.unwrap_or(parts.settings.deadline).saturating_add(parts.settings.patience)
        });
        let until = parts.clock.now() + patience;
        match self.begin(Wait::Settled { until }).await? {
            Reply::Outcome(outcome) => Ok(D::outcome(outcome)),
            _ => Err(unexpected()),
        }
    }

    /// Submits the transaction and returns its id once it is accepted, which is durable.
    ///
    /// # Errors
    /// When the transaction was not accepted.
    pub async fn submit(self) -> Result<TransactionId, SubmitError> {
        match self.begin(Wait::Accepted).await? {
            Reply::Accepted(id) => Ok(id),
            _ => Err(unexpected()),
        }
    }

    async fn begin(self, wait: Wait) -> Result<Reply, SubmitError> {
        let coordinator = self.coordinator?;
        let submission = NewTransaction {
            key: self.key.transpose()?,
            other_key: self.other_key,
            trace: self.trace,
            deadline: self.deadline,
            // Here and not in the loop, which would make others wait.
            proposal: self.draft.propose()?,
        };
        coordinator.submit(submission, wait).await
    }
}

fn unexpected() -> SubmitError {
    SubmitError::Unavailable { why: "the coordinator gave no outcome".to_owned() }
}

impl Submission<TwoPhase> {
    pub(super) fn two_phase(coordinator: &Coordinator, name: &str) -> Self {
        let draft = TwoPhase { name: Name::new(name), branches: Vec::new() };
        Self::new(Ok(coordinator.clone()), draft)
    }

    /// Adds a branch: this participant, with this payload.
    ///
    /// # Errors
    /// When no participant can have that name, or the payload has no form in JSON or is too long.
    pub fn branch<T: Serialize + ?Sized>(
        self,
        participant: &str,
        payload: &T,
    ) -> Result<Self, SubmitError> {
        let payload =
            Payload::of(payload).map_err(|why| InvalidProposal::payload(participant, &why))?;
        let participant = ParticipantName::new(participant)?;
        Ok(self.started_branch(StartedBranch { participant, payload }))
    }

    /// Adds a branch whose parts were parsed already.
    pub fn started_branch(mut self, branch: StartedBranch) -> Self {
        self.draft.branches.push(branch);
        self
    }
}

impl Draft for TwoPhase {
    type Outcome = Outcome;

    fn propose(self) -> Result<Proposal, SubmitError> {
        Ok(Proposal::TwoPhase(two_phase::Proposal::new(self.name?, self.branches)?))
    }

    fn deadline(&self) -> Option<Duration> {
        None
    }

    fn outcome(outcome: AnyOutcome) -> Outcome {
        outcome.two_phase()
    }
}

impl Submission<SagaRun> {
    pub(crate) fn saga(coordinator: Option<Coordinator>, saga: Arc<Graph>) -> Self {
        let Definition { name, version, .. } = saga.definition();
        let not_started = || SubmitError::NotStarted { saga: name.clone(), version: *version };
        let coordinator = coordinator.ok_or_else(not_started);
        let draft = SagaRun { saga, input: Ok(Payload::null()), any_version: false };
        Self::new(coordinator, draft)
    }

    /// Lets the key join a saga of the same name in any version: for callers who name no version
    /// and are given the newest.
    pub fn any_version(mut self, any_version: bool) -> Self {
        self.draft.any_version = any_version;
        self
    }

    /// The input with which it begins; `null` unless said.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        self.draft.input = Payload::of(input);
        self
    }
}

impl Draft for SagaRun {
    type Outcome = SagaOutcome;

    fn propose(self) -> Result<Proposal, SubmitError> {
        let input = self.input.map_err(|why| InvalidProposal::input(&why))?;
        Ok(Proposal::Saga(saga::Proposal::new(self.saga, input, self.any_version)?))
    }

    fn deadline(&self) -> Option<Duration> {
        self.saga.definition().deadline_millis.map(Duration::from_millis)
    }

    fn outcome(outcome: AnyOutcome) -> SagaOutcome {
        outcome.saga()
    }
}

impl Submission<Proposal> {
    pub(super) fn proposal(coordinator: &Coordinator, proposal: Proposal) -> Self {
        Self::new(Ok(coordinator.clone()), proposal)
    }
}

impl Draft for Proposal {
    type Outcome = AnyOutcome;

    fn propose(self) -> Result<Proposal, SubmitError> {
        Ok(self)
    }

    fn deadline(&self) -> Option<Duration> {
        Proposal::deadline(self)
    }

    fn outcome(outcome: AnyOutcome) -> AnyOutcome {
        outcome
    }
}
