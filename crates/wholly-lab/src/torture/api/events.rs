//! Events as streams told them, and where that is not what the API promises.
//!
//! An id means one event for ever, whoever is told. A stream tells in the order of the ids, over
//! all its connections: none twice, and none is left out that anybody else was told. What is told
//! of a transaction is its history, record by record, and what an event says of it is true from
//! then on: it goes into the same [`Testimony`] as all answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde_json::Value;

use super::told::{Moment, Statement, Testimony, progress};

pub(super) type EventId = u128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamedEvent {
    pub(super) id: EventId,
    pub(super) name: String,
    pub(super) data: Value,
}

impl StreamedEvent {
    pub(super) fn parse(id: &str, name: &str, data: &str) -> Option<Self> {
        let (id, data) = (id.parse().ok()?, serde_json::from_str(data).ok()?);
        let event = Self { id, name: name.to_owned(), data };
        (record_name(&event.data["record"]) == Some(name)).then_some(event)
    }

    fn transaction(&self) -> &str {
        self.data["transaction"].as_str().unwrap_or_default()
    }

    fn ends(&self) -> bool {
        self.data["settled"] == true
    }

    fn told(&self) -> Statement {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Statement {
            id: self.transaction().to_owned(),
            key: text(&self.data["record"]["started"]["key"]),
            state: text(&self.data["state"]),
            settled: self.data["settled"].as_bool(),
            ..Statement::default()
        }
    }
}

/// The events that a stream lets through.
#[derive(Clone, Debug)]
pub(super) enum Topic {
    One(String),
    All,
    OfPattern(&'static str),
}

impl Topic {
    fn lets_through(&self, event: &StreamedEvent) -> bool {
        match self {
            Self::One(id) => event.transaction() == id,
            Self::All => true,
            Self::OfPattern(pattern) => event.data["pattern"] == **pattern,
        }
    }
}

/// Everything that was told by all streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    events: BTreeMap<EventId, StreamedEvent>,
    /// The transactions of which the end was told.
    ended: BTreeSet<String>,
    streams: Vec<Stream>,
}

/// One of the streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nth(usize);

#[derive(Debug)]
struct Stream {
    topic: Topic,
    /// The event after which it must tell everything; it has not begun where there is none.
    after: Option<EventId>,
    told: Vec<EventId>,
    /// The number of events of each transaction.
    lengths: BTreeMap<String, usize>,
}

impl Stream {
    fn last(&self) -> Option<EventId> {
        self.told.last().copied().or(self.after)
    }
}

impl Streams {
    /// A new one, of which everything after this is due, or everything from when it begins.
    pub(super) fn open(&mut self, topic: Topic, after: Option<EventId>) -> Nth {
        self.streams.push(Stream { topic, after, told: Vec::new(), lengths: BTreeMap::new() });
        Nth(self.streams.len() - 1)
    }

    /// The number of events that were told.
    pub(super) fn heard(&self) -> usize {
        self.streams.iter().map(|stream| stream.told.len()).sum()
    }

    /// The last event of a client that comes again.
    pub(super) fn last(&self, nth: Nth) -> Option<EventId> {
        self.streams[nth.0].last()
    }

    /// True if the stream's last event is its transaction's end.
    pub(super) fn has_ended(&self, nth: Nth) -> bool {
        let last = self.streams[nth.0].told.last();
        last.and_then(|last| self.events.get(last)).is_some_and(StreamedEvent::ends)
    }

    /// Takes note of a stream that goes on after this.
    pub(super) fn hear_id(&mut self, nth: Nth, id: EventId, testimony: &mut Testimony) {
        let stream = &mut self.streams[nth.0];
        match stream.last() {
            Some(last) if last != id => testimony
                .contradict(&format!("{:?}", stream.topic), &format!("{last} was told, not {id}")),
            Some(_) => {}
            None => stream.after = Some(id),
        }
    }

    /// There is nothing left to tell, says an answer.
    pub(super) fn hear_over(&self, nth: Nth, testimony: &mut Testimony) {
        if !self.has_ended(nth) {
            let topic = format!("{:?}", self.streams[nth.0].topic);
            testimony.contradict(&topic, "the last event is no end, and there is no other");
        }
    }

    pub(super) fn hear(&mut self, nth: Nth, event: StreamedEvent, testimony: &mut Testimony) {
        let (id, told) = (event.id, event.told());
        let stream = &mut self.streams[nth.0];
        if let Some(last) = stream.last().filter(|last| id <= *last) {
            testimony.contradict(&told.id, &format!("event {id} was told after {last}"));
            return;
        }
        if !stream.topic.lets_through(&event) {
            let what = format!("nobody asked for event {id} in {:?}", stream.topic);
            testimony.contradict(&told.id, &what);
        }
        stream.told.push(id);
        let length = stream.lengths.entry(told.id.clone()).or_default();
        *length += 1;
        testimony.hear(Moment::BEFORE_ALL, &told);
        testimony.hear_length(&told.id, *length);
        if event.ends() {
            self.ended.insert(told.id.clone());
        }
        let first = self.events.entry(id).or_insert_with(|| event.clone());
        if *first != event {
            let what = format!("event {id} was {first:?}, and is {event:?}");
            testimony.contradict(&told.id, &what);
        }
    }

