//! The log's files, changed from outside: flipped bits, prefixes, older generations, links. Every
//! change is noticed, or the log tells the same as before.

mod background;
mod copies;
mod files;
mod fixture;
mod flips;
mod generations;
mod kills;
mod planted;
mod processes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;
use wholly_core::{Key, LogId, Timestamp, TransactionId};

use super::tests::labels;
use super::*;
use crate::log::listing::{Labels, Query, State};
use crate::log::{Entry, LogReader, Lsn, first_unsettled};

/// A log in a folder of its own, whose files are changed in place: they stay the same files.
struct Subject {
    directory: TempDir,
}

/// The files of a log at one moment; `None` where one was not there.
#[derive(Clone)]
struct Image([Option<Vec<u8>>; 3]);

const FILES: [&str; 3] = ["", "-wal", "-side"];

impl Subject {
    fn new() -> Self {
        // In memory, where syncs cost nothing; their effect is not tested here.
        let memory = Path::new("/dev/shm");
        let directory = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Self { directory: directory.unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("wholly.db")
    }

    fn log(&self) -> SqliteLog {
        SqliteLog::at(self.path())
    }

    fn file(&self, nth: usize) -> PathBuf {
        file::beside(&self.path(), FILES[nth])
    }

    /// Reads the files as they are, by another process, for this one may have the log open.
    fn image(&self) -> Image {
        Image([0, 1, 2].map(|nth| {
            let output = std::process::Command::new("cat").arg(self.file(nth)).output().unwrap();
            output.status.success().then_some(output.stdout)
        }))
    }

    /// Puts files in the place of those that are there, as `cat image > file` does.
    fn put(&self, Image(files): &Image) {
        for (nth, content) in files.iter().enumerate() {
            match content {
                Some(content) => std::fs::write(self.file(nth), content).unwrap(),
                None => drop(std::fs::remove_file(self.file(nth))),
            }
        }
        drop(std::fs::remove_file(file::beside(&self.path(), "-shm")));
    }
}

fn id(n: u64) -> TransactionId {
    TransactionId::mint(0, Timestamp::from_millis(n), n << 2, LogId::from_bits(7))
}

fn entry(n: u64, sequence: u32, state: State, ends: bool) -> Entry {
    Entry {
        transaction: id(n),
        sequence,
        text: format!("{{\"v\":1,\"r\":[[{n},\"entry {sequence} of {n}\"]]}}"),
        key: (sequence == 0).then(|| Key::new(format!("key {n}")).unwrap()),
        labels: Labels { state, ..labels() },
        ended: ends.then(|| Timestamp::from_millis(n)),
    }
}

/// Batches of transactions that begin, commit and settle; every fourth does not settle.
fn batches(from: u64, count: u64) -> impl Iterator<Item = Vec<Entry>> {
    (from..from + count).map(|n| {
        let mut batch = vec![entry(n, 0, State::Init, false)];
        if n > 1 {
            batch.push(entry(n - 1, 1, State::Committed, false));
        }
        if n > 2 && !(n - 2).is_multiple_of(4) {
            batch.push(entry(n - 2, 2, State::Committed, true));
        }
        batch
    })
}

/// Appends these batches, and returns the position of the last.
fn append(open: &mut OpenLog, batches: impl Iterator<Item = Vec<Entry>>) {
    for batch in batches {
        open.head = open.writer.append(open.head, &batch).unwrap();
    }
}

/// The content that a log tells of each transaction.
#[derive(Clone, Debug, Default, PartialEq)]
struct LogContents {
    histories: BTreeMap<TransactionId, Vec<String>>,
    listed: Vec<(TransactionId, Labels, bool)>,
    keys: BTreeMap<String, TransactionId>,
    unsettled: Vec<TransactionId>,
}

/// Reads all that a log tells. Of what it says is damaged nothing is told, which is noticed.
fn told(reader: &dyn LogReader, newest: u64, noticed: &mut bool) -> LogContents {
    let mut told = LogContents::default();
    let mut damaged = BTreeMap::new();
    for n in 1..=newest {
        match reader.history(id(n)) {
            Ok(Some(stored)) if stored.damage.is_none() => {
                let texts = stored.entries.into_iter().map(|entry| entry.text).collect();
                told.histories.insert(id(n), texts);
            }
            Ok(None) => {}
            Ok(Some(_)) | Err(ReadError::Damaged { .. }) => {
                *noticed = true;
                damaged.insert(id(n), ());
            }
            Err(error) => panic!("{error}"),
        }
        match reader.by_key(&Key::new(format!("key {n}")).unwrap()) {
            Ok(Some(id)) => _ = told.keys.insert(format!("key {n}"), id),
            Ok(None) => {}
            Err(ReadError::Damaged { .. }) => *noticed = true,
            Err(error) => panic!("{error}"),
        }
    }
    let mut query = Query::newest(1_000);
    loop {
        match reader.list(&query) {
            Ok(page) => {
                let rows = page.rows.into_iter().map(|row| (row.id, row.labels, row.settled));
                told.listed.extend(rows);
                query.after = page.next;
            }
            Err(ReadError::Damaged { .. }) => *noticed = true,
            Err(error) => panic!("{error}"),
        }
        if query.after.is_none() || *noticed {
            break;
        }
    }
    match first_unsettled(reader, 1_000) {
        Ok(unsettled) => told.unsettled = unsettled.into_iter().map(|stored| stored.id).collect(),
        Err(ReadError::Damaged { .. }) => *noticed = true,
        Err(error) => panic!("{error}"),
    }
    for place in [Lsn::default(), Lsn::from_bits(5 << 20)] {
        match reader.entries_after(place, 1_000) {
            Ok(entries) => *noticed |= entries.iter().any(|entry| entry.damage.is_some()),
            Err(ReadError::Damaged { .. }) => *noticed = true,
            Err(error) => panic!("{error}"),
        }
    }
    told
}

/// The outcome of opening the files as they are now.
enum Outcome {
    Refused,
    Opened { told: LogContents, noticed: bool },
}

fn outcome(subject: &Subject, newest: u64) -> Outcome {
    match subject.log().open() {
        Err(_) => Outcome::Refused,
        Ok(open) => {
            let mut noticed = false;
            let told = told(&*open.reader, newest, &mut noticed);
            noticed |= open.damage.damage().count > 0;
            Outcome::Opened { told, noticed }
        }
    }
}
