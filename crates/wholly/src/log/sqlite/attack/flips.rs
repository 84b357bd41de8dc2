//! One flipped bit, anywhere.

use super::*;

/// A small log with all that a log can hold: two runs of the indexes, removed payloads, transactions
/// that were trimmed. Its image as a kill leaves it, what it tells, and its newest transaction.
fn small_log(subject: &Subject) -> (Image, LogContents, u64) {
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, batches(1, 12));
    open.writer.trim(Timestamp::from_millis(3), 9).unwrap();
    open.writer
        .remove_payloads(Timestamp::from_millis(6), 9, &|stored| {
            Some(vec!["{\"v\":1,\"removed\":true}".to_owned(); stored.entries.len()])
        })
        .unwrap();
    drop(open);
    let mut open = subject.log().open().unwrap();
    append(&mut open, batches(13, 6));
    let image = subject.image();
    let mut noticed = false;
    let told = told(&*open.reader, 18, &mut noticed);
    assert!(!noticed && open.damage.damage().count == 0, "{:?}", open.damage.damage());
    assert!(told.histories.len() > 10 && told.unsettled.len() > 3);
    drop(open);
    (image, told, 18)
}

/// Flips a bit of every `step`th byte of each file.
pub(super) fn flip_every(step: usize) {
    let subject = Subject::new();
    let (killed, expected, newest) = small_log(&subject);
    let stopped = subject.image();
    let mut missed = Vec::new();
    let (mut refused, mut held, mut harmless) = (0, 0, 0);
    for (name, image) in [("killed", &killed), ("stopped", &stopped)] {
        for (nth, content) in image.0.iter().enumerate() {
            let Some(content) = content else { continue };
            for at in (nth..content.len()).step_by(step) {
                let mut flipped = image.clone();
                if let Some(content) = &mut flipped.0[nth] {
                    content[at] ^= 1 << (at % 8);
                }
                subject.put(&flipped);
                match outcome(&subject, newest) {
                    Outcome::Refused => refused += 1,
                    Outcome::Opened { told, noticed: true } => {
                        held += 1;
                        for (id, texts) in &told.histories {
                            let is = expected.histories.get(id) == Some(texts);
                            assert!(is, "{name}{} byte {at}: {id} {texts:?}", FILES[nth]);
                        }
                    }
                    Outcome::Opened { told, noticed: false } if told == expected => harmless += 1,
                    Outcome::Opened { told, .. } => missed.push((name, FILES[nth], at, told)),
                }
            }
        }
    }
    println!("{refused} refused, {held} noticed and opened, {harmless} without a consequence");
    assert!(refused > 0 && held > 0 && harmless > 0);
    for (name, file, at, told) in &missed {
        println!("missed: {name}{file} byte {at}");
        for (id, texts) in &told.histories {
            if expected.histories.get(id) != Some(texts) {
                println!("  {id}: {texts:?}, not {:?}", expected.histories.get(id));
            }
        }
        for (id, _) in expected.histories.iter().filter(|(id, _)| !told.histories.contains_key(id))
        {
            println!("  {id} is gone");
        }
        if told.listed != expected.listed {
            println!("  listed {:?}", told.listed);
        }
        if told.keys != expected.keys || told.unsettled != expected.unsettled {
            println!("  keys {:?} unsettled {:?}", told.keys.len(), told.unsettled);
        }
    }
    assert!(missed.is_empty(), "{} flips were missed", missed.len());
}

#[test]
fn a_flipped_bit_is_noticed_or_changes_nothing() {
    flip_every(53);
}

/// Changes the database of a log that is not open.
fn change(subject: &Subject, sql: &str) {
    rusqlite::Connection::open(subject.path()).unwrap().execute_batch(sql).unwrap();
}

/// No other entry reveals a lost last one, without which the transaction would be aborted.
#[test]
pub(super) fn a_missing_entry_is_noticed() {
    let subject = Subject::new();
    append(&mut subject.log().create_if_missing().open().unwrap(), batches(1, 3));
    let decided = id(2).ordinal();
    change(&subject, &format!("DELETE FROM entries WHERE ordinal = {decided} AND sequence = 1"));
    let error = subject.log().open().err().expect("it is refused");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    // An operator who accepts that sees the rest, and nothing goes on.
    let open = subject.log().restored().open().unwrap();
    assert_ne!(open.identity, LogId::from_bits(7));
    assert_eq!(first_unsettled(&*open.reader, 9).unwrap().len(), 2);
}

#[test]
pub(super) fn removal_never_blesses_damage() {
    let subject = Subject::new();
    append(&mut subject.log().create_if_missing().open().unwrap(), batches(1, 5));
    let settled = id(1).ordinal();
    change(
        &subject,
        &format!(
            "UPDATE entries SET text = replace(text, 'entry', 'Entry')
             WHERE ordinal = {settled} AND sequence = 0"
        ),
    );
    let mut open = subject.log().open().unwrap();
    let far = Timestamp::from_millis(99);
    let without =
        |stored: &crate::log::StoredTransaction| Some(vec!["{}".to_owned(); stored.entries.len()]);
    while open.writer.remove_payloads(far, 9, &without).unwrap() > 0 {}
    while open.writer.trim(far, 9).unwrap() > 0 {}
    let stored = open.reader.history(id(1)).unwrap().expect("what is damaged stays");
    assert!(stored.damage.is_some());
    assert_eq!(open.damage.damage().count, 1, "{:?}", open.damage.damage());
    drop(open);
    let stored = subject.log().open().unwrap().reader.history(id(1)).unwrap().unwrap();
    assert!(stored.damage.is_some(), "and is damaged");
}

#[test]
#[ignore = "minutes: every byte"]
fn a_flipped_bit_in_any_byte_is_noticed_or_changes_nothing() {
    flip_every(1);
}
