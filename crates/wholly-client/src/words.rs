//! The words that the server uses for states. A newer server may use one that is not here.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident $text:literal)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
        #[serde(from = "String")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
            /// A word that this version of the client does not know.
            Other(String),
        }

        impl $name {
            /// The word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $text,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($text => Self::$word,)*
                    _ => Self::Other(word),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// How a transaction goes about it.
    Pattern {
        /// Two-phase commit.
        TwoPhase "two-phase"
        /// The saga, orchestrated.
        Saga "saga"
        /// Services that react to each other's events.
        Choreography "choreography"
        /// Set aside: its records cannot be read.
        Unknown "unknown"
    }
}

words! {
    /// Where a transaction stands. That nothing is left to do, it says beside.
    State {
        /// In two phases: not every vote is in.
        Init "init"
        /// In two phases: every vote is in and yes.
        Prepared "prepared"
        /// In two phases: decided, the change is made.
        Committed "committed"
        /// In two phases: decided, the change is not made.
        Aborted "aborted"
        /// A saga: steps are asked for. A choreography: no event has ended it.
        Running "running"
        /// A saga: every step is done. A choreography: an event ended it.
        Completed "completed"
        /// A saga: what was done is taken back.
        Compensating "compensating"
        /// A saga: all of it is. A choreography: it ended after a refusal.
        Compensated "compensated"
        /// Set aside: its records cannot be read.
        Unknown "unknown"
    }
}

words! {
    /// Where a branch stands.
    BranchState {
        /// Has not voted, or its vote is not believed.
        Working "working"
        /// Has voted yes, and waits.
        Prepared "prepared"
        /// Is over: committed.
        Committed "committed"
        /// Is over: aborted.
        Aborted "aborted"
    }
}

words! {
    /// Where a step stands.
    StepState {
        /// Not asked yet, or not answered.
        Pending "pending"
        /// Done.
        Completed "completed"
        /// Taken back.
        Compensated "compensated"
        /// Refused.
        Failed "failed"
    }
}

words! {
    /// How a participant is, as far as the coordinator's calls tell.
    Health {
        /// It answers.
        Up "up"
        /// It does not, or not understandably.
        Failing "failing"
        /// It was not called yet.
        Unknown "unknown"
    }
}
