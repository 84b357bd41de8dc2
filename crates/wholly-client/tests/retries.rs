//! What is tried again, with what, and what is said where it does not help.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::time::Duration;

use common::{Fake, Play, json, problem};
use serde_json::json as value;
use wholly_client::{
    RequestError, Resolution, State, SubmitError, TransactionFilter, TransactionId,
};

const ID: &str = "00000000000170008000000000000001-0000000000000009";

fn id() -> TransactionId {
    ID.parse().unwrap()
}

fn committed() -> Play {
    json(&format!(r#"{{"id":"{ID}","state":"committed","new":1}}"#))
}

#[tokio::test]
async fn a_transaction_is_sent_again_with_the_same_key() {
    let fake = Fake::plays(vec![
        Play::HangUp,
        Play::Silence,
        problem(429, "overloaded", "retry-after: 0\r\n"),
        problem(503, "unavailable", ""),
        Play::Say(502, "", "<html>bad gateway</html>".to_owned()),
        committed(),
    ])
    .await;
    let submission = fake.client().two_phase("place order");
    let submission = submission.branch("orders", &value!({"order_id": "ORD001"})).unwrap();
    let done = submission.patience(Duration::ZERO).execute().await.unwrap();
    assert_eq!((done.id, done.state), (id(), Some(State::Committed)));
    let asked = fake.asked();
    assert_eq!(asked.len(), 6);
    for sent in &asked {
        assert_eq!(sent.what, "POST /v1/transactions");
        assert_eq!(sent.header("idempotency-key"), asked[0].header("idempotency-key"));
        assert_eq!(sent.header("prefer").unwrap(), "wait=0");
        assert_eq!(
            sent.body,
            r#"{"pattern":"two-phase","name":"place order","branches":[{"participant":"orders","payload":{"order_id":"ORD001"}}]}"#
        );
    }
    assert_eq!(asked[0].header("idempotency-key").unwrap(), format!("\"{}\"", done.key.unwrap()));
}

#[tokio::test]
async fn two_submissions_without_a_key_are_two_transactions() {
    let fake = Fake::plays(vec![committed()]).await;
    for _ in 0..2 {
        fake.client().stored_saga("create order", Some(2)).execute().await.unwrap();
    }
    let asked = fake.asked();
    assert_ne!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"));
    assert_eq!(asked[0].body, r#"{"pattern":"saga","saga":{"name":"create order","version":2}}"#);
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let fake = Fake::plays(vec![problem(422, "key-reused", ""), committed()]).await;
    let error = fake.client().two_phase("x").key("a key").unwrap().execute().await.unwrap_err();
    assert_eq!(error.to_string(), "it is key-reused");
    let SubmitError::NotAccepted(RequestError::Refused(problem)) = error else {
        panic!("{error:?}")
    };
    assert_eq!((problem.kind(), problem.status), ("key-reused", 422));
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_submission_that_may_be_accepted_fails_with_its_key() {
    let fake = Fake::plays(vec![Play::HangUp]).await;
    let client = fake.builder().retry_for(Duration::from_millis(120)).build().unwrap();
    let error = client.two_phase("x").key("ORD001").unwrap().submit().await.unwrap_err();
    let SubmitError::Unknown { key, .. } = &error else { panic!("{error:?}") };
    assert_eq!(key.as_str(), "ORD001");
    assert!(error.to_string().contains("submit it again with the key \"ORD001\""), "{error}");
    assert!(fake.asked().len() > 1);
    assert_eq!(fake.asked()[0].header("prefer").unwrap(), "respond-async");
}

#[tokio::test]
async fn a_submission_that_did_not_arrive_is_not_accepted() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = wholly_client::Client::at(&format!("http://{nobody}"));
    let client = client.retry_for(Duration::ZERO).build().unwrap();
    let error = client.two_phase("x").execute().await.unwrap_err();
    let SubmitError::NotAccepted(RequestError::Unanswered { why, .. }) = error else {
        panic!("{error:?}")
    };
    assert!(why.contains("refused"), "{why}");
}

#[tokio::test]
async fn a_lasting_overload_is_not_an_acceptance() {
    let fake = Fake::plays(vec![problem(429, "overloaded", "retry-after: 3600\r\n")]).await;
    let error = fake.client().two_phase("x").execute().await.unwrap_err();
    let SubmitError::NotAccepted(why) = error else { panic!("{error:?}") };
    assert_eq!(why.problem().unwrap().kind(), "overloaded");
    assert_eq!(fake.asked().len(), 1, "an hour is longer than it is tried");
}

#[tokio::test]
async fn a_long_wait_is_made_of_shorter_ones() {
    let accepted = || Play::Say(202, "", format!(r#"{{"id":"{ID}"}}"#));
    let fake = Fake::plays(vec![accepted(), accepted(), committed()]).await;
    let submission =
        fake.client().transaction_json(r#"{"name": "x", "key": " a \"key\" "}"#).unwrap();
    let done = submission.execute().await.unwrap();
    assert!(done.has_ended());
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    for sent in asked {
        assert_eq!(sent.header("prefer").unwrap(), "wait=20");
        assert_eq!(sent.header("idempotency-key").unwrap(), r#"" a "key" ""#);
        assert_eq!(sent.body, r#"{"name": "x", "key": " a \"key\" "}"#);
    }
}

#[tokio::test]
async fn an_accepted_submission_is_never_reported_as_not_accepted() {
    let accepted = Play::Say(202, "", format!(r#"{{"id":"{ID}"}}"#));
    let fake = Fake::plays(vec![accepted, problem(403, "forbidden", "")]).await;
    let error = fake.client().two_phase("x").execute().await.unwrap_err();
    assert!(matches!(error, SubmitError::Unknown { .. }), "{error:?}");
}

#[tokio::test]
async fn a_token_goes_along_and_no_redirect_is_followed() {
    let elsewhere = Fake::plays(vec![json("{}")]).await;
    let fake = Fake::plays(vec![Play::Say(307, "location: /elsewhere\r\n", String::new())]).await;
    let client = fake.builder().token("wholly_secret").build().unwrap();
    let error = client.get(id()).await.unwrap_err();
    assert!(matches!(error, RequestError::NotUnderstood { status: 307, .. }), "{error:?}");
    assert_eq!(fake.asked().len(), 1);
    assert_eq!(fake.asked()[0].header("authorization").unwrap(), "Bearer wholly_secret");
    assert!(elsewhere.asked().is_empty());
}

fn resolved(by: &str) -> Play {
    json(&format!(
        r#"{{"id":"{ID}","pattern":"two-phase","state":"committed","settled":true,"stuck":false,
        "branches":[{{"participant":"orders","state":"new-state","payload":1.00000000000000000001}},
        {{"participant":"payments","state":"committed","payload":1,"more":[]}}],
        "history":[{{"at":1,"record":{{"resolved":[1,"committed","{by}"]}}}}]}}"#
    ))
}

#[tokio::test]
async fn a_resolution_whose_response_was_lost_is_looked_up() {
    let conflict = || problem(409, "conflict", "");
    let resolve = async |plays: Vec<Play>, ended: Resolution| {
        let fake = Fake::plays(plays).await;
        let done = fake.client().resolve(id(), "payments", ended, "seen").await;
        (done, fake.asked())
    };
    let (done, asked) =
        resolve(vec![Play::HangUp, conflict(), resolved("seen")], Resolution::Committed).await;
    done.unwrap();
    let what: Vec<_> = asked.iter().map(|asked| asked.what.as_str()).collect();
    let path = format!("POST /v1/transactions/{ID}/branches/payments/resolve");
    assert_eq!(what, [path.as_str(), &path, &format!("GET /v1/transactions/{ID}")]);
    assert_eq!(asked[0].body, r#"{"as":"committed","reason":"seen"}"#);

    let another =
        resolve(vec![Play::HangUp, conflict(), resolved("other")], Resolution::Committed).await;
    assert_eq!(another.0.unwrap_err().problem().unwrap().kind(), "conflict");
    let other_way =
        resolve(vec![Play::HangUp, conflict(), resolved("seen")], Resolution::Aborted).await;
    assert_eq!(other_way.0.unwrap_err().problem().unwrap().kind(), "conflict");
    let not_lost = resolve(vec![conflict(), resolved("seen")], Resolution::Committed).await;
    assert_eq!(not_lost.0.unwrap_err().problem().unwrap().kind(), "conflict");
}

#[tokio::test]
async fn answers_of_a_newer_server_are_read() {
    let fake = Fake::plays(vec![resolved("seen")]).await;
    let transaction = fake.client().get(id()).await.unwrap();
    assert_eq!(transaction.branches[0].state.to_string(), "new-state");
    let payload = transaction.branches[0].payload.as_ref().unwrap();
    assert_eq!(payload.get(), "1.00000000000000000001");
}

#[tokio::test]
async fn a_list_goes_over_short_and_empty_pages() {
    let row = format!(
        r#"{{"id":"{ID}","name":"x","pattern":"saga","state":"running","settled":false,
        "stuck":true,"started":1}}"#
    );
    let fake = Fake::plays(vec![
        json(&format!(r#"{{"transactions":[{row},{row}],"next":"a b"}}"#)),
        json(r#"{"transactions":[],"next":"c"}"#),
        json(&format!(r#"{{"transactions":[{row}]}}"#)),
        problem(500, "internal", ""),
    ])
    .await;
    let mut filter = TransactionFilter::default();
    filter.stuck = Some(true);
    filter.name = Some("place & run".to_owned());
    filter.since = Some(wholly_client::Timestamp::from_millis(7));
    let mut rows = fake.client().list(filter).page_size(2);
    let mut count = 0;
    while let Some(row) = rows.next().await.unwrap() {
        assert!(row.stuck && row.state == State::Running);
        count += 1;
    }
    assert_eq!(count, 3);
    assert!(rows.next().await.unwrap().is_none(), "the end is the end");
    let asked: Vec<_> = fake.asked().into_iter().map(|asked| asked.what).collect();
    let filter = "GET /v1/transactions?name=place%20%26%20run&stuck=true&since=7&limit=2";
    assert_eq!(
        asked,
        [filter.to_owned(), format!("{filter}&cursor=a%20b"), format!("{filter}&cursor=c")]
    );
}
