//! A text that another server has, asked for once.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use wholly_dns::https;

/// The longest time of a fetch, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest text, in bytes.
const LIMIT: usize = 1 << 20;

const AGENT: &str = concat!("wholly/", env!("CARGO_PKG_VERSION"));

/// The error of a fetch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum FetchError {
    #[error("the address is invalid: {0}")]
    Address(hyper::http::Error),
    #[error("the address may only have a host and a port before its path: remove a password")]
    NotPlain,
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    #[error("the server cannot be reached: {0}")]
    NotReached(String),
    #[error("the server answered {0}")]
    Refused(StatusCode),
    #[error("the answer is longer than {LIMIT} bytes")]
    TooLong,
    #[error("the answer was cut off: {0}")]
    BrokenOff(String),
    #[error("the answer is not UTF-8 text")]
    NoText,
    #[error("the server did not answer within {PATIENCE:?}")]
    TooLate,
}

/// The text at an address that begins with `http://` or `https://`. It follows no redirect.
///
/// # Errors
/// When there is no answer in time, or when it is no text.
pub fn fetch(url: &str) -> io::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answer = tokio::time::timeout(PATIENCE, get(url)).await;
        answer.unwrap_or(Err(FetchError::TooLate)).map_err(io::Error::other)
    })
}

async fn get(url: &str) -> Result<String, FetchError> {
    let request = Request::get(url)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, AGENT)
        .body(Full::<Bytes>::default())
        .map_err(FetchError::Address)?;
    // Every layer below would have it in its messages.
    if !request.uri().authority().is_some_and(https::is_host_and_port) {
        return Err(FetchError::NotPlain);
    }
    let client = https::web_client().map_err(FetchError::Tls)?;
    let answer = client.request(request).await;
    let answer = answer.map_err(|error| FetchError::NotReached(https::root_cause(&error)))?;
    if !answer.status().is_success() {
        return Err(FetchError::Refused(answer.status()));
    }
    let body = Limited::new(answer.into_body(), LIMIT).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => FetchError::TooLong,
        false => FetchError::BrokenOff(https::root_cause(&*error)),
    })?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| FetchError::NoText)
}
