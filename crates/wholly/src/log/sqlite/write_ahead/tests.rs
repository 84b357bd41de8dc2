use rusqlite::Connection;

use super::*;

/// A write-ahead log as SQLite makes it: this many commits, of two or three pages each.
fn made(commits: u32) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made.db");
    let file = Connection::open(&path).unwrap();
    file.execute_batch(&format!(
        "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT);"
    ))
    .unwrap();
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    for n in 0..commits {
        file.execute("INSERT INTO t VALUES (?1, ?2)", (n, "x".repeat(3_000))).unwrap();
    }
    std::fs::read(beside(&path, "-wal")).unwrap()
}

const FRAME: usize = FRAME_HEADER_BYTES + PAGE;

/// The frames that end commits, from 0.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let frames = bytes[HEADER_BYTES..].chunks_exact(FRAME).map(Frame::of);
    frames.enumerate().filter(|(_, frame)| frame.commits).map(|(nth, _)| nth).collect()
}

#[test]
fn what_sqlite_writes_is_whole_and_so_is_every_prefix_of_it() {
    let bytes = made(4);
    assert_eq!(ends(&bytes).len(), 4);
    for end in 0..=bytes.len() {
        assert_eq!(scan(&bytes[..end]).unwrap(), None, "{end} bytes");
    }
}

/// As after a power failure: any part of the last commit was not written.
#[test]
fn a_torn_last_commit_is_no_damage() {
    let bytes = made(3);
    let begin = HEADER_BYTES + (ends(&bytes)[1] + 1) * FRAME;
    for block in (begin..bytes.len()).step_by(512) {
        for garbage in [0, 0xA5] {
            let mut torn = bytes.clone();
            let end = (block + 512).min(torn.len());
            torn[block..end].fill(garbage);
            assert_eq!(scan(&torn[..]).unwrap(), None, "block at {block}");
        }
    }
}

#[test]
fn a_flipped_bit_before_the_last_commit_is_damage() {
    let bytes = made(4);
    let ends = ends(&bytes);
    let mut missed = Vec::new();
    let last = HEADER_BYTES + (ends[2] + 1) * FRAME;
    for at in (HEADER_BYTES..last).filter(|at| at % 7 == 0 || (at - HEADER_BYTES) % FRAME < 24) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let frame = (at - HEADER_BYTES) / FRAME;
        match scan(&flipped[..]).unwrap() {
            Some(broken) => assert!(broken == frame as u64 + 1, "byte {at}: frame {broken}"),
            None => missed.push((frame, (at - HEADER_BYTES) % FRAME)),
        }
    }
    // A commit without the mark of its end seems to continue in the one behind it: nothing else is
    // missed, in the last commit but one. The side file knows of it.
    assert!(
        missed.iter().all(|(frame, at)| ends.contains(frame) && (4..8).contains(at)),
        "{missed:?}"
    );
}

#[test]
fn a_flipped_bit_in_the_header_is_left_to_the_side_file() {
    let mut bytes = made(2);
    bytes[17] ^= 1;
    assert_eq!(scan(&bytes[..]).unwrap(), None);
}

#[test]
fn what_is_made_right_is_read_by_sqlite_to_its_end() {
    for at in [HEADER_BYTES + 100, HEADER_BYTES + 9, 17] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made.db");
        let file = Connection::open(&path).unwrap();
        file.execute_batch(&format!(
            "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL;
             CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT);"
        ))
        .unwrap();
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        for n in 0..5 {
            file.execute("INSERT INTO t VALUES (?1, ?2)", (n, "x".repeat(3_000))).unwrap();
        }
        let wal = beside(&path, "-wal");
        let (database, mut bytes) = (std::fs::read(&path).unwrap(), std::fs::read(&wal).unwrap());
        drop(file);
        bytes[at] ^= 1;
        std::fs::write(&path, database).unwrap();
        std::fs::write(&wal, bytes).unwrap();
        make_right(&path).unwrap();
        let file = Connection::open(&path).unwrap();
        let last: i64 = file.query_row("SELECT max(n) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(last, 4, "byte {at}");
    }
}
