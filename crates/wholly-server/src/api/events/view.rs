//! How an event looks to those who listen: what was recorded, without what clients and
//! participants gave each other.
//!
//! INVARIANT: no payload shows: no branch's payload, no saga's or step's input, no output. Each
//! record is taken apart here member by member, so that one which is new does not compile until
//! somebody has decided whether it shows.

use axum::body::Bytes;
use serde::Serialize;
use wholly::saga::{self, Resolution, StepDefinition};
use wholly::two_phase::{self, Decision, StartedBranch, Vote};
use wholly::{
    FeedEvent, Key, Name, ParticipantName, Record, Recorded, StepName, Timestamp, TransactionId,
};

/// The event as the block of a stream that carries it.
pub fn block(event: &FeedEvent) -> Bytes {
    let record = Shown::of(event);
    let data = Data {
        transaction: event.transaction,
        at: event.at,
        name: event.name.as_ref(),
        pattern: event.pattern,
        state: event.state,
        settled: event.settled,
        stuck: event.stuck,
        record: &record,
    };
    // Texts and numbers have a form in JSON, which has no line break in it.
    let data = serde_json::to_string(&data).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.id, record.name()).into()
}

#[derive(Serialize)]
struct Data<'a> {
    transaction: TransactionId,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Name>,
    pattern: &'static str,
    state: &'static str,
    settled: bool,
    stuck: bool,
    record: &'a Shown<'a>,
}

/// A record as it shows: `{"vote": {"branch": "orders", "vote": "yes"}}`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Shown<'a> {
    Started(Started<'a>),
    Vote(Voted<'a>),
    Lost(Of<'a>),
    Committed {},
    Aborted { reason: String },
    Acknowledged(Of<'a>),
    Heuristic(OfBecause<'a>),
    Stuck(OfBecause<'a>),
    Resolved(Word<'a>),
    Completed(Of<'a>),
    Refused(OfBecause<'a>),
    TurnedBack { reason: String },
    Compensated(Of<'a>),
    Settled {},
    Unreadable { why: &'a str },
}

#[derive(Serialize)]
struct Started<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a Key>,
    deadline: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    one_phase: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<Branch<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Branch<'a> {
    participant: &'a ParticipantName,
}

#[derive(Serialize)]
struct Step<'a> {
    name: &'a StepName,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<&'a ParticipantName>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pivot: bool,
}

/// A branch, or a step.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Part<'a> {
    Branch(&'a str),
    Step(&'a str),
}

#[derive(Serialize)]
struct Of<'a> {
    #[serde(flatten)]
    part: Part<'a>,
}

#[derive(Serialize)]
struct OfBecause<'a> {
    #[serde(flatten)]
    part: Part<'a>,
    reason: &'a str,
}

#[derive(Serialize)]
struct Voted<'a> {
    #[serde(flatten)]
    part: Part<'a>,
    vote: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Word<'a> {
    #[serde(flatten)]
    part: Part<'a>,
    r#as: &'static str,
    reason: &'a str,
}

impl<'a> Shown<'a> {
    fn of(event: &'a FeedEvent) -> Self {
        match &event.record {
            Recorded::Record(Record::TwoPhase(record)) => Self::of_two_phase(event, record),
            Recorded::Record(Record::Saga(record)) => Self::of_saga(event, record),
            Recorded::Unreadable { why } => Self::Unreadable { why },
        }
    }

    fn of_two_phase(event: &'a FeedEvent, record: &'a two_phase::Record) -> Self {
        use two_phase::Record as R;
        let part = |index: &u16| Part::Branch(called(event, *index));
        match record {
            R::Started(started) => Self::Started(Started::of_two_phase(started)),
            R::Vote(branch, vote) => {
                let (vote, reason) = match vote {
                    Vote::Yes => ("yes", None),
                    Vote::ReadOnly => ("read-only", None),
                    Vote::No(reason) => ("no", Some(reason.as_str())),
                };
                Self::Vote(Voted { part: part(branch), vote, reason })
            }
            R::Lost(branch) => Self::Lost(Of { part: part(branch) }),
            R::Committed => Self::Committed {},
            R::Aborted(reason) => Self::Aborted { reason: reason.to_string() },
            R::Acknowledged(branch) => Self::Acknowledged(Of { part: part(branch) }),
            R::Heuristic(branch, reason) => {
                Self::Heuristic(OfBecause { part: part(branch), reason })
            }
            R::Stuck(branch, reason) => Self::Stuck(OfBecause { part: part(branch), reason }),
            R::Resolved(branch, decision, reason) => {
                let r#as = match decision {
                    Decision::Committed => "committed",
                    Decision::Aborted => "aborted",
                };
                Self::Resolved(Word { part: part(branch), r#as, reason })
            }
            R::Settled => Self::Settled {},
        }
    }

    fn of_saga(event: &'a FeedEvent, record: &'a saga::Record) -> Self {
        use saga::Record as R;
        let part = |index: &u16| Part::Step(called(event, *index));
        match record {
            R::Started(started) => Self::Started(Started::of_saga(started)),
            R::Lost(step) => Self::Lost(Of { part: part(step) }),
            R::Completed(step, _output) => Self::Completed(Of { part: part(step) }),
            R::Refused(step, reason) => Self::Refused(OfBecause { part: part(step), reason }),
            R::TurnedBack(reason) => Self::TurnedBack { reason: reason.to_string() },
            R::Compensated(step) => Self::Compensated(Of { part: part(step) }),
            R::Stuck(step, reason) => Self::Stuck(OfBecause { part: part(step), reason }),
            R::Resolved(step, resolution, reason) => {
                let r#as = match resolution {
                    Resolution::Completed(_output) => "completed",
                    Resolution::Compensated => "compensated",
                };
                Self::Resolved(Word { part: part(step), r#as, reason })
            }
            R::Settled => Self::Settled {},
        }
    }

    /// The name of the event, which is that of the record.
    fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Vote(_) => "vote",
            Self::Lost(_) => "lost",
            Self::Committed {} => "committed",
            Self::Aborted { .. } => "aborted",
            Self::Acknowledged(_) => "acknowledged",
            Self::Heuristic(_) => "heuristic",
            Self::Stuck(_) => "stuck",
            Self::Resolved(_) => "resolved",
            Self::Completed(_) => "completed",
            Self::Refused(_) => "refused",
            Self::TurnedBack { .. } => "turned_back",
            Self::Compensated(_) => "compensated",
            Self::Settled {} => "settled",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

impl<'a> Started<'a> {
    fn of_two_phase(started: &'a two_phase::Started) -> Self {
        let two_phase::Started { name: _, key, deadline, one_phase, branches } = started;
        let branch =
            |StartedBranch { participant, payload: _ }: &'a StartedBranch| Branch { participant };
        Self {
            version: None,
            key: key.as_ref(),
            deadline: *deadline,
            one_phase: *one_phase,
            branches: branches.iter().map(branch).collect(),
            steps: Vec::new(),
        }
    }

    fn of_saga(started: &'a saga::Started) -> Self {
        let saga::Started { key, deadline, saga, input: _ } = started;
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
            Step { name, participant: participant.as_ref(), pivot: *pivot }
        };
        Self {
            version: Some(*version),
            key: key.as_ref(),
            deadline: *deadline,
            one_phase: false,
            branches: Vec::new(),
            steps: steps.iter().map(step).collect(),
        }
    }
}

/// What a branch or step is called. One that a record could be applied to is there.
fn called(event: &FeedEvent, index: u16) -> &str {
    event.branches.get(usize::from(index)).map_or("", |name| name)
}
