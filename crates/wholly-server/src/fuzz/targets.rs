//! The targets of fuzzing, and what must hold of them.

use std::str::from_utf8;

use wholly::Answer;
use wholly_core::entry::DecodeError;
use wholly_core::saga::Graph;
use wholly_core::wire::{HttpAnswer, Operation};
use wholly_core::{Payload, Record, entry, saga, two_phase};

use super::{Reached, count, requests};
use crate::config::Config;
use crate::definition::{Format, read};

/// Returns true if the input was understood, and counts its result; panics if a check fails.
pub type Check = Box<dyn FnMut(&[u8], &mut Reached) -> bool>;

pub struct Target {
    pub name: &'static str,
    /// Makes a check, one for each thread.
    pub prepare: fn() -> Check,
    /// Its share of a hundred inputs.
    pub share: u32,
    /// So many of a hundred must be understood: any other stops at the first line that reads it.
    pub understood: u64,
    /// Valid inputs beside the corpus.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The results that some input must reach.
    pub must: fn() -> Vec<String>,
}

pub const TARGETS: [Target; 5] = [
    Target {
        name: "entry",
        prepare: || Box::new(entry),
        share: 35,
        understood: 33,
        seeds: Vec::new,
        must: || listed(&[&TWO_PHASE, &SAGA, &["no-json", "other-version", "no-pattern"]]),
    },
    Target {
        name: "answer",
        prepare: || Box::new(answer),
        share: 25,
        // A status and a `Wholly-Answer` drawn apart seldom go together.
        understood: 20,
        seeds: Vec::new,
        must: || listed(&[&ANSWERS]),
    },
    Target {
        name: "definition",
        prepare: || Box::new(definition),
        share: 20,
        understood: 20,
        seeds: Vec::new,
        must: || listed(&[&["a graph of TOML", "a graph of JSON", "problems"]]),
    },
    Target {
        name: "configuration",
        prepare: || Box::new(configuration),
        share: 10,
        understood: 10,
        seeds: Vec::new,
        must: Vec::new,
    },
    Target {
        name: "request",
        prepare: requests::check,
        share: 10,
        understood: 33,
        seeds: requests::examples,
        must: requests::must,
    },
];

fn listed(lists: &[&[&str]]) -> Vec<String> {
    lists.iter().flat_map(|list| list.iter()).map(|&name| name.to_owned()).collect()
}

/// A record's text.
fn entry(input: &[u8], reached: &mut Reached) -> bool {
    let Ok(text) = from_utf8(input) else { return false };
    let records = match entry::decode(text) {
        Ok(records) => records,
        Err(error) => {
            count(
                reached,
                match error {
                    DecodeError::Json(why) if why.is_data() => "another form",
                    DecodeError::Json(_) => "no-json",
                    DecodeError::Version { .. } => "other-version",
                    DecodeError::Pattern => "no-pattern",
                    _ => "another error",
                },
            );
            return false;
        }
    };
    let text = entry::encode(&records).unwrap();
    // Without any record nothing says of which pattern it was.
    if !records.is_empty() {
        assert_eq!(entry::decode(&text).unwrap(), records, "{text}");
    }
    records.iter().for_each(|(_, record)| count(reached, kind(record)));
    true
}

const TWO_PHASE: [&str; 18] = [
    "started",
    "vote yes",
    "vote read-only",
    "vote no",
    "lost",
    "committed",
    "aborted refused",
    "aborted deadline",
    "aborted cancelled",
    "aborted restarted",
    "aborted resolved",
    "acknowledged",
    "heuristic",
    "stuck",
    "resolved",
    "decided",
    "released",
    "settled",
];
const SAGA: [&str; 15] = [
    "saga started",
    "saga lost",
    "saga completed",
    "saga refused",
    "saga turned back: refused",
    "saga turned back: deadline",
    "saga turned back: cancelled",
    "saga turned back: exhausted",
    "saga turned back: unresolved",
    "saga turned back: resolved",
    "saga compensated",
    "saga stuck",
    "saga resolved",
    "saga released",
    "saga settled",
];

