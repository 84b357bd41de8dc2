use std::pin::{Pin, pin};

use futures_util::{Stream, StreamExt};
use serde_json::Value;
use wholly::log::listing::Labels;
use wholly::log::{Entry, Log, Position};
use wholly::{
    Answer, AnswerFuture, Call, Endpoint, LogId, MemoryLog, Pattern, State, Timestamp,
    TransactionId,
};

use super::broadcaster::Subscription;
use super::*;

struct Yes;

impl Endpoint for Yes {
    fn call(&self, _: Call) -> AnswerFuture<'_> {
        Box::pin(std::future::ready(Answer::Done))
    }
}

async fn coordinator(log: MemoryLog) -> Coordinator {
    Coordinator::builder(log).participant("orders", Yes).start().await.unwrap()
}

async fn order(coordinator: &Coordinator) -> TransactionId {
    coordinator.two_phase("order").branch("orders", &1).unwrap().execute().await.unwrap().id()
}

fn blocks(listener: Listener) -> impl Stream<Item = String> {
    let blocks = listener.into_stream(Bytes::from_static(b"retry: 1\n\n"));
    blocks.map(|block| String::from_utf8(block.unwrap().to_vec()).unwrap()).skip(1)
}

fn to_all(broadcaster: &Broadcaster, last: EventId) -> impl Stream<Item = String> {
    blocks(Listener::to_all(broadcaster.subscribe(None).unwrap(), Filter::default(), last))
}

async fn next(stream: &mut Pin<&mut impl Stream<Item = String>>) -> String {
    let next = tokio::time::timeout(std::time::Duration::from_secs(60), stream.next());
    next.await.expect("an event").expect("the stream goes on")
}

/// Every kind of record there is, in an order that the laws allow.
const TWO_PHASE: [&str; 3] = [
    r#"{"v":1,"r":[[5,{"started":{"name":"a","key":"k","deadline":9,"branches":[["x",{"card":"SECRET"}],["y","SECRET"]]}}],
        [6,{"lost":0},{"vote":[0,"yes"]},{"vote":[1,"yes"]},"committed",{"stuck":[0,"why"]},{"heuristic":[1,"why"]},
        {"resolved":[0,"committed","why"]},{"resolved":[1,"committed","why"]},"settled"]]}"#,
    r#"{"v":1,"r":[[5,{"started":{"name":"b","deadline":9,"branches":[["x","SECRET"],["y","SECRET"]]}}],
        [6,{"vote":[0,"read-only"]},{"vote":[1,{"no":"why"}]},{"aborted":{"refused":{"participant":"y","reason":"why"}}},"settled"]]}"#,
    r#"{"v":1,"r":[[5,{"started":{"name":"c","deadline":9,"branches":[["x","SECRET"]]}}],
        [6,{"vote":[0,"yes"]},"committed",{"acknowledged":0},"settled"]]}"#,
];
const SAGAS: [&str; 2] = [
    r#"{"v":1,"s":[[5,{"started":{"deadline":9,"input":"SECRET","saga":{"name":"d","version":3,"steps":[
        {"name":"one","participant":"x","compensation":"undo","payload":"SECRET"},{"name":"two","participant":"y","compensation":false,"pivot":true}]}}}],
        [6,{"lost":0},{"completed":[0,"SECRET"]},{"refused":[1,"why"]},
        {"turned_back":{"refused":{"step":"two","reason":"why"}}},{"stuck":[0,"why"]},{"compensated":0},"settled"]]}"#,
    r#"{"v":1,"s":[[5,{"started":{"deadline":9,"input":"SECRET","saga":{"name":"e","version":1,"steps":[
        {"name":"one","participant":"x","compensation":false},{"name":"two","participant":"y","compensation":false,"pivot":true}]}}}],
        [6,{"completed":[0,"SECRET"]},{"lost":1},{"stuck":[1,"why"]},{"resolved":[1,{"completed":"SECRET"},"why"]},"settled"]]}"#,
];

