//! A transaction as a client describes it: in a request, or in a file that is drawn and checked.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use wholly::two_phase::Proposal;
use wholly::{
    InvalidProposal, Name, ParticipantName, Pattern, Payload, Settings, StartedBranch, SubmitError,
};

/// A transaction as a client describes it. The library says what its texts may be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmissionDocument {
    pub key: Option<String>,
    #[serde(default = "two_phase")]
    pub pattern: Pattern,
    pub deadline_millis: Option<u64>,
    // In two phases.
    pub name: Option<String>,
    pub branches: Option<Vec<BranchDocument>>,
    // In steps.
    pub saga: Option<Box<RawValue>>,
    pub input: Option<Box<RawValue>>,
}

const fn two_phase() -> Pattern {
    Pattern::TwoPhase
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchDocument {
    participant: String,
    payload: Box<RawValue>,
}

/// The error of a document that is not a two-phase transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TwoPhaseError {
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("the field `{0}` belongs to sagas; add \"pattern\": \"saga\", or leave it out")]
    OfSaga(&'static str),
    #[error(transparent)]
    Part(#[from] SubmitError),
}

impl SubmissionDocument {
    /// The deadline that it names.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline_millis.map(Duration::from_millis)
    }

    /// The transaction in two phases that is described.
    ///
    /// # Errors
    /// When a member is missing, is a saga's, or is invalid.
    pub fn two_phase(self) -> Result<Proposal, TwoPhaseError> {
        for (name, there) in [("saga", self.saga.is_some()), ("input", self.input.is_some())] {
            if there {
                return Err(TwoPhaseError::OfSaga(name));
            }
        }
        self.deadline().map_or(Ok(()), Settings::check_deadline)?;
        let name = self.name.ok_or(TwoPhaseError::Missing("name"))?;
        let branches = self.branches.ok_or(TwoPhaseError::Missing("branches"))?;
        let name = Name::new(name).map_err(SubmitError::from)?;
        let branches =
            branches.into_iter().map(BranchDocument::started).collect::<Result<_, _>>()?;
        Ok(Proposal::new(name, branches).map_err(SubmitError::from)?)
    }
}

impl BranchDocument {
    fn started(self) -> Result<StartedBranch, SubmitError> {
        let Self { participant, payload } = self;
        let payload =
            Payload::of(&payload).map_err(|why| InvalidProposal::payload(&participant, &why))?;
        Ok(StartedBranch { participant: ParticipantName::new(participant)?, payload })
    }
}
