//! Times and durations, as people write and read them.

use std::time::{Duration, SystemTime};

use wholly_client::Timestamp;

use crate::config::PositiveDuration;

/// A duration with its unit: `250ms`, `10s`, `5m`, `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    PositiveDuration::try_from(text.to_owned()).map(|PositiveDuration(duration)| duration)
}

/// A time: how long ago, or a date in UTC.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let at = match duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
        Err(_) if text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('-') => {
            // A day alone begins at midnight.
            let whole =
                if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
            humantime::parse_rfc3339_weak(&whole)
                .map_err(|why| format!("{why}; write it like 2026-11-23T08:30:00Z"))?
        }
        Err(_) => {
            return Err("write how long ago, like 30m or 24h, or a time in UTC, like \
                        2026-11-23T08:30:00Z"
                .to_owned());
        }
    };
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

/// A time in UTC, to the second.
pub fn date(at: Timestamp) -> String {
    rfc3339(at).split('.').next().unwrap_or_default().replace('T', " ") + " UTC"
}

/// The time of a day in UTC, to the millisecond.
pub fn time_of_day(at: Timestamp) -> String {
    let text = rfc3339(at);
    text.split_once('T').map_or("", |(_, time)| time.trim_end_matches('Z')).to_owned()
}

/// With milliseconds; years beyond 9999 are the last one.
fn rfc3339(at: Timestamp) -> String {
    const LAST: u64 = 253_402_300_799_999;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at.as_millis().min(LAST));
    humantime::format_rfc3339_millis(at).to_string()
}

/// The age of a time, in the largest unit that gives a number: `3m`.
pub fn age(at: Timestamp) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(Duration::from_millis(at.as_millis())).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A duration with two units at most: `340ms`, `1.2s`, `5m 3s`, `2h 10m`.
pub fn how_long(duration: Duration) -> String {
    let (millis, seconds) = (duration.as_millis(), duration.as_secs());
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{}.{}s", seconds, millis % 1_000 / 100),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let at = |text| time(text).unwrap().as_millis();
        assert_eq!(at("2026-11-23T08:30:00Z"), 1_795_422_600_000);
        assert_eq!(at("2026-11-23 08:30:00"), 1_795_422_600_000);
        assert_eq!(at("2026-11-23"), 1_795_392_000_000);
        assert!(at("1h") < at("1m"));
        for nonsense in ["", "yesterday", "5", "0s", "2026-13-01", "-1h", "2026-11-23T25:00:00Z"] {
            assert!(time(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn times_are_written_for_people() {
        let at = Timestamp::from_millis(1_795_422_600_042);
        assert_eq!(date(at), "2026-11-23 08:30:00 UTC");
        assert_eq!(time_of_day(at), "08:30:00.042");
        assert_eq!(date(Timestamp::from_millis(u64::MAX)), "9999-12-31 23:59:59 UTC");
        assert_eq!(age(Timestamp::from_millis(u64::MAX)), "0s");
        for (millis, says) in [
            (340, "340ms"),
            (1_290, "1.2s"),
            (303_000, "5m 3s"),
            (7_800_000, "2h 10m"),
            (180_000_000, "2d 2h"),
        ] {
            assert_eq!(how_long(Duration::from_millis(millis)), says);
        }
    }
}
