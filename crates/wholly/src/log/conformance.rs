//! The laws of a log, as one suite for every log.
//!
//! Each check panics with the law that was broken. That the suite can fail is itself tested, with
//! logs that break one law each.

use std::cell::RefCell;

use wholly_core::{Key, LogId, Timestamp, TransactionId};

use super::listing::{Labels, Pattern, Query, State};
use super::{
    AppendError, Entry, KnownLog, Log, LogReader, Lsn, OpenError, OpenLog, PlacedEntry, Position,
    StoredEntry, StoredTransaction, first_unsettled,
};

/// Checks that a log keeps every law of [`crate::log`]. `make` gives a new, empty log each time.
///
/// # Panics
/// When a law is broken; the message says which.
pub fn log_conformance(make: impl Fn() -> Box<dyn Log>) {
    for check in [
        a_new_log_is_empty,
        what_is_appended_is_read_back,
        opening_again_finds_what_landed,
        what_is_opened_again_is_the_same_log,
        a_gap_is_rejected,
        a_failed_writer_promises_nothing_more,
        a_reader_goes_on_and_shows_only_what_landed,
        there_is_one_owner,
        reads_come_in_pages,
        listing::a_list_shows_what_each_is_now,
        listing::a_filter_takes_what_matches_all_of_it,
        listing::what_is_set_aside_is_stuck,
        listing::pages_stay_right_while_transactions_come_and_change,
        an_ordinal_alone_is_no_id,
        entries_have_places_that_ascend_and_stay,
        trim_deletes_what_ended_and_nothing_else,
        what_is_kept_is_kept_from_its_end_on,
        what_was_trimmed_is_told_from_what_never_was,
        the_last_place_that_was_trimmed_is_known,
        payloads_are_removed_from_what_ended_once,
        an_old_one_that_ends_late_loses_its_payloads_too,
        many_entries_are_kept,
        what_was_written_is_accounted_for,
    ] {
        check(&*make());
    }
}

fn a_new_log_is_empty(log: &dyn Log) {
    let open = opened(log);
    assert_eq!(open.head, Position(0), "no batch has landed in a new log");
    assert_eq!(open.last_ordinal, 0, "a new log has no transactions");
    assert!(unsettled(&open).is_empty() && listed(&open).is_empty());
    assert_eq!(history(&open, id(1)), None);
}

fn what_is_appended_is_read_back(log: &dyn Log) {
    let mut open = opened(log);
    let text = "{\"v\":1,\"r\":[\"注文 \\u0000 'quoted'\"]}".to_owned() + &"x".repeat(1 << 20);
    let head = append(&mut open, &[Entry { text: text.clone(), ..start(1) }, start(2)]);
    assert_eq!(head, Position(1), "the first batch's position is 1");
    append(&mut open, &[more(2, 1), more(1, 1)]);
    append(&mut open, &[end(1, 2), Entry { ended: Some(Timestamp::from_millis(3)), ..start(3) }]);
    let first = StoredEntry { sequence: 0, text };
    let rest = [stored(1, 1), stored(1, 2)];
    assert_eq!(
        history(&open, id(1)),
        Some([vec![first], rest.to_vec()].concat()),
        "a history is what was appended, oldest first"
    );
    assert_eq!(open.reader.by_key(&key(2)).expect("a read"), Some(id(2)), "by key");
    assert_eq!(open.reader.by_key(&key(9)).expect("a read"), None, "an unknown key");
    assert_eq!(unsettled(&open), [id(2)], "what has ended is not unsettled");
    assert_eq!(listed(&open), [id(3), id(2), id(1)], "the list is newest first");
}

fn opening_again_finds_what_landed(log: &dyn Log) {
    let mut before = opened(log);
    append(&mut before, &[start(1), start(2)]);
    append(&mut before, &[]);
    append(&mut before, &[end(1, 1), more(2, 1)]);
    let (identity, epoch) = (before.identity, before.epoch);
    drop(before);
    let mut after = opened(log);
    assert_eq!(after.identity, identity, "a log keeps its identity");
    assert!(after.epoch > epoch, "opening raises the epoch");
    assert_eq!(after.head, Position(3), "every batch that landed counts, an empty one too");
    assert_eq!(after.last_ordinal, id(2).ordinal());
    assert_eq!(history(&after, id(1)), Some(vec![stored(1, 0), stored(1, 1)]));
    assert_eq!(after.reader.by_key(&key(1)).expect("a read"), Some(id(1)));
    assert_eq!(unsettled(&after), [id(2)]);
    append(&mut after, &[end(2, 2)]);
    assert!(unsettled(&after).is_empty());
}