    /// Events that are still to be told, once all of these have settled.
    pub(super) fn missing<'a>(&self, mut all: impl Iterator<Item = &'a str>) -> Option<String> {
        if let Some(id) = all.find(|id| !self.ended.contains(*id)) {
            return Some(format!("that {id} has settled"));
        }
        self.streams.iter().filter(|stream| !matches!(stream.topic, Topic::One(_))).find_map(
            |Stream { topic, told, after, .. }| {
                let newest = self.events.values().rev().find(|event| topic.lets_through(event))?;
                let last = told.last().or(after.as_ref());
                let is_missing = last.is_none_or(|last| *last < newest.id);
                is_missing.then(|| format!("event {} in {topic:?}", newest.id))
            },
        )
    }

    /// Events that were left out, or are in no history: there are `wholes`, each with its history.
    pub(super) fn judge(&self, wholes: &[Value], testimony: &mut Testimony) {
        for stream in &self.streams {
            let (Some(after), Some(last)) = (stream.after, stream.last()) else { continue };
            let due = self.events.range((Bound::Excluded(after), Bound::Included(last)));
            let due = due.filter(|(_, event)| stream.topic.lets_through(event));
            let told: BTreeSet<_> = stream.told.iter().collect();
            for (id, event) in due.filter(|(id, _)| !told.contains(id)) {
                let what = format!("event {id} was left out in {:?}", stream.topic);
                testimony.contradict(event.transaction(), &what);
            }
        }
        let mut of_one: BTreeMap<&str, Vec<&StreamedEvent>> = BTreeMap::new();
        for event in self.events.values() {
            of_one.entry(event.transaction()).or_default().push(event);
        }
        for whole in wholes {
            let id = whole["id"].as_str().unwrap_or_default();
            let events = of_one.get(id).map(Vec::as_slice).unwrap_or_default();
            if let Some(what) = differs(whole, events) {
                testimony.contradict(id, &what);
            }
        }
    }
}

