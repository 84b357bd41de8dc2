//! The read horizon: the time up to which a service has read every followed feed. Time-outs and the
//! inbox's retention depend on it.

use std::time::Duration;

use wholly_core::Timestamp;

use super::status::FeedStatus;
use crate::probe::{Law, broken};

/// The time up to which every feed was read to its end. Feeds that are unreachable for longer than
/// `unreachable_after` do not count.
pub(crate) fn read_horizon(
    feeds: &[FeedStatus],
    now: Timestamp,
    unreachable_after: Duration,
) -> Timestamp {
    let of_feed = |feed: &FeedStatus| {
        let is_away = feed.unreachable_since.is_some_and(|since| since + unreachable_after <= now);
        if is_away { now } else { feed.read_to_end_at.unwrap_or_default() }
    };
    feeds.iter().map(of_feed).min().unwrap_or(now)
}

/// The time before which inbox rows may be deleted.
///
/// INVARIANT: no row is deleted before every feed was read to its end and that cursor was saved. A
/// service that was down for longer than the inbox's retention may read handled events again.
pub(crate) fn inbox_cutoff(
    feeds: &[FeedStatus],
    now: Timestamp,
    unreachable_after: Duration,
    retention: Duration,
) -> Timestamp {
    let known = read_horizon(feeds, now, unreachable_after);
    if known == Timestamp::default() && !broken(Law::MarksOutliveTheirEvents) {
        return Timestamp::default();
    }
    let retention = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(retention))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ServiceName;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn feed(read_to_end_at: Option<u64>, unreachable_since: Option<u64>) -> FeedStatus {
        let mut feed = FeedStatus::new(ServiceName::new("a").unwrap());
        feed.read_to_end_at = read_to_end_at.map(Timestamp::from_millis);
        feed.unreachable_since = unreachable_since.map(Timestamp::from_millis);
        feed
    }

    #[test]
    fn the_feed_that_was_read_first_tells_what_is_known_of_all() {
        let now = Timestamp::from_millis(1_000_000_000);
        let known = |feeds: &[FeedStatus]| read_horizon(feeds, now, DAY).as_millis();
        assert_eq!(known(&[]), 1_000_000_000);
        assert_eq!(known(&[feed(Some(7), None), feed(Some(5), None)]), 5);
        assert_eq!(known(&[feed(Some(7), None), feed(None, None)]), 0);
        assert_eq!(known(&[feed(Some(7), None), feed(Some(5), Some(900_000_000))]), 7);
        assert_eq!(known(&[feed(Some(7), Some(999_999_999))]), 7);
    }

    #[test]
    fn nothing_is_forgotten_before_every_feed_was_read_to_its_end() {
        let now = Timestamp::from_millis(DAY.as_millis() as u64 + 100);
        let inbox_cutoff = |feeds: &[FeedStatus]| inbox_cutoff(feeds, now, DAY, DAY).as_millis();
        assert_eq!(inbox_cutoff(&[feed(Some(7), None), feed(None, None)]), 0);
        assert_eq!(inbox_cutoff(&[feed(Some(7), None), feed(Some(1), None)]), 100);
    }
}
