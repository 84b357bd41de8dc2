//! Opening: checks the log's identity, owner and content, and makes the content durable.
//!
//! Nothing is written before all checks pass, so a refused log stays as it was found. The order of
//! the writes is that of [`super::side`].

use std::fs::TryLockError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rusqlite::{Connection, TransactionBehavior};

use super::super::{DamageRegister, KnownLog, OpenError, OpenLog};
use super::background::Background;
use super::check::FileCheck;
use super::checkpoint::Checkpoints;
use super::create;
use super::file::{self, FileId, LogFile, Owned, Watch};
use super::labels::Kinds;
use super::list::Bounds;
use super::look::{At, Content};
use super::meta::Meta;
use super::probe::{Bug, planted, reached};
use super::reader::SqliteReader;
use super::side::{self, Found, Side};
use super::tail::{ReadBack, Shared, Tail, read_back};
use super::writer::{SqliteWriter, first_place, head};
use super::{Provenance, connect, index, write_ahead};

/// The greatest size that the write-ahead log's file keeps when it starts over.
const WRITE_AHEAD_KEEPS_BYTES: u64 = 16 << 20;

/// The options of an opening.
pub(super) struct How {
    pub(super) provenance: Provenance,
    /// True if a missing log is created.
    pub(super) create: bool,
    /// What a coordinator knows of it that had it open.
    pub(super) told: Option<KnownLog>,
    pub(super) damage: DamageRegister,
    pub(super) bounds: Bounds,
}

pub(super) fn open(given: &Path, how: &How) -> Result<OpenLog, OpenError> {
    let (path, owned) = own(given, how)?;
    let at = At(&path);
    let damaged = write_ahead::broken_frame(&path).map_err(|error| at.io(&error))?;
    let damaged = damaged.map(|frame| {
        format!("frame {frame} of its write-ahead log is broken, and later commits stand behind it")
    });
    at.tolerate(damaged.clone(), how)?;
    let mut file = at.connect()?;
    if at.recognise(&file)? == Content::Nothing {
        at.make(&mut file, how)?;
        reached("the tables are made");
    }
    at.make_sure_of_definitions(&file)?;
    let mut meta = at.meta(&file)?;
    let found = side::read(&path).map_err(|error| at.io(&error))?;
    let mut stand = at.stand(&file, &meta)?;
    side::judge(&path, &stand, found, how.provenance)?;
    if found == Found::Torn {
        tracing::warn!(
            "the side file of the log {} was incomplete, and is written again",
            path.display()
        );
    }
    if let Some(told) = how.told {
        told.check(&at.name(), stand.identity, stand.head)?;
    }
    let read = at.check(&file, &meta, damaged.is_some(), how)?;

    // It is the log. From here on a new connection writes it: a connection that has checked a file
    // not in WAL mode yet, such as a backup, holds it locked.
    drop(file);
    let mut file = connect(&path, 16_000).map_err(|error| at.sqlite(&error))?;
    at.make_durable(&file)?;
    reached("it is durable");
    let ReadBack { tail, chain, .. } = match read {
        Some(read) => read,
        None => at.index_anew(&mut file, &mut meta)?,
    };
    if how.provenance == Provenance::Restored {
        meta.identity = create::random(&path)?;
        (meta.copy, meta.sided) = (false, false);
        (meta.nonce, meta.previous_nonce) = (create::random(&path)?, 0);
        meta.write(&file).map_err(|error| at.sqlite(&error))?;
        stand = at.stand(&file, &meta)?;
        reached("it has an identity of its own");
    }
    let mut side = Side::bring_level(&path, &stand, found).map_err(|error| at.io(&error))?;
    let is_new = !meta.sided;
    reached("the side file is level");
    let tail = at.take_over(&mut file, &mut meta, tail, chain)?;
    reached("the epoch is raised");
    if is_new {
        at.make_durable(&file)?;
        reached("that is copied");
    }
    side.opened(meta.epoch, meta.nonce).map_err(|error| at.io(&error))?;
    reached("it is open");
    at.opened(file, meta, tail, chain, side, owned, how)
}

