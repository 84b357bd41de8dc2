//! A position in a feed, with the event that proves it.

use std::fmt;
use std::str::FromStr;

use crate::names::EventId;

/// The last event that a follower has read from a feed: its position and its id.
///
/// The id distinguishes a feed from a restored older copy, which assigns the same positions to
/// other events. Before the first event the position is 0 and there is no id.
///
/// ```
/// # use wholly_events::Cursor;
/// let cursor: Cursor = "42.018bcfe5-6801-7000-8000-000000000000".parse()?;
/// assert_eq!(cursor.position, 42);
/// assert_eq!("0".parse(), Ok(Cursor::START));
/// # Ok::<(), wholly_events::InvalidCursor>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The event's position; 0 before the first event.
    pub position: u64,
    /// The event's id.
    pub id: Option<EventId>,
}

/// The error for a text that is not a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: use a position, a full stop and an event's id, or just 0")]
#[non_exhaustive]
pub struct InvalidCursor;

impl Cursor {
    /// The cursor before the first event.
    pub const START: Self = Self { position: 0, id: None };

    /// The cursor of an event.
    pub const fn at(position: u64, id: EventId) -> Self {
        Self { position, id: Some(id) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{}.{id}", self.position),
            None => write!(f, "{}", self.position),
        }
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text == "0" {
            return Ok(Self::START);
        }
        let (position, id) = text.split_once('.').ok_or(InvalidCursor)?;
        if position.starts_with('+') {
            return Err(InvalidCursor);
        }
        let position = position.parse().map_err(|_| InvalidCursor)?;
        // Databases count in 64 bits with a sign.
        if position == 0 || i64::try_from(position).is_err() {
            return Err(InvalidCursor);
        }
        Ok(Self::at(position, EventId::new(id).map_err(|_| InvalidCursor)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(position in 1u64..=i64::MAX as u64, id in "[!-~]{1,60}") {
            let cursor = Cursor::at(position, EventId::new(id).unwrap());
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["", "1", "0.a", "-1.a", "+1.a", "1.", ".a", "9223372036854775808.a"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text:?}");
        }
    }
}
