//! A small HTTP client, for the services' own routes and the coordinator's API.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The longest wait for an answer: more than a coordinator needs for what is asked here.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, of whatever status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The header `Retry-After`, where it is a number of seconds.
    pub(crate) retry_after: Option<Duration>,
}

/// There was no answer: the process is down, or went down over it.
#[derive(Debug, thiserror::Error)]
#[error("{url} gave no answer: {why}")]
pub(crate) struct NoAnswer {
    url: String,
    why: String,
}

impl Http {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Reply, NoAnswer> {
        self.send(Method::GET, url, &[], String::new(), PATIENCE).await
    }

    pub(crate) async fn post(&self, url: &str, body: &Value) -> Result<Reply, NoAnswer> {
        self.send(Method::POST, url, &[], body.to_string(), PATIENCE).await
    }

    /// Waits for the acceptance only.
    pub(crate) async fn post_async(&self, url: &str, body: &Value) -> Result<Reply, NoAnswer> {
        let prefer = [("prefer", "respond-async")];
        self.send(Method::POST, url, &prefer, body.to_string(), PATIENCE).await
    }

    /// Asks, and hangs up when no answer has come within `patience`.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, &str)],
        body: String,
        patience: Duration,
    ) -> Result<Reply, NoAnswer> {
        let no_answer = |why: String| NoAnswer { url: url.to_owned(), why };
        let request =
            Request::builder().method(method).uri(url).header("content-type", "application/json");
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request =
            request.body(Full::from(body)).map_err(|error| no_answer(error.to_string()))?;
        let exchange = async {
            let (head, body) = self
                .client
                .request(request)
                .await
                .map_err(|error| no_answer(error.to_string()))?
                .into_parts();
            let body = body.collect().await.map_err(|error| no_answer(error.to_string()))?;
            Ok((head, body.to_bytes()))
        };
        let (head, body) = tokio::time::timeout(patience, exchange)
            .await
            .map_err(|_| no_answer(format!("nothing came within {patience:?}")))??;
        // What is no JSON is shown as the text that it is.
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        let retry_after = head.headers.get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        Ok(Reply { status: head.status.as_u16(), body, retry_after })
    }
}
