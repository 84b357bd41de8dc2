//! The values of the configuration that TOML has no type for.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use wholly::HttpParticipant;

/// A duration with its unit, as in `"250ms"`, `"10s"`, `"5m"`, `"1h"` or `"2d"`; never zero, at
/// most 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PositiveDuration(pub Duration);

const LONGEST_HOURS: u64 = 30 * 24;

impl TryFrom<String> for PositiveDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        duration_up_to(&text, LONGEST_HOURS).map(Self)
    }
}

/// A duration with its unit, of so many hours at most.
pub fn duration_up_to(text: &str, longest_hours: u64) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(24 * 3_600_000),
        _ => None,
    };
    let (Ok(number), Some(millis)) = (number.parse::<u64>(), millis) else {
        return Err(format!(
            "{text:?} is no duration; write a whole number and ms, s, m, h or d, like \"250ms\" \
             or \"10s\""
        ));
    };
    let duration = Duration::from_millis(number.saturating_mul(millis));
    let longest = Duration::from_secs(longest_hours.saturating_mul(3_600));
    match duration.is_zero() || duration > longest {
        true => {
            Err(format!("{text:?} is out of range; this duration is from 1ms to {longest_hours}h"))
        }
        false => Ok(duration),
    }
}

/// A count of at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Positive(pub u32);

impl TryFrom<i64> for Positive {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match u32::try_from(number) {
            Ok(positive @ 1..) => Ok(Self(positive)),
            _ => {
                Err(format!("{number} is out of range; it is at least 1 and at most {}", u32::MAX))
            }
        }
    }
}

/// An amount of memory, in bytes: at least a mebibyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct MemoryBytes(pub usize);

const LEAST_BYTES: usize = 1 << 20;

impl TryFrom<i64> for MemoryBytes {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match usize::try_from(number) {
            Ok(enough @ LEAST_BYTES..) => Ok(Self(enough)),
            _ => Err(format!("{number} is out of range; it is at least {LEAST_BYTES} bytes")),
        }
    }
}

/// A status that may say that a participant refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct ClientErrorStatus(pub u16);

impl TryFrom<i64> for ClientErrorStatus {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match u16::try_from(number) {
            Ok(status @ 400..=499) => Ok(Self(status)),
            _ => Err(format!(
                "the status {number} cannot mean a refusal; only those from 400 to 499 can, \
                 because others tell of a service that is down"
            )),
        }
    }
}

/// The participant at a URL.
pub fn participant_at<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<HttpParticipant, D::Error> {
    let url = String::deserialize(deserializer)?;
    HttpParticipant::at(&url).map_err(serde::de::Error::custom)
}
