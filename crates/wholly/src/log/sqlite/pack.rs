//! The order in which a batch's entries are written, so that they fill the pages.
//!
//! A table's pages are filled one after the other, and an entry too large for the rest of a page
//! begins the next. In the order of arrival, which is by phase, a batch has a run of large entries
//! (the starts, which hold the payloads): a few fit in a page, and its rest stays empty. The order
//! within a batch means nothing, for a transaction has one entry in it; so each page gets the
//! largest entry that is left, and small ones for as long as they fit.

use super::super::Entry;
use super::create::PAGE_BYTES;
use super::id;

/// The room that a page's own header leaves.
const ROOM: usize = PAGE_BYTES as usize - 8;
/// The approximate size of a row beside its texts: header, place, ordinal, checksum, and its
/// address in the page.
const ROW: usize = 39;

/// The batch in an order that fills nearly the fewest pages.
pub(super) fn packed(batch: &[Entry]) -> Vec<&Entry> {
    let mut by_size: Vec<_> = batch.iter().map(|entry| (size(entry), entry)).collect();
    by_size.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let mut left = by_size.as_slice();
    let mut packed = Vec::with_capacity(batch.len());
    let mut room = ROOM;
    while let [(largest, first), after_first @ ..] = left {
        let smallest = left.last().filter(|(smallest, _)| *largest > room && *smallest <= room);
        let (size, entry) = match smallest {
            Some((size, last)) => {
                left = &left[..left.len() - 1];
                (*size, *last)
            }
            None => {
                left = after_first;
                (*largest, *first)
            }
        };
        // An entry too large for the rest begins a page; one too large for any leaves it full.
        room = if size <= room { room - size } else { ROOM.saturating_sub(size) };
        packed.push(entry);
    }
    packed
}

fn size(entry: &Entry) -> usize {
    let id = if entry.sequence == 0 { id::BYTES } else { 0 };
    ROW + id + entry.key.as_ref().map_or(0, |key| key.as_str().len()) + entry.text.len()
}

#[cfg(test)]
mod tests {
    use wholly_core::{LogId, Timestamp, TransactionId};

    use super::*;
    use crate::log::sqlite::tests::labels;

    fn entry(ordinal: u64, sequence: u32, bytes: usize) -> Entry {
        let log = LogId::from_bits(1);
        let transaction = TransactionId::mint(ordinal, Timestamp::from_millis(1), 0, log);
        let text = "x".repeat(bytes);
        Entry { transaction, sequence, text, key: None, labels: labels(), ended: None }
    }

    #[test]
    fn large_entries_share_their_pages_with_small_ones() {
        // Three starts fill a page of 2,048 bytes but for the room of one other entry.
        let starts = (1..=6).map(|n| entry(n, 0, 525));
        let others = (7..=12).map(|n| entry(n, 1, 145));
        let batch: Vec<_> = starts.chain(others).collect();
        let sequences: Vec<_> = packed(&batch).iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, [0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn every_entry_is_written_once() {
        let sizes = [5_000, 10, 900, 300, 10, 2_000, 980, 987, 500, 40];
        let batch: Vec<_> = (1..).zip(sizes).map(|(n, bytes)| entry(n, 1, bytes)).collect();
        let mut written: Vec<_> = packed(&batch).iter().map(|e| e.transaction.ordinal()).collect();
        written.sort_unstable();
        let given: Vec<_> = batch.iter().map(|entry| entry.transaction.ordinal()).collect();
        assert_eq!(written, given);
        assert!(packed(&[]).is_empty());
    }
}
