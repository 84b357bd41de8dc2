//! Jumps of the wall clock, as a log shows them at a start.
//!
//! Nothing is removed for an hour after a start whose wall clock disagrees with the log: see
//! [`Jumps`](wholly_clock::Jumps).

use std::time::Duration;

use wholly_clock::JUMP;
pub(crate) use wholly_clock::{Jump, Jumps};
use wholly_core::{Timestamp, TransactionId};

use super::Reading;
use crate::log::listing::Query;
use crate::log::{LogReader, ReadError};
use crate::settings::Retention;

/// A log that stood still for so long may have been without its coordinator; for longer, the clock may
/// be wrong as well.
const LONG_STANDSTILL: Duration = Duration::from_secs(60 * 60);
/// Any restart takes some time, however short the retention.
const SHORT_STANDSTILL: Duration = Duration::from_secs(60);

/// A disagreement of the wall clock at a start with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disagreement {
    /// The clock is behind the log's youngest transaction by so much.
    Behind(Duration),
    /// By this clock the log stood still for so long, until now or until some time within the last
    /// hour: then the coordinator was restarted while its clock was distrusted.
    StoodStill(Duration),
}

/// The times that a log tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogTimes {
    /// The beginning of its youngest transaction; `None` if there never was one.
    pub youngest: Option<Timestamp>,
    /// When the youngest began of those that are older than an hour.
    pub before_the_last_hour: Option<Timestamp>,
}

/// The beginning of the youngest transaction of a log; `None` if there never was one.
pub(crate) fn youngest(last_ordinal: u64) -> Option<Timestamp> {
    let began = TransactionId::minted_with(last_ordinal);
    (last_ordinal > 0).then_some(began)
}

impl LogTimes {
    /// Asks a log that was just opened.
    pub fn read(
        reader: &dyn LogReader,
        last_ordinal: u64,
        now: Timestamp,
    ) -> Result<Self, ReadError> {
        let mut query = Query::newest(1);
        let distrusted = u64::try_from(Jumps::DISTRUST_FOR.as_millis()).unwrap_or(u64::MAX);
        let hour_ago = now.as_millis().saturating_sub(distrusted);
        query.filter.until = Some(Timestamp::from_millis(hour_ago));
        let older = reader.list(&query)?.rows.first().map(|row| row.id.minted_at());
        Ok(Self { youngest: youngest(last_ordinal), before_the_last_hour: older })
    }
}

/// Nothing was seen yet but the clocks at the start.
pub(crate) fn at_start(
    at: Reading,
    log: LogTimes,
    retention: Retention,
) -> (Jumps, Option<Disagreement>) {
    match disagreement(at, log, retention) {
        Some(found) => (Jumps::distrusting(at), Some(found)),
        None => (Jumps::trusting(at), None),
    }
}

fn disagreement(at: Reading, log: LogTimes, retention: Retention) -> Option<Disagreement> {
    let behind = at.wall().until(log.youngest.unwrap_or_default());
    let kept = [retention.history, retention.payloads].into_iter().flatten().min();
    let standstill = kept.unwrap_or(LONG_STANDSTILL).clamp(SHORT_STANDSTILL, LONG_STANDSTILL);
    if behind >= JUMP {
        return Some(Disagreement::Behind(behind));
    }
    let stood_still = |since: Option<Timestamp>, allowed: Duration| {
        since.map(|since| since.until(at.steady)).filter(|by| *by > allowed)
    };
    stood_still(log.youngest, standstill)
        .or_else(|| stood_still(log.before_the_last_hour, Jumps::DISTRUST_FOR + standstill))
        .map(Disagreement::StoodStill)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn reading(steady: Timestamp, wall_ahead_millis: i64) -> Reading {
        Reading { steady, wall_ahead_millis }
    }

    #[test]
    fn a_jump_is_seen_once_and_slewing_is_none() {
        let start = Timestamp::default() + 1_000 * DAY;
        let (mut jumps, found) =
            at_start(reading(start, 0), LogTimes::default(), Retention::FOR_EVER);
        assert_eq!((found, jumps.distrusted_until()), (None, Timestamp::default()));
        for ahead in [1, 100, 400, 800, 700] {
            assert_eq!(jumps.look(reading(start + SECOND, ahead)), None);
        }
        assert_eq!(jumps.distrusted_until(), Timestamp::default());
        for (seconds, ahead, by_millis) in
            [(2, 1_700, 1_000), (7, -63_072_000_000, -63_072_001_700)]
        {
            let now = start + SECOND * seconds;
            assert_eq!(jumps.look(reading(now, ahead)), Some(Jump { by_millis }));
            assert_eq!(jumps.look(reading(now + SECOND, ahead)), None);
            assert_eq!(jumps.distrusted_until(), now + HOUR);
        }
    }

    #[test]
    fn a_start_is_distrusted_whose_clock_disagrees_with_the_log() {
        let youngest = Timestamp::default() + 1_000 * DAY;
        let keeping = |history| Retention { history: Some(history), payloads: None };
        let at_start = |wall: Timestamp, retention| {
            let steady = wall.max(youngest);
            let ahead = wall.as_millis().cast_signed() - steady.as_millis().cast_signed();
            let log = LogTimes { youngest: Some(youngest), before_the_last_hour: None };
            let (jumps, found) = at_start(reading(steady, ahead), log, retention);
            let until = if found.is_some() { steady + HOUR } else { Timestamp::default() };
            assert_eq!(jumps.distrusted_until(), until);
            found
        };
        let month = keeping(30 * DAY);
        assert_eq!(at_start(youngest + SECOND, month), None);
        assert_eq!(at_start(youngest + HOUR, month), None);
        let days = at_start(youngest + 700 * DAY, month);
        assert_eq!(days, Some(Disagreement::StoodStill(700 * DAY)));
        let back = Timestamp::default() + (1_000 * DAY - SECOND);
        assert_eq!(at_start(back, month), Some(Disagreement::Behind(SECOND)));
        // By the shortest retention, and never within a restart's time.
        let short = keeping(10 * 60 * SECOND);
        assert_eq!(at_start(youngest + HOUR, short), Some(Disagreement::StoodStill(HOUR)));
        assert_eq!(at_start(youngest + 30 * SECOND, keeping(SECOND)), None);
        // Transactions begun after a leap do not vouch for it: another restart is distrusted, too.
        let now = youngest + SECOND;
        let log = |ago| LogTimes {
            youngest: Some(youngest),
            before_the_last_hour: Some(Timestamp::from_millis(
                now.as_millis() - Duration::as_millis(&ago) as u64,
            )),
        };
        let found = |ago| super::at_start(reading(now, 0), log(ago), month).1;
        assert_eq!(found(700 * DAY), Some(Disagreement::StoodStill(700 * DAY)));
        assert_eq!(found(2 * HOUR), None);
        // An empty log knows no time.
        assert_eq!(super::youngest(0), None);
    }
}
