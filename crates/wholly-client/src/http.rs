//! One exchange with the server: a request and its answer, or why there is none.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use wholly_dns::https;

use crate::error::{AskError, Problem};

/// The most that an answer may have, in bytes: more than the longest history of the largest
/// transaction.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// The server's address, and the connections to it.
pub(crate) struct Http {
    client: https::Client,
    base: String,
    token: Option<HeaderValue>,
    answer_timeout: Duration,
}

/// What is asked.
#[derive(Clone, Default)]
pub(crate) struct Ask {
    pub method: Method,
    /// From the `/` on, with its query.
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub body: Option<Bytes>,
    /// How long the server is asked to wait.
    pub wait: Duration,
}

/// An answer, of whatever status.
pub(crate) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// There was no answer.
pub(crate) struct NoAnswer {
    pub why: String,
    /// Whether the request may have arrived.
    pub lost: bool,
}

impl Ask {
    pub fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

impl Http {
    pub fn new(
        base: String,
        token: Option<HeaderValue>,
        tls: rustls::ClientConfig,
        connect_timeout: Duration,
        answer_timeout: Duration,
    ) -> Self {
        let client = https::client(tls, connect_timeout);
        Self { client, base, token, answer_timeout }
    }

    pub fn url(&self, ask: &Ask) -> String {
        format!("{}{}", self.base, ask.path)
    }

    /// Asks, and reads the whole answer.
    pub async fn exchange(&self, ask: &Ask) -> Result<Reply, NoAnswer> {
        let whole = async {
            let (head, body) = self.send(ask).await?.into_parts();
            let body =
                Limited::new(body, ANSWER_LIMIT).collect().await.map_err(|why| lost(&*why))?;
            Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        self.in_time(ask, whole).await
    }

    /// Asks for an answer that goes on and on.
    pub async fn open(&self, ask: &Ask) -> Result<Response<Incoming>, NoAnswer> {
        self.in_time(ask, self.send(ask)).await
    }

    async fn in_time<T>(
        &self,
        ask: &Ask,
        answer: impl Future<Output = Result<T, NoAnswer>>,
    ) -> Result<T, NoAnswer> {
        let limit = ask.wait.saturating_add(self.answer_timeout);
        let in_time = tokio::time::timeout(limit, answer).await;
        in_time.unwrap_or_else(|_| {
            Err(NoAnswer { why: format!("nothing came within {limit:?}"), lost: true })
        })
    }

    async fn send(&self, ask: &Ask) -> Result<Response<Incoming>, NoAnswer> {
        let mut request = Request::builder().method(&ask.method).uri(self.url(ask));
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if ask.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::from(ask.body.clone().unwrap_or_default()))
            .map_err(|why| NoAnswer { why: why.to_string(), lost: false })?;
        self.client
            .request(request)
            .await
            .map_err(|error| NoAnswer { lost: !error.is_connect(), ..lost(&error) })
    }
}

fn lost(error: &(dyn Error + 'static)) -> NoAnswer {
    NoAnswer { why: https::root_cause(error), lost: true }
}

impl Reply {
    /// What the answer says, in the form that it should have.
    pub fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, AskError> {
        self.done(url)?;
        serde_json::from_slice(&self.body).map_err(|why| self.not_understood(url, &why))
    }

    /// That the answer is not a no.
    pub fn done(&self, url: &str) -> Result<(), AskError> {
        match self.status.is_success() {
            true => Ok(()),
            false => Err(self.refusal(url)),
        }
    }

    /// What an answer says that is no success.
    pub fn refusal(&self, url: &str) -> AskError {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => AskError::Refused(problem),
            Err(_) => self.not_understood(url, &"it is no problem document"),
        }
    }

    fn not_understood(&self, url: &str, why: &dyn std::fmt::Display) -> AskError {
        let (url, why) = (url.to_owned(), why.to_string());
        AskError::NotUnderstood { url, status: self.status.as_u16(), why }
    }
}
