//! Requests that a page in somebody's browser can send to a server of the same machine.

use super::*;

/// Each changing route: a page's request to it needs no permission if its body has such a type.
fn changing() -> Vec<(Method, String)> {
    [
        (Method::POST, "/v1/transactions".to_owned()),
        (Method::POST, "/v1/reload".to_owned()),
        (Method::POST, format!("{NOBODY}/abort")),
        (Method::POST, format!("{NOBODY}/retry")),
        (Method::POST, format!("{NOBODY}/end")),
        (Method::POST, format!("{NOBODY}/branches/orders/resolve")),
        (Method::PUT, "/v1/sagas/x/1".to_owned()),
    ]
    .into()
}

fn audited(guarded: &Guarded) -> String {
    std::fs::read_to_string(guarded.directory.path().join("audit.jsonl")).unwrap()
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_is_in_no_audit() {
    let guarded = Guarded::start("[limits]\nrequests_per_second = 1\nburst = 3").await;
    let own = guarded.server.address().to_string();
    let another = format!("http://{}:1", guarded.server.address().ip());
    let json = ("content-type", "application/json");
    for (method, path) in changing() {
        let send = async |headers: &[(&str, &str)]| {
            guarded.server.send(method.clone(), &path, headers, WHY).await
        };
        for kind in ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let headers = [("content-type", kind)];
            send(if kind.is_empty() { &[] } else { &headers }).await.problem(415, "not-json");
        }
        for origin in ["null", "http://evil.example", &another] {
            send(&[json, ("origin", origin)]).await.problem(403, "forbidden");
        }
        for site in ["cross-site", "same-site"] {
            send(&[json, ("sec-fetch-site", site)]).await.problem(403, "forbidden");
        }
        send(&[json, ("host", "evil.example")]).await.problem(403, "forbidden");
    }
    // A page reads nothing either, and holds no place of a listener.
    for path in ["/v1/transactions", "/v1/events", "/v1/audit"] {
        let headers = [("sec-fetch-site", "cross-site")];
        let reply = guarded.server.send(Method::GET, path, &headers, "").await;
        reply.problem(403, "forbidden");
    }
    assert_eq!(audited(&guarded), "");
    assert!(guarded.orders.asked_to("prepare").is_empty());
    // All that used up nothing of what may come: three requests are a caller's.
    let origin = format!("http://{own}");
    let headers = [json, ("origin", &origin), ("sec-fetch-site", "same-origin")];
    let reply = guarded.server.send(Method::POST, "/v1/reload", &headers, "").await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert!(audited(&guarded).contains("POST /v1/reload"));
}

#[tokio::test]
async fn the_limit_of_rates_counts_for_what_is_done_by_hand() {
    let guarded = Guarded::start("[limits]\nrequests_per_second = 1\nburst = 3").await;
    let retry = format!("{NOBODY}/retry");
    let mut refused = 0;
    for _ in 0..100 {
        match guarded.server.post(&retry, WHY).await.status {
            StatusCode::TOO_MANY_REQUESTS => refused += 1,
            status => assert_eq!(status, StatusCode::CONFLICT),
        }
    }
    assert!(refused > 0, "all were let through");
    // An action has two lines.
    assert_eq!(audited(&guarded).lines().count(), 2 * (100 - refused));
}

#[tokio::test]
async fn a_token_shows_that_no_strange_page_asks() {
    let guarded = Guarded::start(&three_tokens()).await;
    let page = ("origin", "https://console.example");
    let bearer = ("authorization", "Bearer read");
    let reply = guarded.server.send(Method::GET, "/v1/transactions", &[page, bearer], "").await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let reply = guarded.server.send(Method::GET, "/v1/transactions", &[page], "").await;
    reply.problem(403, "forbidden");
    assert_eq!(audited(&guarded), "");
}
