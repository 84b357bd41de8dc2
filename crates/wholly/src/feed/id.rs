//! The id of an event: the place of its record in the log.

use std::fmt;
use std::str::FromStr;

use crate::log::{Lsn, Position};

/// The place of an event's record in its log. Ids ascend in the order of the log and never change,
/// also after a restart. As text an id is a decimal number.
///
/// ```
/// # use wholly::EventId;
/// let id: EventId = "4294967296".parse().unwrap();
/// assert_eq!(id.to_string(), "4294967296");
/// assert!("-1".parse::<EventId>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    place: Lsn,
    record: u16,
}

impl EventId {
    /// The number of low bits that count the records of one entry, which has a few for each branch
    /// or step.
    const RECORD_BITS: u32 = 12;
    const LAST_RECORD: u16 = (1 << Self::RECORD_BITS) - 1;

    /// The id of an entry's `nth` record, from 0.
    pub(crate) fn of(place: Lsn, nth: usize) -> Self {
        let record = u16::try_from(nth).unwrap_or(u16::MAX).min(Self::LAST_RECORD);
        Self { place, record }
    }

    /// The end of this batch.
    pub(crate) fn end_of(batch: Position) -> Self {
        Self::end_of_entry(Lsn::last_of(batch))
    }

    /// The end of this entry.
    pub(crate) fn end_of_entry(place: Lsn) -> Self {
        Self { place, record: Self::LAST_RECORD }
    }

    /// The entry from after which the log is read for later events. The entry of this event is read
    /// again, unless this is the end of it.
    pub(crate) fn entries_before(self) -> Lsn {
        match self.record {
            Self::LAST_RECORD => self.place,
            _ => Lsn::from_bits(self.place.to_bits().saturating_sub(1)),
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = u128::from(self.place.to_bits()) << Self::RECORD_BITS;
        fmt::Display::fmt(&(place | u128::from(self.record)), f)
    }
}

/// A text that is no id of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no id of an event, which is a decimal number")]
#[non_exhaustive]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        // A sign would parse as well.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u128 = text.parse().ok().filter(|_| digits).ok_or(InvalidEventId)?;
        let place = u64::try_from(number >> Self::RECORD_BITS).map_err(|_| InvalidEventId)?;
        let record = (number & u128::from(Self::LAST_RECORD)) as u16;
        Ok(Self { place: Lsn::from_bits(place), record })
    }
}
