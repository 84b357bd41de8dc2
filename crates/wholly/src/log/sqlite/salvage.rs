//! Salvage: a copy of the intact part of a damaged log.
//!
//! The log itself is not touched. Its files are copied, and the frame checksums of the write-ahead
//! log are made right in the copy, so that SQLite reads on behind a broken frame: an entry's own
//! checksum tells if it is whole. Data out of SQLite's reach in one way is sought in another.
//!
//! An entry with damaged content is copied as it is: its transaction shows, quarantined. Entries of
//! unknown transactions are left behind, and counted.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};
use wholly_core::LogId;

use super::file::{self, LogFile, beside};
use super::labels::{self, STANDING_BITS};
use super::look::connect_to_look;
use super::meta::Meta;
use super::probe::reached;
use super::row::{EntryRow, Integrity, select_entries};
use super::tail::position;
use super::unfinished::{self, Unfinished};
use super::{connect, create, index, write_ahead};
use crate::log::OpenError;
use crate::log::maintenance::{CopyError, Salvaged};

pub(super) fn salvage(given: &Path, to: &Path) -> Result<Salvaged, CopyError> {
    let storage = |why: String| {
        let (log, to) = (given.to_owned(), to.to_owned());
        CopyError::Storage { log, to, why }
    };
    let io = |error: io::Error| storage(error.to_string());
    if unfinished::is_one(to) {
        return Err(CopyError::Name { to: to.to_owned() });
    }
    if to.symlink_metadata().is_ok() {
        return Err(CopyError::Exists { to: to.to_owned() });
    }
    let path = file::canonical(given).map_err(io)?;
    if !path.metadata().is_ok_and(|file| file.len() > 0) {
        return Err(OpenError::Missing { log: path.display().to_string() }.into());
    }
    // Nobody may write it meanwhile.
    let kept = LogFile::keep(&path).map_err(io)?;
    let _owned = kept.own().map_err(|_| OpenError::InUse { log: path.display().to_string() })?;
    let begun = |part: &str| {
        Unfinished::beside(to, part).map_err(|error| match error {
            TryLockError::WouldBlock => CopyError::InProgress { to: to.to_owned() },
            TryLockError::Error(error) => io(error),
        })
    };
    let unfinished = begun("")?;
    let read = begun(".read")?;
    copy_files(&path, read.path()).map_err(io)?;
    reached("the files are copied");
    let from = connect_to_look(read.path(), 16_000).map_err(|error| storage(error.to_string()))?;
    let nothing = |error: rusqlite::Error| CopyError::Nothing {
        log: given.to_owned(),
        why: error.to_string(),
    };
    let salvaged = write(&from, unfinished.path()).map_err(nothing)?;
    match unfinished.named(to) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            Err(CopyError::Exists { to: to.to_owned() })
        }
        named => named.map(|()| salvaged).map_err(io),
    }
}

/// Copies a log's files to `copy`, where SQLite may read on behind broken frames.
fn copy_files(path: &Path, copy: &Path) -> io::Result<()> {
    for suffix in ["", "-wal"] {
        let (from, to) = (beside(path, suffix), beside(copy, suffix));
        if from.exists() {
            file::make_private(&to)?;
            // Closing it drops this process's locks on it. It has none of SQLite's: the log is not
            // open.
            io::copy(&mut File::open(&from)?, &mut File::options().write(true).open(&to)?)?;
        }
    }
    write_ahead::make_right(copy)
}