/// One that is new does not compile until it has a name, which belongs in the lists above and on a
/// seed of the corpus.
fn kind(record: &Record) -> &'static str {
    use saga::{Reason, Record as S};
    use two_phase::{AbortReason, Record as R, Vote};
    match record {
        Record::TwoPhase(record) => match record {
            R::Started(_) => "started",
            R::Vote(_, Vote::Yes) => "vote yes",
            R::Vote(_, Vote::ReadOnly) => "vote read-only",
            R::Vote(_, Vote::No(_)) => "vote no",
            R::Lost(_) => "lost",
            R::Committed => "committed",
            R::Aborted(AbortReason::Refused { .. }) => "aborted refused",
            R::Aborted(AbortReason::Deadline { .. }) => "aborted deadline",
            R::Aborted(AbortReason::Cancelled { .. }) => "aborted cancelled",
            R::Aborted(AbortReason::Restarted) => "aborted restarted",
            R::Aborted(AbortReason::Resolved { .. }) => "aborted resolved",
            R::Acknowledged(_) => "acknowledged",
            R::Heuristic(..) => "heuristic",
            R::Stuck(..) => "stuck",
            R::Resolved(..) => "resolved",
            R::Decided(..) => "decided",
            R::Released(..) => "released",
            R::Settled => "settled",
        },
        Record::Saga(record) => match record {
            S::Started(_) => "saga started",
            S::Lost(_) => "saga lost",
            S::Completed(..) => "saga completed",
            S::Refused(..) => "saga refused",
            S::TurnedBack(Reason::Refused { .. }) => "saga turned back: refused",
            S::TurnedBack(Reason::Deadline { .. }) => "saga turned back: deadline",
            S::TurnedBack(Reason::Cancelled { .. }) => "saga turned back: cancelled",
            S::TurnedBack(Reason::Exhausted { .. }) => "saga turned back: exhausted",
            S::TurnedBack(Reason::Unresolved { .. }) => "saga turned back: unresolved",
            S::TurnedBack(Reason::Resolved { .. }) => "saga turned back: resolved",
            S::Compensated(_) => "saga compensated",
            S::Stuck(..) => "saga stuck",
            S::Resolved(..) => "saga resolved",
            S::Released(..) => "saga released",
            S::Settled => "saga settled",
        },
    }
}

const ANSWERS: [&str; 7] =
    ["done", "done with", "read-only", "refused", "pending", "heuristic", "unknown"];

/// Checks the reading of a participant's answer.
fn answer(input: &[u8], reached: &mut Reached) -> bool {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let text = |line: Option<&[u8]>| String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    let (status, said) = (text(lines.next()), text(lines.next()));
    let body = lines.next().unwrap_or_default();
    let status = status.parse().unwrap_or(input.len() as u16 % 600);
    let mut understood = false;
    for operation in [Operation::Prepare, Operation::Action, Operation::Commit] {
        for (cut_off, json) in [(false, true), (true, true), (false, false)] {
            // No header has no word.
            let answer = Some(&*said).filter(|said| !said.is_empty());
            let seen = HttpAnswer { status, answer, retry_after: None, body, cut_off, json };
            let meaning = seen.meaning(operation, &[400]);
            let name = match &meaning {
                Answer::Done => "done",
                Answer::DoneWith { output } => {
                    assert_eq!(Payload::parse(output.as_str()).unwrap(), *output);
                    "done with"
                }
                Answer::ReadOnly => "read-only",
                Answer::Refused { .. } => {
                    let said_so = [409, 422].contains(&status) && said == "refused";
                    assert!(said_so || status == 400, "{status} {said}");
                    "refused"
                }
                Answer::Pending { .. } => "pending",
                Answer::Heuristic { .. } => {
                    assert!(status == 410 && said == "heuristic");
                    "heuristic"
                }
                Answer::Unknown { .. } => "unknown",
                other => panic!("{other:?} is no answer by HTTP"),
            };
            count(reached, name);
            understood |= name != "unknown";
        }
    }
    understood
}

/// A saga's definition, with its references.
fn definition(input: &[u8], reached: &mut Reached) -> bool {
    let Ok(text) = from_utf8(input) else { return false };
    let format = Format::of_text(text);
    let Ok(graph) = read(text, format) else {
        count(reached, "problems");
        return false;
    };
    count(
        reached,
        match format {
            Format::Toml => "a graph of TOML",
            Format::Json => "a graph of JSON",
        },
    );
    let written = serde_json::to_string(graph.definition()).unwrap();
    let again = read(&written, Format::Json);
    let again = again.unwrap_or_else(|why| panic!("{} of {written}", why[0]));
    assert!(again.definition().same_as(graph.definition()), "{written}");
    fill(&graph);
    true
}

fn fill(graph: &Graph) {
    let input = Payload::parse(r#"{"n":1,"steps":[0,{"a":"\u00e9"}],"input":null}"#).unwrap();
    for node in graph.nodes() {
        if let Ok(payload) = node.template.fill(Payload::LIMIT, &input, |_| Some(&input)) {
            assert_eq!(Payload::parse(payload.as_str()).unwrap(), payload);
        }
    }
    let _ = graph.accepts(&input);
}

fn configuration(input: &[u8], _: &mut Reached) -> bool {
    from_utf8(input).is_ok_and(|text| Config::of(text).is_some())
}
