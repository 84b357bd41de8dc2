//! The barrier's row as a table keeps it: a word for the state, and a text that belongs to it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wholly_core::{OperationName, Payload};

use crate::Failure;
use crate::barrier::RowState;

/// The columns `state` and `data` of a branch's or step's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchRow {
    /// The word for the state.
    pub state: String,
    /// The prepared data as JSON, the reason of a refusal, or a done action with its output.
    pub data: Option<String>,
}

/// A change of a branch's or step's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Insert the first row.
    Insert(BranchRow),
    /// Update the state and delete the data of the row, which is in the state `from`.
    End {
        /// The word for the state before.
        from: &'static str,
        /// The word for the state after.
        to: &'static str,
    },
}

impl RowChange {
    pub(super) const COMMIT: Self = Self::End { from: "prepared", to: "committed" };
    pub(super) const ABORT: Self = Self::End { from: "prepared", to: "aborted" };
    pub(super) const COMPENSATE: Self = Self::End { from: "done", to: "compensated" };
}

/// The data of a step that is done, as JSON.
#[derive(Serialize, Deserialize)]
struct DoneData {
    action: OperationName,
    output: Payload,
}

impl BranchRow {
    /// The row in this state, with the prepared data of a prepared branch.
    pub(super) fn new(state: &RowState, prepared: Option<String>) -> Result<Self, Failure> {
        let (word, data) = match state {
            RowState::Prepared => ("prepared", prepared),
            RowState::Committed => ("committed", None),
            RowState::CommittedOnePhase => ("committed-one-phase", None),
            RowState::Aborted => ("aborted", None),
            RowState::ReadOnly => ("read-only", None),
            RowState::Refused { reason } => ("refused", Some(reason.clone())),
            RowState::Done { action, output } => {
                let data = DoneData { action: action.clone(), output: output.clone() };
                ("done", Some(serde_json::to_string(&data)?))
            }
            RowState::ActionRefused { reason } => ("action-refused", Some(reason.clone())),
            RowState::Compensated => ("compensated", None),
            RowState::CompensatedEmpty => ("compensated-empty", None),
        };
        Ok(Self { state: word.to_owned(), data })
    }

    pub(super) fn state(&self) -> Result<RowState, Failure> {
        let data = self.data.as_deref().unwrap_or_default();
        Ok(match self.state.as_str() {
            "prepared" => RowState::Prepared,
            "committed" => RowState::Committed,
            "committed-one-phase" => RowState::CommittedOnePhase,
            "aborted" => RowState::Aborted,
            "read-only" => RowState::ReadOnly,
            "refused" => RowState::Refused { reason: data.to_owned() },
            "done" => {
                let DoneData { action, output } = serde_json::from_str(data)?;
                RowState::Done { action, output }
            }
            "action-refused" => RowState::ActionRefused { reason: data.to_owned() },
            "compensated" => RowState::Compensated,
            "compensated-empty" => RowState::CompensatedEmpty,
            // A newer version wrote it. Unknown, not a guess.
            other => return Err(format!("the branch's row has an unknown state {other:?}").into()),
        })
    }

    /// The prepared data of a prepared branch.
    pub(super) fn prepared<P: DeserializeOwned>(row: Option<Self>) -> Result<P, Failure> {
        let data = row.and_then(|row| row.data);
        let data = data.ok_or("the branch's row has lost its prepared data")?;
        serde_json::from_str(&data).map_err(|e| {
            format!("this version of the service cannot read what was prepared: {e}").into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_as_it_was_written() {
        let action = OperationName::new("pay").unwrap();
        let reason = || "no".to_owned();
        for state in [
            RowState::Prepared,
            RowState::Committed,
            RowState::CommittedOnePhase,
            RowState::Aborted,
            RowState::ReadOnly,
            RowState::Refused { reason: reason() },
            RowState::Done { action, output: Payload::null() },
            RowState::ActionRefused { reason: reason() },
            RowState::Compensated,
            RowState::CompensatedEmpty,
        ] {
            assert_eq!(BranchRow::new(&state, None).unwrap().state().unwrap(), state);
        }
        let newer = BranchRow { state: "promised".to_owned(), data: None };
        assert!(newer.state().unwrap_err().to_string().contains("promised"));
    }
}
