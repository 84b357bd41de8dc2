//! How an entry says that its transaction ended with it, and when: in one column.

use wholly_core::Timestamp;

/// It has ended, and nobody noted when: earlier versions did not.
const SOME_TIME: i64 = 1;

/// What is written: when it ended, in milliseconds, or 0 if it has not.
pub(super) fn column(ended: Option<Timestamp>) -> i64 {
    ended.map_or(0, |at| millis(at).max(SOME_TIME))
}

/// When it ended, in milliseconds; where nobody noted that, when it was minted.
pub(super) fn read(column: i64, ordinal: i64) -> Option<i64> {
    const COUNTED_IN_A_MILLISECOND: i64 = 1 << 12;
    match column {
        0 => None,
        SOME_TIME => Some(ordinal / COUNTED_IN_A_MILLISECOND),
        at => Some(at),
    }
}

/// A time as the file has it.
pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
