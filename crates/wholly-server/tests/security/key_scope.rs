//! Keys that are each caller's own, and keys that all callers share.

use rustix::process::Signal;

use super::common::configure;
use super::*;

struct Keyed {
    directory: TempDir,
    server: Server,
    _orders: Little,
}

impl Keyed {
    async fn start(scope: &str) -> Self {
        let (directory, orders) = (tempdir().unwrap(), Little::start().await);
        let callers = [token("shop", "'submit', 'read'"), token("bank", "'submit', 'read'")];
        configure(directory.path(), &[("orders", &orders)], &callers.concat());
        let server = Self::serve(&directory, scope).await;
        Self { directory, server, _orders: orders }
    }

    async fn serve(directory: &TempDir, scope: &str) -> Server {
        Server::start_where(&[("WHOLLY_KEY_SCOPE", scope)], directory.path(), &[]).await
    }

    /// Stops the server, and starts it with this scope.
    async fn again(self, scope: &str) -> Self {
        self.server.signal(Signal::TERM);
        assert_eq!(self.server.terminate().await.0, Some(0));
        let server = Self::serve(&self.directory, scope).await;
        Self { server, ..self }
    }

    async fn as_caller(&self, caller: &str, method: Method, path: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {caller}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("idempotency-key", "ORD001"),
            ("content-type", "application/json"),
        ];
        self.server.send(method, path, &headers, body).await
    }

    async fn order(&self, caller: &str) -> String {
        let reply = self.as_caller(caller, Method::POST, "/v1/transactions", ORDER).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        reply.json()["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn each_caller_has_its_own_keys_where_that_is_said_and_is_shown_with_them() {
    let keyed = Keyed::start("caller").await;
    let (shops, again) = tokio::join!(keyed.order("shop"), keyed.order("shop"));
    let banks = keyed.order("bank").await;
    assert_eq!(shops, again);
    assert_ne!(shops, banks);
    let path = format!("/v1/transactions/{shops}");
    let shown = keyed.as_caller("bank", Method::GET, &path, "").await;
    assert!(!shown.text.contains("u001f"), "{shown:?}");
    let json = shown.json();
    assert_eq!((&json["key"], &json["caller"]), (&"ORD001".into(), &"shop".into()));
    let path = format!("{path}/events");
    let bearer = [("authorization", "Bearer bank")];
    let started = keyed.server.open(Method::GET, &path, &bearer, "");
    let mut events = common::Stream::new(started.await.into_body());
    let started = events.next().await.unwrap().unwrap().data["record"]["started"].clone();
    assert_eq!((&started["key"], &started["caller"]), (&"ORD001".into(), &"shop".into()));
    let other = ORDER.replace("place order", "another");
    let reused = keyed.as_caller("shop", Method::POST, "/v1/transactions", &other).await;
    let detail = reused.problem(422, "key-reused");
    assert!(detail.contains("\"ORD001\"") && !detail.contains("shop"), "{detail}");
}

#[tokio::test]
async fn another_scope_runs_nothing_twice() {
    for (before, after) in [("global", "caller"), ("caller", "global")] {
        let keyed = Keyed::start(before).await;
        let first = keyed.order("shop").await;
        let keyed = keyed.again(after).await;
        assert_eq!(keyed.order("shop").await, first, "{before}");
        let keyed = keyed.again(before).await;
        assert_eq!(keyed.order("shop").await, first, "{before} again");
    }
}