/// Finds the log, and takes the ownership.
fn own(given: &Path, how: &How) -> Result<(PathBuf, Owned), OpenError> {
    let at = At(given);
    if let Some(least) = too_old(rusqlite::version_number()) {
        let found = rusqlite::version().to_owned();
        return Err(OpenError::UnsafeSqlite { log: at.name(), found, least });
    }
    let path = file::canonical(given).map_err(|error| match error.kind() {
        ErrorKind::NotFound => OpenError::Missing { log: at.name() },
        _ => at.io(&error),
    })?;
    let at = At(&path);
    if at.is_empty()? {
        at.make_sure_that_there_was_none()?;
        if !how.create && !planted(Bug::MadeAnew) {
            return Err(OpenError::Missing { log: at.name() });
        }
        file::make_private(&path).map_err(|error| at.io(&error))?;
        reached("the file is made");
    }
    let (_, links) = FileId::at(&path).map_err(|error| at.io(&error))?;
    if links > 1 && !planted(Bug::SeveralNames) {
        return Err(OpenError::SeveralNames { log: at.name(), links });
    }
    let kept = LogFile::keep(&path).map_err(|error| at.io(&error))?;
    let owned = kept.own().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse { log: at.name() },
        TryLockError::Error(error) => at.io(&error),
    })?;
    Ok((path, owned))
}

