//! Checksums: the means to find out that storage gives back altered data.
//!
//! - **An entry** has one over every column and over its place, which is its name. Its upper bits
//!   are a checksum of the name alone (place, ordinal, sequence): if they are right, the damage is
//!   this transaction's and no other's; if not, it may concern any transaction.
//! - **A batch** has a chain: the sum of its entries' checksums, mixed with the chain of the batch
//!   before it. So no chained entry can be missing.
//! - **A set of rows** is compared by the sum of its rows' checksums, in whatever order they come.
//!
//! They are XXH3 with 64 bits: good against accidents, and no protection against deliberate
//! changes.

use twox_hash::XxHash3_64;

/// The content of an entry's row, without its checksum and its chain.
pub(super) struct Row<'r> {
    pub(super) place: i64,
    pub(super) ordinal: i64,
    pub(super) sequence: u32,
    pub(super) ends: i64,
    pub(super) id: Option<&'r [u8]>,
    pub(super) key: Option<&'r str>,
    pub(super) label: i64,
    pub(super) text: &'r str,
}

/// The number of low bits of a checksum that cover the whole entry. The others cover its name.
const WHOLE_BITS: u32 = 44;
const WHOLE: u64 = (1 << WHOLE_BITS) - 1;

impl Row<'_> {
    /// The checksum of this entry.
    pub(super) fn checksum(&self) -> i64 {
        let Self { place, ordinal, sequence, ends, id, key, label, text: records } = self;
        let [id, key, records] = [*id, key.map(str::as_bytes), Some(records.as_bytes())].map(text);
        let sequence = i64::from(*sequence);
        let whole = numbers(&[*place, *ordinal, sequence, *ends, *label, id, key, records]);
        ((self.name() & !WHOLE) | (whole & WHOLE)).cast_signed()
    }

    /// True if the name of the entry with this checksum is the name that was written.
    pub(super) fn is_named_by(&self, checksum: i64) -> bool {
        (self.name() ^ checksum.cast_unsigned()) & !WHOLE == 0
    }

    fn name(&self) -> u64 {
        numbers(&[self.place, self.ordinal, i64::from(self.sequence)])
    }
}

/// The chain of a batch: the sum of its entries' checksums, and the chain before it.
pub(super) fn chain(before: i64, sum: i64) -> i64 {
    numbers(&[before, sum]).cast_signed()
}

/// The checksum of some numbers, such as a row's columns.
pub(super) fn numbers<const COUNT: usize>(numbers: &[i64; COUNT]) -> u64 {
    let mut bytes = [[0; 8]; COUNT];
    for (bytes, number) in bytes.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
    XxHash3_64::oneshot(bytes.as_flattened())
}

/// The checksum of a text, as one of the numbers of a row's; 0 for no text, which an empty text
/// never has.
pub(super) fn text(text: Option<&[u8]>) -> i64 {
    text.map_or(0, |text| XxHash3_64::oneshot(text).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row<'_> = Row {
        place: 1 << 20,
        ordinal: 77,
        sequence: 0,
        ends: 0,
        id: Some(&[1; 16]),
        key: Some("ORD001"),
        label: 64,
        text: "{}",
    };

    #[test]
    fn every_column_counts_and_the_name_by_itself() {
        let checksum = ROW.checksum();
        let others = [
            Row { ends: 1, ..ROW },
            Row { id: None, ..ROW },
            Row { id: Some(&[0; 16]), ..ROW },
            Row { key: None, ..ROW },
            Row { key: Some(""), ..ROW },
            Row { label: 65, ..ROW },
            Row { text: "{ }", ..ROW },
            Row { key: Some("ORD00"), text: "1{}", ..ROW },
        ];
        for other in others {
            assert_ne!(other.checksum(), checksum);
            assert!(other.is_named_by(checksum), "its name is whole");
        }
        let named_otherwise =
            [Row { place: 1, ..ROW }, Row { ordinal: 78, ..ROW }, Row { sequence: 1, ..ROW }];
        for other in named_otherwise {
            assert_ne!(other.checksum(), checksum);
            assert!(!other.is_named_by(checksum));
        }
        assert!(!ROW.is_named_by(checksum ^ i64::MIN), "a flip in the upper bits");
        assert!(ROW.is_named_by(checksum ^ 1), "a flip in the lower bits");
    }
}
