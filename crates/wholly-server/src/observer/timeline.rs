//! The timeline of a choreography: its events in their order, and the reaction of each service.
//!
//! A service's own word counts first (its inbox, then its parked events); else an event that it
//! emitted because of this one shows that it reacted. A declared reaction that nothing shows has
//! not been seen.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use wholly_core::Timestamp;
use wholly_events::choreography::ReactionStatus;
use wholly_events::{Declaration, EventId, EventType, ReactionName, ServiceName};

use super::judge::{Declarations, is_end, is_refusal};
use super::store::{Observed, Parked};

/// An event of the timeline.
#[derive(Debug, Serialize)]
pub struct TimelineEvent {
    pub at: Timestamp,
    pub source: ServiceName,
    pub id: EventId,
    pub r#type: EventType,
    pub position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation: Option<EventId>,
    /// True if its publisher declares that the choreography is over with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
    /// True if its publisher declares that it emits it on a refusal, or after a wait in vain.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refusal: bool,
    /// Absent if it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    pub reactions: Vec<Reaction>,
}

/// The reaction of a service to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reaction {
    pub service: ServiceName,
    /// Absent if the service does not declare its reactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaction: Option<ReactionName>,
    /// `done`, `refused`, `suppressed`, `dropped`, the state of the parked event, or `not seen`.
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The event that it emitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emitted: Option<EventId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The reason of the operator who dropped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The services' own reports of their reactions.
pub type Reported = HashMap<ServiceQuestion, Vec<ReactionStatus>>;

/// An event, and the service that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceQuestion {
    pub service: ServiceName,
    pub source: ServiceName,
    pub id: EventId,
}

/// The timeline of these events, which are in the order of their times.
pub fn timeline(
    events: Vec<Observed>,
    parked: &[Parked],
    declared: &Declarations,
    reported: &Reported,
) -> Vec<TimelineEvent> {
    let events = in_order(events);
    let reactions: Vec<_> = events
        .iter()
        .map(|event| {
            EventContext { event, events: &events, parked, declared, reported }.reactions()
        })
        .collect();
    let shown = |(event, reactions): (Observed, Vec<Reaction>)| TimelineEvent {
        at: event.at,
        ends: is_end(declared, &event.source, &event.kind),
        refusal: is_refusal(declared, &event.source, &event.kind),
        source: event.source,
        id: event.id,
        r#type: event.kind,
        position: event.position,
        causation: event.causation,
        // Data that was read from a feed is JSON.
        data: event.data.and_then(|data| RawValue::from_string(data).ok()),
        reactions,
    };
    events.into_iter().zip(reactions).map(shown).collect()
}

/// The questions to the services: one for each service and event that it declares to react to.
pub fn to_ask(events: &[Observed], declared: &Declarations) -> Vec<ServiceQuestion> {
    let of = |event: &Observed| {
        let reacts = |(_, service): &(&ServiceName, &Declaration)| {
            service.reactions.iter().any(|reaction| reaction.on == event.kind)
        };
        let which = |(service, _): (&ServiceName, &Declaration)| ServiceQuestion {
            service: service.clone(),
            source: event.source.clone(),
            id: event.id.clone(),
        };
        declared.iter().filter(reacts).map(which).collect::<Vec<_>>()
    };
    events.iter().flat_map(of).collect()
}

/// The events in the order of their times, but each behind its cause: clocks differ.
fn in_order(events: Vec<Observed>) -> Vec<Observed> {
    let mut by_id = HashMap::new();
    for (nth, event) in events.iter().enumerate() {
        by_id.entry(event.id.clone()).or_insert(nth);
    }
    let mut placed = vec![false; events.len()];
    let mut order = Vec::new();
    for first in 0..events.len() {
        // The event, its cause, and so on. One that is its own cause in the end is not followed.
        let mut chain = Vec::new();
        let mut next = Some(first);
        while let Some(at) = next.filter(|at| !placed[*at]) {
            placed[at] = true;
            chain.push(at);
            let cause = events[at].causation.as_ref();
            next = cause.and_then(|cause| by_id.get(cause).copied());
        }
        order.extend(chain.into_iter().rev());
    }
    let mut events: Vec<_> = events.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| events[at].take()).collect()
}

/// An event, and all evidence of its fate.
struct EventContext<'a> {
    event: &'a Observed,
    events: &'a [Observed],
    parked: &'a [Parked],
    declared: &'a Declarations,
    reported: &'a Reported,
}

