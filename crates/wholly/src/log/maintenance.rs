//! Maintenance: an operator's work on a log, beside running a coordinator on it.
//!
//! Kinds of logs differ in their abilities. A kind implements the methods that it supports; every
//! other method returns [`Unsupported`], which names the kind and the missing ability.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wholly_core::{LogId, TransactionId};

use super::{Log, OpenError, Position};

/// A kind of log in an operator's hands.
pub trait Maintenance: Log {
    /// The kind's word, as in a configuration.
    fn kind(&self) -> &'static str;

    /// The file that the log is in, if it is in one.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Declares what the next opening finds. Every kind finds the [original](Provenance::Original).
    ///
    /// # Errors
    /// When this kind of log cannot be moved or restored.
    fn declare(&self, provenance: Provenance) -> Result<(), Unsupported> {
        match provenance {
            Provenance::Original => Ok(()),
            Provenance::Moved => Err(self.cannot("be opened as moved")),
            Provenance::Restored => Err(self.cannot("be opened as a restored copy")),
        }
    }

    /// Creates a log if none exists, and returns its identity.
    ///
    /// # Errors
    /// See [`OpenError`]; also if there is a log already, which is left as it is.
    fn create(&self) -> Result<LogId, OpenError> {
        Err(self.cannot("be created ahead of its first opening").into())
    }

    /// Copies the log to the file `to`, which must not exist yet, while a coordinator may run. The
    /// copy is consistent and durable when this returns; it is opened as
    /// [`Provenance::Restored`].
    ///
    /// # Errors
    /// See [`CopyError`]; then there is no file `to`, unless it was there before.
    fn backup(&self, to: &Path) -> Result<(), CopyError> {
        let _ = to;
        Err(self.cannot("be backed up").into())
    }

    /// Reads all of the log, also while a coordinator runs, and reports the damage and the
    /// transactions that it puts in doubt. Changes nothing. Meanwhile the write-ahead log of a
    /// running coordinator grows.
    ///
    /// # Errors
    /// See [`VerifyError`]; also if no log can be read.
    fn verify(&self) -> Result<Verified, VerifyError> {
        Err(self.cannot("be verified").into())
    }

    /// Copies the intact part of a damaged log to the file `to`, which must not exist yet. The copy
    /// is opened as [`Provenance::Restored`], which quarantines unsettled transactions. The log
    /// stays as it is; no coordinator may run on it.
    /// # Errors
    /// See [`CopyError`]; then there is no file `to`, unless it was there before.
    fn salvage(&self, to: &Path) -> Result<Salvaged, CopyError> {
        let _ = to;
        Err(self.cannot("be salvaged").into())
    }

    /// The error for an ability that this kind of log lacks.
    fn cannot(&self, what: &'static str) -> Unsupported {
        Unsupported { kind: self.kind(), what }
    }
}

/// An ability that a kind of log lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log of the kind {kind} cannot {what}")]
#[non_exhaustive]
pub struct Unsupported {
    /// The kind of log.
    pub kind: &'static str,
    /// The verb, as in "be backed up".
    pub what: &'static str,
}

/// The origin of the log that an opening finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provenance {
    /// The log, where it was.
    #[default]
    Original,
    /// The log itself, moved with all that stands beside it: no copy of it has run or will.
    Moved,
    /// A copy, whose original may have gone on since, or may go on yet: a backup, a snapshot. It
    /// gets an identity of its own, and what the original left unsettled is quarantined until an
    /// operator decides. Every opening as a copy gives it another identity.
    Restored,
}

/// An error from copying a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The log is missing, in use, damaged, not a log, or of a newer version.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// This kind of log cannot be copied.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The copy's place is taken.
    #[error("{} exists already; a copy replaces nothing: name another file", .to.display())]
    Exists {
        /// The copy's path.
        to: PathBuf,
    },
    /// Another copy to the same file is being made.
    #[error("another copy is being written to {}: wait for it, or name another file", .to.display())]
    InProgress {
        /// The copy's path.
        to: PathBuf,
    },
    /// The copy's name is one of unfinished copies, which are never opened.
    #[error("{} is a name of unfinished copies, which are not opened: name another file", .to.display())]
    Name {
        /// The copy's path.
        to: PathBuf,
    },
    /// Nothing in the log can be read.
    #[error("nothing can be read from the log {}: {why}", .log.display())]
    Nothing {
        /// The log.
        log: PathBuf,
        /// The storage's error.
        why: String,
    },
    /// Storage failed.
    #[error("the log {} cannot be copied to {}: {why}", .log.display(), .to.display())]
    Storage {
        /// The log.
        log: PathBuf,
        /// The copy's path.
        to: PathBuf,
        /// The system's error.
        why: String,
    },
}

/// The result of a salvage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// The entries that were copied, damaged ones among them.
    pub entries: u64,
    /// The damaged ones among them; their transactions show, quarantined.
    pub damaged: u64,
    /// The entries that were read and belong to no known transaction.
    pub nameless: u64,
    /// True if parts of the file could not be read; their content is unknown.
    pub unreadable: bool,
}

/// The result of a verification.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verified {
    /// Its identity; `None` where that cannot be read.
    pub identity: Option<LogId>,
    /// Its last batch.
    pub head: Position,
    /// The number of transactions that were read.
    pub transactions: u64,
    /// The number of them that have not settled.
    pub unsettled: u64,
    /// Each damage, in words; none if the log is whole.
    pub damage: Vec<String>,
    /// The transactions that the damage puts in doubt.
    pub doubt: Doubt,
    /// The error that would refuse an opening although the log is whole, such as for a copy.
    pub refused: Option<OpenError>,
}

/// The transactions that damage puts in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// No transaction.
    Nothing,
    /// These transactions, and no others.
    These(BTreeSet<TransactionId>),
    /// Any transaction.
    Any,
}

/// An error from verifying a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no log, or none of this format.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// This kind of log cannot be verified.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The log cannot be read.
    #[error("the log {} cannot be read: {why}", .log.display())]
    Storage {
        /// The log.
        log: PathBuf,
        /// The system's error.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryLog;

    #[test]
    fn what_a_kind_cannot_do_is_named() {
        let log = MemoryLog::default();
        assert_eq!(log.declare(Provenance::Original), Ok(()));
        for provenance in [Provenance::Moved, Provenance::Restored] {
            let unsupported = log.declare(provenance).unwrap_err();
            assert_eq!(unsupported.kind, "memory");
        }
        let to = Path::new("copy.db");
        for said in [
            log.create().unwrap_err().to_string(),
            log.backup(to).unwrap_err().to_string(),
            log.verify().unwrap_err().to_string(),
            log.salvage(to).unwrap_err().to_string(),
        ] {
            assert!(said.starts_with("a log of the kind memory cannot be "), "{said}");
        }
    }
}
