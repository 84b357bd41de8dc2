//! A saga as its author writes it: in a file, by the API, or in code.

use serde::{Deserialize, Deserializer, Serialize};

use crate::protocol::Target;
use crate::{Name, OperationName, ParticipantName, Payload, StepName};

/// What a saga is to do. [`Graph::new`](super::Graph::new) says whether it makes sense.
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
    /// What it is called.
    pub name: Name,
    /// A saga goes on with the version that it started with.
    pub version: u32,
    /// How long it has until it turns back, in milliseconds, if its client does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_millis: Option<u64>,
    /// What it does. In this order, unless the steps themselves say what they come after.
    pub steps: Vec<StepDefinition>,
}

/// One step of a [`Definition`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepDefinition {
    /// What it is called, in this saga.
    pub name: StepName,
    /// Who does it. Absent in a saga in code: the program itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantName>,
    /// The operation that does it. Absent: it is called like the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<OperationName>,
    /// The operation that takes it back, or `false`: it needs none. Up to the pivot, one of the
    /// two has to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Compensation>,
    /// What the action is given, with [references](super::reference). Absent: the saga's input.
    #[serde(default, deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// The steps that it comes after. Absent: the one before it in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<StepName>>,
    /// Whether there is no way back once it is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pivot: bool,
    /// How long one attempt may take, in milliseconds. Absent: the coordinator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_millis: Option<u64>,
    /// When it is tried again. Absent: the coordinator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

impl Definition {
    /// Whether both say the same: how a payload is written does not count.
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

    /// Who does a step of it.
    pub fn target(&self, step: &StepDefinition) -> Target {
        match &step.participant {
            Some(participant) => Target::Participant(participant.clone()),
            None => Target::Code { saga: self.name.clone(), version: self.version },
        }
    }
}

impl StepDefinition {
    /// How long its payload may be with its references filled in. To the program itself nothing
    /// is sent, and what it is put together from has limits of its own.
    pub(super) fn payload_limit(&self) -> usize {
        match self.participant {
            Some(_) => Payload::LIMIT,
            None => usize::MAX,
        }
    }
}

/// A payload of `null` is one.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(deserializer).map(Some)
}

/// What takes a step back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "ByOrNone", into = "ByOrNone")]
pub enum Compensation {
    /// This operation of the same participant.
    By(OperationName),
    /// It needs none: what it did may stay. Written `false`.
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

/// When a step is tried again, and how often. What is absent is the coordinator's setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retry {
    /// The first pause, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_millis: Option<u64>,
    /// By how much each pause is longer than the one before it: at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Factor>,
    /// The longest pause, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_millis: Option<u64>,
    /// After so many tries that brought no answer, or a pending one, the saga turns back, with the
    /// step unknown. Absent:
    /// only the deadline turns it back. Counted from the coordinator's last start.
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
            // In this range nothing is lost but what is finer than a hundredth.
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
