//! Events as streams show them: the record in the form of the log, as in a transaction's history,
//! without payloads.
//!
//! INVARIANT: no payload is shown: no branch's payload, no saga's or step's input, no output. Each
//! record is taken apart here member by member, so that a new member does not compile until its
//! author has decided whether it is shown.

use axum::body::Bytes;
use serde::Serialize;
use wholly::saga::{self, Resolution, StepDefinition};
use wholly::two_phase::{self, AbortReason, Decision, StartedBranch, Vote};
use wholly::{
    BranchName, EventId, FeedEvent, Key, LogId, Name, PartState, ParticipantName, Pattern, Record,
    Recorded, State, StepName, Timestamp, TransactionId,
};

/// The block with the id up to which events were trimmed. It has no id itself: events before that
/// one that are left come after it.
pub fn trimmed(up_to: EventId) -> Bytes {
    format!("event: trimmed\ndata: {{\"up_to\":\"{up_to}\"}}\n\n").into()
}

/// The event as the block of a stream that carries it.
pub fn block(event: &FeedEvent) -> Bytes {
    let NamedRecord { name, branch, record } = NamedRecord::of(&event.record);
    let data = EventDocument {
        transaction: event.transaction,
        at: event.at,
        name: event.name.as_ref(),
        pattern: event.pattern.map_or("unknown", Pattern::as_str),
        state: event.state.map_or("unknown", State::as_str),
        settled: event.settled,
        stuck: event.stuck,
        branch: branch
            .and_then(|index| event.branches.get(usize::from(index)))
            .map(BranchName::as_str),
        record,
    };
    // Texts and numbers have a form in JSON, which has no line break in it.
    let data = serde_json::to_string(&data).unwrap_or_default();
    format!("id: {}\nevent: {name}\ndata: {data}\n\n", event.id).into()
}

#[derive(Serialize)]
struct EventDocument<'a> {
    transaction: TransactionId,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Name>,
    pattern: &'static str,
    state: &'static str,
    settled: bool,
    stuck: bool,
    /// The name of the record's branch or step.
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<&'a str>,
    record: RecordDocument<'a>,
}

