//! A saga as its author writes it: in a file, by the API, or in code.

use serde::{Deserialize, Deserializer, Serialize};

use crate::protocol::Target;
use crate::{Name, OperationName, ParticipantName, Payload, StepName};

/// A saga's plan. [`Graph::new`](super::Graph::new) says whether it makes sense.
///
/// ```
/// # use wholly_core::saga::{Definition, Graph};
/// let definition: Definition = serde_json::from_str(r#"{
///     "name": "create order",
///     "version": 1,
///     "steps": [
///         {"name": "reserve", "participant": "inventory", "compensation": "release"},
///         {"name": "charge", "participant": "payment", "compensation": "refund", "pivot": true},
///         {"name": "confirm", "participant": "order"}
///     ]
/// }"#)?;
/// assert!(Graph::new(definition).is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub name: Name,
    /// A saga goes on with the version that it started with.
    pub version: u32,
    /// The time until it turns back, in milliseconds, if its client does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_millis: Option<u64>,
    /// Its steps, run in this order unless the steps themselves say what they come after.
    pub steps: Vec<StepDefinition>,
}

/// One step of a [`Definition`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepDefinition {
    /// Its name, in this saga.
    pub name: StepName,
    /// The participant that does it. Absent in a saga in code: the program itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantName>,
    /// The operation that does it. Absent: the one named like the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<OperationName>,
    /// The operation that takes it back, or `false`: it needs none. Up to the pivot, one of the
    /// two has to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Compensation>,
    /// The payload of the action, with [references](super::reference). Absent: the saga's input.
    #[serde(default, deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// The steps that it comes after. Absent: the one before it in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<StepName>>,
    /// True if there is no way back once it is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
    /// The longest that one attempt may take, in milliseconds. Absent: the coordinator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_millis: Option<u64>,
    /// The rule for trying it again. Absent: the coordinator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl Definition {
    /// True if both say the same: the spelling of a payload does not count.
    pub fn same_as(&self, other: &Self) -> bool {
        let plain = |definition: &Self| {
            let mut plain = definition.clone();
            plain.steps.iter_mut().for_each(|step| step.payload = None);
            plain
        };
        let payload =
            |(one, other): (&StepDefinition, &StepDefinition)| match (&one.payload, &other.payload)
            {
                (Some(one), Some(other)) => one.same_as(other),
                (one, other) => one.is_none() && other.is_none(),
            };
        self == other
            || (plain(self) == plain(other) && self.steps.iter().zip(&other.steps).all(payload))
    }

    /// The target that does one of its steps.
    pub fn target(&self, step: &StepDefinition) -> Target {
        match &step.participant {
            Some(participant) => Target::Participant(participant.clone()),
            None => Target::Code { saga: self.name.clone(), version: self.version },
        }
    }
}

impl StepDefinition {
    /// The longest that its payload may be with its references filled in. Nothing is sent to the
    /// program itself, and the parts of its payload have limits of their own.
    pub(super) fn payload_limit(&self) -> usize {
        match self.participant {
            Some(_) => Payload::LIMIT,
            None => usize::MAX,
        }
    }
}

/// Reads a payload that is present: `null` is one.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(deserializer).map(Some)
}

/// The way in which a step is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "ByOrNone", into = "ByOrNone")]
pub enum Compensation {
    /// This operation of the same participant.
    By(OperationName),
    /// No operation: its effect may stay. Written `false`.
    NotNeeded,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a compensation is an operation's name, or false where none is needed"
)]
enum ByOrNone {
    By(String),
    None(bool),
}

impl TryFrom<ByOrNone> for Compensation {
    type Error = String;

    fn try_from(written: ByOrNone) -> Result<Self, String> {
        match written {
            ByOrNone::By(name) => {
                OperationName::new(name).map(Self::By).map_err(|error| error.to_string())
            }
            ByOrNone::None(false) => Ok(Self::NotNeeded),
            ByOrNone::None(true) => {
                Err("a compensation is an operation's name, or false where none is needed".into())
            }
        }
    }
}

impl From<Compensation> for ByOrNone {
    fn from(compensation: Compensation) -> Self {
        match compensation {
            Compensation::By(name) => Self::By(name.as_str().to_owned()),
            Compensation::NotNeeded => Self::None(false),
        }
    }
}

/// The rule for trying a step again. An absent member is the coordinator's setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retry {
    /// The first pause, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_millis: Option<u64>,
    /// The factor by which each pause is longer than the one before it: at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Factor>,
    /// The longest pause, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_millis: Option<u64>,
    /// The number of tries without an answer, or with a pending one, after which the saga turns
    /// back, with the step unknown. Absent: only the deadline turns it back. Counted from the
    /// coordinator's last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
}

/// A factor from 1 to 100, kept in hundredths so that it can be compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Factor(u32);

impl Factor {
    /// Each pause twice as long as the one before it.
    pub const TWO: Self = Self(200);

    /// The factor times 100.
    pub const fn hundredths(self) -> u32 {
        self.0
    }
}

impl TryFrom<f64> for Factor {
    type Error = String;

    fn try_from(factor: f64) -> Result<Self, String> {
        match (1.0..=100.0).contains(&factor) {
            // In this range only digits finer than a hundredth are lost.
            true => Ok(Self((factor * 100.0).round() as u32)),
            false => Err(format!("a factor of {factor} is out of range; it is from 1 to 100")),
        }
    }
}

impl From<Factor> for f64 {
    fn from(factor: Factor) -> f64 {
        f64::from(factor.0) / 100.0
    }
}