fn what_is_opened_again_is_the_same_log(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1)]);
    let told = KnownLog { identity: open.identity, head: open.head };
    drop(open);
    let refused = |told: KnownLog| match log.reopen(told) {
        Err(OpenError::Changed { .. }) => {}
        Err(error) => panic!("reopening another log: {error}"),
        Ok(_) => panic!("a log is reopened as the same log, or not at all: {told:?}"),
    };
    refused(KnownLog { identity: LogId::from_bits(told.identity.to_bits() ^ 1), ..told });
    refused(KnownLog { head: told.head.next(), ..told });
    let mut again = log.reopen(told).unwrap_or_else(|error| panic!("it opens again: {error}"));
    assert_eq!(again.identity, told.identity, "a log is reopened as the same log");
    assert_eq!((again.head, listed(&again)), (told.head, vec![id(1)]));
    append(&mut again, &[start(2)]);
}

fn a_gap_is_rejected(log: &dyn Log) {
    for wrong in [0, 2, 7] {
        let mut open = opened(log);
        if open.head == Position(0) {
            append(&mut open, &[start(1)]);
        }
        let rejected = open.writer.append(Position(wrong), &[start(2)]);
        assert!(
            matches!(rejected, Err(AppendError::Rejected { .. })),
            "a batch that does not follow the last one is rejected: after {wrong}: {rejected:?}"
        );
        drop(open);
        let open = opened(log);
        assert_eq!(open.head, Position(1), "what was rejected has not landed");
        assert_eq!(listed(&open), [id(1)], "what was rejected has not landed");
    }
}

fn a_failed_writer_promises_nothing_more(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[Entry { ended: Some(Timestamp::from_millis(1)), ..start(1) }]);
    assert!(open.writer.append(Position(5), &[start(2)]).is_err());
    let behind = open.writer.append(Position(1), &[start(3)]);
    assert!(behind.is_err(), "nothing lands behind a failed append");
    let trimmed = open.writer.trim(Timestamp::from_millis(u64::MAX), 10);
    assert!(trimmed.is_err(), "a failed writer deletes nothing");
    let removed = open.writer.remove_payloads(Timestamp::from_millis(u64::MAX), 10, &|_| None);
    assert!(removed.is_err(), "a failed writer rewrites nothing");
    drop(open);
    let mut open = opened(log);
    assert_eq!(listed(&open), [id(1)], "only opening again tells what landed");
    append(&mut open, &[start(4)]);
}

fn a_reader_goes_on_and_shows_only_what_landed(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1)]);
    assert!(open.writer.append(Position(5), &[start(2), more(1, 1)]).is_err());
    let check = |open: &dyn LogReader| {
        let read = |id| open.history(id).expect("a reader goes on after the writer failed");
        assert_eq!(read(id(2)), None, "a reader shows only what landed");
        assert_eq!(read(id(1)).expect("it landed").entries, [stored(1, 0)], "only what landed");
        assert_eq!(open.by_key(&key(2)).expect("a read"), None, "a reader shows only what landed");
        let page = open.list(&Query::newest(9)).expect("a read");
        assert_eq!(page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [id(1)]);
        assert_eq!(first_unsettled(open, 9).expect("a read").len(), 1);
    };
    check(&*open.reader);
    drop(open.writer);
    check(&*open.reader);
}

fn there_is_one_owner(log: &dyn Log) {
    let mut first = opened(log);
    append(&mut first, &[start(1)]);
    match log.open() {
        Err(OpenError::InUse { .. }) => {
            append(&mut first, &[start(2)]);
            drop(first);
            assert_eq!(opened(log).head, Position(2), "a refused opening changes nothing");
        }
        Err(error) => panic!("opening a log that is open: {error}"),
        Ok(mut second) => {
            let late = first.writer.append(first.head, &[start(2)]);
            assert!(
                matches!(late, Err(AppendError::Superseded)),
                "the writer of an older epoch is rejected: {late:?}"
            );
            append(&mut second, &[start(3)]);
            assert_eq!(listed(&second), [id(3), id(1)]);
        }
    }
}

