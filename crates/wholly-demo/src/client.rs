//! A small HTTP client, for the services' own routes and the coordinator's API.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The longest wait for an answer: more than a coordinator needs for what is asked here.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The client.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, of whatever status.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body: JSON, or else a text.
    pub body: Value,
    /// The header `Retry-After`, where it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// All headers.
    pub headers: HeaderMap,
}

/// There was no answer: the process is down, or went down over it.
#[derive(Debug, thiserror::Error)]
#[error("{url} gave no answer: {why}")]
pub struct NoAnswer {
    url: String,
    why: String,
}

impl Default for Http {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }
}

impl Http {
    /// Reads.
    pub async fn get(&self, url: &str) -> Result<Reply, NoAnswer> {
        self.send(Method::GET, url, &[], String::new(), PATIENCE).await
    }

    /// Asks for a change.
    pub async fn post(&self, url: &str, body: &Value) -> Result<Reply, NoAnswer> {
        self.send(Method::POST, url, &[], body.to_string(), PATIENCE).await
    }

    /// Waits for the acceptance only.
    pub async fn post_async(&self, url: &str, body: &Value) -> Result<Reply, NoAnswer> {
        let prefer = [("prefer", "respond-async")];
        self.send(Method::POST, url, &prefer, body.to_string(), PATIENCE).await
    }

    /// Asks, and hangs up when no answer has come within `patience`.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, &str)],
        body: String,
        patience: Duration,
    ) -> Result<Reply, NoAnswer> {
        let request =
            Request::builder().method(method).uri(url).header("content-type", "application/json");
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        within(url, patience, async {
            let request = request.body(Full::from(body)).map_err(|error| error.to_string())?;
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            whole(response).await
        })
        .await
    }

    /// Listens to a stream of events, from after the one with the id `last` on.
    pub async fn listen(
        &self,
        url: &str,
        last: Option<&str>,
        patience: Duration,
    ) -> Result<Listened, NoAnswer> {
        let request = Request::get(url);
        let request = last.into_iter().fold(request, |to, last| to.header("last-event-id", last));
        within(url, patience, async {
            let request = request.body(Full::default()).map_err(|error| error.to_string())?;
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            match response.status() {
                StatusCode::OK => Ok(Listened::Stream(response.into_body())),
                _ => whole(response).await.map(Listened::Reply),
            }
        })
        .await
    }
}

/// The outcome of listening.
pub enum Listened {
    /// The events.
    Stream(Incoming),
    /// The answer in their place.
    Reply(Reply),
}

async fn within<T>(
    url: &str,
    patience: Duration,
    exchange: impl Future<Output = Result<T, String>>,
) -> Result<T, NoAnswer> {
    let exchanged = tokio::time::timeout(patience, exchange).await;
    let exchanged = exchanged.unwrap_or_else(|_| Err(format!("nothing came within {patience:?}")));
    exchanged.map_err(|why| NoAnswer { url: url.to_owned(), why })
}

async fn whole(response: Response<Incoming>) -> Result<Reply, String> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    // A body that is no JSON is shown as text.
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    let retry_after = head.headers.get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    Ok(Reply { status: head.status.as_u16(), body, retry_after, headers: head.headers })
}
