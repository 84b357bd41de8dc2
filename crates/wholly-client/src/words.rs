//! The words that the server uses for states. A newer server may use one that is not here.

use std::fmt;

use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde::{Deserialize, Serialize};

/// The coordination pattern of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pattern {
    /// Two-phase commit.
    TwoPhase,
    /// The saga, orchestrated.
    Saga,
    /// Services that react to each other's events.
    Choreography,
    /// Quarantined: its records cannot be read.
    Unknown,
    /// A word that this version of the client does not know.
    #[serde(untagged)]
    Other(String),
}

/// The state of a transaction. That it has settled is a member of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    /// Two-phase: a vote is missing.
    Init,
    /// Two-phase: every branch voted yes.
    Prepared,
    /// Two-phase: decided, the change is made.
    Committed,
    /// Two-phase: decided, the change is not made.
    Aborted,
    /// A saga: steps are under way. A choreography: no event has ended it.
    Running,
    /// A saga: every step is done. A choreography: an event ended it.
    Completed,
    /// A saga: done steps are being compensated.
    Compensating,
    /// A saga: all of them are. A choreography: it ended after a refusal.
    Compensated,
    /// Quarantined: its records cannot be read.
    Unknown,
    /// A word that this version of the client does not know.
    #[serde(untagged)]
    Other(String),
}

/// The state of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BranchState {
    /// It has not voted, or its vote is not known to be durable.
    Working,
    /// It voted yes, and waits for the decision.
    Prepared,
    /// It ended: committed.
    Committed,
    /// It ended: aborted.
    Aborted,
    /// A word that this version of the client does not know.
    #[serde(untagged)]
    Other(String),
}

/// The state of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StepState {
    /// Its action was not called, or not answered.
    Pending,
    /// Its action is done.
    Completed,
    /// Its action was compensated.
    Compensated,
    /// Its action was refused.
    Failed,
    /// A word that this version of the client does not know.
    #[serde(untagged)]
    Other(String),
}

/// The health of a participant, as the coordinator's calls show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Health {
    /// It answers.
    Up,
    /// It gives no answer, or none that can be understood.
    Failing,
    /// It was not called yet.
    Unknown,
    /// A word that this version of the client does not know.
    #[serde(untagged)]
    Other(String),
}

/// The word as a text, both ways.
macro_rules! text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                let read: Result<_, Error> = Self::deserialize(word.into_deserializer());
                read.unwrap_or_else(|_| Self::Other(word.to_owned()))
            }
        }
    )*};
}

text! { Pattern State BranchState StepState Health }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_json_and_in_text_known_or_not() {
        for (state, word) in [
            (State::Compensating, "compensating"),
            (State::Other("suspended".to_owned()), "suspended"),
        ] {
            assert_eq!(
                (State::from(word), format!("{state:>12}")),
                (state.clone(), format!("{word:>12}"))
            );
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("{word:?}"));
            assert_eq!(serde_json::from_str::<State>(&format!("{word:?}")).unwrap(), state);
        }
        assert_eq!(Pattern::from("two-phase"), Pattern::TwoPhase);
        assert!(serde_json::from_str::<State>("7").is_err());
    }
}
