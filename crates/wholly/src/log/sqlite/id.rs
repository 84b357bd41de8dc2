//! A transaction's id in its first entry: 16 bytes that complete its ordinal, the second half of
//! the UUID and the log that minted it.
//!
//! The indexes leave the log to the label; an entry has it itself, and is read without them.

use wholly_core::{LogId, TransactionId};

/// Its length in bytes.
pub(super) const BYTES: usize = 16;

/// The column of an id: everything but its ordinal.
pub(super) fn column(id: TransactionId) -> [u8; BYTES] {
    let halves = u128::from(id.random_half().get()) << 64 | u128::from(id.log().to_bits());
    halves.to_be_bytes()
}

/// The id of an entry with this ordinal; `None` if the column holds none.
pub(super) fn read(column: &[u8], ordinal: i64) -> Option<TransactionId> {
    let halves = u128::from_be_bytes(column.try_into().ok()?);
    let (random, log) = ((halves >> 64) as u64, LogId::from_bits(halves as u64));
    Some(TransactionId::of_parts(ordinal.unsigned_abs(), random, log))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wholly_core::Timestamp;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0..1_u64 << 47, random: u64, log: u64) {
            let now = Timestamp::from_millis(millis);
            let id = TransactionId::mint(0, now, random, LogId::from_bits(log));
            prop_assert_eq!(read(&column(id), id.ordinal() as i64), Some(id));
        }
    }

    #[test]
    fn what_is_no_id_is_none() {
        assert_eq!(read(&[7; 15], 7), None);
    }
}
