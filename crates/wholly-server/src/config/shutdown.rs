//! `[shutdown]`: the time that the server takes to stop.

use std::time::Duration;

use serde::Deserialize;

use super::value::PositiveDuration;

/// The time that the server takes to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// The time for which transactions are still taken after SIGTERM, while `/readyz` answers 503.
    pub grace: Duration,
    /// The time that transactions in flight have to settle after that.
    pub settle: Duration,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownSection {
    grace: Option<DurationOrNone>,
    settle: Option<PositiveDuration>,
}

impl ShutdownSection {
    pub fn shutdown(self) -> Shutdown {
        Shutdown {
            grace: self.grace.map_or(Duration::from_secs(5), |grace| grace.0),
            settle: self.settle.map_or(Duration::from_secs(10), |settle| settle.0),
        }
    }
}

/// A duration that may be `"0s"`, too.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct DurationOrNone(Duration);

impl TryFrom<String> for DurationOrNone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "0s" => Ok(Self(Duration::ZERO)),
            _ => PositiveDuration::try_from(text).map(|PositiveDuration(duration)| Self(duration)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shutdown(text: &str) -> Result<Shutdown, String> {
        toml::from_str(text).map(ShutdownSection::shutdown).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_may_stop_without_a_grace() {
        let Shutdown { grace, settle } = shutdown("grace = '0s'\nsettle = '2m'").unwrap();
        assert_eq!((grace, settle), (Duration::ZERO, Duration::from_secs(120)));
        for (text, says) in [
            ("grace = '0'", "no duration"),
            ("grace = '31d'", "out of range"),
            ("settle = '0s'", "out of range"),
            ("settles = '1s'", "unknown field"),
        ] {
            let why = shutdown(text).unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