fn write(from: &Connection, to: &Path) -> rusqlite::Result<Salvaged> {
    let mut copy = connect(to, 16_000)?;
    let identity = identity(from);
    create::create(&mut copy, identity.to_bits(), true)?;
    let mut salvaged = Salvaged::default();
    let (mut kinds, mut head, mut ordinals) = (BTreeSet::new(), 0, 0);
    let writing = copy.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = writing.prepare(
            "INSERT OR IGNORE INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL)",
        )?;
        let mut failed = None;
        let mut take = |row: EntryRow| {
            match row.integrity() {
                Integrity::Nameless => return salvaged.nameless += 1,
                Integrity::Damaged => salvaged.damaged += 1,
                Integrity::Whole => {
                    kinds.insert(row.label >> STANDING_BITS);
                }
            }
            (head, ordinals) = (position(row.place).max(head), row.ordinal.max(ordinals));
            let EntryRow { place, ordinal, sequence, ends, id, key, label, text, checksum, .. } =
                row;
            let values = params![place, ordinal, sequence, ends, id, key, label, text, checksum];
            match insert.execute(values) {
                Ok(_) => salvaged.entries += 1,
                Err(error) => failed = Some(error),
            }
        };
        let whole = read_all(from, &mut take)?;
        salvaged.unreadable = !whole;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    copy_kinds(from, &writing, kinds, identity)?;
    let known = Meta::read(from).unwrap_or_default();
    Meta {
        identity: identity.to_bits(),
        copy: true,
        epoch: known.epoch,
        head: known.head.max(head),
        // Transactions that may as well have been deleted are not reported as unknown.
        trimmed: known.trimmed,
        trimmed_place: known.trimmed_place,
        payloads_to: known.payloads_to,
        ..Meta::default()
    }
    .write(&writing)?;
    writing.commit()?;
    let mut meta = Meta::read(&copy).map_err(|_| rusqlite::Error::QueryReturnedNoRows)?;
    index::make_anew(&mut copy, &mut meta)?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(salvaged)
}

/// The identity, if it can be read; else 0.
fn identity(from: &Connection) -> LogId {
    let identity = from.query_row("SELECT identity FROM meta", [], |row| row.get(0));
    LogId::from_bits(identity.map_or(0, u64::from_be_bytes))
}

/// Reads every entry in reach; returns `false` if some could not be read. SQLite gives up at the
/// first unusable page. So a stretch is read from its beginning, and from its end; the rest between
/// is halved and read in the same way, until it is too small to matter.
fn read_all(from: &Connection, take: &mut dyn FnMut(EntryRow)) -> rusqlite::Result<bool> {
    /// The greatest number of stretches that are read.
    const TRIES: usize = 10_000;
    let (mut whole, mut stretches) = (true, vec![(i64::MIN, i64::MAX)]);
    for _ in 0..TRIES {
        let Some((low, high)) = stretches.pop() else { return Ok(whole) };
        let mut ascending =
            from.prepare(select_entries!("WHERE place > ?1 AND place < ?2 ORDER BY place"))?;
        let Err(low) = read_until(&mut ascending, low, high, low, take)? else { continue };
        whole = false;
        let mut descending =
            from.prepare(select_entries!("WHERE place > ?1 AND place < ?2 ORDER BY place DESC"))?;
        let Err(high) = read_until(&mut descending, low, high, high, take)? else { continue };
        let middle = low / 2 + high / 2;
        // A batch is one stretch of places: a search for less than a few rows gains nothing.
        if high.saturating_sub(low) > 4 && low < middle && middle < high {
            stretches.extend([(low, middle), (middle - 1, high)]);
        }
    }
    Ok(false)
}

/// Reads rows to the end, or to the first unreadable one: then returns the place reached.
fn read_until(
    rows: &mut rusqlite::Statement<'_>,
    low: i64,
    high: i64,
    from: i64,
    take: &mut dyn FnMut(EntryRow),
) -> rusqlite::Result<Result<(), i64>> {
    let mut came_to = from;
    let mut rows = rows.query([low, high])?;
    loop {
        match rows.next().and_then(|row| row.map(EntryRow::read).transpose()) {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(row)) => {
                came_to = row.place;
                take(row);
            }
            Err(error) if super::is_damage(&error) => return Ok(Err(came_to)),
            Err(error) => return Err(error),
        }
    }
}

/// Copies the whole kinds, and makes up the damaged ones.
fn copy_kinds(
    from: &Connection,
    to: &Connection,
    needed: BTreeSet<i64>,
    identity: LogId,
) -> rusqlite::Result<()> {
    for kind in needed {
        let known = from
            .prepare(&format!("{} WHERE kind = ?1", labels::COLUMNS))
            .and_then(|mut kinds| kinds.query_row([kind], labels::parts));
        let parts = match known {
            Ok((_, parts)) => parts,
            Err(_) => {
                let texts = [format!("unknown {kind}"), "two-phase".to_owned(), String::new()];
                (identity.to_bits().to_be_bytes(), texts)
            }
        };
        labels::insert_kind(to, kind, &parts)?;
    }
    Ok(())
}
