//! The reasons that a workload could not be measured.

use wholly::TransactionId;

/// The reason that a workload could not be measured. Only the files of `--log` are left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BenchError {
    #[error("the coordinator did not start: {0}")]
    Start(#[from] wholly::StartError),
    #[error("a transaction was not accepted: {0}")]
    Submit(#[from] wholly::SubmitError),
    #[error("transaction {id} did not end as it had to: {what}")]
    WrongEnd { id: TransactionId, what: String },
    #[error("a log for the measurement could not be opened: {0}")]
    Open(#[from] wholly::log::OpenError),
    #[error("a log for the measurement could not be written: {0}")]
    Append(#[from] wholly::log::AppendError),
    #[error("a log for the measurement could not be read: {0}")]
    Read(#[from] wholly::log::ReadError),
    #[error("a participant's process did not start: {why}")]
    Participant { why: String },
    #[error("the database's server did not start: {why}")]
    Database { why: String },
    #[error("a bare call failed: {why}")]
    BareCall { why: String },
    #[error("a bare call failed: {0}")]
    NoAnswer(#[from] crate::client::NoAnswer),
    #[error("a promise is not kept: {why}")]
    Broken { why: String },
    #[error(transparent)]
    Fleet(#[from] crate::fleet::FleetError),
    #[error("nothing was measured: {why}")]
    Nothing { why: &'static str },
    #[error("a name or key is not valid: {0}")]
    Name(#[from] wholly::InvalidName),
    #[error("the payload is not valid: {0}")]
    Payload(#[from] wholly::InvalidPayload),
    #[error("the saga is not valid: {0}")]
    Saga(#[from] wholly_core::saga::InvalidDefinition),
    #[error(transparent)]
    SagaInCode(#[from] wholly::SagaError),
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the address of a participant is not valid: {0}")]
    Url(#[from] wholly::InvalidUrl),
    #[error("the slots are not valid: {0}")]
    Slots(#[from] wholly::InvalidSlots),
    #[error("the system said: {0}")]
    System(#[from] std::io::Error),
    #[error("a task of the measurement ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}
