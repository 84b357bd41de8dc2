//! A transaction's id as its first entry has it: what its ordinal does not say of it, in 16 bytes,
//! the second half of the UUID and the log that minted it. Earlier formats have the whole text.
//!
//! The indexes leave the log to the label; an entry says it itself, so that it is read without them.

use rusqlite::types::Value;
use wholly_core::{LogId, TransactionId};

use super::super::ReadError;

/// How long it is, in bytes.
pub(super) const BYTES: usize = 16;

/// What is written of an id, beside its ordinal.
pub(super) fn column(id: TransactionId) -> [u8; BYTES] {
    let halves = u128::from(id.random_half().get()) << 64 | u128::from(id.log().to_bits());
    halves.to_be_bytes()
}

/// The id in the entry with this ordinal, if it is one's first.
pub(super) fn read(column: &Value, ordinal: i64) -> Result<Option<TransactionId>, ReadError> {
    let invalid = |why: String| ReadError::Storage {
        why: format!("the log holds {column:?} as the id of a transaction: {why}"),
    };
    match column {
        Value::Null => Ok(None),
        Value::Text(id) => id.parse().map(Some).map_err(|error| invalid(format!("{error}"))),
        Value::Blob(halves) => {
            let halves =
                halves.as_slice().try_into().map_err(|error| invalid(format!("{error}")))?;
            let halves = u128::from_be_bytes(halves);
            let (random, log) = ((halves >> 64) as u64, LogId::from_bits(halves as u64));
            Ok(Some(TransactionId::of_parts(ordinal.unsigned_abs(), random, log)))
        }
        Value::Integer(_) | Value::Real(_) => Err(invalid("it is a number".to_owned())),
    }
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
            let ordinal = id.ordinal() as i64;
            let written = Value::Blob(column(id).to_vec());
            prop_assert_eq!(read(&written, ordinal).unwrap(), Some(id));
            prop_assert_eq!(read(&Value::Text(id.to_string()), ordinal).unwrap(), Some(id));
        }
    }

    #[test]
    fn what_is_no_id_is_an_error() {
        for none in [Value::Integer(7), Value::Text("7".to_owned()), Value::Blob(vec![7; 15])] {
            assert!(read(&none, 7).is_err(), "{none:?}");
        }
        assert_eq!(read(&Value::Null, 7).unwrap(), None);
    }
}