fn reads_come_in_pages(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &(1..=5).map(start).collect::<Vec<_>>());
    append(&mut open, &[end(3, 1)]);
    let ordinal = |nth| id(nth).ordinal();
    let page = |after, limit| open.reader.unsettled(after, limit).expect("a read");
    assert_eq!(page(0, 2), [1, 2].map(ordinal), "the unsettled ascend, from the first on");
    let after_2 = page(ordinal(2), 2);
    assert_eq!(after_2, [4, 5].map(ordinal), "the unsettled go on after the last one");
    assert!(page(ordinal(5), 2).is_empty());
    transactions_come_until_they_have_enough_bytes(&*open.reader);
}

fn transactions_come_until_they_have_enough_bytes(reader: &dyn LogReader) {
    let ordinals = [4, 9, 1, 2].map(|nth| id(nth).ordinal());
    let read = |bytes| -> Vec<Option<TransactionId>> {
        let read = reader.transactions(&ordinals, bytes).expect("a read");
        read.into_iter().map(|stored| Some(stored?.id)).collect()
    };
    let all = [Some(id(4)), None, Some(id(1)), Some(id(2))];
    assert_eq!(read(usize::MAX), all, "in the order of the ordinals; of some there is none");
    assert_eq!(read(0), all[..1], "the first comes whatever it has, and no other");
    let first = reader.history(id(4)).expect("a read").expect("it is there").bytes();
    assert_eq!(read(first), all[..1]);
    assert_eq!(read(first + 1), all[..3], "what lacks a byte is not enough");
}

fn an_ordinal_alone_is_no_id(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1)]);
    let other = TransactionId::mint(0, Timestamp::from_millis(1), 99, LogId::from_bits(7));
    assert_eq!(other.ordinal(), id(1).ordinal());
    assert_eq!(history(&open, other), None, "another log's id is not found by its ordinal");
}

/// An id of an event is made of the place of its entry: it must mean the same for ever.
fn entries_have_places_that_ascend_and_stay(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1), start(2), start(3)]);
    append(&mut open, &[end(2, 1), more(1, 1)]);
    append(&mut open, &[end_at(1, 2, 3)]);
    let all = after(&open, Lsn::default(), 9);
    assert_eq!(all.len(), 6, "every entry has a place");
    assert!(all.is_sorted_by(|one, next| one.lsn < next.lsn), "places ascend: {all:?}");
    let batches: Vec<_> = all.iter().map(|entry| entry.lsn.batch().0).collect();
    assert_eq!(batches, [1, 1, 1, 2, 2, 3], "a place tells its batch");
    assert_eq!(after(&open, Lsn::last_of(Position(1)), 9), all[3..], "after a batch");
    assert_eq!(after(&open, all[0].lsn, 2), all[1..3], "at most as many as the limit");
    assert_eq!(after(&open, all[5].lsn, 9), [], "nothing comes after the last one");
    for n in 1..=3 {
        let own = open.reader.entries_of(id(n).ordinal()).expect("a read");
        let among: Vec<_> = all.iter().filter(|e| e.ordinal == id(n).ordinal()).cloned().collect();
        assert_eq!(own, among, "a transaction's entries have the places that they have among all");
        let read: Vec<_> = own.into_iter().map(|e| (e.id, e.sequence, e.text)).collect();
        let written = (0..).take(among.len()).map(|s| ((s == 0).then(|| id(n)), s, text(n, s)));
        assert_eq!(read, written.collect::<Vec<_>>(), "an entry is what was appended");
    }
    assert_eq!(open.reader.entries_of(99).expect("a read"), []);
    let trimmed = open.writer.trim(Timestamp::from_millis(3), 9).expect("a trim");
    assert_eq!(trimmed, 1);
    drop(open);
    let mut open = opened(log);
    append(&mut open, &[start(4)]);
    let left: Vec<_> = all.into_iter().filter(|entry| entry.ordinal != id(2).ordinal()).collect();
    let now = after(&open, Lsn::default(), 9);
    assert_eq!(now[..4], left, "places stay what they are when others are deleted");
    assert!(now[4].lsn > Lsn::last_of(Position(3)), "a place is never given again: {now:?}");
}

