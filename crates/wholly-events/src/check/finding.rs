//! The findings of a check: the fault, its place and the remedy.

use std::fmt;

use crate::names::{EventType, ReactionName, ServiceName};

/// An error in a choreography, or a warning about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is named by what it holds")]
pub enum Finding {
    /// Declarations that exceed the limit of a check.
    #[error(
        "there are more than {limit} reactions, time-outs and beginnings; check fewer services \
         at once"
    )]
    TooLarge { limit: usize },
    /// No service begins the choreography.
    #[error("no service begins the choreography; declare the first event where it is emitted")]
    NoBegin,
    /// No service ends the choreography.
    #[error("no service ends the choreography; declare its last events where they are emitted")]
    NoEnd,
    /// Two services with one name.
    #[error(
        "two services are named {service}; give each its own name, for it is the source of its \
         events"
    )]
    SameService { service: ServiceName },
    /// Two reactions of one service with one name.
    #[error(
        "{service}: two reactions are named {reaction}; give each its own name, for the inbox \
         keeps it"
    )]
    SameReaction { service: ServiceName, reaction: ReactionName },
    /// A type of event that two services emit.
    #[error("{first} and {second} both emit {event}; give each its own type of event")]
    TwoEmitters { event: EventType, first: ServiceName, second: ServiceName },
    /// An event without a reaction that is not an end.
    #[error("{service}: nobody reacts to {event}; react to it, or declare it an end of {service}")]
    NotHandled { service: ServiceName, event: EventType },
    /// A reaction to an event without an emitter.
    #[error(
        "{service}: {reaction} reacts to {event}, which nobody emits; emit it, or correct its name"
    )]
    NotEmitted { service: ServiceName, reaction: ReactionName, event: EventType },
    /// An end that its service does not emit.
    #[error(
        "{service}: {event} is an end that {service} does not emit; emit it, or declare it where \
         it is emitted"
    )]
    EndNotEmitted { service: ServiceName, event: EventType },
    /// A refusal without a reaction that is not an end.
    #[error(
        "{service}: {reaction} refuses with {event}, and nobody reacts to it; take back by it \
         what was done, or declare it an end of {service}"
    )]
    RefusalNotHandled { service: ServiceName, reaction: ReactionName, event: EventType },
    /// An undo whose event has no emitter.
    #[error(
        "{service}: nothing triggers {reaction}, which undoes {undone}: nobody emits {event}; \
         emit it, or correct its name"
    )]
    UndoNotTriggered {
        service: ServiceName,
        reaction: ReactionName,
        undone: ReactionName,
        event: EventType,
    },
    /// An undo of a reaction that its service does not have.
    #[error(
        "{service}: {reaction} undoes {undone}, and {service} has no other reaction of this \
         name; correct it"
    )]
    UndoesNothing { service: ServiceName, reaction: ReactionName, undone: ReactionName },
    /// A refusal that does not lead to the undo of a reaction that may have succeeded.
    #[error(
        "{service}: {reaction} may be done when {refusal}, which does not lead to {undo}; let \
         {undo} react to {}, or to an event that follows from it",
        refusal.event()
    )]
    UndoNotReached {
        service: ServiceName,
        reaction: ReactionName,
        /// Its undo; the first one, if it has several.
        undo: ReactionName,
        refusal: Refusal,
    },
    /// A reaction without an undo, although a refusal may occur beside or after it.
    #[error(
        "{service}: {reaction} may be done when {refusal}, and nothing undoes it; undo it by a \
         reaction, or declare it read-only if it changes nothing"
    )]
    NoUndo { service: ServiceName, reaction: ReactionName, refusal: Refusal },
    /// A cycle of events.
    #[error(
        "these events lead to each other in a cycle, which a reaction has to end: {}",
        listed(.events)
    )]
    Cycle { events: Vec<EventType> },
    /// A time-out that starts with an event that its service neither receives nor emits.
    #[error(
        "{service}: the time-out that emits {emits} counts from {after}, which {service} neither \
         reacts to nor emits; react to it"
    )]
    TimeoutAfterUnknown { service: ServiceName, emits: EventType, after: EventType },
    /// A time-out whose awaited event has no reaction in its service.
    #[error(
        "{service}: the time-out that emits {emits} awaits {awaited}, to which {service} does \
         not react; react to it"
    )]
    TimeoutAwaitsUnknown { service: ServiceName, emits: EventType, awaited: EventType },
    /// A time-out whose awaited event has no emitter.
    #[error(
        "{service}: the time-out that emits {emits} awaits {awaited}, which nobody emits; emit \
         it, or correct its name"
    )]
    AwaitedNotEmitted { service: ServiceName, emits: EventType, awaited: EventType },
}

/// The refusal that turns a choreography back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each field is named by what it holds")]
pub enum Refusal {
    /// A refusal by a reaction.
    Reaction { service: ServiceName, reaction: ReactionName, event: EventType },
    /// A time-out.
    TimeOut { service: ServiceName, event: EventType },
}

impl Refusal {
    /// The refusal's event.
    pub fn event(&self) -> &EventType {
        match self {
            Self::Reaction { event, .. } | Self::TimeOut { event, .. } => event,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reaction { service, reaction, event } => {
                write!(f, "{reaction} of {service} refuses with {event}")
            }
            Self::TimeOut { service, event } => {
                write!(f, "a time-out of {service} emits {event}")
            }
        }
    }
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A warning: it may be intended.
    Warning,
    /// An error.
    Error,
}

impl Finding {
    /// The severity of the finding. A cycle may be intended, as repeated attempts.
    pub fn severity(&self) -> Severity {
        if matches!(self, Self::Cycle { .. }) { Severity::Warning } else { Severity::Error }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

fn listed(events: &[EventType]) -> String {
    events.iter().map(EventType::as_str).collect::<Vec<_>>().join(", ")
}
