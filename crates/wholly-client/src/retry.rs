//! Requests that are repeated until there is a response that counts, or time is up.

use std::time::Duration;

use http::{Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::RequestError;
use crate::http::{ApiRequest, ApiResponse, TransportError};

/// The first pause, which doubles up to the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The response that counts.
pub(crate) struct FinalResponse {
    pub response: ApiResponse,
    /// True if an earlier request, whose response was lost, may have arrived as well.
    pub earlier_may_have_arrived: bool,
}

/// The end of the retries without a response that counts.
pub(crate) struct GaveUp {
    pub why: RequestError,
    /// True if a request may have arrived.
    pub may_have_arrived: bool,
}

/// The attempts at one request.
pub(crate) struct Retries {
    began: Instant,
    retry_for: Duration,
    pauses: Pauses,
    may_have_arrived: bool,
}

/// An attempt without a response that counts.
pub(crate) struct FailedAttempt {
    why: RequestError,
    /// The wait that the server asks for.
    retry_after: Option<Duration>,
}

impl Client {
    /// Sends the request until there is a response that counts.
    pub(crate) async fn send(&self, request: &ApiRequest) -> Result<FinalResponse, GaveUp> {
        let mut retries = self.retries();
        let url = self.http().url(request);
        loop {
            let attempt = match self.http().exchange(request).await {
                Ok(response) if !is_transient(response.status) => {
                    let earlier_may_have_arrived = retries.may_have_arrived;
                    return Ok(FinalResponse { response, earlier_may_have_arrived });
                }
                Ok(response) => retries.rejected(&url, &response),
                Err(error) => retries.failed(&url, error),
            };
            retries.pause(attempt).await?;
        }
    }

    /// Sends the request until the stream of a response begins.
    pub(crate) async fn open(
        &self,
        request: &ApiRequest,
    ) -> Result<Response<Incoming>, RequestError> {
        let mut retries = self.retries();
        let url = self.http().url(request);
        loop {
            let attempt = match self.http().open(request).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let response = ApiResponse { status: head.status, headers: head.headers, body };
                    if !is_transient(response.status) {
                        return Err(response.refusal(&url));
                    }
                    retries.rejected(&url, &response)
                }
                Err(error) => retries.failed(&url, error),
            };
            retries.pause(attempt).await.map_err(|gave_up| gave_up.why)?;
        }
    }

    pub(crate) fn retries(&self) -> Retries {
        let (began, retry_for) = (Instant::now(), self.retry_for());
        Retries { began, retry_for, pauses: Pauses::default(), may_have_arrived: false }
    }
}

impl Retries {
    fn rejected(&mut self, url: &str, response: &ApiResponse) -> FailedAttempt {
        // A 429 comes before the request is dealt with; behind the others something may have happened.
        self.may_have_arrived |= response.status != StatusCode::TOO_MANY_REQUESTS;
        FailedAttempt { why: response.refusal(url), retry_after: retry_after(response) }
    }

    pub fn failed(&mut self, url: &str, error: TransportError) -> FailedAttempt {
        self.may_have_arrived |= error.may_have_arrived;
        let (url, tried_for, why) = (url.to_owned(), self.began.elapsed(), error.why);
        let why = RequestError::Unanswered { url, tried_for, why };
        FailedAttempt { why, retry_after: None }
    }

    /// Waits until it is time for the next attempt; an error where there is none.
    pub async fn pause(&mut self, failed: FailedAttempt) -> Result<(), GaveUp> {
        let FailedAttempt { why, retry_after } = failed;
        let pause = retry_after.unwrap_or_default().max(self.pauses.next());
        if self.began.elapsed().saturating_add(pause) > self.retry_for {
            return Err(GaveUp { why, may_have_arrived: self.may_have_arrived });
        }
        sleep(pause).await;
        Ok(())
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

/// Seconds only: a date would need both clocks to agree.
fn retry_after(response: &ApiResponse) -> Option<Duration> {
    let seconds = response.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Pauses that grow and have a random part, from half to the whole: clients that failed together do
/// not come again together.
#[derive(Default)]
struct Pauses {
    count: u32,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.count.min(16)).min(LONGEST);
        self.count += 1;
        let mut random = [0; 1];
        // Without random numbers the pauses are only less spread.
        let _ = SystemRandom::new().fill(&mut random);
        whole / 2 + (whole / 2).mul_f64(f64::from(random[0]) / 255.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut pauses = Pauses::default();
        let mut whole = FIRST;
        for _ in 0..40 {
            let pause = pauses.next();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST);
        }
    }
}
