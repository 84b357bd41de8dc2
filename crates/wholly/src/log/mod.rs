//! The log: the durable memory of a coordinator.
//!
//! A log holds *entries*. An entry is the part of one batch that belongs to one transaction: a JSON
//! text with a version, which the log never interprets. Beside the text an entry carries the few
//! fields that a log needs: the transaction, the entry's place in its history, the client's key,
//! whether the transaction has ended, and how it is [listed](listing).
//!
//! Every implementation keeps these laws, and the conformance suite tests them:
//!
//! 1. **A batch lands whole or not at all**, and is durable when [`LogWriter::append`] returns.
//! 2. **An append names its predecessor.** A batch that does not follow the last batch that landed
//!    is rejected, so that no batch lands behind a failed one.
//! 3. **A log that failed once promises nothing more**: after a failed append the writer rejects
//!    every further one. Only opening the log again shows which batches landed.
//! 4. **Opening makes its result durable** before it returns: the unsynced writes of a killed
//!    process could otherwise be read back, acted on, and then lost by a power failure.
//! 5. **One owner.** Opening raises the epoch; the writer of an older epoch is rejected.
//! 6. **A reader sees only durable entries**, and goes on after the writer failed.
//! 7. **An entry's place ascends and stays.** A place is never reused, even after its entry is
//!    deleted: ids of events are made of it.
//! 8. **A log that is opened again is the same log.** Reopening after a failure never creates a
//!    log, and refuses another identity or a head behind the batches reported durable.
//! 9. **Damage is named, never acted on.** An entry that differs from the appended one is not read
//!    as an entry: its transaction reports the damage. Damage that cannot be pinned to transactions
//!    refuses the opening.
//!
//! The calls block; the engine makes them on a thread of their own.

#[cfg(any(test, feature = "test"))]
pub mod conformance;
mod damage;
mod intercept;
pub mod listing;
mod lsn;
pub mod maintenance;
pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::fmt::Debug;
use std::sync::Arc;

use wholly_core::{Key, LogId, Timestamp, TransactionId};

pub use damage::{Damage, DamageRegister};
pub use intercept::intercept_appends;
use listing::{Labels, Page, Query};
pub use lsn::Lsn;
use maintenance::Unsupported;

/// A store of transactions. Opening it makes it this coordinator's alone.
pub trait Log: Send + Sync + 'static {
    /// Opens the log and takes sole ownership. Creates the log only if it was told to.
    ///
    /// # Errors
    /// See [`OpenError`]; the log is unharmed.
    fn open(&self) -> Result<OpenLog, OpenError>;

    /// Opens the log again after it failed, for the coordinator that had it open. Nothing is
    /// created.
    ///
    /// # Errors
    /// See [`OpenError`]: also where this is another log, or lost what was told. It is unharmed.
    fn reopen(&self, told: KnownLog) -> Result<OpenLog, OpenError>;
}

/// A log of any kind, behind a pointer.
impl<L: Log + ?Sized> Log for Arc<L> {
    fn open(&self) -> Result<OpenLog, OpenError> {
        L::open(self)
    }

    fn reopen(&self, told: KnownLog) -> Result<OpenLog, OpenError> {
        L::reopen(self, told)
    }
}

/// A coordinator's knowledge of the log that it had open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownLog {
    /// The log's identity.
    pub identity: LogId,
    /// The last batch that was reported durable.
    pub head: Position,
}

impl KnownLog {
    /// Makes sure that a log with this identity and this head is the one that was open.
    ///
    /// # Errors
    /// [`OpenError::Changed`] if the identity differs, or durable batches are lost.
    pub fn check(self, log: &str, identity: LogId, head: Position) -> Result<(), OpenError> {
        let why = match () {
            () if identity != self.identity => format!(
                "its identity is {identity}, and the one that was open has {}",
                self.identity
            ),
            () if head < self.head => {
                format!("it ends with batch {}, and batch {} was durable", head.0, self.head.0)
            }
            () => return Ok(()),
        };
        Err(OpenError::Changed { log: log.to_owned(), why })
    }
}

