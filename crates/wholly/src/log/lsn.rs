//! The place of an entry among all entries of its log.

use super::Position;

/// The place of an entry in its log. Places ascend from batch to batch, and within a batch from
/// entry to entry. A place is never reused, even after its entry is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The number of low bits that count the entries of one batch.
    const ENTRY_BITS: u32 = 20;
    /// The greatest number of bits of a place: a signed number of 64 bits holds it.
    const BITS: u32 = 63;

    /// The place of a batch's `nth` entry, from 0; `None` beyond what can be counted.
    #[must_use]
    pub fn of(batch: Position, nth: usize) -> Option<Self> {
        let nth = u64::try_from(nth).ok().filter(|nth| *nth < 1 << Self::ENTRY_BITS)?;
        let fits = batch.0 < 1 << (Self::BITS - Self::ENTRY_BITS);
        fits.then_some(Self(batch.0 << Self::ENTRY_BITS | nth))
    }

    /// The last place that an entry of this batch can have.
    #[must_use]
    pub fn last_of(batch: Position) -> Self {
        Self(batch.next().0.saturating_mul(1 << Self::ENTRY_BITS).saturating_sub(1))
    }

    /// The place with these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The place as a number, which ascends as places do.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The batch that the entry belongs to.
    #[must_use]
    pub const fn batch(self) -> Position {
        Position(self.0 >> Self::ENTRY_BITS)
    }
}
