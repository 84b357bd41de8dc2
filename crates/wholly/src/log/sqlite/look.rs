//! A look at a log's file, which changes nothing: its kind, its format, and its state.

use std::io::{self, ErrorKind};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::create::{self, APPLICATION, FORMAT};
use super::file::{self, FileId};
use super::meta::{Meta, MetaError};
use super::probe::{Bug, planted};
use super::side::{self, Stand};
use super::writer::head;
use super::{connect, is_damage, unfinished};
use crate::log::OpenError;

/// Checks that the file is a log that this version knows.
pub(super) fn make_sure_it_is_one(file: &Connection, path: &Path) -> Result<(), OpenError> {
    match At(path).recognise(file)? {
        Content::Log => Ok(()),
        Content::Nothing => {
            let why = "there is nothing in it".to_owned();
            Err(OpenError::NotALog { log: At(path).name(), why })
        }
    }
}

/// The state of the log in this file, and its knowledge of itself.
pub(super) fn stand(file: &Connection, path: &Path) -> Result<(Meta, Stand), OpenError> {
    let at = At(path);
    at.make_sure_of_definitions(file)?;
    let meta = at.meta(file)?;
    let stand = at.stand(file, &meta)?;
    Ok((meta, stand))
}

/// Opens a connection that leaves everything as it is when it is closed.
pub(super) fn connect_to_look(path: &Path, cache_kib: u32) -> rusqlite::Result<Connection> {
    let file = connect(path, cache_kib)?;
    // Otherwise the last one to close would copy the write-ahead log, and delete it. It may delete
    // an empty one: SQLite has made that for this connection.
    let write_ahead = file::beside(path, "-wal");
    let holds_frames = write_ahead.metadata().is_ok_and(|file| file.len() > 0);
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, holds_frames)?;
    Ok(file)
}

/// The content of a file.
#[derive(PartialEq, Eq)]
pub(super) enum Content {
    Log,
    /// No file, an empty one, or the leftovers of a killed creation.
    Nothing,
}

/// The path, for the errors to name.
pub(super) struct At<'a>(pub(super) &'a Path);

impl At<'_> {
    pub(super) fn is_empty(&self) -> Result<bool, OpenError> {
        match std::fs::metadata(self.0) {
            Ok(metadata) => Ok(metadata.len() == 0),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(self.io(&error)),
        }
    }

    /// Checks that no file of a log stands beside it. A killed creation leaves no side file, and a
    /// write-ahead log only beside an empty database.
    pub(super) fn make_sure_that_there_was_none(&self) -> Result<(), OpenError> {
        let write_ahead = file::beside(self.0, "-wal");
        let left_alone = !self.0.exists() && write_ahead.metadata().is_ok_and(|wal| wal.len() > 0);
        let side = side::path(self.0);
        for (beside, says) in [(&side, side.exists()), (&write_ahead, left_alone)] {
            if says && !planted(Bug::MadeAnew) {
                let (log, beside) = (self.name(), beside.display().to_string());
                return Err(OpenError::Lost { log, beside });
            }
        }
        Ok(())
    }

    pub(super) fn connect(&self) -> Result<Connection, OpenError> {
        let file = connect_to_look(self.0, 16_000).map_err(|error| self.sqlite(&error))?;
        if file.is_readonly("main").map_err(|error| self.sqlite(&error))? {
            let why = "the file is read-only".to_owned();
            return Err(OpenError::ReadOnly { log: self.name(), why });
        }
        Ok(file)
    }

    /// Checks if the file is a log of the format that this version knows.
    pub(super) fn recognise(&self, file: &Connection) -> Result<Content, OpenError> {
        if unfinished::is_one(self.0) {
            let why = "it is a copy that was not finished".to_owned();
            return Err(OpenError::NotALog { log: self.name(), why });
        }
        let number = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0));
        let open = |error| self.sqlite(&error);
        let application = number("PRAGMA application_id").map_err(open)?;
        let format = number("PRAGMA user_version").map_err(open)?;
        let tables = number("SELECT count(*) FROM sqlite_schema").map_err(open)?;
        if (application, format, tables) == (0, 0, 0) {
            return Ok(Content::Nothing);
        }
        if application != i64::from(APPLICATION) {
            let why = "it is a SQLite file of another application".to_owned();
            return Err(OpenError::NotALog { log: self.name(), why });
        }
        let (log, known) = (self.name(), FORMAT);
        match u32::try_from(format) {
            Ok(FORMAT) => Ok(Content::Log),
            Ok(found) if found > FORMAT => Err(OpenError::Newer { log, found, known }),
            Ok(found @ 1..) => Err(OpenError::Older { log, found, known }),
            _ => Err(self.damaged(format!("its format is {format}, which never was one"))),
        }
    }

    pub(super) fn make_sure_of_definitions(&self, file: &Connection) -> Result<(), OpenError> {
        match create::wrong_definition(file).map_err(|error| self.sqlite(&error))? {
            Some(what) => Err(self.damaged(format!("the definition of {what} is another"))),
            None => Ok(()),
        }
    }

    pub(super) fn meta(&self, file: &Connection) -> Result<Meta, OpenError> {
        Meta::read(file).map_err(|error| match error {
            MetaError::Sqlite(error) => self.sqlite(&error),
            MetaError::Damaged => self.damaged(error.to_string()),
        })
    }

    pub(super) fn stand(&self, file: &Connection, meta: &Meta) -> Result<Stand, OpenError> {
        let (id, _) = FileId::at(self.0).map_err(|error| self.io(&error))?;
        let head = head(file, meta).map_err(|error| self.sqlite(&error))?;
        let Meta { epoch, nonce, previous_nonce, copy, sided, .. } = *meta;
        let identity = meta.identity();
        Ok(Stand { file: id, identity, epoch, nonce, previous_nonce, head, copy, sided })
    }

    pub(super) fn name(&self) -> String {
        self.0.display().to_string()
    }

    pub(super) fn storage(&self, why: String) -> OpenError {
        OpenError::Storage { log: self.name(), why }
    }

    pub(super) fn damaged(&self, why: String) -> OpenError {
        OpenError::Damaged { log: self.name(), why }
    }

    pub(super) fn io(&self, error: &io::Error) -> OpenError {
        let (log, why) = (self.name(), error.to_string());
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                OpenError::ReadOnly { log, why }
            }
            _ => OpenError::Storage { log, why },
        }
    }

    pub(super) fn sqlite(&self, error: &rusqlite::Error) -> OpenError {
        let (log, why) = (self.name(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => OpenError::NotALog { log, why },
            Some(ErrorCode::ReadOnly) => OpenError::ReadOnly { log, why },
            _ if is_damage(error) => OpenError::Damaged { log, why },
            _ => OpenError::Storage { log, why },
        }
    }
}