/// An open log: its identity, its position, and its two ends.
pub struct OpenLog {
    /// The log's identity, minted when it was created.
    pub identity: LogId,
    /// The epoch, which every opening raises.
    pub epoch: u64,
    /// The position of the last batch that landed; the first append follows it.
    pub head: Position,
    /// The greatest ordinal of a transaction that is or was in the log; 0 if there was none.
    pub last_ordinal: u64,
    /// The end that appends.
    pub writer: Box<dyn LogWriter>,
    /// The end that reads.
    pub reader: Arc<dyn LogReader>,
    /// The damage that both ends and background checks find: one register for all openings by the
    /// same [`Log`].
    pub damage: DamageRegister,
}

/// A position in a log: the number of batches that have landed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The position of the next batch.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The records that one transaction wrote in one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The transaction.
    pub transaction: TransactionId,
    /// The entry's place in the transaction's history: 0, 1, 2 and so on.
    pub sequence: u32,
    /// The records, as one JSON text with a version.
    pub text: String,
    /// The client's key; only in a transaction's first entry.
    pub key: Option<Key>,
    /// The transaction's labels as of this entry.
    pub labels: Labels,
    /// The time at which the transaction ended, if it has: it is settled, and gets no more entries.
    pub ended: Option<Timestamp>,
}

/// An entry as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The entry's place in the transaction's history.
    pub sequence: u32,
    /// The records, as they were appended.
    pub text: String,
}

/// A transaction as a log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTransaction {
    /// The transaction.
    pub id: TransactionId,
    /// Its history, oldest first; of a damaged transaction, only the whole entries.
    pub entries: Vec<StoredEntry>,
    /// The damage, if some of its entries are missing or differ from the appended ones.
    pub damage: Option<String>,
}

impl StoredTransaction {
    /// The number of bytes of text in its entries.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.text.len()).sum()
    }
}

/// Reads transactions until they have this many bytes.
fn as_many_as_fit(
    ordinals: &[u64],
    bytes: usize,
    read: impl Fn(u64) -> Result<Option<StoredTransaction>, ReadError>,
) -> Result<Vec<Option<StoredTransaction>>, ReadError> {
    let (mut all, mut length) = (Vec::new(), 0);
    for ordinal in ordinals {
        let stored = read(*ordinal)?;
        length += stored.as_ref().map_or(0, StoredTransaction::bytes);
        all.push(stored);
        if length >= bytes {
            break;
        }
    }
    Ok(all)
}

/// The transactions that have not ended, ascending, at most `limit`.
#[cfg(any(test, feature = "test"))]
pub(crate) fn first_unsettled(
    reader: &dyn LogReader,
    limit: usize,
) -> Result<Vec<StoredTransaction>, ReadError> {
    let ordinals = reader.unsettled(0, limit)?;
    Ok(reader.transactions(&ordinals, usize::MAX)?.into_iter().flatten().collect())
}

/// An entry as it was read back, with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedEntry {
    /// Its place among all entries.
    pub lsn: Lsn,
    /// The transaction's [ordinal](TransactionId::ordinal), which is unique in a log.
    pub ordinal: u64,
    /// The transaction; only in its first entry.
    pub id: Option<TransactionId>,
    /// The entry's place in the transaction's history.
    pub sequence: u32,
    /// The records, as they were appended; empty if unknown.
    pub text: String,
    /// The damage, if the entry differs from the appended one.
    pub damage: Option<String>,
}

/// The appending end of a log. There is one.
pub trait LogWriter: Send {
    /// Appends a batch after the one at `after`; it is durable when this returns its position.
    ///
    /// # Errors
    /// See [`AppendError`]. It is then unknown if the batch landed, and the writer is done.
    fn append(&mut self, after: Position, batch: &[Entry]) -> Result<Position, AppendError>;

    /// Deletes at most `limit` transactions that ended before `before`, in the order of their ends
    /// as far as clocks kept it: one behind a younger end may wait for it. Returns the number
    /// deleted, or 1 if it found none yet and has more to scan; 0 if nothing is left to delete. A
    /// transaction that has not ended is never deleted.
    ///
    /// # Errors
    /// See [`AppendError`].
    fn trim(&mut self, before: Timestamp, limit: usize) -> Result<usize, AppendError>;

