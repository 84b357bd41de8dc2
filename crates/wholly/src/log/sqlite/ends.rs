//! The column of an entry that ends its transaction, with the time of the end.

use wholly_core::Timestamp;

/// The column's value: the time of the end, in milliseconds, or 0 if it has not ended.
pub(super) fn column(ended: Option<Timestamp>) -> i64 {
    ended.map_or(0, |at| millis(at).max(1))
}

/// The time of the end, in milliseconds.
pub(super) fn read(column: i64) -> Option<i64> {
    Some(column).filter(|at| *at != 0)
}

/// A time as the file has it.
pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