/// The differences between a transaction and what its events say, all of them.
fn differs(whole: &Value, events: &[&StreamedEvent]) -> Option<String> {
    let history = whole["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let recorded = history.iter().map(|one| (&one["at"], record_name(&one["record"])));
    let told = events.iter().map(|event| (&event.data["at"], Some(event.name.as_str())));
    if !recorded.eq(told) {
        return Some(format!("its events are {events:?}, and its history is {history:?}"));
    }
    let state = |event: &StreamedEvent| progress(event.data["state"].as_str().unwrap_or_default());
    let falls = events.windows(2).find(|two| state(two[1]) < state(two[0]) || two[0].ends());
    if let Some(two) = falls {
        return Some(format!("its events were {:?}, and then {:?}", two[0], two[1]));
    }
    let last = events.last()?;
    let differs = ["state", "settled", "stuck"].iter().find(|of| last.data[**of] != whole[**of]);
    differs.map(|of| format!("it is {of} {}, and its last event is {last:?}", whole[*of]))
}

/// The name of a record: it is a name, or has it as its one member.
fn record_name(record: &Value) -> Option<&str> {
    let member = || record.as_object()?.keys().next().map(String::as_str);
    record.as_str().or_else(member)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WHOLE: &str = r#"{"id": "t", "state": "committed", "settled": true, "stuck": false,
        "history": [{"at": 1, "record": {"started": {}}}, {"at": 2, "record": "committed"},
                    {"at": 2, "record": "settled"}]}"#;

    fn event(id: EventId, name: &str, state: &str) -> StreamedEvent {
        let data = json!({
            "transaction": "t", "at": if name == "started" { 1 } else { 2 },
            "pattern": "two-phase", "state": state, "settled": name == "settled", "stuck": false,
            "record": if name == "started" { json!({ "started": {"key": "k"} }) } else { json!(name) },
        });
        StreamedEvent::parse(&id.to_string(), name, &data.to_string()).unwrap()
    }

    fn all() -> [StreamedEvent; 3] {
        [
            event(5, "started", "init"),
            event(7, "committed", "committed"),
            event(9, "settled", "committed"),
        ]
    }

    /// The contradictions when these are told by streams of each kind, one after the other.
    fn told(streams: &[(Topic, Option<EventId>, &[StreamedEvent])], whole: &str) -> Vec<String> {
        let (mut heard, mut testimony) = (Streams::default(), Testimony::default());
        for (topic, after, events) in streams {
            let nth = heard.open(topic.clone(), *after);
            events.iter().for_each(|event| heard.hear(nth, event.clone(), &mut testimony));
        }
        heard.judge(&[serde_json::from_str(whole).unwrap()], &mut testimony);
        testimony.contradictions()
    }

    #[test]
    fn streams_that_agree_are_no_contradiction() {
        let one = Topic::One("t".to_owned());
        let all = all();
        let streams = [
            (Topic::All, Some(0), &all[..]),
            (Topic::All, Some(5), &all[1..2]),
            (Topic::OfPattern("two-phase"), Some(6), &all[1..]),
            (Topic::OfPattern("saga"), None, &[]),
            (Topic::OfPattern("saga"), Some(1), &[]),
            (one, Some(0), &all[..1]),
        ];
        assert_eq!(told(&streams, WHOLE), [""; 0]);
    }

    #[test]
    fn whatever_a_stream_does_not_promise_is_found() {
        let [started, committed, settled] = all();
        let changed = event(7, "committed", "prepared");
        let other = event(7, "aborted", "aborted");
        let cases: [(&str, Vec<StreamedEvent>); 7] = [
            ("left out", vec![started.clone(), settled.clone()]),
            ("told after", vec![started.clone(), started.clone()]),
            ("told after", vec![committed.clone(), started.clone()]),
            ("event 7 was", vec![started.clone(), changed]),
            ("was decided", vec![started.clone(), other]),
            ("left out", vec![event(6, "committed", "committed")]),
            (
                "nobody asked",
                vec![StreamedEvent {
                    data: json!({"transaction": "u", "pattern": "saga"}),
                    ..event(10, "started", "running")
                }],
            ),
        ];
        for (what, events) in cases {
            let all = all();
            let streams = [
                (Topic::All, Some(0), &all[..]),
                (Topic::OfPattern("two-phase"), Some(0), events.as_slice()),
            ];
            let found = told(&streams, WHOLE);
            assert!(found.iter().any(|found| found.contains(what)), "{what}: {found:?}");
        }
    }

    #[test]
    fn events_that_are_not_the_history_are_found() {
        let all = all();
        let whole = |old: &str, new: &str| {
            let whole = WHOLE.replace(old, new);
            assert_ne!(whole, WHOLE, "{old}");
            told(&[(Topic::All, Some(0), &all[..])], &whole)
        };
        for (old, new) in [
            ("\"record\": \"settled\"", "\"record\": \"other\""),
            ("\"at\": 1", "\"at\": 2"),
            ("\"history\": [", "\"history\": [{\"at\": 0, \"record\": \"x\"}, "),
            ("\"stuck\": false", "\"stuck\": true"),
        ] {
            assert_eq!(whole(old, new).len(), 1, "{old}, {new}: {:?}", whole(old, new));
        }
        let again = [all[0].clone(), all[2].clone(), event(11, "committed", "committed")];
        let found = told(
            &[(Topic::All, Some(0), &again)],
            &WHOLE
                .replace("\"committed\"}", "\"settled\"}")
                .replace("\"settled\"}]", "\"committed\"}]"),
        );
        assert!(found.iter().any(|found| found.contains("and then")), "{found:?}");
        assert!(StreamedEvent::parse("1", "aborted", r#"{"record": "committed"}"#).is_none());
    }

    #[test]
    fn who_comes_again_goes_on_after_the_last_event_and_is_told_until_the_end() {
        let (mut heard, mut testimony) = (Streams::default(), Testimony::default());
        let nth = heard.open(Topic::All, None);
        heard.hear_id(nth, 4, &mut testimony);
        heard.hear(nth, all()[0].clone(), &mut testimony);
        heard.hear_id(nth, 5, &mut testimony);
        assert_eq!(heard.last(nth), Some(5));
        assert_eq!(heard.missing(["t"].into_iter()), Some("that t has settled".to_owned()));
        assert_eq!(testimony.contradictions(), [""; 0]);
        heard.hear_over(nth, &mut testimony);
        assert_eq!(testimony.contradictions().len(), 1);
        heard.hear_id(nth, 7, &mut testimony);
        assert_eq!(testimony.contradictions().len(), 1);
        let other = heard.open(Topic::All, Some(0));
        all().into_iter().for_each(|event| heard.hear(other, event, &mut testimony));
        assert!(heard.missing(["t"].into_iter()).unwrap().contains("event 9"));
        assert!(heard.has_ended(other));
        heard.hear_over(other, &mut testimony);
        assert_eq!(testimony.contradictions(), [""; 0]);
        // A read that was asked afterwards must know as much.
        let read = json!({"id": "t", "state": "committed", "history": [1, 2]});
        testimony.hear(testimony.now(), &Statement::of(&read).unwrap());
        assert_eq!(testimony.contradictions().len(), 1);
    }
}
