//! One exchange with the server: a request and its response.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use wholly_dns::https;

use crate::error::{Problem, RequestError};

/// The longest response, in bytes: more than the longest history of the largest transaction has.
const RESPONSE_LIMIT: usize = 64 * 1024 * 1024;

/// The server's address, and the connections to it.
pub(crate) struct Http {
    client: https::HttpsClient,
    base: String,
    token: Option<HeaderValue>,
    response_timeout: Duration,
}

/// A request to the server's API.
#[derive(Clone, Default)]
pub(crate) struct ApiRequest {
    pub method: Method,
    /// From the `/` on, with its query.
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub body: Option<Bytes>,
    /// The time for which the server is asked to wait.
    pub wait: Duration,
}

/// A whole response, of whatever status.
pub(crate) struct ApiResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An exchange without a response.
pub(crate) struct TransportError {
    pub why: String,
    /// True if the request may have arrived.
    pub may_have_arrived: bool,
}

impl ApiRequest {
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
        response_timeout: Duration,
    ) -> Self {
        let client = https::client(tls, connect_timeout);
        Self { client, base, token, response_timeout }
    }

    pub fn url(&self, request: &ApiRequest) -> String {
        format!("{}{}", self.base, request.path)
    }

    /// Sends the request, and reads the whole response.
    pub async fn exchange(&self, request: &ApiRequest) -> Result<ApiResponse, TransportError> {
        let whole = async {
            let (head, body) = self.send(request).await?.into_parts();
            let body =
                Limited::new(body, RESPONSE_LIMIT).collect().await.map_err(|why| failed(&*why))?;
            Ok(ApiResponse { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        self.in_time(request, whole).await
    }

    /// Sends the request, and leaves the body of the response, a stream, to the caller.
    pub async fn open(&self, request: &ApiRequest) -> Result<Response<Incoming>, TransportError> {
        self.in_time(request, self.send(request)).await
    }

    async fn in_time<T>(
        &self,
        request: &ApiRequest,
        response: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let limit = request.wait.saturating_add(self.response_timeout);
        let in_time = tokio::time::timeout(limit, response).await;
        in_time.unwrap_or_else(|_| {
            Err(TransportError {
                why: format!("nothing came within {limit:?}"),
                may_have_arrived: true,
            })
        })
    }

    async fn send(&self, request: &ApiRequest) -> Result<Response<Incoming>, TransportError> {
        let mut built = Request::builder().method(&request.method).uri(self.url(request));
        for (name, value) in &request.headers {
            built = built.header(name, value);
        }
        if let Some(token) = &self.token {
            built = built.header(header::AUTHORIZATION, token);
        }
        if request.body.is_some() {
            built = built.header(header::CONTENT_TYPE, "application/json");
        }
        let built = built
            .body(Full::from(request.body.clone().unwrap_or_default()))
            .map_err(|why| TransportError { why: why.to_string(), may_have_arrived: false })?;
        self.client.request(built).await.map_err(|error| TransportError {
            may_have_arrived: !error.is_connect(),
            ..failed(&error)
        })
    }
}

fn failed(error: &(dyn Error + 'static)) -> TransportError {
    TransportError { why: https::root_cause(error), may_have_arrived: true }
}

impl ApiResponse {
    /// The body, in the form that it should have.
    pub fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, RequestError> {
        self.done(url)?;
        serde_json::from_slice(&self.body).map_err(|why| self.not_understood(url, &why))
    }

    /// Checks that the response is a success.
    pub fn done(&self, url: &str) -> Result<(), RequestError> {
        match self.status.is_success() {
            true => Ok(()),
            false => Err(self.refusal(url)),
        }
    }

    /// The error of a response that is no success.
    pub fn refusal(&self, url: &str) -> RequestError {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => RequestError::Refused(problem),
            Err(_) => self.not_understood(url, &"it is no problem document"),
        }
    }

    fn not_understood(&self, url: &str, why: &dyn std::fmt::Display) -> RequestError {
        let (url, why) = (url.to_owned(), why.to_string());
        RequestError::NotUnderstood { url, status: self.status.as_u16(), why }
    }
}
