//! The state of a choreography, from its events and the services' declarations and parked events.
//!
//! | state | when |
//! |---|---|
//! | `running` | no event is one with which a service declares it to be over, or what caused one was not read yet |
//! | `completed` | it is over, and nothing was refused |
//! | `compensated` | it is over, and something was refused, or a time-out passed |
//!
//! It is stuck if it runs for longer than the service that began it declares, or if a service says
//! that one of its events is. Nobody acts on any of this: the services have the truth.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use wholly_core::Timestamp;
use wholly_events::{Declaration, EventId, EventType, ServiceName};

use super::store::{Observed, Parked};

/// The time after the last event during which an unread cause may still come.
const CAUSE_WAIT: Duration = Duration::from_secs(60);

/// The services' declarations.
pub type Declarations = BTreeMap<ServiceName, Declaration>;

/// The state of a choreography.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChoreographyState {
    Running,
    Completed,
    Compensated,
}

/// The judgement of a choreography.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub state: ChoreographyState,
    /// The time by which it should end, if that is declared.
    pub deadline: Option<Timestamp>,
    /// The time at which to judge it again, if nothing comes.
    pub due: Option<Timestamp>,
    /// The reasons why an operator is needed; empty if none is.
    pub reasons: Vec<String>,
}

/// Judges a choreography by its events, in the order of their times.
pub fn judge(
    events: &[Observed],
    parked: &[Parked],
    declared: &Declarations,
    now: Timestamp,
) -> Judged {
    let any = |is: fn(&Declarations, &ServiceName, &EventType) -> bool| {
        events.iter().any(|event| is(declared, &event.source, &event.kind))
    };
    let ended = any(is_end);
    let whole_at = whole_at(events).filter(|at| *at > now);
    let state = match (ended && whole_at.is_none(), any(is_refusal)) {
        (false, _) => ChoreographyState::Running,
        (true, false) => ChoreographyState::Completed,
        (true, true) => ChoreographyState::Compensated,
    };
    let within = within(events, declared);
    let deadline = match (events.first(), within) {
        (Some(first), Some((_, within))) => Some(first.at + within),
        _ => None,
    };
    let mut reasons: Vec<String> = parked.iter().filter(|one| one.stuck).map(told).collect();
    let mut due = whole_at.filter(|_| ended);
    if let (false, Some(deadline), Some((service, within))) = (ended, deadline, within) {
        match deadline <= now {
            true => reasons.insert(0, late(service, within)),
            false => due = Some(deadline),
        }
    }
    Judged { state, deadline, due, reasons }
}

/// The time from which on a cause that was not read is not waited for, where there is one: feeds
/// are read side by side, and an end may come before the refusal that led to it. A cause may be of
/// a service that is not followed, too.
fn whole_at(events: &[Observed]) -> Option<Timestamp> {
    let known: HashSet<&EventId> = events.iter().map(|event| &event.id).collect();
    let mut causes = events.iter().filter_map(|event| event.causation.as_ref());
    let latest = events.last()?;
    (!causes.all(|cause| known.contains(cause))).then_some(latest.at + CAUSE_WAIT)
}

/// True if such an event ends its choreography.
pub fn is_end(declared: &Declarations, source: &ServiceName, kind: &EventType) -> bool {
    declared.get(source).is_some_and(|service| service.ends.contains(kind))
}

/// True if a service emits such an event on a refusal, or after a wait for another in vain.
pub fn is_refusal(declared: &Declarations, source: &ServiceName, kind: &EventType) -> bool {
    declared.get(source).is_some_and(|service| {
        service.reactions.iter().any(|reaction| reaction.refuses.as_ref() == Some(kind))
            || service.timeouts.iter().any(|timeout| timeout.emits == *kind)
    })
}

/// The time limit that the service which began it declares; else the shortest that a service with
/// an event in it declares.
fn within<'a>(
    events: &'a [Observed],
    declared: &Declarations,
) -> Option<(&'a ServiceName, Duration)> {
    let of = |event: &'a Observed| {
        let within = declared.get(&event.source)?.within?;
        Some((&event.source, within))
    };
    let first = events.first().and_then(of);
    first.or_else(|| events.iter().filter_map(of).min_by_key(|(_, within)| *within))
}

fn late(service: &ServiceName, within: Duration) -> String {
    let within = humantime::format_duration(within);
    format!("no end of it came within {within} of its first event, as {service} declares")
}

fn told(parked: &Parked) -> String {
    let Parked { service, reaction, kind, state, tries, error, .. } = parked;
    let times = if *tries == 1 { "try" } else { "tries" };
    let error = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("{kind} is {state} at {service} (reaction {reaction}, {tries} {times}){error}")
}