impl EventContext<'_> {
    fn reactions(&self) -> Vec<Reaction> {
        let mut reactions = Vec::new();
        for (service, declaration) in self.declared {
            let on = declaration.reactions.iter().filter(|one| one.on == self.event.kind);
            reactions.extend(on.map(|one| self.declared_one(service, one)));
        }
        let undeclared = self.caused().filter(|caused| {
            let emitted = |one: &Reaction| one.emitted.as_ref() == Some(&caused.id);
            !reactions.iter().any(emitted)
        });
        let undeclared: Vec<_> = undeclared
            .map(|caused| Reaction {
                outcome: "done".to_owned(),
                at: Some(caused.at),
                emitted: Some(caused.id.clone()),
                ..Reaction::not_seen(&caused.source, None)
            })
            .collect();
        reactions.extend(undeclared);
        reactions
    }

    /// The events that this one caused.
    fn caused(&self) -> impl Iterator<Item = &Observed> {
        let id = &self.event.id;
        self.events.iter().filter(move |event| event.causation.as_ref() == Some(id))
    }

    fn declared_one(&self, service: &ServiceName, declared: &wholly_events::Reaction) -> Reaction {
        let name = &declared.name;
        let emitted = self.caused().find(|caused| {
            let kind = Some(&caused.kind);
            caused.source == *service
                && (declared.emits.as_ref() == kind || declared.refuses.as_ref() == kind)
        });
        let reaction = Reaction {
            emitted: emitted.map(|event| event.id.clone()),
            ..Reaction::not_seen(service, Some(name))
        };
        if let Some(said) = self.said(service, name) {
            let ReactionStatus { outcome, at, reason, .. } = said.clone();
            let outcome = outcome.to_string();
            return Reaction { outcome, at: Some(at), reason, ..reaction };
        }
        if let Some(event) = emitted {
            let refused = declared.refuses.as_ref() == Some(&event.kind);
            let outcome = if refused { "refused" } else { "done" };
            return Reaction { outcome: outcome.to_owned(), at: Some(event.at), ..reaction };
        }
        let waits = self.parked.iter().find(|parked| {
            let is_this = parked.source == self.event.source && parked.id == self.event.id;
            is_this && parked.service == *service && parked.reaction == *name
        });
        match waits.cloned() {
            Some(Parked { state, stuck, tries, error, .. }) => {
                Reaction { outcome: state, stuck, tries: Some(tries), error, ..reaction }
            }
            None => reaction,
        }
    }

    /// The service's own report.
    fn said(&self, service: &ServiceName, name: &ReactionName) -> Option<&ReactionStatus> {
        let which = ServiceQuestion {
            service: service.clone(),
            source: self.event.source.clone(),
            id: self.event.id.clone(),
        };
        self.reported.get(&which)?.iter().find(|one| one.reaction == *name)
    }
}

impl Reaction {
    fn not_seen(service: &ServiceName, reaction: Option<&ReactionName>) -> Self {
        Self {
            service: service.clone(),
            reaction: reaction.cloned(),
            outcome: "not seen".to_owned(),
            at: None,
            emitted: None,
            stuck: false,
            tries: None,
            error: None,
            reason: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{declared, event, parked};
    use super::*;

    fn shown(events: &[TimelineEvent]) -> Vec<String> {
        let of = |event: &TimelineEvent| {
            let reactions = event.reactions.iter().map(|one| {
                let named = one.reaction.as_ref().map_or("?", |name| name.as_str());
                format!(" {}/{named} {}", one.service, one.outcome)
            });
            format!("{}:{}", event.r#type, reactions.collect::<String>())
        };
        events.iter().map(of).collect()
    }

    #[test]
    fn an_effect_comes_behind_its_cause_whatever_the_clocks_say() {
        let mut events = vec![
            event("c", "C", 1, Some("B")),
            event("b", "B", 2, Some("A")),
            event("a", "A", 3, None),
            event("x", "X", 4, Some("Y")),
            event("y", "Y", 5, Some("X")),
        ];
        events.push(event("z", "Z", 6, Some("nobody's")));
        let order: Vec<_> = in_order(events).iter().map(|event| event.kind.to_string()).collect();
        assert_eq!(order, ["A", "B", "C", "Y", "X", "Z"]);
    }

    #[test]
    fn reactions_are_what_a_service_says_else_what_it_emitted_else_not_seen() {
        let events = || {
            let refused = event("payment", "PaymentRefused", 2, Some("OrderCreated"));
            vec![event("order", "OrderCreated", 1, None), refused]
        };
        let none = Reported::new();
        let plain = timeline(events(), &[], &declared(), &none);
        let created = "OrderCreated: payment/OrderCreated refused stock/OrderCreated not seen";
        assert_eq!(shown(&plain), [created, "PaymentRefused: order/PaymentRefused not seen"]);
        assert!(plain[1].refusal && !plain[1].ends);

        let waits = [parked("stock", "OrderCreated", true)];
        let waiting = timeline(events(), &waits, &declared(), &none);
        assert!(shown(&waiting)[0].ends_with("stock/OrderCreated failing"), "{waiting:?}");
        assert!(waiting[0].reactions[1].stuck);

        let said = ReactionStatus {
            reaction: "OrderCreated".parse().unwrap(),
            outcome: wholly_events::inbox::ReactionOutcome::Suppressed,
            at: Timestamp::from_millis(7),
            reason: None,
        };
        let which =
            to_ask(&events(), &declared()).into_iter().find(|w| w.service.as_str() == "stock");
        let reported = Reported::from([(which.unwrap(), vec![said])]);
        let told = timeline(events(), &waits, &declared(), &reported);
        assert!(shown(&told)[0].ends_with("stock/OrderCreated suppressed"), "{told:?}");
    }

    #[test]
    fn a_service_that_declares_nothing_is_seen_by_what_it_emits() {
        let events = vec![
            event("order", "OrderCreated", 1, None),
            event("payment", "PaymentTaken", 2, Some("OrderCreated")),
        ];
        let told = timeline(events, &[], &Declarations::new(), &Reported::new());
        assert_eq!(shown(&told), ["OrderCreated: payment/? done", "PaymentTaken:"]);
        assert_eq!(told[0].reactions[0].emitted, Some("id-PaymentTaken".parse().unwrap()));
    }
}
