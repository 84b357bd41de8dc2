//! The check of a large log, which goes on while batches are appended.

use std::time::{Duration, Instant};

use super::super::list::{BOUNDS, Bounds};
use super::super::open::{How, open};
use super::*;

/// Opens the log as one that is too large to be checked at once, with a small tail.
fn opened(subject: &Subject) -> OpenLog {
    let bounds = Bounds { tail: 40, checked: 2, ..BOUNDS };
    let damage = DamageRegister::default();
    let how = How { provenance: Provenance::Original, create: true, told: None, damage, bounds };
    open(&subject.path(), &how).unwrap()
}

/// Appends until the check is over, which only a removal tells.
fn append_meanwhile(open: &mut OpenLog, mut from: u64) -> u64 {
    let until = Instant::now() + Duration::from_secs(180);
    while open.writer.trim(Timestamp::from_millis(2), 1).unwrap() == 0 {
        append(open, batches(from, 5));
        from += 5;
        // At the pace of clients, not of a loop: the check rests nine tenths of its time.
        std::thread::sleep(Duration::from_millis(2));
        assert!(Instant::now() < until, "the check ends");
    }
    from
}

#[test]
fn a_check_in_the_background_finds_nothing_wrong_while_batches_are_appended() {
    let subject = Subject::new();
    append(&mut opened(&subject), batches(1, 900));
    let mut open = opened(&subject);
    let appended = append_meanwhile(&mut open, 901);
    assert!(appended > 901, "something was appended meanwhile");
    assert_eq!(open.damage.damage().count, 0, "{:?}", open.damage.damage());
}

#[test]
fn a_check_in_the_background_finds_what_is_damaged() {
    // The number of damages found: a missing row is missed in several places.
    for (sql, found) in [
        ("UPDATE entries SET text = text || ' ' WHERE place = 5 << 20", 1),
        ("DELETE FROM entries WHERE place = 5 << 20", 3),
        ("DELETE FROM keys WHERE key = 'key 7'", 1),
        ("DELETE FROM transactions WHERE ordinal = 9 << 12", 2),
        ("DELETE FROM listed WHERE ordinal = 9 << 12", 1),
    ] {
        let subject = Subject::new();
        append(&mut opened(&subject), batches(1, 600));
        drop(opened(&subject));
        let file = rusqlite::Connection::open(subject.path()).unwrap();
        assert_eq!(file.execute(sql, []).unwrap(), 1, "{sql}");
        drop(file);
        let mut open = opened(&subject);
        append_meanwhile(&mut open, 601);
        let damage = open.damage.damage();
        assert_eq!(damage.count, found, "{sql}: {damage:?}");
    }
}
