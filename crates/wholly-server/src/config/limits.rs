//! `[limits]`: the limits on one caller, and on all of them together.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use wholly::{Payload, Settings};

use super::Wrong;
use super::value::{Positive, PositiveDuration};
use crate::access::Rate;

/// The limit of a request's body, in bytes: every payload that a transaction may carry, and a
/// quarter more for the text around them.
pub const BODY_LIMIT: usize = Settings::BRANCH_LIMIT * Payload::LIMIT / 4 * 5;

/// The limits of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The rate of each caller's requests; `None` for no limit.
    pub rate: Option<Rate>,
    /// The number of connections at once.
    pub connections: usize,
    /// The bytes that the bodies of requests in progress may have together.
    pub in_flight_bytes: usize,
    /// The longest time of the handshake of TLS.
    pub handshake_timeout: Duration,
    /// The longest time of a connection until the head of its next request is there.
    pub head_timeout: Duration,
    /// The longest time of the body of a request.
    pub body_timeout: Duration,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    requests_per_second: Option<Positive>,
    burst: Option<Spanned<Positive>>,
    connections: Option<Positive>,
    in_flight_bytes: Option<Spanned<Positive>>,
    handshake_timeout: Option<PositiveDuration>,
    head_timeout: Option<PositiveDuration>,
    body_timeout: Option<PositiveDuration>,
}

impl LimitsSection {
    pub fn limits(self) -> Result<Limits, Wrong> {
        let rate = match (self.requests_per_second, self.burst) {
            (None, None) => None,
            (Some(Positive(per_second)), burst) => {
                let burst = burst.map_or(per_second, |burst| burst.get_ref().0);
                Some(Rate { per_second, burst })
            }
            (None, Some(burst)) => {
                let why = "a burst means nothing without `requests_per_second`";
                return Err(Wrong::about(&burst, why.to_owned()));
            }
        };
        let in_flight_bytes = match self.in_flight_bytes {
            None => 256 * 1024 * 1024,
            Some(bytes) if (bytes.get_ref().0 as usize) < BODY_LIMIT => {
                let why = format!("one body alone may have {BODY_LIMIT} bytes");
                return Err(Wrong::about(&bytes, why));
            }
            Some(bytes) => bytes.get_ref().0 as usize,
        };
        let or = |duration: Option<PositiveDuration>, seconds| {
            duration.map_or(Duration::from_secs(seconds), |duration| duration.0)
        };
        Ok(Limits {
            rate,
            connections: self.connections.map_or(16_384, |connections| connections.0 as usize),
            in_flight_bytes,
            handshake_timeout: or(self.handshake_timeout, 10),
            head_timeout: or(self.head_timeout, 30),
            body_timeout: or(self.body_timeout, 30),
        })
    }
}
