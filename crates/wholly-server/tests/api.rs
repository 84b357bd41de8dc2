//! The API of the real server, with real participants.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Little, Said, Server, eventually, unreadable};
use hyper::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": {"order_id": "ORD001"}},
    {"participant": "payments", "payload": {"amount": 1000}}]}"#;

struct Shop {
    server: Server,
    orders: Little,
    payments: Little,
    _directory: TempDir,
}

impl Shop {
    async fn open() -> Self {
        Self::open_with("").await
    }

    async fn open_with(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (orders, payments) = (Little::start().await, Little::start().await);
        let participants = [("orders", &orders), ("payments", &payments)];
        let server = Server::start_with(directory.path(), &participants, settings).await;
        Self { server, orders, payments, _directory: directory }
    }
}

#[tokio::test]
async fn a_transaction_commits_everywhere() {
    let shop = Shop::open().await;
    let reply = shop.server.submit(&[], ORDER).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let body = reply.json();
    let id = body["id"].as_str().unwrap();
    assert_eq!(body, json!({"id": id, "state": "committed"}));
    assert_eq!(shop.orders.asked(id), ["prepare", "commit"]);
    assert_eq!(shop.payments.asked(id), ["prepare", "commit"]);
    let payloads = shop.payments.asked_to("commit");
    assert_eq!(payloads, [(id.to_owned(), r#"{"amount": 1000}"#.to_owned())]);
}

#[tokio::test]
async fn a_refusal_aborts_everywhere_and_says_why() {
    let shop = Shop::open().await;
    shop.payments.says("prepare", Said::Refused);
    let reply = shop.server.submit(&[], ORDER).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let body = reply.json();
    assert_eq!(body["state"], "aborted");
    assert_eq!(body["reason"], "payments refused: no stock");
    let id = body["id"].as_str().unwrap();
    assert_eq!(shop.orders.asked(id).last().map(String::as_str), Some("abort"));
    assert!(!shop.orders.asked(id).contains(&"commit".to_owned()));
}

#[tokio::test]
async fn a_key_joins_the_first_transaction_and_fits_no_other() {
    let shop = Shop::open().await;
    let key = [("idempotency-key", "ORD001")];
    let first = shop.server.submit(&key, ORDER).await.json();
    let in_body = ORDER.replacen('{', r#"{"key": "ORD001", "pattern": "two-phase", "#, 1);
    assert_eq!(shop.server.submit(&[], &in_body).await.json(), first);
    assert_eq!(shop.server.submit(&key, &in_body).await.json(), first);
    assert_eq!(shop.orders.asked_to("prepare").len(), 1);

    let other = ORDER.replace("1000", "2000");
    let detail = shop.server.submit(&key, &other).await.problem(422, "key-reused");
    assert!(detail.contains("ORD001") && detail.contains(first["id"].as_str().unwrap()));
    let twice = ORDER.replace("\"amount\": 1000", "\"amount\": 1000, \"amount\": 2000");
    let detail = shop.server.submit(&[], &twice).await.problem(422, "invalid-transaction");
    assert!(
        detail.contains("payments") && detail.contains("\"amount\" is there twice"),
        "{detail}"
    );
    let two = [("idempotency-key", "ORD002")];
    shop.server.submit(&two, &in_body).await.problem(400, "two-keys");
    assert_eq!(shop.orders.asked_to("prepare").len(), 1);
}

#[tokio::test]
async fn who_does_not_wait_asks_later() {
    let shop = Shop::open().await;
    shop.payments.says("prepare", Said::Broken);
    for prefer in ["respond-async", "wait=0", "respond-async, wait=0"] {
        let reply = shop.server.submit(&[("prefer", prefer)], ORDER).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{reply:?}");
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let location = reply.header("location").to_owned();
        assert_eq!(location, format!("/v1/transactions/{id}"));
        let transaction = shop.server.get(&location).await.json();
        assert_eq!(transaction["state"], "init");
        assert_eq!(transaction["settled"], false);
    }
    shop.payments.says("prepare", Said::Done);
    let listed = shop.server.get("/v1/transactions").await.json();
    let ids = listed["transactions"].as_array().unwrap().clone();
    assert_eq!(ids.len(), 3);
    for listed in ids {
        assert!(listed["settled"] == false || listed["state"] == "committed", "{listed}");
        let location = format!("/v1/transactions/{}", listed["id"].as_str().unwrap());
        let transaction = shop.server.settled(&location).await;
        assert_eq!(transaction["state"], "committed");
        assert_eq!(transaction["name"], "place order");
        let branch = json!({"participant": "orders", "state": "committed",
            "payload": {"order_id": "ORD001"}});
        assert_eq!(transaction["branches"][0], branch);
        let history = transaction["history"].as_array().unwrap();
        let records: Vec<_> = history.iter().map(|event| &event["record"]).collect();
        assert!(records[0]["started"].is_object());
        assert_eq!(**records.last().unwrap(), json!("settled"));
        assert!(records.contains(&&json!("committed")));
    }
}

#[tokio::test]
async fn transactions_are_listed_newest_first() {
    let shop = Shop::open().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, shop.server.submit(&[], ORDER).await.json()["id"].clone());
    }
    let listed = async |query: &str| {
        let body = shop.server.get(&format!("/v1/transactions{query}")).await.json();
        let transactions = body["transactions"].as_array().unwrap().clone();
        let ids: Vec<_> = transactions.iter().map(|listed| listed["id"].clone()).collect();
        (ids, body["next"].clone())
    };
    assert_eq!(listed("").await, (ids.clone(), json!(null)));
    let (newest, next) = listed("?limit=2").await;
    assert_eq!(newest, ids[..2]);
    let rest = format!("?limit=2&cursor={}", next.as_str().unwrap());
    assert_eq!(listed(&rest).await, (ids[2..].to_vec(), json!(null)));

    let first = shop.server.get("/v1/transactions?limit=1").await.json();
    let first = &first["transactions"][0];
    let started = first["started"].as_u64().unwrap();
    let expected = json!({"id": ids[0], "name": "place order", "pattern": "two-phase",
        "state": "committed", "settled": true, "stuck": false, "started": started});
    assert_eq!(*first, expected);
    let all_match = format!(
        "?state=committed&pattern=two-phase&name=place%20order&participant=orders&settled=true\
         &stuck=false&since={started}&until={}",
        started + 1
    );
    assert_eq!(listed(&all_match).await.0[0], ids[0]);
    let (none, end) = (Vec::new(), json!(null));
    for other in [
        "state=aborted",
        "pattern=saga",
        "name=place",
        "participant=inventory",
        "settled=false",
        "stuck=true",
        "until=1",
        "since=9999999999999",
    ] {
        assert_eq!(listed(&format!("?{other}")).await, (none.clone(), end.clone()), "{other}");
    }
}

#[tokio::test]
async fn a_list_that_makes_no_sense_is_refused() {
    let shop = Shop::open().await;
    for (query, says) in [
        ("limit=0", "from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("limit=x", "limit"),
        ("state=commited", "`init`, `prepared`, `committed`, `aborted`, `running`, `completed`"),
        ("pattern=3pc", "`two-phase` or `saga`"),
        ("name=", "must not be empty"),
        ("participant=Orders", "a to z"),
        ("settled=yes", "`true` or `false`"),
        ("since=yesterday", "since"),
        ("cursor=1", "no cursor"),
        ("cursor=00000000000000000", "no cursor"),
        ("cursor=-000000000000001", "no cursor"),
        ("newest=1", "unknown field `newest`"),
    ] {
        let reply = shop.server.get(&format!("/v1/transactions?{query}")).await;
        let detail = reply.problem(400, "invalid-request");
        assert!(detail.contains(says), "{query}: {detail}");
    }
}

#[tokio::test]
async fn an_undecided_transaction_is_aborted_by_hand() {
    let shop = Shop::open().await;
    shop.payments.says("prepare", Said::Broken);
    let reply = shop.server.submit(&[("prefer", "respond-async")], ORDER).await;
    let location = reply.header("location");
    let abort = format!("{location}/abort");
    for nothing in ["{}", r#"{"reason": ""}"#, r#"{"reason": " "}"#] {
        let detail = shop.server.post(&abort, nothing).await.problem(400, "invalid-request");
        assert!(detail.contains("reason"), "{detail}");
    }
    let resolve = format!("{location}/branches/payments/resolve");
    let word = r#"{"as": "committed", "reason": "seen"}"#;
    let detail = shop.server.post(&resolve, word).await.problem(409, "conflict");
    assert!(detail.contains("abort it instead"), "{detail}");

    let done = shop.server.post(&abort, r#"{"reason": "the customer left"}"#).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{done:?}");
    let transaction = shop.server.settled(location).await;
    assert_eq!(transaction["reason"], "cancelled: the customer left");

    let committed = shop.server.submit(&[], ORDER);
    shop.payments.says("prepare", Said::Done);
    let id = committed.await.json()["id"].as_str().unwrap().to_owned();
    let abort = format!("/v1/transactions/{id}/abort");
    let detail = shop.server.post(&abort, r#"{"reason": "late"}"#).await.problem(409, "conflict");
    assert!(detail.contains("a decision never changes"), "{detail}");
}

#[tokio::test]
async fn a_stuck_branch_is_retried_and_resolved_by_hand() {
    let shop = Shop::open_with("stuck_after_tries = 2").await;
    shop.payments.says("commit", Said::Broken);
    let reply = shop.server.submit(&[("prefer", "respond-async")], ORDER).await;
    let location = reply.header("location");
    let stuck = eventually("it is stuck", async || {
        let transaction = shop.server.get(location).await.json();
        Some(transaction).filter(|transaction| transaction["stuck"] == true)
    });
    let stuck = stuck.await;
    assert_eq!(stuck["state"], "committed");
    assert!(stuck["branches"][1]["stuck"].is_string(), "{stuck}");

    let retry = format!("{location}/retry");
    assert_eq!(
        shop.server.post(&retry, r#"{"reason": "mended"}"#).await.status,
        StatusCode::NO_CONTENT
    );
    let resolve = |branch: &str| format!("{location}/branches/{branch}/resolve");
    let word = r#"{"as": "committed", "reason": "seen in the books"}"#;
    shop.server.post(&resolve("nobody"), word).await.problem(404, "no-such-branch");
    shop.server.post(&resolve("NO"), word).await.problem(404, "no-such-branch");
    shop.server.post(&resolve("orders"), word).await.problem(409, "conflict");
    let detail = shop.server.post(&resolve("payments"), r#"{"as": "done", "reason": "x"}"#).await;
    let detail = detail.problem(400, "invalid-request");
    assert!(detail.contains("one of `committed`, `aborted`"), "{detail}");

    let done = shop.server.post(&resolve("payments"), word).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{done:?}");
    let transaction = shop.server.settled(location).await;
    let resolved = json!({"resolved": [1, "committed", "seen in the books"]});
    let history = transaction["history"].as_array().unwrap();
    assert!(history.iter().any(|event| event["record"] == resolved), "{transaction}");
    shop.server.post(&retry, r#"{"reason": "again"}"#).await.problem(409, "conflict");
}

#[tokio::test]
async fn overload_says_when_to_try_again() {
    let shop = Shop::open_with("in_flight_limit = 1").await;
    shop.payments.says("prepare", Said::Broken);
    let first = shop.server.submit(&[("prefer", "respond-async")], ORDER).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    let second = shop.server.submit(&[], ORDER).await;
    second.problem(429, "overloaded");
    assert_eq!(second.header("retry-after"), "1");
    shop.payments.says("prepare", Said::Done);
    shop.server.settled(first.header("location")).await;
    assert_eq!(shop.server.submit(&[], ORDER).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_hangs_leaves_room_for_what_does_not_touch_it() {
    let on = |name| {
        format!(r#"{{"name": "x", "branches": [{{"participant": "{name}", "payload": 1}}]}}"#)
    };
    let shop = Shop::open_with("in_flight_limit = 2\nin_flight_limit_per_participant = 1").await;
    shop.payments.says("prepare", Said::Broken);
    let first = shop.server.submit(&[("prefer", "respond-async")], &on("payments")).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    let refused = shop.server.submit(&[], ORDER).await;
    let detail = refused.problem(429, "participant-overloaded");
    assert!(detail.contains("the participant payments has not answered"), "{detail}");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(shop.server.submit(&[], &on("orders")).await.status, StatusCode::OK);
    shop.payments.says("prepare", Said::Done);
    shop.server.settled(first.header("location")).await;
    assert_eq!(shop.server.submit(&[], ORDER).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_server_says_that_it_is_ready() {
    let shop = Shop::open().await;
    for path in ["/healthz", "/readyz"] {
        let reply = shop.server.get(path).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({"status": "ready"})));
    }
}

#[tokio::test]
async fn bad_input_gets_a_clear_problem_and_harms_nothing() {
    let shop = Shop::open().await;
    let branch = |participant: &str| json!({"participant": participant, "payload": 1});
    let with = |branches: Vec<serde_json::Value>| json!({"name": "x", "branches": branches});
    let one = || with(vec![branch("orders")]);
    let plus = |name: &str, value: serde_json::Value| {
        let mut body = one();
        body[name] = value;
        body
    };
    let long = "x".repeat(70_000);
    let many: Vec<_> = (0..65).map(|n| branch(&format!("p{n}"))).collect();
    let bodies = [
        (with(vec![]), 422, "invalid-transaction", "no branches"),
        (with(many), 422, "invalid-transaction", "65 branches; the limit is 64"),
        (with(vec![branch("orders"), branch("orders")]), 422, "invalid-transaction", "twice"),
        (with(vec![branch("nobody")]), 422, "unknown-participant", "nobody"),
        (with(vec![branch("NO")]), 422, "invalid-transaction", "must not contain 'N'"),
        (plus("name", json!("")), 422, "invalid-transaction", "must not be empty"),
        (plus("name", json!("x".repeat(129))), 422, "invalid-transaction", "limit is 128"),
        (plus("key", json!("x".repeat(201))), 422, "invalid-transaction", "limit is 200"),
        (plus("key", json!("é")), 422, "invalid-transaction", "printable ASCII"),
        (plus("deadline_millis", json!(0)), 422, "invalid-transaction", "out of range"),
        (plus("deadline_millis", json!(u64::MAX)), 422, "invalid-transaction", "out of range"),
        (plus("deadline_millis", json!(-1)), 400, "invalid-request", "-1"),
        (plus("deadline_millis", json!(0.5)), 400, "invalid-request", "0.5"),
        (plus("pattern", json!("sage")), 400, "invalid-request", "two-phase"),
        (plus("pattern", json!("saga")), 400, "invalid-request", "leave `name` out"),
        (plus("saga", json!({})), 400, "invalid-request", "\"pattern\": \"saga\""),
        (plus("input", json!(1)), 400, "invalid-request", "\"pattern\": \"saga\""),
        (json!({"branches": []}), 400, "invalid-request", "`name`"),
        (json!({"pattern": "saga", "branches": []}), 400, "invalid-request", "leave `branches`"),
        (json!({"pattern": "saga"}), 400, "invalid-request", "`saga`"),
        (plus("nmae", json!("x")), 400, "invalid-request", "unknown field `nmae`"),
        (json!({"name": "x"}), 400, "invalid-request", "branches"),
        (with(vec![json!({"participant": "orders"})]), 400, "invalid-request", "payload"),
        (
            with(vec![json!({"participant": "orders", "payload": long})]),
            422,
            "invalid-transaction",
            "the limit is 65536",
        ),
        (json!([]), 400, "invalid-request", "line 1 column"),
    ];
    for (body, status, kind, says) in bodies {
        let detail = shop.server.submit(&[], &body.to_string()).await.problem(status, kind);
        assert!(detail.contains(says), "{detail} does not say {says}");
    }
    for text in ["", "{", "{\"name\": nope}", "\u{1}"] {
        let detail = shop.server.submit(&[], text).await.problem(400, "malformed-json");
        assert!(detail.contains("line 1 column"), "{detail}");
    }
    let twice = r#"{"name": "x", "name": "y", "branches": []}"#;
    let detail = shop.server.submit(&[], twice).await.problem(400, "invalid-request");
    assert!(detail.contains("duplicate field `name`"), "{detail}");
    assert_eq!(shop.orders.asked_to("prepare"), []);
    assert_eq!(shop.server.get("/v1/transactions").await.json()["transactions"], json!([]));
    assert_eq!(shop.server.submit(&[], ORDER).await.status, StatusCode::OK);
}

#[tokio::test]
async fn bad_requests_get_a_clear_problem() {
    let shop = Shop::open().await;
    let server = &shop.server;
    let nobody = format!("{}-{}", "0".repeat(32), "0".repeat(16));
    let reason = r#"{"reason": "x"}"#;
    server.get("/v1/transactions/nonsense").await.problem(400, "invalid-id");
    server.get("/v1/transactions/%ff").await.problem(400, "invalid-id");
    server.get(&format!("/v1/transactions/{nobody}")).await.problem(404, "no-such-transaction");
    let abort = format!("/v1/transactions/{nobody}/abort");
    server.post(&abort, reason).await.problem(404, "no-such-transaction");
    server.post("/v1/transactions/x/abort", reason).await.problem(400, "invalid-id");
    let retry = format!("/v1/transactions/{nobody}/retry");
    server.post(&retry, reason).await.problem(409, "conflict");

    server.get("/").await.problem(404, "no-such-route");
    let detail = server.get("/v2/transactions").await.problem(404, "no-such-route");
    assert!(detail.contains("/v2/transactions"), "{detail}");
    let reply = server.send(Method::DELETE, "/v1/transactions", &[], "").await;
    reply.problem(405, "no-such-method");
    assert!(reply.header("allow").contains("POST"), "{reply:?}");

    for headers in [vec![], vec![("content-type", "text/plain")]] {
        let reply = server.send(Method::POST, "/v1/transactions", &headers, ORDER).await;
        reply.problem(415, "not-json");
    }
    let charset = [("content-type", "application/JSON; charset=utf-8")];
    let reply = server.send(Method::POST, "/v1/transactions", &charset, ORDER).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let big = format!("\"{}\"", "x".repeat(5 * 1024 * 1024));
    server.submit(&[], &big).await.problem(413, "too-large");
}

#[tokio::test]
async fn what_cannot_be_read_is_shown_as_far_as_it_is_known_and_ended_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let orders = Little::start().await;
    let participants = [("orders", &orders), ("payments", &orders)];
    let id = unreadable(directory.path(), "ORD001").to_string();
    let mut server = Server::start(directory.path(), &participants).await;
    let path = format!("/v1/transactions/{id}");
    let shown = server.get(&path).await.json();
    assert_eq!((&shown["state"], &shown["stuck"]), (&json!("unknown"), &json!(true)));
    assert_eq!((&shown["name"], &shown["key"]), (&json!("place order"), &json!("ORD001")));
    assert_eq!(shown["branches"][0]["participant"], "orders");

    let end = format!("{path}/end");
    let detail = server.post(&end, r#"{"reason": " "}"#).await.problem(400, "invalid-request");
    assert!(detail.contains("reason"), "{detail}");
    let healthy = server.submit(&[], ORDER).await.json()["id"].as_str().unwrap().to_owned();
    let why = r#"{"reason": "refunded by hand"}"#;
    let other = format!("/v1/transactions/{healthy}/end");
    let detail = server.post(&other, why).await.problem(409, "conflict");
    assert!(detail.contains("is not in flight"), "{detail}");
    let done = server.post(&end, why).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{done:?}");
    let audit = server.get("/v1/audit").await.json();
    let (what, why_said) = (&audit["entries"][0]["what"], &audit["entries"][0]["why"]);
    assert_eq!((what, why_said), (&json!(format!("POST {end}")), &json!("refunded by hand")));
    for _ in 0..2 {
        let shown = server.get(&path).await.json();
        assert_eq!((&shown["settled"], &shown["stuck"]), (&json!(true), &json!(false)));
        let why = shown["quarantined"].as_str().unwrap();
        assert!(why.contains("an operator ended it") && why.contains("refunded by hand"), "{why}");
        let stuck = server.get("/v1/transactions?stuck=true").await.json();
        assert_eq!(stuck["transactions"], json!([]), "{stuck}");
        let events = server.listen(&format!("{path}/events"), None).await.rest().await;
        let last = events.last().unwrap();
        assert_eq!(last.data["record"], json!({"ended": {"reason": "refunded by hand"}}));
        server.post(&end, r#"{"reason": "again"}"#).await.problem(409, "conflict");
        // The key is taken, and the answer is clear.
        let key = [("idempotency-key", "ORD001")];
        let detail = server.submit(&key, ORDER).await.problem(409, "conflict");
        assert!(detail.contains(&id) && detail.contains("not run again"), "{detail}");
        server = server.kill_and_restart().await;
    }
    assert!(orders.asked(&id).is_empty());
}
