//! The identities that Wholly mints: of a log, and of a transaction.
//!
//! A transaction's id travels in headers, barriers and database ids, so its text uses one alphabet
//! (`0-9a-f-`) that every place accepts, and stays under the 64 bytes of an XA global id.
//!
//! The first half of the id is its [ordinal](TransactionId::ordinal): it ascends within a log, so
//! that keys are inserted in order, and it is unique there. The last part is the identity of the
//! log that minted it, so that no coordinator ever takes another's transaction for its own.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;

/// The identity of a log: random, minted when the log is created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(u64);

impl LogId {
    /// The identity with these bits, which come from a random source or from the log itself.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The identity's 64 bits.
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

/// The id of a transaction on the wire: a UUIDv7 and the identity of the log that minted it.
///
/// ```
/// # use wholly_core::{LogId, TransactionId};
/// let id = TransactionId::mint(0, wholly_core::Timestamp::from_millis(1), 7, LogId::from_bits(9));
/// let text = id.to_string();
/// assert_eq!(text, "00000000000170008000000000000001-0000000000000009");
/// assert_eq!(text.parse::<TransactionId>().unwrap(), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    uuid: u128,
    log: LogId,
}

/// The number of the ordinal's bits that count transactions within one millisecond.
const COUNTER_BITS: u32 = 12;

impl TransactionId {
    /// The length of its text.
    pub(crate) const TEXT_LENGTH: usize = 32 + 1 + 16;

    /// Mints the next id after the one with ordinal `last`, at `now`, with 62 bits of `random`.
    ///
    /// The ordinal is strictly greater than `last`, even where the clock stood still or went back.
    pub fn mint(last: u64, now: Timestamp, random: u64, log: LogId) -> Self {
        let ordinal = (now.as_millis() << COUNTER_BITS).max(last + 1);
        // RFC 9562: behind the first half variant 0b10, 62 bits.
        Self::of_parts(ordinal, (0b10 << 62) | (random >> 2), log)
    }

    /// The id that was minted with this [ordinal](Self::ordinal) and this
    /// [second half](Self::random_half) by this log.
    pub fn of_parts(ordinal: u64, random_half: u64, log: LogId) -> Self {
        let (millis, counter) = (ordinal >> COUNTER_BITS, ordinal & ((1 << COUNTER_BITS) - 1));
        // RFC 9562: 48 bits of milliseconds, version 7, 12 bits for us.
        let high = (millis << 16) | 0x7000 | counter;
        Self { uuid: (u128::from(high) << 64) | u128::from(random_half), log }
    }

    /// The place of the transaction among those of its log: ascends, and is unique there.
    pub fn ordinal(self) -> u64 {
        let high = (self.uuid >> 64) as u64;
        ((high >> 16) << COUNTER_BITS) | (high & ((1 << COUNTER_BITS) - 1))
    }

    /// The time at which the transaction was accepted, to the millisecond (later, if ids were
    /// minted faster than 4,096 a millisecond or the clock went back).
    pub fn minted_at(self) -> Timestamp {
        Timestamp::from_millis((self.uuid >> 80) as u64)
    }

    /// The time at which the transaction with this [ordinal](Self::ordinal) was accepted, as
    /// [`minted_at`](Self::minted_at) tells it.
    pub fn minted_with(ordinal: u64) -> Timestamp {
        Timestamp::from_millis(ordinal >> COUNTER_BITS)
    }

    /// The second half of its UUID: 62 random bits behind two that are the same in all.
    pub fn random_half(self) -> NonZeroU64 {
        // Only a text that was never minted has zeros there.
        NonZeroU64::new(self.uuid as u64).unwrap_or(NonZeroU64::MIN)
    }

    /// The identity of the log that minted the id.
    pub fn log(self) -> LogId {
        self.log
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", self.uuid, self.log)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no transaction id: it needs 32 hex digits, a hyphen and 16 hex digits")]
#[non_exhaustive]
pub struct InvalidId;

impl FromStr for TransactionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (uuid, log) = text.split_once('-').ok_or(InvalidId)?;
        Ok(Self { uuid: hex::<32>(uuid)?, log: log.parse()? })
    }
}

impl FromStr for LogId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // 16 hex digits always fit 64 bits.
        Ok(Self(hex::<16>(text)? as u64))
    }
}

/// Exactly `N` lower-case hex digits: one id has one text.
fn hex<const N: usize>(text: &str) -> Result<u128, InvalidId> {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() != N || !text.bytes().all(lower) {
        return Err(InvalidId);
    }
    u128::from_str_radix(text, 16).map_err(|_| InvalidId)
}

macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_text!(TransactionId);
serde_as_text!(LogId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_ascend_and_survive_their_text(
            last in 0u64..(1 << 59), now in 0u64..(1 << 47), random: u64, log: u64,
        ) {
            let log = LogId::from_bits(log);
            let id = TransactionId::mint(last, Timestamp::from_millis(now), random, log);
            prop_assert!(id.ordinal() > last);
            prop_assert!(id.minted_at() >= Timestamp::from_millis(now));
            prop_assert_eq!(id.minted_at(), TransactionId::minted_with(id.ordinal()));
            prop_assert_eq!(id.log(), log);
            prop_assert_eq!(id.to_string().parse::<TransactionId>(), Ok(id));
            let half = id.random_half().get();
            prop_assert_eq!(TransactionId::of_parts(id.ordinal(), half, log), id);
            prop_assert_eq!(id.to_string().len(), TransactionId::TEXT_LENGTH);
            // UUIDv7, RFC 9562: version and variant stand where every reader looks for them.
            prop_assert_eq!(&id.to_string()[12..13], "7");
            prop_assert!("89ab".contains(&id.to_string()[16..17]));
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = text.parse::<TransactionId>();
        }
    }

    #[test]
    fn one_id_has_one_text() {
        let id = TransactionId::mint(0, Timestamp::from_millis(5), u64::MAX, LogId::from_bits(1));
        assert_eq!(id.to_string().to_uppercase().parse::<TransactionId>(), Err(InvalidId));
        assert!(
            "+0000000000170008000000000000007-0000000000000009".parse::<TransactionId>().is_err()
        );
    }
}