impl Judged {
    /// True if it is over, and nothing of it needs an operator.
    pub fn is_settled(&self) -> bool {
        self.state != ChoreographyState::Running && self.reasons.is_empty()
    }
}

impl ChoreographyState {
    pub const ALL: [Self; 3] = [Self::Running, Self::Completed, Self::Compensated];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
        }
    }

    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl serde::Serialize for ChoreographyState {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for ChoreographyState {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let words = || Self::ALL.map(Self::as_str).join(", ");
        let no = || serde::de::Error::custom(format!("no state {text:?}; there are {}", words()));
        Self::of(&text).ok_or_else(no)
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::super::tests::{declared, event, parked};
    use super::*;

    fn judged(events: &[Observed], now: u64) -> Judged {
        judge(events, &[], &declared(), Timestamp::from_millis(now))
    }

    #[test]
    fn an_end_completes_it_and_compensates_it_after_a_refusal() {
        let created = event("order", "OrderCreated", 1_000, None);
        let confirmed = event("order", "OrderConfirmed", 1_500, Some("OrderCreated"));
        let refused = event("payment", "PaymentRefused", 1_200, Some("OrderCreated"));
        let state = |events: &[Observed]| judged(events, 1_500).state;
        assert_eq!(state(slice::from_ref(&created)), ChoreographyState::Running);
        assert_eq!(state(&[created.clone(), refused.clone()]), ChoreographyState::Running);
        assert_eq!(state(&[created.clone(), confirmed.clone()]), ChoreographyState::Completed);
        assert_eq!(
            state(&[created.clone(), refused, confirmed.clone()]),
            ChoreographyState::Compensated
        );
        let late = event("order", "PaymentTimedOut", 1_300, Some("OrderCreated"));
        assert_eq!(state(&[created.clone(), late, confirmed]), ChoreographyState::Compensated);
        // The same type of another service ends nothing.
        let other = event("payment", "OrderConfirmed", 1_500, None);
        assert_eq!(state(&[created, other]), ChoreographyState::Running);
    }

    #[test]
    fn it_is_stuck_from_its_declared_time_on_until_it_ends() {
        let created = event("order", "OrderCreated", 1_000, None);
        let before = judged(slice::from_ref(&created), 2_999);
        assert_eq!((before.due, before.reasons.len()), (Some(Timestamp::from_millis(3_000)), 0));
        let after = judged(slice::from_ref(&created), 3_000);
        assert_eq!(after.due, None);
        assert!(after.reasons[0].contains("within 2s") && after.reasons[0].contains("order"));
        let confirmed = event("order", "OrderConfirmed", 9_000, None);
        let ended = judged(&[created, confirmed], 9_000);
        assert!(ended.is_settled() && ended.deadline.is_some(), "{ended:?}");
    }

    #[test]
    fn an_end_waits_for_what_caused_it() {
        let created = event("order", "OrderCreated", 1_000, None);
        let cancelled = event("order", "OrderCancelled", 1_500, Some("PaymentRefused"));
        let refused = event("payment", "PaymentRefused", 1_200, Some("OrderCreated"));
        let early = judged(&[created.clone(), cancelled.clone()], 9_000);
        let (state, due) = (early.state, early.due.map(Timestamp::as_millis));
        assert_eq!(
            (state, due, early.reasons.len()),
            (ChoreographyState::Running, Some(61_500), 0)
        );
        let whole = judged(&[created.clone(), refused, cancelled.clone()], 1_500);
        assert_eq!((whole.state, whole.due), (ChoreographyState::Compensated, None));
        // It may be an event of a service that is not followed.
        assert_eq!(judged(&[created, cancelled], 61_500).state, ChoreographyState::Completed);
    }

    #[test]
    fn without_a_declaration_it_runs_and_is_not_stuck() {
        let events = [event("order", "OrderConfirmed", 1_000, None)];
        let judged = judge(&events, &[], &Declarations::new(), Timestamp::from_millis(u64::MAX));
        assert_eq!(
            (judged.state, judged.due, judged.reasons),
            (ChoreographyState::Running, None, vec![])
        );
    }

    #[test]
    fn what_a_service_calls_stuck_is_stuck_also_at_the_end() {
        let events = [event("order", "OrderConfirmed", 1_000, None)];
        let mut waits = parked("payment", "OrderCreated", false);
        let at = Timestamp::from_millis(1_000);
        assert!(judge(&events, &[waits.clone()], &declared(), at).is_settled());
        waits.stuck = true;
        let judged = judge(&events, &[waits], &declared(), at);
        assert!(judged.state == ChoreographyState::Completed && !judged.is_settled(), "{judged:?}");
        assert!(judged.reasons[0].starts_with("OrderCreated is failing at payment"), "{judged:?}");
    }
}