/// A record as it shows: `{"vote": [0, "yes"]}`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum RecordDocument<'a> {
    Started(StartedDocument<'a>),
    Vote(u16, &'a Vote),
    Lost(u16),
    Committed,
    Aborted(&'a AbortReason),
    Acknowledged(u16),
    Heuristic(u16, &'a str),
    Stuck(u16, &'a str),
    Resolved(u16, PartState, &'a str),
    Decided(Decision, &'a str),
    Released(LogId, &'a str),
    Completed(u16),
    Refused(u16, &'a str),
    TurnedBack(&'a saga::Reason),
    Compensated(u16),
    Settled,
    Unreadable { why: &'a str },
    Ended { reason: &'a str },
}

#[derive(Serialize)]
struct StartedDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// The caller to whom the key belongs, unless it belongs to all callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Name>,
    deadline: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    one_phase: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<&'a ParticipantName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepDocument<'a>>,
}

#[derive(Serialize)]
struct StepDocument<'a> {
    name: &'a StepName,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<&'a ParticipantName>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pivot: bool,
}

/// The event's name, which is that of the record, and of which branch or step it tells.
struct NamedRecord<'a> {
    name: &'static str,
    branch: Option<u16>,
    record: RecordDocument<'a>,
}

impl<'a> NamedRecord<'a> {
    fn of(recorded: &'a Recorded) -> Self {
        match recorded {
            Recorded::Record(Record::TwoPhase(record)) => Self::of_two_phase(record),
            Recorded::Record(Record::Saga(record)) => Self::of_saga(record),
            Recorded::Unreadable { why } => {
                Self::whole("unreadable", RecordDocument::Unreadable { why })
            }
            Recorded::Ended { reason } => Self::whole("ended", RecordDocument::Ended { reason }),
        }
    }

    fn whole(name: &'static str, record: RecordDocument<'a>) -> Self {
        Self { name, branch: None, record }
    }

    fn part(name: &'static str, branch: u16, record: RecordDocument<'a>) -> Self {
        Self { name, branch: Some(branch), record }
    }

    fn of_two_phase(record: &'a two_phase::Record) -> Self {
        use two_phase::Record as R;
        match record {
            R::Started(started) => Self::whole(
                "started",
                RecordDocument::Started(StartedDocument::of_two_phase(started)),
            ),
            R::Vote(of, vote) => match vote {
                Vote::Yes | Vote::ReadOnly | Vote::No(_) => {
                    Self::part("vote", *of, RecordDocument::Vote(*of, vote))
                }
            },
            R::Lost(of) => Self::part("lost", *of, RecordDocument::Lost(*of)),
            R::Committed => Self::whole("committed", RecordDocument::Committed),
            R::Aborted(reason) => match reason {
                AbortReason::Refused { participant: _, reason: _ }
                | AbortReason::Deadline { last_answers: _ }
                | AbortReason::Cancelled { reason: _ }
                | AbortReason::Restarted
                | AbortReason::Resolved { reason: _ } => {
                    Self::whole("aborted", RecordDocument::Aborted(reason))
                }
            },
            R::Acknowledged(of) => {
                Self::part("acknowledged", *of, RecordDocument::Acknowledged(*of))
            }
            R::Heuristic(of, why) => {
                Self::part("heuristic", *of, RecordDocument::Heuristic(*of, why))
            }
            R::Stuck(of, why) => Self::part("stuck", *of, RecordDocument::Stuck(*of, why)),
            R::Resolved(of, decision, why) => {
                let r#as = match decision {
                    Decision::Committed => PartState::Committed,
                    Decision::Aborted => PartState::Aborted,
                };
                Self::part("resolved", *of, RecordDocument::Resolved(*of, r#as, why))
            }
            R::Decided(decision, why) => {
                Self::whole("decided", RecordDocument::Decided(*decision, why))
            }
            R::Released(under, why) => {
                Self::whole("released", RecordDocument::Released(*under, why))
            }
            R::Settled => Self::whole("settled", RecordDocument::Settled),
        }
    }

    fn of_saga(record: &'a saga::Record) -> Self {
        use saga::{Reason, Record as R};
        match record {
            R::Started(started) => {
                Self::whole("started", RecordDocument::Started(StartedDocument::of_saga(started)))
            }
            R::Lost(of) => Self::part("lost", *of, RecordDocument::Lost(*of)),
            R::Completed(of, _output) => {
                Self::part("completed", *of, RecordDocument::Completed(*of))
            }
            R::Refused(of, why) => Self::part("refused", *of, RecordDocument::Refused(*of, why)),
            R::TurnedBack(reason) => match reason {
                Reason::Refused { step: _, reason: _ }
                | Reason::Deadline { last_answers: _ }
                | Reason::Cancelled { reason: _ }
                | Reason::Exhausted { step: _, reason: _ }
                | Reason::Unresolved { step: _, reason: _ }
                | Reason::Resolved { step: _, reason: _ } => {
                    Self::whole("turned_back", RecordDocument::TurnedBack(reason))
                }
            },
            R::Compensated(of) => Self::part("compensated", *of, RecordDocument::Compensated(*of)),
            R::Stuck(of, why) => Self::part("stuck", *of, RecordDocument::Stuck(*of, why)),
            R::Resolved(of, resolution, why) => {
                let r#as = match resolution {
                    Resolution::Completed(_output) => PartState::Completed,
                    Resolution::Compensated => PartState::Compensated,
                };
                Self::part("resolved", *of, RecordDocument::Resolved(*of, r#as, why))
            }
            R::Released(under, why) => {
                Self::whole("released", RecordDocument::Released(*under, why))
            }
            R::Settled => Self::whole("settled", RecordDocument::Settled),
        }
    }
}

impl<'a> StartedDocument<'a> {
    fn of_two_phase(started: &'a two_phase::Started) -> Self {
        let two_phase::Started { name: _, key, trace: _, deadline, one_phase, branches } = started;
        let participant =
            |StartedBranch { participant, payload: _ }: &'a StartedBranch| participant;
        Self {
            version: None,
            key: key.as_ref().map(Key::text),
            caller: key.as_ref().and_then(Key::caller),
            deadline: *deadline,
            one_phase: *one_phase,
            branches: branches.iter().map(participant).collect(),
            steps: Vec::new(),
        }
    }

    fn of_saga(started: &'a saga::Started) -> Self {
        let saga::Started { key, trace: _, deadline, saga, input: _ } = started;
        let saga::Definition { name: _, version, deadline_millis: _, steps } = saga.definition();
        let step = |step: &'a StepDefinition| {
            // The payload is the definition's, and its author may have put anything into it.
            let StepDefinition {
                name,
                participant,
                pivot,
                payload: _,
                action: _,
                compensation: _,
                after: _,
                timeout_millis: _,
                retry: _,
            } = step;
            StepDocument { name, participant: participant.as_ref(), pivot: *pivot }
        };
        Self {
            version: Some(*version),
            key: key.as_ref().map(Key::text),
            caller: key.as_ref().and_then(Key::caller),
            deadline: *deadline,
            one_phase: false,
            branches: Vec::new(),
            steps: steps.iter().map(step).collect(),
        }
    }
}
