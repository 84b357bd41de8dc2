//! Events live, over connections that are lost.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::time::Duration;

use common::{Fake, Play, problem};
use wholly_client::{FeedItem, RequestError, TransactionId};

const ID: &str = "00000000000170008000000000000001-0000000000000009";

macro_rules! event {
    ($id:literal, $event:literal, $settled:literal) => {
        concat!(
            "id: ",
            $id,
            "\nevent: ",
            $event,
            "\ndata: {\"transaction\":",
            "\"00000000000170008000000000000001-0000000000000009\",\"at\":5,\"name\":\"x\",",
            "\"pattern\":\"two-phase\",\"state\":\"init\",\"settled\":",
            $settled,
            ",\"stuck\":false,\"record\":{\"",
            $event,
            "\":0}}\n\n"
        )
    };
}

async fn seen(fake: &Fake) -> Result<Vec<String>, RequestError> {
    let id: TransactionId = ID.parse().unwrap();
    let client = fake.builder().retry_for(Duration::from_millis(400)).build().unwrap();
    let mut events = client.events(id);
    let mut seen = Vec::new();
    while let Some(event) = events.next().await? {
        let event = event.event().unwrap();
        assert_eq!((event.transaction, event.record.name()), (id, event.event.clone()));
        seen.push(format!("{} {}", event.id, event.event));
    }
    Ok(seen)
}

#[tokio::test]
async fn events_go_on_where_the_connection_was_lost() {
    let fake = Fake::plays(vec![
        Play::HangUp,
        Play::Events(concat!(": hello\n\n", event!("1", "started", false), "id: 2\ndata: {\"ha")),
        problem(503, "unavailable", "retry-after: 0\r\n"),
        Play::Events(": nothing yet\n\n"),
        Play::Events(concat!(event!("2", "vote", false), event!("10", "settled", true))),
        problem(500, "internal", ""),
    ])
    .await;
    assert_eq!(seen(&fake).await.unwrap(), ["1 started", "2 vote", "10 settled"]);
    let asked = fake.asked();
    assert!(asked.iter().all(|a| a.what == format!("GET /v1/transactions/{ID}/events")));
    let ids: Vec<_> = asked.iter().map(|asked| asked.header("last-event-id")).collect();
    let one = || Some("1".to_owned());
    assert_eq!(ids, [None, None, one(), one(), one()]);
}

#[tokio::test]
async fn the_stream_of_an_unknown_transaction_fails_at_once() {
    let fake = Fake::plays(vec![problem(404, "no-such-transaction", "")]).await;
    let error = seen(&fake).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind(), "no-such-transaction");
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_stream() {
    let fake = Fake::plays(vec![
        Play::Events(event!("1", "started", false)),
        Play::Say(200, "content-type: text/event-stream\r\n", String::new()),
    ])
    .await;
    let error = seen(&fake).await.unwrap_err();
    assert!(matches!(error, RequestError::Unanswered { .. }), "{error:?}");
    assert!(error.to_string().contains("ended before the transaction had settled"), "{error}");
}

#[tokio::test]
async fn an_event_that_was_read_before_does_not_come_again() {
    let nothing_left = Play::Say(204, "", String::new());
    let fake = Fake::plays(vec![nothing_left, problem(500, "internal", "")]).await;
    let mut events = fake.client().events(ID.parse().unwrap()).after("10");
    assert!(events.next().await.unwrap().is_none());
    assert_eq!(fake.asked()[0].header("last-event-id").unwrap(), "10");
}

#[tokio::test]
async fn all_events_continue_past_one_that_settles_and_after_a_connection_without_any() {
    let fake = Fake::plays(vec![
        Play::Events("retry: 1000\nid: 7\n\n"),
        Play::Events(concat!(event!("8", "settled", true), event!("9", "started", false))),
        problem(500, "internal", ""),
    ])
    .await;
    let mut events = fake.client().all_events();
    for id in ["8", "9"] {
        assert_eq!(events.next().await.unwrap().unwrap().event().unwrap().id, id);
    }
    assert_eq!(events.next().await.unwrap_err().problem().unwrap().status, 500);
    let asked = fake.asked();
    assert!(asked.iter().all(|asked| asked.what == "GET /v1/events"), "{asked:?}");
    let ids: Vec<_> = asked.iter().map(|asked| asked.header("last-event-id")).collect();
    assert_eq!(ids, [None, Some("7".to_owned()), Some("9".to_owned())]);
}

#[tokio::test]
async fn a_trimmed_past_is_an_item_and_changes_no_position() {
    let fake = Fake::plays(vec![
        Play::Events(concat!(
            "retry: 1000\nid: 5\n\nevent: trimmed\ndata: {\"up_to\":\"7\"}\n\n",
            "id: 6\nevent: lo"
        )),
        Play::Events(concat!(event!("6", "lost", false), "id: 9\n\n")),
        problem(500, "internal", ""),
    ])
    .await;
    let mut events = fake.client().all_events().after("5");
    let Some(FeedItem::Trimmed(trimmed)) = events.next().await.unwrap() else {
        panic!("no trimmed")
    };
    assert_eq!(trimmed.up_to, "7");
    let json = serde_json::to_value(FeedItem::Trimmed(trimmed)).unwrap();
    assert_eq!(json, serde_json::json!({"event": "trimmed", "up_to": "7"}));
    assert_eq!(events.next().await.unwrap().unwrap().event().unwrap().id, "6");
    assert!(events.next().await.is_err());
    let asked = fake.asked();
    let ids: Vec<_> = asked.iter().map(|asked| asked.header("last-event-id").unwrap()).collect();
    assert_eq!(ids, ["5", "5", "9"]);
}
