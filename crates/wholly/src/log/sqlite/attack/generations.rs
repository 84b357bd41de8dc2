//! Prefixes of the write-ahead log, and older generations of each file in every combination.

use super::*;

/// The content of a log after so many of [`batches`].
fn expected(batches: u64) -> BTreeMap<TransactionId, Vec<String>> {
    let mut histories = BTreeMap::new();
    for entry in super::batches(1, batches).flatten() {
        let texts: &mut Vec<_> = histories.entry(entry.transaction).or_default();
        texts.push(entry.text);
    }
    histories
}

/// What opened holds all that the side file knows of, and it is what the log held at one moment; but
/// for what it says is damaged.
fn holds(at: &str, told: &LogContents, damaged: bool, side: u64, newest: u64) {
    let is = (side..=newest).find(|batches| {
        let mut expected = expected(*batches);
        expected.retain(|id, _| !damaged || told.histories.contains_key(id));
        expected == told.histories
    });
    assert!(is.is_some(), "{at}: {} histories are of no moment since {side}", told.histories.len());
}

#[test]
pub(super) fn an_older_copy_is_refused() {
    let subject = Subject::new();
    append(&mut subject.log().create_if_missing().open().unwrap(), batches(1, 3));
    let older = subject.image();
    let mut open = subject.log().open().unwrap();
    append(&mut open, batches(4, 1));
    let side = subject.image().0[2].clone();
    drop(open);
    // An opening later, with nothing more: the head alone would not tell.
    drop(subject.log().open().unwrap());
    let now = subject.image();
    for side in [side, now.0[2].clone()] {
        let mut mixed = older.clone();
        mixed.0[2] = side;
        subject.put(&mixed);
        let error = subject.log().open().err().expect("it is refused");
        assert!(matches!(error, OpenError::Copied { .. }), "{error}");
    }
}

/// A power failure took the side file; storage had damaged what was synced long before.
#[test]
pub(super) fn a_broken_frame_is_noticed_also_when_the_side_file_knows_nothing() {
    let subject = Subject::new();
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 4));
    let mut image = subject.image();
    drop(open);
    image.0[2] = Some(Vec::new());
    if let Some(wal) = &mut image.0[1] {
        wal[32 + 24 + 500] ^= 1;
    }
    subject.put(&image);
    let error = subject.log().open().err().expect("it is refused");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    // The whole frames behind it are not lost.
    let saved = subject.directory.path().join("saved.db");
    let salvaged = subject.log().salvage(&saved).unwrap();
    assert_eq!(salvaged.nameless, 0);
    let open = SqliteLog::at(&saved).restored().open().unwrap();
    let mut damaged = false;
    let told = told(&*open.reader, 4, &mut damaged);
    assert!(told.histories == expected(4) || damaged, "{:?}", told.histories);
}

#[test]
pub(super) fn every_prefix_of_the_write_ahead_log_is_refused_or_loses_nothing() {
    let subject = Subject::new();
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 9));
    let image = subject.image();
    drop(open);
    let wal = image.0[1].clone().unwrap();
    let (mut refused, mut opened) = (0, 0);
    for end in (0..=wal.len()).step_by(512).chain([wal.len()]) {
        let mut prefix = image.clone();
        prefix.0[1] = Some(wal[..end].to_vec());
        subject.put(&prefix);
        match outcome(&subject, 9) {
            Outcome::Refused => refused += 1,
            Outcome::Opened { told, noticed } => {
                assert!(!noticed);
                holds(&format!("{end} bytes"), &told, false, 9, 9);
                opened += 1;
            }
        }
    }
    assert!(refused > 20 && opened > 0, "{refused} refused, {opened} opened");
}

/// A generation is the files at some moment. A side file that is rolled back with the others looks
/// like that of the log as it was: the log is then held against the knowledge of *that* one.
#[test]
fn older_generations_in_every_combination_are_refused_or_lose_nothing_that_the_side_file_knows() {
    let subject = Subject::new();
    let mut images = Vec::new();
    let mut batch = 1;
    let mut more = |open: &mut OpenLog, count| {
        append(open, batches(batch, count));
        batch += count;
        images.push((subject.image(), open.head.0));
    };
    let mut open = subject.log().create_if_missing().open().unwrap();
    more(&mut open, 4);
    more(&mut open, 3);
    drop(open);
    let mut open = subject.log().open().unwrap();
    more(&mut open, 2);
    // Enough for a checkpoint, after which the write-ahead log begins anew.
    for _ in 0..12 {
        more(&mut open, 2);
        let file = rusqlite::Connection::open(subject.path()).unwrap();
        file.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    }
    drop(open);
    let mut open = subject.log().open().unwrap();
    more(&mut open, 3);
    drop(open);
    let newest = images.last().unwrap().1;
    images.push((subject.image(), newest));

    let (mut refused, mut opened, mut held) = (0, 0, 0);
    for (db, _) in &images {
        for (wal, _) in &images {
            for (side, known) in &images {
                let mixed = Image([db.0[0].clone(), wal.0[1].clone(), side.0[2].clone()]);
                subject.put(&mixed);
                match outcome(&subject, newest) {
                    Outcome::Refused => refused += 1,
                    Outcome::Opened { told, noticed } => {
                        holds("a combination", &told, noticed, *known, newest);
                        (opened, held) = (opened + 1, held + usize::from(noticed));
                    }
                }
            }
        }
    }
    println!("{refused} refused, {opened} opened, {held} of them damaged");
    assert!(refused > 100 && opened - held >= images.len());
}