fn trim_deletes_what_ended_and_nothing_else(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &(1..=5).map(start).collect::<Vec<_>>());
    append(&mut open, &[end(1, 1), end(2, 1), more(3, 1), end(4, 1), end(5, 1)]);
    let mut trim =
        |millis, limit| open.writer.trim(Timestamp::from_millis(millis), limit).expect("a trim");
    assert_eq!(trim(1, 10), 0, "what ended at the time itself stays");
    assert_eq!(trim(5, 1), 1, "trim deletes at most as many as its limit");
    assert_eq!(trim(5, 10), 2, "trim deletes what ended before");
    assert_eq!(trim(5, 10), 0);
    assert_eq!(listed(&open), [id(5), id(3)], "what has not ended is never deleted");
    assert_eq!(history(&open, id(1)), None);
    assert_eq!(open.reader.by_key(&key(1)).expect("a read"), None, "its key goes with it");
    assert_eq!(open.reader.by_key(&key(5)).expect("a read"), Some(id(5)), "other keys stay");
    assert_eq!(unsettled(&open), [id(3)]);
    append(&mut open, &[end(3, 2)]);
    let far = Timestamp::from_millis(u64::MAX);
    assert_eq!(open.writer.trim(far, usize::MAX).expect("a trim"), 2);
    drop(open);
    let mut open = opened(log);
    assert_eq!(open.head, Position(3), "trim does not move the head, even of an empty log");
    assert!(listed(&open).is_empty());
    append(&mut open, &[start(6)]);
    assert_eq!(history(&open, id(6)), Some(vec![stored(6, 0)]));
}

/// One that took long is not forgotten the moment it ends.
fn what_is_kept_is_kept_from_its_end_on(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1), start(2), start(3)]);
    append(&mut open, &[end(2, 1)]);
    append(&mut open, &[end(3, 1)]);
    append(&mut open, &[end_at(1, 1, 50)]);
    let remove = |open: &mut OpenLog, millis| {
        let without = |stored: &StoredTransaction| Some(vec!["{}".into(); stored.entries.len()]);
        let before = Timestamp::from_millis(millis);
        while open.writer.remove_payloads(before, 9, &without).expect("a removal") > 0 {}
        while open.writer.trim(Timestamp::from_millis(millis / 10), 9).expect("a trim") > 0 {}
    };
    for millis in [30, 50] {
        remove(&mut open, millis);
        drop(open);
        open = opened(log);
        assert_eq!(history(&open, id(1)), Some(vec![stored(1, 0), stored(1, 1)]), "{millis}");
    }
    assert_eq!(listed(&open), [id(1)], "what ended long ago is gone");
    remove(&mut open, 51);
    let entry = |sequence| StoredEntry { sequence, text: "{}".to_owned() };
    assert_eq!(history(&open, id(1)), Some(vec![entry(0), entry(1)]), "its payloads go in time");
    remove(&mut open, 511);
    assert_eq!(history(&open, id(1)), None, "and it goes itself");
}

fn what_was_trimmed_is_told_from_what_never_was(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &(1..=5).map(start).collect::<Vec<_>>());
    append(&mut open, &[end(1, 1), end(3, 1), end(5, 1)]);
    assert_eq!(open.reader.trimmed().expect("a read"), 0, "nothing was trimmed yet");
    open.writer.trim(Timestamp::from_millis(5), 9).expect("a trim");
    assert_eq!(open.reader.trimmed().expect("a read"), id(3).ordinal(), "the newest one trimmed");
    open.writer.trim(Timestamp::from_millis(9), 9).expect("a trim");
    drop(open);
    let open = opened(log);
    assert_eq!(open.reader.trimmed().expect("a read"), id(5).ordinal(), "a restart remembers it");
    assert_eq!(open.last_ordinal, id(5).ordinal(), "what was trimmed is not minted again");
}

/// A reader of all entries learns that some are missing.
fn the_last_place_that_was_trimmed_is_known(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1), start(2), start(3)]);
    append(&mut open, &[end_at(2, 1, 1), end_at(1, 1, 2)]);
    append(&mut open, &[end_at(3, 1, 9)]);
    let all = after(&open, Lsn::default(), 9);
    let known = |open: &OpenLog| open.reader.last_trimmed_lsn().expect("a read");
    assert_eq!(known(&open), Lsn::default(), "no place was trimmed yet");
    for (before, last) in [(2, 3), (9, 4)] {
        while open.writer.trim(Timestamp::from_millis(before), 9).expect("a trim") > 0 {}
        assert_eq!(known(&open), all[last].lsn, "the last place that was trimmed");
    }
    drop(open);
    let mut open = opened(log);
    assert_eq!(known(&open), all[4].lsn, "a restart remembers the last place");
    while open.writer.trim(Timestamp::from_millis(99), 9).expect("a trim") > 0 {}
    assert_eq!(known(&open), all[5].lsn, "the last place of all");
    drop(open);
    assert_eq!(known(&opened(log)), all[5].lsn, "an empty log remembers the last place");
}

