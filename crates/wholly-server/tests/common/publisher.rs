//! A feed that says what it is told to say.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::task::JoinHandle;

/// A publisher; its feed is away once it is dropped.
pub struct Publisher {
    shared: Arc<Mutex<Shared>>,
    port: u16,
    serving: JoinHandle<()>,
}

struct Shared {
    source: String,
    /// Positions from 1 on, as they are sent: not all of them need be events.
    items: Vec<String>,
    /// True if cursors are refused, as by a publisher whose database was put back.
    refuses: bool,
    token: Option<String>,
    asked: Vec<String>,
    /// The answer at `/choreography/status`, which is not there without one.
    status: Option<serde_json::Value>,
}

#[derive(serde::Deserialize)]
struct Asked {
    after: String,
}

impl Publisher {
    pub async fn start(source: &str) -> Self {
        Self::start_at(source, 0).await
    }

    pub async fn start_at(source: &str, port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Mutex::new(Shared {
            source: source.to_owned(),
            items: Vec::new(),
            refuses: false,
            token: None,
            asked: Vec::new(),
            status: None,
        }));
        let app = Router::new()
            .route("/feed", get(feed))
            .route("/choreography/status", get(status))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { shared, port, serving }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The section of the configuration for its feed, under this name.
    pub fn section(&self, name: &str) -> String {
        format!("[feeds.{name}]\nurl = 'http://127.0.0.1:{}/feed'\n", self.port)
    }

    /// Publishes something, which need not be an event.
    pub fn says(&self, item: &str) {
        self.shared.lock().unwrap().items.push(item.to_owned());
    }

    /// Publishes an event of this type.
    pub fn publishes(&self, kind: &str, correlation: &str) {
        let mut shared = self.shared.lock().unwrap();
        let position = shared.items.len() + 1;
        let event = json!({
            "specversion": "1.0", "id": format!("{kind}-of-{correlation}"), "source": shared.source,
            "type": kind, "correlationid": correlation, "time": "2026-11-23T08:30:00Z",
            "position": position.to_string(), "data": {"order": correlation},
        });
        shared.items.push(event.to_string());
    }

    /// Forgets all that it published, and refuses the cursors of before once.
    pub fn is_put_back(&self) {
        let mut shared = self.shared.lock().unwrap();
        shared.items.clear();
        shared.refuses = true;
    }

    pub fn asks_for(&self, token: &str) {
        self.shared.lock().unwrap().token = Some(format!("Bearer {token}"));
    }

    /// Says how its service stands, or no longer says so.
    pub fn stands(&self, status: Option<serde_json::Value>) {
        self.shared.lock().unwrap().status = status;
    }

    /// The cursors that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn status(State(shared): State<Arc<Mutex<Shared>>>) -> Response {
    let status = shared.lock().unwrap().status.clone();
    status.map_or(StatusCode::NOT_FOUND.into_response(), |it| axum::Json(it).into_response())
}

async fn feed(
    State(shared): State<Arc<Mutex<Shared>>>,
    Query(Asked { after }): Query<Asked>,
    headers: axum::http::HeaderMap,
) -> Response {
    let mut shared = shared.lock().unwrap();
    let token = headers.get("authorization").and_then(|token| token.to_str().ok());
    if shared.token.is_some() && shared.token.as_deref() != token {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    shared.asked.push(after.clone());
    let position = match after.as_str() {
        "earliest" => {
            shared.refuses = false;
            0
        }
        cursor => cursor.split('.').next().unwrap().parse().unwrap(),
    };
    if shared.refuses {
        let gone = json!({"type": "urn:wholly:feed:cursor-ahead", "detail": "it was put back"});
        return (StatusCode::GONE, gone.to_string()).into_response();
    }
    let head = shared.items.len();
    let batch = format!("[{}]", shared.items[position.min(head)..].join(","));
    let cursor = if head == 0 { "0".to_owned() } else { format!("{head}.at-{head}") };
    let headers = [
        ("content-type", "application/cloudevents-batch+json".to_owned()),
        ("wholly-feed-source", shared.source.clone()),
        ("wholly-feed-head", head.to_string()),
        ("wholly-feed-cursor", cursor),
        ("wholly-feed-retention", "604800".to_owned()),
    ];
    (headers, batch).into_response()
}