impl At<'_> {
    /// Creates a log in an empty file, if that is wanted.
    fn make(&self, file: &mut Connection, how: &How) -> Result<(), OpenError> {
        self.make_sure_that_there_was_none()?;
        if !how.create && !planted(Bug::MadeAnew) {
            return Err(OpenError::Missing { log: self.name() });
        }
        let identity = create::random(self.0)?;
        create::create(file, identity, false).map_err(|error| self.sqlite(&error))?;
        let identity = wholly_core::LogId::from_bits(identity);
        tracing::warn!(
            "the log {} did not exist: it was created with the identity {identity}",
            self.0.display()
        );
        Ok(())
    }

    /// Reads back the state that a restart acts on, and checks it; a small log is checked whole.
    /// `None` if it is damaged and opened all the same: then its indexes are made anew.
    fn check(
        &self,
        file: &Connection,
        meta: &Meta,
        damaged: bool,
        how: &How,
    ) -> Result<Option<ReadBack>, OpenError> {
        let checked = (|| {
            let read = read_back(file, meta, usize::MAX)?;
            if read.damage.is_some() {
                return Ok((read.damage.clone(), read));
            }
            let checked = !is_large(file, how.bounds)? && !planted(Bug::AnyIndex);
            let of_any = if checked { self.check_whole(file, meta, how)? } else { None };
            Ok((of_any, read))
        })();
        let damage = match checked {
            Ok((None, read)) if !damaged => return Ok(Some(read)),
            Ok((damage, _)) => damage,
            Err(crate::log::ReadError::Damaged { why }) => Some(why),
            Err(error) => return Err(self.storage(error.to_string())),
        };
        self.tolerate(damage, how)?;
        Ok(None)
    }

    /// The damage that may concern any transaction; one transaction's alone is noted.
    fn check_whole(
        &self,
        file: &Connection,
        meta: &Meta,
        how: &How,
    ) -> Result<Option<String>, crate::log::ReadError> {
        let mut of_any = create::wrong_structure(file)?;
        let mut tell = |problem: super::check::DamagedPart| match problem.transaction {
            Some(_) => how.damage.note(problem.what),
            None => _ = of_any.get_or_insert(problem.what),
        };
        let mut check = FileCheck::begin(file, *meta)?;
        while check.piece(file, &mut tell)? {}
        check.nothing_more(file, &mut tell)?;
        Ok(of_any)
    }

    /// Refuses the opening if the damage may concern any transaction, unless it is opened as a
    /// copy, which quarantines the unsettled ones.
    fn tolerate(&self, damage: Option<String>, how: &How) -> Result<(), OpenError> {
        match damage {
            Some(why) if how.provenance == Provenance::Restored => how.damage.note(why),
            Some(why) => return Err(self.damaged(why)),
            None => {}
        }
        Ok(())
    }

    /// Makes everything that was read durable: a killed process may have written it without a sync,
    /// and a failed sync may have left it in the system's cache only. So all of it is copied into
    /// the database and synced there.
    fn make_durable(&self, file: &Connection) -> Result<(), OpenError> {
        let open = |error| self.sqlite(&error);
        let mode: String =
            file.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(open)?;
        if mode != "wal" {
            return Err(self.storage(format!("SQLite offers the journal mode {mode}, not WAL")));
        }
        let limit = format!("PRAGMA journal_size_limit = {WRITE_AHEAD_KEEPS_BYTES}");
        file.query_row(&limit, [], |_| Ok(())).map_err(open)?;
        let busy: bool = file
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(open)?;
        if busy {
            let why = "another program reads it and does not end its read; stop that program";
            return Err(self.storage(why.to_owned()));
        }
        file::sync_directory(self.0).map_err(|error| self.io(&error))
    }

    /// Makes the indexes anew from the entries that are there.
    fn index_anew(&self, file: &mut Connection, meta: &mut Meta) -> Result<ReadBack, OpenError> {
        index::make_anew(file, meta).map_err(|error| self.sqlite(&error))
    }

    /// Takes the log over by a commit: raises the epoch, under a new nonce, and moves the tail into
    /// the indexes. Returns the rest of the tail: the unsettled transactions.
    fn take_over(
        &self,
        file: &mut Connection,
        meta: &mut Meta,
        mut tail: Tail,
        chain: i64,
    ) -> Result<Tail, OpenError> {
        let open = |error| self.sqlite(&error);
        let next = head(file, meta).map_err(open)?.next();
        let taking = file.transaction_with_behavior(TransactionBehavior::Immediate);
        let taking = taking.map_err(open)?;
        if tail.len > 0 {
            let indexed = first_place(next).map_err(|error| self.storage(error.to_string()))?;
            index::write_run(&taking, meta, &tail, indexed, chain).map_err(open)?;
            tail.clear();
        }
        meta.epoch += 1;
        (meta.previous_nonce, meta.nonce) = (meta.nonce, create::random(self.0)?);
        meta.sided = true;
        meta.write(&taking).and_then(|()| taking.commit()).map_err(open)?;
        Ok(tail)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of what is opened")]
    fn opened(
        &self,
        file: Connection,
        meta: Meta,
        tail: Tail,
        chain: i64,
        side: Side,
        owned: Owned,
        how: &How,
    ) -> Result<OpenLog, OpenError> {
        let open = |error| self.sqlite(&error);
        let (path, kept) = (self.0, Arc::clone(owned.file()));
        let tail = Arc::new(Shared::new(tail));
        let head = head(&file, &meta).map_err(open)?;
        let last_ordinal = last_ordinal(&file, &meta).map_err(open)?;
        let reader =
            SqliteReader::open(path, tail.clone(), how.bounds, how.damage.clone(), kept.clone())
                .map_err(open)?;
        let checkpoints = Checkpoints::start(&file, path).map_err(|why| self.storage(why))?;
        let checking = Arc::new(AtomicBool::new(false));
        let background = match is_large(&file, how.bounds).map_err(open)? {
            true => Some(
                Background::start(path, meta, how.damage.clone(), checking.clone(), kept)
                    .map_err(|why| self.storage(why))?,
            ),
            false => None,
        };
        let mut writer = SqliteWriter {
            file,
            epoch: meta.epoch,
            tail,
            checkpoints,
            kinds: Kinds::default(),
            run: how.bounds.tail,
            failed: false,
            trimmed_to: 0,
            removed: false,
            chain,
            checking,
            damage: how.damage.clone(),
            watch: Watch::of(path).map_err(|error| self.io(&error))?,
            side,
            _background: background,
            _owned: owned,
        };
        writer.checkpoints.committed(&writer.file);
        Ok(OpenLog {
            identity: meta.identity(),
            epoch: meta.epoch,
            head,
            last_ordinal,
            writer: Box::new(writer),
            reader: Arc::new(reader),
            damage: how.damage.clone(),
        })
    }
}

/// True if a check of all of the log would take long.
fn is_large(file: &Connection, bounds: Bounds) -> rusqlite::Result<bool> {
    file.prepare("SELECT 1 FROM transactions LIMIT 1 OFFSET ?1")?.exists([bounds.checked])
}

/// The least version of SQLite that is safe, if this one is older: before it, two checkpoints at
/// once can damage the write-ahead log.
fn too_old(version: i32) -> Option<&'static str> {
    (version < 3_051_003).then_some("3.51.3")
}

fn last_ordinal(file: &Connection, meta: &Meta) -> rusqlite::Result<u64> {
    let last = "SELECT coalesce(max(ordinal), 0) FROM transactions";
    let last: i64 = file.query_row(last, [], |row| row.get(0))?;
    Ok(last.max(meta.trimmed).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::too_old;

    #[test]
    fn a_sqlite_that_can_damage_its_write_ahead_log_is_too_old() {
        assert_eq!(too_old(3_051_002), Some("3.51.3"));
        assert_eq!(too_old(3_051_003), None);
        assert_eq!(too_old(rusqlite::version_number()), None, "the one that is compiled in");
    }
}
