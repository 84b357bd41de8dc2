use super::*;

const ID: FileId = FileId { device: 1, inode: 2, born_nanos: 3 };

fn slot() -> Slot {
    let identity = LogId::from_bits(7);
    Slot { written: 9, file: ID, identity, epoch: 4, nonce: 44, head: Position(10) }
}

/// A database that is level with [`slot`].
fn stand() -> Stand {
    let (identity, head) = (LogId::from_bits(7), Position(10));
    Stand {
        file: ID,
        identity,
        epoch: 4,
        nonce: 44,
        previous_nonce: 33,
        head,
        copy: false,
        sided: true,
    }
}

fn judged(stand: Stand, found: Found, provenance: Provenance) -> &'static str {
    match judge(Path::new("wholly.db"), &stand, found, provenance) {
        Ok(()) => "opens",
        Err(OpenError::Copied { .. }) => "copied",
        Err(OpenError::Behind { .. }) => "behind",
        Err(OpenError::Moved { .. }) => "moved",
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_level_or_ahead_opens() {
    let known = Found::Known(slot());
    for stand in [
        stand(),
        Stand { head: Position(11), ..stand() },
        // Killed between the commit that raised the epoch and the side file.
        Stand { epoch: 5, nonce: 55, previous_nonce: 44, ..stand() },
        // Another number of the device, as after a restart of the machine.
        Stand { file: FileId { device: 9, ..ID }, ..stand() },
        // A file system that does not tell a file's birth.
        Stand { file: FileId { born_nanos: 0, ..ID }, ..stand() },
    ] {
        assert_eq!(judged(stand, known, Provenance::Original), "opens", "{stand:?}");
        assert_eq!(judged(stand, Found::Torn, Provenance::Original), "opens", "{stand:?}");
    }
}

#[test]
fn what_is_another_or_behind_is_refused() {
    let known = Found::Known(slot());
    for (stand, refusal) in [
        (Stand { head: Position(9), ..stand() }, "behind"),
        (Stand { identity: LogId::from_bits(8), ..stand() }, "copied"),
        // An older copy: this one's opening was before.
        (Stand { epoch: 3, nonce: 33, previous_nonce: 22, ..stand() }, "copied"),
        (Stand { file: FileId { inode: 5, ..ID }, ..stand() }, "moved"),
        (Stand { file: FileId { born_nanos: 5, ..ID }, ..stand() }, "moved"),
    ] {
        assert_eq!(judged(stand, known, Provenance::Original), refusal, "{stand:?}");
        let moved = if refusal == "moved" { "opens" } else { refusal };
        assert_eq!(judged(stand, known, Provenance::Moved), moved, "{stand:?}");
        assert_eq!(judged(stand, known, Provenance::Restored), "opens", "{stand:?}");
    }
}

#[test]
fn what_has_no_side_file_or_is_a_copy_opens_only_as_a_restored_one() {
    let copy = Stand { copy: true, ..stand() };
    for (stand, found) in
        [(stand(), Found::Missing), (copy, Found::Known(slot())), (copy, Found::Missing)]
    {
        assert_eq!(judged(stand, found, Provenance::Original), "copied");
        assert_eq!(judged(stand, found, Provenance::Moved), "copied");
        assert_eq!(judged(stand, found, Provenance::Restored), "opens");
    }
    // Made, or given an identity, and killed before its side file was written.
    let made = Stand { sided: false, ..stand() };
    assert_eq!(judged(made, Found::Missing, Provenance::Original), "opens");
}

#[test]
fn a_torn_slot_leaves_the_other_and_two_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("wholly.db");
    assert_eq!(read(&log).unwrap(), Found::Missing);
    let mut side = Side::bring_level(&log, &stand(), Found::Missing).unwrap();
    side.has_come_to(Position(11)).unwrap();
    let newest = |log: &Path| match read(log).unwrap() {
        Found::Known(slot) => slot.head.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(newest(&log), 11);
    let bytes = std::fs::read(path(&log)).unwrap();
    let numbers = NUMBERS * 8;
    let slots = [0..numbers, SLOT_BYTES as usize..SLOT_BYTES as usize + numbers];
    for at in slots.clone().into_iter().flatten() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            std::fs::write(path(&log), &flipped).unwrap();
            assert!([10, 11].contains(&newest(&log)), "byte {at}");
        }
    }
    let mut torn = bytes;
    slots.into_iter().for_each(|slot| torn[slot.start] ^= 1);
    for torn in [&torn[..], &[]] {
        std::fs::write(path(&log), torn).unwrap();
        assert_eq!(read(&log).unwrap(), Found::Torn);
    }
}
