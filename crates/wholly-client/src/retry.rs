//! Asking until there is an answer, or time is up.

use std::time::Duration;

use http::{Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::AskError;
use crate::http::{Ask, NoAnswer, Reply};

/// The first pause, which doubles up to the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// An answer that counts, and whether an earlier request may have arrived as well.
pub(crate) struct Answered {
    pub reply: Reply,
    pub lost: bool,
}

/// There was no answer in time; and whether a request may have arrived all the same.
pub(crate) struct Unanswered {
    pub why: AskError,
    pub lost: bool,
}

/// The tries of one request.
pub(crate) struct Tries {
    began: Instant,
    retry_for: Duration,
    pauses: Pauses,
    pub lost: bool,
}

impl Client {
    /// Asks until there is an answer that counts.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Answered, Unanswered> {
        let mut tries = self.tries();
        loop {
            let why = match self.http().exchange(ask).await {
                Ok(reply) if !asks_for_patience(reply.status) => {
                    return Ok(Answered { reply, lost: tries.lost });
                }
                Ok(reply) => tries.put_off(&self.http().url(ask), &reply),
                Err(no_answer) => tries.failed(&self.http().url(ask), no_answer),
            };
            tries.again(why).await?;
        }
    }

    /// Asks until an answer begins to come in that goes on and on.
    pub(crate) async fn open(&self, ask: &Ask) -> Result<Response<Incoming>, AskError> {
        let mut tries = self.tries();
        let url = self.http().url(ask);
        loop {
            let why = match self.http().open(ask).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let reply = Reply { status: head.status, headers: head.headers, body };
                    if !asks_for_patience(reply.status) {
                        return Err(reply.refusal(&url));
                    }
                    tries.put_off(&url, &reply)
                }
                Err(no_answer) => tries.failed(&url, no_answer),
            };
            tries.again(why).await.map_err(|unanswered| unanswered.why)?;
        }
    }

    pub(crate) fn tries(&self) -> Tries {
        let (began, retry_for) = (Instant::now(), self.retry_for());
        Tries { began, retry_for, pauses: Pauses::default(), lost: false }
    }
}

/// Why a try was none, and how long the server asks to wait before the next one.
pub(crate) struct Failed {
    why: AskError,
    after: Option<Duration>,
}

impl Tries {
    fn put_off(&mut self, url: &str, reply: &Reply) -> Failed {
        // Who is asked to slow down was not let in; behind the others something may have happened.
        self.lost |= reply.status != StatusCode::TOO_MANY_REQUESTS;
        Failed { why: reply.refusal(url), after: retry_after(reply) }
    }

    pub fn failed(&mut self, url: &str, NoAnswer { why, lost }: NoAnswer) -> Failed {
        self.lost |= lost;
        let (url, tried_for) = (url.to_owned(), self.began.elapsed());
        Failed { why: AskError::Unanswered { url, tried_for, why }, after: None }
    }

    /// Waits until it is time for the next try, if there is to be one.
    pub async fn again(&mut self, Failed { why, after }: Failed) -> Result<(), Unanswered> {
        let pause = after.unwrap_or_default().max(self.pauses.next());
        if self.began.elapsed().saturating_add(pause) > self.retry_for {
            return Err(Unanswered { why, lost: self.lost });
        }
        sleep(pause).await;
        Ok(())
    }
}

fn asks_for_patience(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

/// Seconds only: a date would need both clocks to agree.
fn retry_after(reply: &Reply) -> Option<Duration> {
    let seconds = reply.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Growing pauses, each between half and the whole of what it has grown to, so that those who
/// failed together do not ask again together.
#[derive(Default)]
struct Pauses {
    tries: u32,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries += 1;
        let mut random = [0; 1];
        // Without randomness the pause is only less spread.
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