fn payloads_are_removed_from_what_ended_once(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &(1..=6).map(start).collect::<Vec<_>>());
    append(&mut open, &[end(1, 1), end(2, 1), more(3, 1), end(4, 1), end(5, 1)]);
    // The second one's stay: it cannot be read.
    let without = |stored: &StoredTransaction| {
        let left = |entry: &StoredEntry| format!("{} of {}", entry.sequence, stored.entries.len());
        (stored.id != id(2)).then(|| stored.entries.iter().map(left).collect())
    };
    let looked_at = RefCell::new(Vec::new());
    let counted = |stored: &StoredTransaction| {
        looked_at.borrow_mut().push(stored.id);
        without(stored)
    };
    let remove = |open: &mut OpenLog, millis, limit| {
        let before = Timestamp::from_millis(millis);
        open.writer.remove_payloads(before, limit, &counted).expect("a removal")
    };
    assert_eq!(remove(&mut open, 1, 9), 0, "what ended at the time itself stays");
    assert_eq!(remove(&mut open, 5, 1), 1, "at most as many as the limit");
    while remove(&mut open, 5, 2) > 0 {}
    for _ in 0..2 {
        let rewritten = |n| {
            let entry = |s| StoredEntry { sequence: s, text: format!("{s} of 2") };
            (history(&open, id(n)), Some(vec![entry(0), entry(1)]))
        };
        for n in [1, 4] {
            let (is, should_be) = rewritten(n);
            assert_eq!(is, should_be, "what has ended is rewritten");
        }
        let whole = Some(vec![stored(2, 0), stored(2, 1)]);
        assert_eq!(history(&open, id(2)), whole, "what has no other texts stays");
        let whole = Some(vec![stored(3, 0), stored(3, 1)]);
        assert_eq!(history(&open, id(3)), whole, "what has not ended keeps its payloads");
        let whole = Some(vec![stored(5, 0), stored(5, 1)]);
        assert_eq!(history(&open, id(5)), whole, "what is younger keeps its payloads");
        assert_eq!(open.reader.by_key(&key(1)).expect("a read"), Some(id(1)), "keys stay");
        drop(open);
        open = opened(log);
    }
    while remove(&mut open, 5, 9) > 0 {}
    assert_eq!(*looked_at.borrow(), [id(1), id(2), id(4)], "each that has ended is rewritten once");
}

fn an_old_one_that_ends_late_loses_its_payloads_too(log: &dyn Log) {
    let mut open = opened(log);
    append(&mut open, &[start(1), start(2), start(3)]);
    append(&mut open, &[end(2, 1)]);
    let without = |stored: &StoredTransaction| Some(vec!["{}".to_owned(); stored.entries.len()]);
    let remove_all = |open: &mut OpenLog| {
        let far = Timestamp::from_millis(u64::MAX);
        while open.writer.remove_payloads(far, 9, &without).expect("a removal") > 0 {}
    };
    remove_all(&mut open);
    assert_eq!(history(&open, id(1)), Some(vec![stored(1, 0)]));
    append(&mut open, &[end(1, 1)]);
    drop(open);
    let mut open = opened(log);
    remove_all(&mut open);
    let texts = |open: &OpenLog, n| -> Vec<String> {
        let entries = history(open, id(n)).expect("it is there");
        entries.into_iter().map(|entry| entry.text).collect()
    };
    assert_eq!(texts(&open, 1), ["{}", "{}"], "one that ended later is rewritten, too");
    assert_eq!(history(&open, id(3)), Some(vec![stored(3, 0)]));
    open.writer.trim(Timestamp::from_millis(3), 9).expect("a trim");
    append(&mut open, &[end(3, 1)]);
    remove_all(&mut open);
    assert_eq!(texts(&open, 3), ["{}", "{}"], "a trim in between loses none");
}

