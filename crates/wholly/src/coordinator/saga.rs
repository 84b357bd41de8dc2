//! A saga on its way to the coordinator.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use wholly_core::saga::{Definition, Graph};
use wholly_core::{InvalidName, InvalidPayload, Key, Name, Payload, TraceContext, TransactionId};

use super::Coordinator;
use super::two_phase::unexpected;
use crate::engine::{Change, OtherKey, Reply, Submission, Wait};
use crate::{KeyScope, SagaOutcome, SubmitError};

/// A saga that is being put together. It exists for the coordinator once it is executed or
/// submitted.
#[must_use = "nothing happens until it is executed or submitted"]
pub struct SagaRun {
    /// None: it has not started.
    coordinator: Option<Coordinator>,
    saga: Arc<Graph>,
    key: Option<Result<Key, InvalidName>>,
    other_key: Option<OtherKey>,
    trace: Option<Arc<TraceContext>>,
    input: Result<Payload, InvalidPayload>,
    deadline: Option<Duration>,
    patience: Option<Duration>,
    any_version: bool,
}

impl SagaRun {
    pub(crate) fn new(coordinator: Option<Coordinator>, saga: Arc<Graph>) -> Self {
        let input = Ok(Payload::null());
        let (key, other_key, trace, deadline, patience) = (None, None, None, None, None);
        let any_version = false;
        Self { coordinator, saga, key, other_key, trace, input, deadline, patience, any_version }
    }

    /// The client's own key: submitting again with the same key, definition and input joins the
    /// first saga instead of beginning another.
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
    /// saga with the key was begun before.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(Arc::new(trace));
        self
    }

    /// Whether a saga that was begun with the key and the same name counts as the same, whichever
    /// version it has: for who names no version and is given the newest.
    pub fn any_version(mut self, any_version: bool) -> Self {
        self.any_version = any_version;
        self
    }

    /// With what it begins; `null` unless said.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        self.input = Payload::of(input);
        self
    }

    /// When the saga turns back if its pivot has not left, or, without one, if it is not done;
    /// from its acceptance on. Else the definition says it, or the coordinator's settings.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long [`execute`](Self::execute) waits for the saga to settle, in all. By default the
    /// deadline and [`Settings::patience`](crate::Settings::patience).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Submits the saga and waits until it has settled. Dropping the future detaches from the saga;
    /// it never turns it back.
    ///
    /// # Errors
    /// When the saga was not accepted.
    pub async fn execute(self) -> Result<SagaOutcome, SubmitError> {
        let parts = self.coordinator()?.parts.clone();
        let own = self.saga.definition().deadline_millis.map(Duration::from_millis);
        let patience = self.patience.unwrap_or_else(|| {
            let deadline = self.deadline.or(own).unwrap_or(parts.settings.deadline);
            deadline.saturating_add(parts.settings.patience)
        });
        let until = parts.clock.now() + patience;
        match self.begin(Wait::Settled { until }).await? {
            Reply::Outcome(outcome) => Ok(outcome.saga()),
            _ => Err(unexpected()),
        }
    }

    /// Submits the saga and returns its id once it is accepted, which is durable.
    ///
    /// # Errors
    /// When the saga was not accepted.
    pub async fn submit(self) -> Result<TransactionId, SubmitError> {
        match self.begin(Wait::Accepted).await? {
            Reply::Accepted(id) => Ok(id),
            _ => Err(unexpected()),
        }
    }

    async fn begin(self, wait: Wait) -> Result<Reply, SubmitError> {
        let coordinator = self.coordinator()?.clone();
        let input = self.input.map_err(|why| SubmitError::Input { why: why.to_string() })?;
        // Here and not in the loop, which would have others wait meanwhile.
        input.check_members().map_err(|why| SubmitError::Input { why: why.to_string() })?;
        self.saga.accepts(&input).map_err(|why| SubmitError::Input { why: why.to_string() })?;
        let submission = Submission {
            key: self.key.transpose()?,
            other_key: self.other_key,
            trace: self.trace,
            deadline: self.deadline,
            change: Change::Saga { saga: self.saga, input, any_version: self.any_version },
        };
        coordinator.submit(submission, wait).await
    }

    fn coordinator(&self) -> Result<&Coordinator, SubmitError> {
        self.coordinator.as_ref().ok_or_else(|| {
            let Definition { name, version, .. } = self.saga.definition();
            SubmitError::NotStarted { saga: name.clone(), version: *version }
        })
    }
}
