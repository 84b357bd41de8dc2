//! `[retention]`: the time for which settled transactions are kept.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use wholly::Retention;

use super::{Wrong, value};

/// The default retention of a choreography: its services have the truth, and a store that only
/// observes them need not grow for ever.
const CHOREOGRAPHIES: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The section as it is written. Without a key, all but choreographies are kept for ever.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetentionSection {
    history: Option<Kept>,
    payloads: Option<Spanned<Kept>>,
    choreographies: Option<Kept>,
}

impl RetentionSection {
    pub(super) fn choreographies(&self) -> Duration {
        self.choreographies.map_or(CHOREOGRAPHIES, |kept| kept.0)
    }

    pub(super) fn retention(self) -> Result<Retention, Wrong> {
        let mut retention = Retention::FOR_EVER;
        retention.history = self.history.map(|kept| kept.0);
        if let Some(payloads) = self.payloads {
            retention.payloads = Some(payloads.get_ref().0);
            if retention.history.is_some_and(|history| payloads.get_ref().0 > history) {
                let why = "payloads are part of the history, and cannot be kept longer than it";
                return Err(Wrong::about(&payloads, why.to_owned()));
            }
        }
        Ok(retention)
    }
}

/// A duration of up to a hundred years.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Kept(Duration);

impl TryFrom<String> for Kept {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const LONGEST_HOURS: u64 = 100 * 365 * 24;
        value::duration_up_to(&text, LONGEST_HOURS).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(text: &str) -> Result<Retention, String> {
        let section: RetentionSection = toml::from_str(text).map_err(|e| e.to_string())?;
        section.retention().map_err(|wrong| wrong.why)
    }

    #[test]
    fn what_is_absent_is_kept_for_ever() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        assert_eq!(retention(""), Ok(Retention::FOR_EVER));
        let both = retention("history = '365d'\npayloads = '36h'").unwrap();
        assert_eq!((both.history, both.payloads), (Some(365 * DAY), Some(DAY * 3 / 2)));
        let section: RetentionSection = toml::from_str("choreographies = '7d'").unwrap();
        assert_eq!(section.choreographies(), 7 * DAY);
        assert_eq!(RetentionSection::default().choreographies(), 30 * DAY);
        let one = retention("payloads = '7d'").unwrap();
        assert_eq!((one.history, one.payloads), (None, Some(7 * DAY)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, says) in [
            ("history = '7d'\npayloads = '30d'", "cannot be kept longer"),
            ("history = '0d'", "out of range"),
            ("history = '99999999d'", "out of range"),
            ("history = '3 weeks'", "no duration"),
            ("hystory = '7d'", "unknown field"),
        ] {
            let why = retention(text).unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
