//! A transaction as a client describes it: in a request, or in a file that is drawn and checked.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use wholly::{
    Key, Name, ParticipantName, Payload, Settings, StartedBranch, SubmitError, TraceContext,
};

/// A transaction as a client describes it. What its texts may be is the library's to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    pub key: Option<String>,
    #[serde(default)]
    pub pattern: Pattern,
    pub deadline_millis: Option<u64>,
    /// It is in the headers.
    #[serde(skip)]
    pub trace: Option<TraceContext>,
    // In two phases.
    pub name: Option<String>,
    pub branches: Option<Vec<Branch>>,
    // In steps.
    pub saga: Option<Box<RawValue>>,
    pub input: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    #[default]
    TwoPhase,
    Saga,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    participant: String,
    payload: Box<RawValue>,
}

/// A transaction in two phases, each of its parts parsed.
pub struct TwoPhaseSubmission {
    pub name: Name,
    pub key: Option<Key>,
    pub trace: Option<TraceContext>,
    pub deadline: Option<Duration>,
    pub branches: Vec<StartedBranch>,
}

/// Why a submission is no transaction in two phases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TwoPhaseError {
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("`{0}` needs \"pattern\": \"saga\"")]
    OfSaga(&'static str),
    #[error(transparent)]
    Part(#[from] SubmitError),
}

impl Submission {
    /// The transaction in two phases that is described.
    ///
    /// # Errors
    /// When a member is missing, is a saga's, or is not what it may be.
    pub fn two_phase(self) -> Result<TwoPhaseSubmission, TwoPhaseError> {
        for (name, there) in [("saga", self.saga.is_some()), ("input", self.input.is_some())] {
            if there {
                return Err(TwoPhaseError::OfSaga(name));
            }
        }
        let name = self.name.ok_or(TwoPhaseError::Missing("name"))?;
        let branches = self.branches.ok_or(TwoPhaseError::Missing("branches"))?;
        Ok(TwoPhaseSubmission {
            name: Name::new(name).map_err(SubmitError::from)?,
            key: self.key.map(Key::new).transpose().map_err(SubmitError::from)?,
            trace: self.trace,
            deadline: self.deadline_millis.map(Duration::from_millis),
            branches: branches.into_iter().map(Branch::started).collect::<Result<_, _>>()?,
        })
    }
}

impl TwoPhaseSubmission {
    /// Checks all that a coordinator checks before it takes a transaction, but for what depends on
    /// the coordinator: who is registered, and what the key was used for.
    ///
    /// # Errors
    /// When no coordinator takes it.
    pub fn check(&self) -> Result<(), SubmitError> {
        self.deadline.map_or(Ok(()), Settings::check_deadline)?;
        Settings::check_branches(&self.branches)
    }
}

impl Branch {
    fn started(self) -> Result<StartedBranch, SubmitError> {
        let Self { participant, payload } = self;
        let payload =
            Payload::of(&payload).map_err(|why| SubmitError::payload(&participant, &why))?;
        Ok(StartedBranch { participant: ParticipantName::new(participant)?, payload })
    }
}
