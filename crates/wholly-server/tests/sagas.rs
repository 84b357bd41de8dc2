//! Sagas at the real server: stored definitions, and what is submitted by them.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Little, Reply, Said, Server, eventually, start_fails};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

const ORDER: &str = r#"{"name": "create order", "version": 1, "steps": [
    {"name": "reserve", "participant": "inventory", "compensation": "release"},
    {"name": "charge", "participant": "payment", "compensation": "refund", "pivot": true,
     "payload": {"amount": {"$from": "/input/amount"}, "from": {"$from": "/steps/reserve/shelf"}}},
    {"name": "confirm", "participant": "inventory"}]}"#;

struct Shop {
    directory: TempDir,
    inventory: Little,
    payment: Little,
    server: Server,
}

impl Shop {
    async fn open(definitions: &[(&str, &str)]) -> Self {
        Self::open_with(definitions, "").await
    }

    async fn open_with(definitions: &[(&str, &str)], settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sagas")).unwrap();
        for (name, text) in definitions {
            std::fs::write(directory.path().join("sagas").join(name), text).unwrap();
        }
        let (inventory, payment) = (Little::start().await, Little::start().await);
        inventory.says("reserve", Said::Output(r#"{"shelf": "A1"}"#));
        let participants = [("inventory", &inventory), ("payment", &payment)];
        let server = Server::start_with(directory.path(), &participants, settings).await;
        Self { directory, inventory, payment, server }
    }

    async fn submit(&self, saga: Value) -> Reply {
        let body = json!({"pattern": "saga", "saga": saga, "input": {"amount": 1000}});
        self.server.submit(&[], &body.to_string()).await
    }

    /// Submits a saga without waiting for its end: its id.
    async fn begin(&self, saga: Value) -> String {
        let body = json!({"pattern": "saga", "saga": saga, "input": {"amount": 1000}});
        let reply = self.server.submit(&[("prefer", "respond-async")], &body.to_string()).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    async fn put(&self, path: &str, text: &str) -> Reply {
        let json = [("content-type", "application/json")];
        self.server.send(Method::PUT, &format!("/v1/sagas/{path}"), &json, text).await
    }
}

fn order() -> Value {
    serde_json::from_str(ORDER).unwrap()
}

#[tokio::test]
async fn a_saga_runs_whole_or_by_its_name() {
    let shop = Shop::open(&[("order.json", ORDER)]).await;
    let named = json!({"name": "create order"});
    for saga in [order(), named, json!({"name": "create order", "version": 1})] {
        let reply = shop.submit(saga).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        let body = reply.json();
        let id = body["id"].as_str().unwrap();
        let outputs = json!({"reserve": {"shelf": "A1"}, "charge": null, "confirm": null});
        assert_eq!(body, json!({"id": id, "state": "completed", "outputs": outputs}));
        assert_eq!(shop.inventory.asked(id), ["reserve", "confirm"]);
        assert_eq!(shop.payment.asked(id), ["charge"]);
    }
    assert_eq!(shop.payment.asked_to("charge")[0].1, r#"{"amount":1000,"from":"A1"}"#);
    assert_eq!(shop.inventory.asked_to("reserve")[0].1, r#"{"amount":1000}"#);
}

#[tokio::test]
async fn a_refusal_takes_back_what_was_done_and_says_why() {
    let shop = Shop::open(&[]).await;
    shop.payment.says("charge", Said::Refused);
    let body = shop.submit(order()).await.json();
    let id = body["id"].as_str().unwrap();
    let reason = "charge was refused: no stock";
    assert_eq!(body, json!({"id": id, "state": "compensated", "reason": reason}));
    assert_eq!(shop.inventory.asked(id), ["reserve", "release"]);
    assert_eq!(shop.payment.asked(id), ["charge"]);
    let back = &shop.inventory.asked_to("release")[0].1;
    let back: Value = serde_json::from_str(back).unwrap();
    assert_eq!(back, json!({"input": {"amount": 1000}, "output": {"shelf": "A1"}}));
}

#[tokio::test]
async fn a_stuck_compensation_is_retried_and_resolved_by_hand() {
    let shop = Shop::open_with(&[], "stuck_after_tries = 1").await;
    shop.payment.says("charge", Said::Refused);
    shop.inventory.says("release", Said::Broken);
    // By itself it is not asked again while the test lasts.
    let day = 86_400_000;
    let mut saga = order();
    saga["steps"][0]["retry"] = json!({"first_millis": day, "cap_millis": day});
    let id = shop.begin(saga).await;
    let path = format!("/v1/transactions/{id}");
    let stuck = eventually("it is stuck", async || {
        Some(shop.server.get(&path).await.json()).filter(|saga| saga["stuck"] == true)
    });
    assert_eq!(stuck.await["state"], "compensating");
    assert_eq!(shop.inventory.asked(&id), ["reserve", "release"]);

    let retry = shop.server.post(&format!("{path}/retry"), r#"{"reason": "it is up"}"#).await;
    assert_eq!(retry.status, StatusCode::NO_CONTENT, "{retry:?}");
    eventually("it is asked again", async || {
        (shop.inventory.asked(&id) == ["reserve", "release", "release"]).then_some(())
    })
    .await;

    let resolve = format!("{path}/branches/reserve/resolve");
    let word = json!({"as": "completed", "reason": "a wish"}).to_string();
    shop.server.post(&resolve, &word).await.problem(409, "conflict");
    let word = json!({"as": "compensated", "reason": "put back by hand"}).to_string();
    let resolved = shop.server.post(&resolve, &word).await;
    assert_eq!(resolved.status, StatusCode::NO_CONTENT, "{resolved:?}");
    let settled = shop.server.settled(&path).await;
    assert_eq!((&settled["state"], &settled["stuck"]), (&json!("compensated"), &json!(false)));
    let record = json!({"resolved": [0, "compensated", "put back by hand"]});
    let history = settled["history"].as_array().unwrap();
    assert!(history.iter().any(|event| event["record"] == record), "{settled}");
}

/// A saga is under way when the server dies, and its definition's file is another one when it
/// starts again, or is gone. The pivot then says this. What was asked of the inventory, and what
/// last of the payment.
async fn goes_on_with(file: Option<&str>, charge: Said) -> (Vec<String>, Option<String>) {
    let shop = Shop::open(&[("order.json", ORDER)]).await;
    shop.payment.says("charge", Said::Broken);
    let id = shop.begin(json!({"name": "create order"})).await;
    eventually("the pivot is asked", async || (!shop.payment.asked(&id).is_empty()).then_some(()))
        .await;
    let path = shop.directory.path().join("sagas/order.json");
    match file {
        Some(text) => std::fs::write(path, text).unwrap(),
        None => std::fs::remove_file(path).unwrap(),
    }
    let server = shop.server.kill_and_restart().await;
    let now = server.get("/v1/sagas/create%20order/1").await;
    match file {
        Some(text) => assert_eq!(now.json(), serde_json::from_str::<Value>(text).unwrap()),
        None => drop(now.problem(404, "no-such-saga")),
    }
    shop.payment.says("charge", charge);
    server.settled(&format!("/v1/transactions/{id}")).await;
    (shop.inventory.asked(&id), shop.payment.asked(&id).pop())
}

#[tokio::test]
async fn a_running_saga_goes_on_with_the_definition_that_it_started_with() {
    let other = ORDER
        .replace("release", "unreserve")
        .replace("refund", "pay-back")
        .replace(r#""confirm", "#, r#""confirm", "action": "dispatch", "#);
    for file in [Some(&*other), None] {
        let (inventory, _) = goes_on_with(file, Said::Done).await;
        assert_eq!(inventory, ["reserve", "confirm"]);
        let (inventory, payment) = goes_on_with(file, Said::Refused).await;
        assert_eq!(inventory, ["reserve", "release"]);
        assert_eq!(payment.as_deref(), Some("refund"));
    }
}

#[tokio::test]
async fn who_does_not_wait_asks_later() {
    let shop = Shop::open(&[]).await;
    shop.payment.says("charge", Said::Broken);
    let body = json!({"pattern": "saga", "saga": order(), "input": {"amount": 1}, "key": "k"});
    for prefer in ["respond-async", "wait=0"] {
        let reply = shop.server.submit(&[("prefer", prefer)], &body.to_string()).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
    }
    shop.payment.says("charge", Said::Done);
    let done = shop.server.submit(&[("idempotency-key", "k")], &body.to_string()).await.json();
    assert_eq!(done["state"], "completed");
    assert_eq!(shop.inventory.asked_to("reserve").len(), 1, "one key, one saga");
}

#[tokio::test]
async fn what_cannot_be_submitted_is_said() {
    let shop = Shop::open(&[("order.json", ORDER)]).await;
    let detail = shop.submit(json!({"name": "create ordr"})).await.problem(422, "unknown-saga");
    assert!(detail.contains("create ordr") && detail.contains("/v1/sagas"), "{detail}");
    let two = json!({"name": "create order", "version": 2});
    assert!(shop.submit(two).await.problem(422, "unknown-saga").contains("version 2"));

    let mut wrong = order();
    wrong["steps"][1]["after"] = json!(["reserv"]);
    wrong["steps"][2]["pivto"] = json!(true);
    let reply = shop.submit(wrong).await;
    let detail = reply.problem(422, "invalid-definition");
    assert_eq!(
        detail,
        r#"/saga/steps/1/after/0: there is no step "reserv"; did you mean "reserve"? (and 1 more)"#
    );
    let pivot = "there is no `pivto` here; did you mean `pivot`?";
    assert_eq!(
        reply.json()["problems"],
        json!([
            {"pointer": "/saga/steps/1/after/0",
             "detail": "there is no step \"reserv\"; did you mean \"reserve\"?"},
            {"pointer": "/saga/steps/2/pivto", "detail": pivot},
        ])
    );
    let mut stranger = order();
    stranger["steps"][1]["participant"] = json!("bank");
    assert!(shop.submit(stranger).await.problem(422, "unknown-participant").contains("bank"));
    let no_amount = json!({"pattern": "saga", "saga": order(), "input": {}});
    let reply = shop.server.submit(&[], &no_amount.to_string()).await;
    assert!(reply.problem(422, "invalid-transaction").contains("/input/amount"));
    assert!(shop.inventory.asked_to("reserve").is_empty());
}

#[tokio::test]
async fn a_definition_is_stored_for_ever() {
    let shop = Shop::open(&[]).await;
    let empty = shop.server.get("/v1/sagas").await.json();
    assert_eq!(empty, json!({"sagas": []}));
    let named = json!({"name": "create order", "version": 1});
    let reply = shop.put("create%20order/1", ORDER).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::CREATED, named.clone()));
    let reply = shop.put("create%20order/1", ORDER).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, named.clone()));
    let other = ORDER.replace("refund", "pay-back");
    let detail = shop.put("create%20order/1", &other).await.problem(409, "defined-already");
    assert!(detail.contains("version 2"), "{detail}");

    let server = shop.server.kill_and_restart().await;
    assert_eq!(server.get("/v1/sagas").await.json(), json!({"sagas": [named]}));
    assert_eq!(server.get("/v1/sagas/create%20order/1").await.json(), order());
    server.get("/v1/sagas/create%20order/2").await.problem(404, "no-such-saga");
    server.get("/v1/sagas/create%20order/x").await.problem(400, "invalid-request");
    let body = json!({"pattern": "saga", "saga": {"name": "create order"}, "input": {"amount": 1}});
    let done = server.submit(&[], &body.to_string()).await.json();
    assert_eq!(done["state"], "completed");
    assert_eq!(std::fs::read_dir(shop.directory.path().join("sagas")).unwrap().count(), 1);
}

#[tokio::test]
async fn what_cannot_be_stored_is_said() {
    let shop = Shop::open(&[]).await;
    let detail = shop.put("create%20order/2", ORDER).await.problem(400, "invalid-request");
    assert!(detail.contains("version 2") && detail.contains("version 1"), "{detail}");
    shop.put("create%20order/1", "{").await.problem(400, "malformed-json");
    let wrong = ORDER.replace("\"release\"", "\"commit\"");
    let reply = shop.put("create%20order/1", &wrong).await;
    reply.problem(422, "invalid-definition");
    assert_eq!(reply.json()["problems"][0]["pointer"], "/steps/0/compensation");
    assert_eq!(shop.server.get("/v1/sagas").await.json(), json!({"sagas": []}));

    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let json = [("content-type", "application/json")];
    let reply = server.send(Method::PUT, "/v1/sagas/create%20order/1", &json, ORDER).await;
    assert!(reply.problem(409, "not-stored").contains("--sagas DIR"));
}

#[tokio::test]
async fn a_wrong_definition_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("wholly.toml");
    std::fs::write(&config, "listen = '127.0.0.1:0'").unwrap();
    let sagas = directory.path().join("sagas");
    let (config, folder) = (config.to_str().unwrap(), sagas.to_str().unwrap());
    let arguments = ["serve", "--config", config, "--sagas", folder];
    let (code, said) = start_fails(&arguments).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("cannot be read"), "{said}");

    std::fs::create_dir(&sagas).unwrap();
    std::fs::write(sagas.join("a.json"), ORDER).unwrap();
    // The same again does no harm; what says something else does.
    std::fs::write(sagas.join("0.json"), format!("{ORDER}\n")).unwrap();
    let other = ORDER.replacen("\"steps\"", "\"deadline_millis\": 5, \"steps\"", 1);
    std::fs::write(sagas.join("b.json"), other).unwrap();
    std::fs::write(sagas.join("c.toml"), "name = 'c'\nversion = 0\nsteps = []").unwrap();
    let (code, said) = start_fails(&arguments).await;
    assert_eq!(code, Some(2));
    let said = said.replace(folder, "sagas");
    assert_eq!(
        said,
        "wholly: the sagas in sagas are invalid:\n\
         sagas/b.json:1:1: sagas/a.json is version 1 of \"create order\", too\n\
         sagas/c.toml:2:11: version 0 is out of range; it is from 1 to 2147483647\n\
         sagas/c.toml:3:9: a saga has at least one step\n"
    );
    assert!(!directory.path().join("wholly.db").exists(), "the log is left alone");
}
