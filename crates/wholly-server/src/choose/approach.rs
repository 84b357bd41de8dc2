//! The approaches between which the rules decide.

use serde::{Serialize, Serializer};

use super::works::{COMMIT, HELLAND, MOHAN, OUTBOX, SAGAS, SAGAS_OF_SERVICES, Source};

/// An approach, in the order of the work to write and to run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Approach {
    /// A local transaction; an outbox tells others.
    OneDatabase,
    /// Two-phase commit: all prepare, then all commit.
    TwoPhase,
    /// A saga whose services react to each other's events.
    Choreography,
    /// A saga whose steps a coordinator asks for.
    Saga,
    /// Two-phase commit whose prepare reserves business resources.
    Tcc,
}

impl Approach {
    pub const ALL: [Self; 5] =
        [Self::OneDatabase, Self::TwoPhase, Self::Choreography, Self::Saga, Self::Tcc];

    /// The name, as flags and documents have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneDatabase => "one-database",
            Self::TwoPhase => "two-phase",
            Self::Choreography => "choreography",
            Self::Saga => "saga",
            Self::Tcc => "tcc",
        }
    }

    /// The name in a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::OneDatabase => "no distributed transaction",
            Self::TwoPhase => "two-phase commit",
            Self::Choreography => "a choreographed saga",
            Self::Saga => "an orchestrated saga",
            Self::Tcc => "TCC (try, confirm, cancel)",
        }
    }

    /// The reason to take it, where nothing speaks against it.
    pub fn promise(self) -> &'static str {
        match self {
            Self::OneDatabase => {
                "Keep what must agree in one database, and change it in one local transaction, which \
                 is atomic and isolated without any protocol. Write what others have to be told into \
                 an outbox in the same transaction."
            }
            Self::TwoPhase => {
                "Every participant promises to commit before any does, so all commit or none does. \
                 No step has to be undone, and no compensation has to be written."
            }
            Self::Choreography => {
                "Each service does its step in a local transaction and publishes an event, to which \
                 the next one reacts. A refusal is an event, too, which the others undo their steps \
                 for. The services stay loosely coupled, and there is no coordinator to run."
            }
            Self::Saga => {
                "A coordinator asks for one local transaction after the other. Where a step is \
                 refused, it asks for the compensations of those that were done. It holds no lock \
                 between the steps, and one place says where each change stands."
            }
            Self::Tcc => {
                "Each participant first reserves what it is asked for, in a short local transaction. \
                 Then all reservations are confirmed, or all are cancelled. It is two-phase commit \
                 whose prepare reserves business resources, not rows."
            }
        }
    }

    /// The literature on it.
    pub fn sources(self) -> &'static [Source] {
        match self {
            Self::OneDatabase => &[HELLAND, OUTBOX],
            Self::TwoPhase => &[MOHAN, COMMIT],
            Self::Choreography => &[SAGAS_OF_SERVICES],
            Self::Saga => &[SAGAS, SAGAS_OF_SERVICES],
            Self::Tcc => &[HELLAND],
        }
    }

    /// The regime of `wholly compare` that measures it.
    pub fn regime(self) -> Option<&'static str> {
        match self {
            Self::OneDatabase => None,
            Self::TwoPhase | Self::Tcc => Some("two-phase"),
            Self::Choreography => Some("choreography"),
            Self::Saga => Some("saga"),
        }
    }
}

impl Serialize for Approach {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