    /// Rewrites at most `limit` transactions that ended before `before`, each once, in the order of
    /// their ends: `without` gives the texts of a transaction's entries without their payloads, or
    /// `None` if they stay. The removed text is gone from storage, as far as the log can ensure.
    /// Returns the number examined, or 1 if it found none yet and has more to scan; 0 if nothing is
    /// left to do.
    ///
    /// # Errors
    /// See [`AppendError`].
    fn remove_payloads(
        &mut self,
        before: Timestamp,
        limit: usize,
        without: WithoutPayloads<'_>,
    ) -> Result<usize, AppendError>;

    /// The volume written since the log was opened.
    fn written(&self) -> Written;
}

/// A function that returns a transaction's texts without their payloads, one for each entry.
pub type WithoutPayloads<'a> = &'a dyn Fn(&StoredTransaction) -> Option<Vec<String>>;

/// The volume that a writer wrote since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Calls that made data durable (`fsync` and its kin).
    pub syncs: u64,
    /// Bytes that went to storage, including those of a write-ahead log and its checkpoints.
    pub bytes: u64,
}

/// The reading end of a log, which sees only durable entries. It goes on after a failed append.
pub trait LogReader: Send + Sync {
    /// A transaction's history, oldest first; `None` if the log does not hold the transaction.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn history(&self, id: TransactionId) -> Result<Option<StoredTransaction>, ReadError>;

    /// The transaction that was submitted with this key.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn by_key(&self, key: &Key) -> Result<Option<TransactionId>, ReadError>;

    /// The greatest ordinal that [`LogWriter::trim`] has ever deleted; 0 if it deleted nothing. A
    /// missing transaction may have been deleted if its ordinal is not greater.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn trimmed(&self) -> Result<u64, ReadError>;

    /// The greatest place of an entry that [`LogWriter::trim`] has ever deleted; the least place if
    /// it deleted nothing. Only a reader that has reached this place has missed nothing.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn last_trimmed_lsn(&self) -> Result<Lsn, ReadError>;

    /// The [ordinals](TransactionId::ordinal) of the transactions that have not ended, ascending,
    /// at most `limit`, greater than `after`.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn unsettled(&self, after: u64, limit: usize) -> Result<Vec<u64>, ReadError>;

    /// The transactions with these ordinals, in this order, `None` for a missing one: all of them,
    /// or the first ones once these have `bytes` of [text](StoredTransaction::bytes) or more. A
    /// damaged transaction is returned as far as it can be read, and hides no other.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn transactions(
        &self,
        ordinals: &[u64],
        bytes: usize,
    ) -> Result<Vec<Option<StoredTransaction>>, ReadError>;

    /// The matching transactions, newest first, in one snapshot. If few match, a page may be short,
    /// or empty, although more follow.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn list(&self, query: &Query) -> Result<Page, ReadError>;

    /// The entries of all transactions after the place `after`, in the order of their places, at
    /// most `limit`. A transaction's own entries come in the order of its history.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn entries_after(&self, after: Lsn, limit: usize) -> Result<Vec<PlacedEntry>, ReadError>;

    /// The entries of the transaction with this ordinal, oldest first; empty if there is none.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn entries_of(&self, ordinal: u64) -> Result<Vec<PlacedEntry>, ReadError>;
}

