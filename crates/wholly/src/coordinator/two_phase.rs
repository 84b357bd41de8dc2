//! A two-phase transaction on its way to the coordinator.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wholly_core::two_phase::StartedBranch;
use wholly_core::{InvalidName, Key, Name, ParticipantName, Payload, TraceContext, TransactionId};

use super::Coordinator;
use crate::engine::{Change, OtherKey, Reply, Submission, Wait};
use crate::{KeyScope, Outcome, SubmitError};

/// A transaction that is being put together. It exists for the coordinator once it is executed or
/// submitted.
#[must_use = "nothing happens until it is executed or submitted"]
pub struct TwoPhase<'a> {
    coordinator: &'a Coordinator,
    name: Result<Name, InvalidName>,
    key: Option<Result<Key, InvalidName>>,
    other_key: Option<OtherKey>,
    trace: Option<Arc<TraceContext>>,
    branches: Vec<StartedBranch>,
    deadline: Option<Duration>,
    patience: Option<Duration>,
}

impl<'a> TwoPhase<'a> {
    pub(super) fn new(coordinator: &'a Coordinator, name: &str) -> Self {
        Self {
            coordinator,
            name: Name::new(name),
            key: None,
            other_key: None,
            trace: None,
            branches: Vec::new(),
            deadline: None,
            patience: None,
        }
    }

    /// The client's own key: submitting again with the same key and the same body joins the first
    /// transaction instead of beginning another.
    pub fn key(mut self, key: impl std::fmt::Display) -> Self {
        self.key = Some(Key::new(key.to_string()));
        self
    }

    /// The client's own key as one of this caller's keys, or of everybody's. What the caller
    /// began with it in the other scope is joined, too. All submissions of one coordinator have
    /// to go by one scope; it may be another one after a restart.
    pub fn key_of(mut self, caller: &Name, scope: KeyScope, key: impl std::fmt::Display) -> Self {
        let (key, other_key) = scope.keys(caller, Key::new(key.to_string()));
        (self.key, self.other_key) = (Some(key), other_key);
        self
    }

    /// The trace that it belongs to: every call carries it on. It is the first one's where a
    /// transaction with the key was begun before.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(Arc::new(trace));
        self
    }

    /// A branch: this participant, with this payload.
    ///
    /// # Errors
    /// When nobody can have that name, or the payload has no form in JSON or is too long.
    pub fn branch<T: Serialize + ?Sized>(
        self,
        participant: &str,
        payload: &T,
    ) -> Result<Self, SubmitError> {
        let payload =
            Payload::of(payload).map_err(|why| SubmitError::payload(participant, &why))?;
        let participant = ParticipantName::new(participant)?;
        Ok(self.started_branch(StartedBranch { participant, payload }))
    }

    /// A branch whose parts were parsed already.
    pub fn started_branch(mut self, branch: StartedBranch) -> Self {
        self.branches.push(branch);
        self
    }

    /// When the transaction aborts if it is not decided, from its acceptance on.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long [`execute`](Self::execute) waits for the transaction to settle, in all. By
    /// default the deadline and [`Settings::patience`](crate::Settings::patience).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Submits the transaction and waits until it has settled. Dropping the future detaches from
    /// the transaction; it never aborts it.
    ///
    /// # Errors
    /// When the transaction was not accepted.
    pub async fn execute(self) -> Result<Outcome, SubmitError> {
        let settings = &self.coordinator.parts.settings;
        let patience = self.patience.unwrap_or_else(|| {
            self.deadline.unwrap_or(settings.deadline).saturating_add(settings.patience)
        });
        let until = self.coordinator.parts.clock.now() + patience;
        match self.begin(Wait::Settled { until }).await? {
            Reply::Outcome(outcome) => Ok(outcome.two_phase()),
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
        // Here and not in the loop, which would have others wait meanwhile.
        for StartedBranch { participant, payload } in &self.branches {
            let checked = payload.check_members();
            checked.map_err(|why| SubmitError::payload(participant.as_str(), &why))?;
        }
        let submission = Submission {
            key: self.key.transpose()?,
            other_key: self.other_key,
            trace: self.trace,
            deadline: self.deadline,
            change: Change::TwoPhase { name: self.name?, branches: self.branches },
        };
        self.coordinator.submit(submission, wait).await
    }
}

pub(super) fn unexpected() -> SubmitError {
    SubmitError::Unavailable { why: "the coordinator gave no outcome".to_owned() }
}
