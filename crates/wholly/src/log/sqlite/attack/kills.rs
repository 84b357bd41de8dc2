//! Kills and power failures between any two writes: the log opens, with all that was told.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::log::sqlite::probe;

/// The files at the moment when a point was reached.
struct Seen {
    point: &'static str,
    image: Image,
    /// The last batch that was told by then.
    told: u64,
}

/// A life of a log, with its files at every point: created, filled, trimmed, stopped, opened again,
/// restored, opened once more.
fn lived(subject: &Rc<Subject>) -> Vec<Seen> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::new(RefCell::new(0));
    let look = {
        let (subject, seen, told) = (subject.clone(), seen.clone(), told.clone());
        move |point| {
            let (image, told) = (subject.image(), *told.borrow());
            seen.borrow_mut().push(Seen { point, image, told });
        }
    };
    probe::look(Some(Box::new(look)));
    let append = |open: &mut OpenLog, from, count| {
        for batch in batches(from, count) {
            open.head = open.writer.append(open.head, &batch).unwrap();
            *told.borrow_mut() = open.head.0;
        }
    };
    let mut open = subject.log().create_if_missing().open().unwrap();
    append(&mut open, 1, 6);
    open.writer.trim(Timestamp::from_millis(3), 9).unwrap();
    append(&mut open, 7, 2);
    drop(open);
    let mut open = subject.log().open().unwrap();
    append(&mut open, 9, 3);
    drop(open);
    let mut open = subject.log().restored().open().unwrap();
    append(&mut open, 12, 2);
    drop(open);
    drop(subject.log().open().unwrap());
    probe::look(None);
    Rc::try_unwrap(seen).unwrap_or_else(|_| panic!("nobody looks any more")).into_inner()
}

/// Opens these files, as a restart does.
fn opens(subject: &Subject, image: &Image, told: u64, at: &str) {
    subject.put(image);
    let open = match subject.log().create_if_missing().open() {
        Ok(open) => open,
        Err(error) => panic!("{at}: {error}"),
    };
    assert!(open.head.0 >= told, "{at}: batch {told} was told, and {} is left", open.head.0);
    assert_eq!(open.damage.damage().count, 0, "{at}: {:?}", open.damage.damage());
    let mut noticed = false;
    let read = super::told(&*open.reader, told, &mut noticed);
    // The first was trimmed.
    let missing = (3..=told).find(|n| !read.histories.contains_key(&id(*n)));
    assert!(!noticed && missing.is_none(), "{at}: {missing:?} is missing");
}

#[test]
pub(super) fn the_log_opens_at_every_point() {
    let subject = Rc::new(Subject::new());
    let seen = lived(&subject);
    let points: std::collections::BTreeSet<_> = seen.iter().map(|seen| seen.point).collect();
    assert!(points.len() >= 11, "every point is reached: {points:?}");
    for (nth, Seen { point, image, told }) in seen.iter().enumerate() {
        opens(&subject, image, *told, &format!("{nth}: {point}"));
    }
}

/// The side file is not synced with each batch: a power failure may leave it as at an earlier
/// point, or without one of its slots, or without both.
#[test]
fn the_log_opens_when_the_side_file_is_behind_or_torn() {
    let subject = Rc::new(Subject::new());
    let seen = lived(&subject);
    // From the opening that wrote it on.
    let mut synced = 0;
    for (nth, Seen { point, image, told }) in seen.iter().enumerate() {
        if ["the side file is level", "it is open", "it is stopped"].contains(point) {
            synced = nth;
        }
        for before in &seen[synced..nth] {
            let mut behind = image.clone();
            behind.0[2] = before.image.0[2].clone();
            opens(&subject, &behind, *told, &format!("{nth}: {point}, and the side file before"));
        }
        for torn in [[0, 0], [4_096, 4_096], [0, 4_096]] {
            let mut image = image.clone();
            let Some(side) = &mut image.0[2] else { continue };
            for slot in torn {
                let end = (slot + 80).min(side.len());
                side[slot.min(end)..end].fill(0);
            }
            opens(
                &subject,
                &image,
                *told,
                &format!("{nth}: {point}, with the slots {torn:?} torn"),
            );
        }
    }
}

/// Between two points SQLite writes its files piece by piece: the write-ahead log from its
/// beginning to its end, and at a checkpoint pages of the database, while the write-ahead log holds
/// all of them.
#[test]
fn the_log_opens_between_the_points() {
    let subject = Rc::new(Subject::new());
    let seen = lived(&subject);
    for (nth, pair) in seen.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        let [Some(db), Some(next_db)] = [&before.image.0[0], &after.image.0[0]] else { continue };
        let empty = Vec::new();
        let wal = before.image.0[1].as_ref().unwrap_or(&empty);
        let next_wal = after.image.0[1].as_ref().unwrap_or(&empty);
        let at = |what: String| format!("{nth}: after {}, {what}", before.point);
        if db == next_db {
            for cut in (0..next_wal.len()).step_by(700) {
                let rest = wal.get(cut..).unwrap_or_default();
                let torn = Some([&next_wal[..cut], rest].concat());
                let image = Image([before.image.0[0].clone(), torn, before.image.0[2].clone()]);
                opens(&subject, &image, before.told, &at(format!("cut at {cut}")));
            }
        } else if !wal.is_empty() {
            // A checkpoint: any of its pages may have been written.
            for seed in 0..8_usize {
                let mut mixed = db.clone();
                mixed.resize(next_db.len().max(db.len()), 0);
                for (page, content) in next_db.chunks(2_048).enumerate() {
                    if (page * 7 + seed * 13) % 8 < 4 {
                        mixed[page * 2_048..][..content.len()].copy_from_slice(content);
                    }
                }
                let image =
                    Image([Some(mixed), before.image.0[1].clone(), before.image.0[2].clone()]);
                opens(&subject, &image, before.told, &at(format!("checkpoint {seed}")));
            }
        }
    }
}
