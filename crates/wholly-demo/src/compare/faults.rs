//! Faults of processes and connections, at the times of the plan.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep_until;

use super::CompareError;
use super::arrivals::Clock;
use super::plan::Fault;
use super::regime::Regime;
use super::work::Meter;
use crate::fleet::{Fleet, Role};
use crate::network::Weather;

/// A fault that happened, as times since the start of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Happened {
    pub(super) kind: FaultKind,
    pub(super) who: &'static str,
    #[serde(rename = "begin_ms", serialize_with = "super::measures::millis")]
    pub(super) began: Duration,
    #[serde(rename = "end_ms", serialize_with = "super::measures::millis")]
    pub(super) ended: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FaultKind {
    /// Calls to a service take effect, and their answers are lost.
    AnswersLost,
    /// Calls to a service, and its answers, come late: a commit reaches it after the others.
    CallsDelayed,
    /// A participant is down for a time shorter than the deadline.
    ParticipantDownShort,
    /// A participant is down for a time longer than the deadline.
    ParticipantDownLong,
    /// SIGKILL to the coordinator; where there is none, to the order service.
    CoordinatorKilled,
    /// SIGKILL to a service, which is back at once.
    ServiceKilled,
}

impl FaultKind {
    /// The weather, where it is the connections that are disturbed.
    const fn weather(self) -> Option<Weather> {
        match self {
            Self::AnswersLost => Some(Weather::Unanswered),
            // Each way.
            Self::CallsDelayed => Some(Weather::Delayed(Duration::from_millis(60))),
            Self::ParticipantDownShort
            | Self::ParticipantDownLong
            | Self::CoordinatorKilled
            | Self::ServiceKilled => None,
        }
    }
}

/// Does what the fault says, at its time, and undoes it when it is over.
pub(super) async fn happen(
    fault: &Fault,
    regime: Regime,
    fleet: &mut Fleet,
    clock: Clock,
    meter: &mut Meter,
) -> Result<Happened, CompareError> {
    let (kind, role) = (fault.kind, fault.who.map_or(regime.leader(), Role::Service));
    sleep_until(clock.at(fault.at)).await;
    match kind.weather() {
        Some(weather) => fleet.set_weather(role, &weather),
        None => {
            // It forgets what it counted.
            meter.before_kill(fleet, role).await?;
            fleet.kill(role);
        }
    }
    let began = clock.now();
    sleep_until(clock.at(began + fault.lasts)).await;
    let ended = clock.now();
    match kind.weather() {
        Some(_) => fleet.set_weather(role, &Weather::Fair),
        None => fleet.run(role).await?,
    }
    Ok(Happened { kind, who: role.as_str(), began, ended })
}