#[tokio::test]
async fn no_payload_shows_and_every_record_is_told_by_its_name() {
    let log = MemoryLog::default();
    let mut open = log.open().unwrap();
    let entry = |(n, text): (u64, &&str)| Entry {
        transaction: TransactionId::mint(0, Timestamp::from_millis(n), n, LogId::from_bits(1)),
        sequence: 0,
        text: (*text).to_owned(),
        key: None,
        // A feed is of the records alone.
        labels: Labels {
            name: "a".parse().unwrap(),
            pattern: Pattern::TwoPhase,
            participants: [].into(),
            state: State::Init,
            stuck: false,
        },
        ended: Some(Timestamp::default()),
    };
    let entries: Vec<_> = (1..).zip(TWO_PHASE.iter().chain(&SAGAS)).map(entry).collect();
    open.writer.append(Position(0), &entries).unwrap();
    drop(open);
    let broadcaster = Broadcaster::new(coordinator(log).await);
    let mut told = std::collections::BTreeSet::new();
    let mut stream = pin!(to_all(&broadcaster, EventId::default()));
    let (mut settled, mut all) = (0, String::new());
    while settled < entries.len() {
        let block = next(&mut stream).await;
        assert!(!block.contains("SECRET"), "{block}");
        let lines: Vec<_> = block.lines().collect();
        let [id, event, data, ""] = lines[..] else { panic!("{block}") };
        assert!(id.starts_with("id: "), "{block}");
        let name = event.strip_prefix("event: ").unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        // As in the log: a text alone, or an object with one member.
        let record = match &data["record"] {
            Value::String(name) => name,
            record => record.as_object().unwrap().keys().next().unwrap(),
        };
        assert_eq!(record, name, "{block}");
        assert_ne!(name, "unreadable", "{block}");
        told.insert((data["pattern"].as_str().unwrap().to_owned(), name.to_owned()));
        settled += usize::from(name == "settled");
        all.push_str(&block);
    }
    // 10 kinds in two phases and 9 of sagas.
    assert_eq!(told.len(), 19, "{told:?}");
    for part in [
        r#""record":{"started":{"key":"k","deadline":9,"branches":["x","y"]}}"#,
        r#""branch":"y","record":{"vote":[1,{"no":"why"}]}"#,
        r#""record":{"aborted":{"refused":{"participant":"y","reason":"why"}}}"#,
        r#"{"version":3,"deadline":9,"steps":[{"name":"one","participant":"x"},{"name":"two","participant":"y","pivot":true}]}"#,
        r#""branch":"one","record":{"completed":0}"#,
        r#""branch":"two","record":{"resolved":[1,"completed","why"]}"#,
        r#""record":"settled""#,
    ] {
        assert!(all.contains(part), "{part} in {all}");
    }
}

#[tokio::test]
async fn one_who_does_not_keep_up_finds_the_rest_in_the_log() {
    let coordinator = coordinator(MemoryLog::default()).await;
    let broadcaster = Broadcaster::new(coordinator.clone());
    let begun = coordinator.feed(None).position();
    let mut slow = pin!(to_all(&broadcaster, begun));
    let mut quick = pin!(to_all(&broadcaster, begun));
    let first = order(&coordinator).await;
    // From here on it is told live.
    let mut seen = vec![next(&mut slow).await];
    let mut expected = vec![next(&mut quick).await];
    let mut last = first;
    for _ in 0..600 {
        last = order(&coordinator).await;
    }
    while !expected.last().unwrap().contains("event: settled")
        || !expected.last().unwrap().contains(&last.to_string())
    {
        expected.push(next(&mut quick).await);
    }
    assert!(expected.len() > 1_500, "more than are queued: {}", expected.len());
    while seen.len() < expected.len() {
        seen.push(next(&mut slow).await);
    }
    assert!(seen == expected, "each event once, and in order");
    let mut again = pin!(to_all(&broadcaster, begun));
    for expected in expected {
        assert_eq!(next(&mut again).await, expected, "as the log has it");
    }
}

#[tokio::test]
async fn a_batch_is_no_work_for_those_whom_it_does_not_concern() {
    let coordinator = coordinator(MemoryLog::default()).await;
    let broadcaster = Broadcaster::new(coordinator.clone());
    let settled = order(&coordinator).await;
    // Its end need not be durable when it is told.
    let mut before = pin!(to_all(&broadcaster, EventId::default()));
    while !next(&mut before).await.contains("event: settled") {}
    let mut idle: Vec<Subscription> =
        (0..100).map(|_| broadcaster.subscribe(Some(settled)).unwrap()).collect();
    let mut all = pin!(to_all(&broadcaster, coordinator.feed(None).position()));
    order(&coordinator).await;
    while !next(&mut all).await.contains("event: settled") {}
    let receivers = idle.iter_mut().filter_map(Subscription::receiver);
    assert_eq!(receivers.map(|receiver| receiver.len()).sum::<usize>(), 0);
}

#[tokio::test]
async fn nothing_is_kept_for_those_who_have_gone_and_nobody_comes_after_the_end() {
    let coordinator = coordinator(MemoryLog::default()).await;
    let broadcaster = Broadcaster::new(coordinator.clone());
    let id = order(&coordinator).await;
    let (one, all) =
        (broadcaster.subscribe(Some(id)).unwrap(), broadcaster.subscribe(None).unwrap());
    assert_eq!(broadcaster.subscriber_counts(), (2, 1, true));
    drop((one, all));
    assert_eq!(broadcaster.subscriber_counts(), (0, 0, false));
    let mut stream = pin!(to_all(&broadcaster, coordinator.feed(None).position()));
    broadcaster.close();
    assert_eq!(stream.next().await, None, "the stream ends");
    assert!(broadcaster.subscribe(None).is_err());
}
