//! The id of an event: where its record stands in the log.

use std::fmt;
use std::str::FromStr;

use crate::log::{Lsn, Position};

/// Where an event's record stands in its log: ascends in the log's order, and means the same for
/// ever, after a restart too. As text a decimal number.
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
    /// How many low bits count the records of one entry, which has a few for each branch or step
    /// and so never as many.
    const RECORD_BITS: u32 = 12;
    const LAST_RECORD: u16 = (1 << Self::RECORD_BITS) - 1;

    /// The id of an entry's `nth` record, from 0.
    pub(crate) fn of(place: Lsn, nth: usize) -> Self {
        let record = u16::try_from(nth).unwrap_or(u16::MAX).min(Self::LAST_RECORD);
        Self { place, record }
    }

    /// Where everything up to this batch has been.
    pub(crate) fn end_of(batch: Position) -> Self {
        Self::end_of_entry(Lsn::last_of(batch))
    }

    /// Where every record of this entry has been.
    pub(crate) fn end_of_entry(place: Lsn) -> Self {
        Self { place, record: Self::LAST_RECORD }
    }

    /// After which entry there may be records that come after this event: its own entry is read
    /// again, unless this stands for the end of it.
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