/// Enough to make a log move things about, should it do so.
fn many_entries_are_kept(log: &dyn Log) {
    const BATCH: u64 = 500;
    const BATCHES: u64 = 14;
    let mut open = opened(log);
    for batch in 0..BATCHES {
        let starts = (1..=BATCH).map(|n| start(batch * BATCH + n));
        // Of the batch before, all but every tenth ends.
        let before = batch.saturating_sub(1) * BATCH..batch * BATCH;
        let ends = before.filter(|n| n % 10 != 0).map(|n| end(n, 1));
        append(&mut open, &starts.chain(ends).collect::<Vec<_>>());
    }
    for _ in 0..2 {
        let expected: Vec<_> = (1..=BATCH * BATCHES)
            .filter(|n| n % 10 == 0 || *n >= (BATCHES - 1) * BATCH)
            .map(id)
            .collect();
        assert_eq!(unsettled(&open), expected, "what has not ended is unsettled");
        assert_eq!(listed(&open).len() as u64, BATCH * BATCHES);
        for n in [1, 10, 3_333, BATCH * BATCHES] {
            let ended = n % 10 != 0 && n < (BATCHES - 1) * BATCH;
            let expected =
                if ended { vec![stored(n, 0), stored(n, 1)] } else { vec![stored(n, 0)] };
            assert_eq!(history(&open, id(n)), Some(expected));
            assert_eq!(open.reader.by_key(&key(n)).expect("a read"), Some(id(n)));
        }
        drop(open);
        open = opened(log);
    }
}

fn what_was_written_is_accounted_for(log: &dyn Log) {
    let mut open = opened(log);
    let before = open.writer.written();
    let text = "x".repeat(100_000);
    append(&mut open, &[Entry { text, ..start(1) }]);
    let after = open.writer.written();
    assert!(after.syncs > before.syncs, "a batch takes a sync");
    assert!(after.bytes >= before.bytes + 100_000, "a batch takes at least its text's bytes");
}

fn opened(log: &dyn Log) -> OpenLog {
    log.open().unwrap_or_else(|error| panic!("the log opens: {error}"))
}

fn append(open: &mut OpenLog, batch: &[Entry]) -> Position {
    let appended = open.writer.append(open.head, batch);
    let position = appended.unwrap_or_else(|error| panic!("a batch that follows lands: {error}"));
    assert_eq!(position, open.head.next(), "an append returns the batch's position");
    open.head = position;
    position
}

fn history(open: &OpenLog, id: TransactionId) -> Option<Vec<StoredEntry>> {
    let found = open.reader.history(id).expect("a read")?;
    assert_eq!(found.id, id);
    Some(found.entries)
}

fn unsettled(open: &OpenLog) -> Vec<TransactionId> {
    let all = first_unsettled(&*open.reader, usize::MAX).expect("a read");
    all.into_iter().map(|transaction| transaction.id).collect()
}

fn after(open: &OpenLog, place: Lsn, limit: usize) -> Vec<PlacedEntry> {
    open.reader.entries_after(place, limit).expect("a read")
}

fn listed(open: &OpenLog) -> Vec<TransactionId> {
    listing::pages(open, Query::newest(1_000)).into_iter().map(|row| row.id).collect()
}

/// The transaction that was minted at `n` milliseconds.
fn id(n: u64) -> TransactionId {
    TransactionId::mint(0, Timestamp::from_millis(n), n << 2, LogId::from_bits(7))
}

fn key(n: u64) -> Key {
    Key::new(format!("key {n}")).expect("a key")
}

fn text(n: u64, sequence: u32) -> String {
    format!("{{\"v\":1,\"r\":[[{n},{sequence}]]}}")
}

fn stored(n: u64, sequence: u32) -> StoredEntry {
    StoredEntry { sequence, text: text(n, sequence) }
}

fn start(n: u64) -> Entry {
    Entry { key: Some(key(n)), ..more(n, 0) }
}

fn more(n: u64, sequence: u32) -> Entry {
    Entry {
        transaction: id(n),
        sequence,
        text: text(n, sequence),
        key: None,
        labels: labels(),
        ended: None,
    }
}

fn labels() -> Labels {
    let participants = ["orders", "payments"].map(|name| name.parse().expect("a name"));
    Labels {
        name: "place order".parse().expect("a name"),
        pattern: Pattern::TwoPhase,
        participants: participants.into(),
        state: State::Init,
        stuck: false,
    }
}

/// As fast as it was minted.
fn end(n: u64, sequence: u32) -> Entry {
    end_at(n, sequence, n)
}

fn end_at(n: u64, sequence: u32, millis: u64) -> Entry {
    Entry { ended: Some(Timestamp::from_millis(millis)), ..more(n, sequence) }
}

mod listing;

#[cfg(test)]
mod tests;