/// An error from opening a log. A word in `backticks` is the [`maintenance`] that it advises.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another coordinator has it open.
    #[error("the log {log} is open in another coordinator; stop that one first")]
    InUse {
        /// The log.
        log: String,
    },
    /// The file at its place is no log.
    #[error("{log} is no log of Wholly ({why}); name another file")]
    NotALog {
        /// The log.
        log: String,
        /// The evidence.
        why: String,
    },
    /// A newer version of Wholly wrote it.
    #[error(
        "the log {log} has format {found}, and this version knows format {known}; \
         use the version that wrote it, or a newer one"
    )]
    Newer {
        /// The log.
        log: String,
        /// The log's format.
        found: u32,
        /// The format that this version knows.
        known: u32,
    },
    /// A version before the first release wrote it.
    #[error(
        "the log {log} has format {found}, which was never released, and this version knows format \
         {known}; let what it holds settle with the version that wrote it, then begin a new log"
    )]
    Older {
        /// The log.
        log: String,
        /// The log's format.
        found: u32,
        /// The format that this version knows.
        known: u32,
    },
    /// The log is missing, and was not to be created.
    #[error(
        "there is no log {log}; if there was one, find it first (is its disk mounted?); \
         else `create` one"
    )]
    Missing {
        /// The log.
        log: String,
    },
    /// Its file is gone or empty, and a file beside it shows that there was a log.
    #[error(
        "the log {log} is gone, or empty, and {beside} says that there was one; put the log back, or \
         put a backup in its place and open that as `restored`; only where nothing that it held matters \
         any more, remove {beside} and begin anew"
    )]
    Lost {
        /// The log.
        log: String,
        /// The file that shows it.
        beside: String,
    },
    /// The log exists already, and is not created anew.
    #[error("there is a log {log} already; it is left as it is")]
    Exists {
        /// The log.
        log: String,
    },
    /// It is a copy, and was not opened as one.
    #[error(
        "the log {log} is not known to be the original ({why}): the original may have run since, or \
         might run again. Open it as `restored`, a copy, which gives it an identity of its own and \
         quarantines what the original left in doubt until an operator decides"
    )]
    Copied {
        /// The log.
        log: String,
        /// The evidence.
        why: String,
    },
    /// It is in another file than before.
    #[error(
        "the log {log} was copied, or moved to another disk ({why}): if the original may have run \
         since, or might run again, open it as `restored`, a copy, which quarantines what the original \
         left in doubt until an operator decides; if it is the original itself, open it as `moved`"
    )]
    Moved {
        /// The log.
        log: String,
        /// The evidence.
        why: String,
    },
    /// It lost batches that were reported durable.
    #[error(
        "the log {log} lost what it held ({why}). Look for the file with all of it first. To go on \
         without it, open the log as `restored`, a copy, which quarantines what is unsettled until an \
         operator decides"
    )]
    Behind {
        /// The log.
        log: String,
        /// The loss.
        why: String,
    },
    /// It is damaged, and the damage may concern any transaction.
    #[error(
        "the log {log} is damaged ({why}). `verify` it to see what is; to go on with what is whole, open \
         it as `restored`, a copy, or `salvage` it where even that is refused: both quarantine what is \
         unsettled until an operator decides"
    )]
    Damaged {
        /// The log.
        log: String,
        /// The damage.
        why: String,
    },
    /// Its file has several names, each of which would be opened as a log of its own.
    #[error(
        "the log {log} has {links} names (hard links); opened by two of them it would be two logs: \
         remove all names but one"
    )]
    SeveralNames {
        /// The log.
        log: String,
        /// The number of names.
        links: u64,
    },
    /// It is not the log that this coordinator had open.
    #[error(
        "the log {log} is not what this coordinator had open ({why}); put the log back, and it \
         goes on, or stop it"
    )]
    Changed {
        /// The log.
        log: String,
        /// The difference.
        why: String,
    },
    /// The SQLite that this program was built with may damage it.
    #[error(
        "SQLite {found} can damage the log {log} while it checkpoints; at least {least} is needed: \
         build with the feature `bundled`, or link a newer one"
    )]
    UnsafeSqlite {
        /// The log.
        log: String,
        /// The version in use.
        found: String,
        /// The least version that is safe.
        least: &'static str,
    },
    /// This kind of log cannot be opened this way.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// It cannot be written.
    #[error("the log {log} cannot be written ({why}); a coordinator needs to write its log")]
    ReadOnly {
        /// The log.
        log: String,
        /// The system's error.
        why: String,
    },
    /// Storage failed.
    #[error("the log {log} cannot be opened: {why}")]
    Storage {
        /// The log.
        log: String,
        /// The system's error.
        why: String,
    },
}

/// An error from an append. In every case but `Rejected` it is unknown if the batch landed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The batch does not follow the last one that landed, or an earlier append failed.
    #[error("the append was rejected: it follows batch {after:?}, and the log stands at {head}")]
    Rejected {
        /// The predecessor that the batch named.
        after: Position,
        /// The log's position, as far as the writer can tell.
        head: String,
    },
    /// Another coordinator has opened the log since.
    #[error("the append was rejected: another coordinator has taken the log over")]
    Superseded,
    /// Storage failed.
    #[error("the append failed: {why}")]
    Storage {
        /// The system's error.
        why: String,
    },
}

/// An error from a read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Storage failed.
    #[error("the log cannot be read: {why}")]
    Storage {
        /// The system's error.
        why: String,
    },
    /// The data that was read is not the data that was written.
    #[error("the log is damaged: {why}")]
    Damaged {
        /// The damage.
        why: String,
    },
}
