//! The one row of the table `meta`: the log's knowledge of itself.

use rusqlite::types::ToSql;
use rusqlite::{Connection, named_params};
use wholly_core::LogId;

use super::checksum::numbers;
use crate::log::{Position, ReadError};

/// The log's knowledge of itself. Its row has a checksum over all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) identity: u64,
    /// The epoch, which every opening raises.
    pub(super) epoch: u64,
    /// The nonces of this opening and of the one before: see [`super::side`].
    pub(super) nonce: u64,
    pub(super) previous_nonce: u64,
    /// True if the side file was written since the log was made, or got its identity.
    pub(super) sided: bool,
    /// True if this is a copy: a backup, or a salvage.
    pub(super) copy: bool,
    /// A lower bound of the log's position, for batches whose entries are gone, or had none.
    pub(super) head: u64,
    /// The place before which every entry is in the indexes.
    pub(super) indexed: i64,
    /// The chain of the last batch before `indexed`.
    pub(super) chain: i64,
    /// The sum of the checksums of the entries before `indexed`.
    pub(super) total: i64,
    /// The sum of the checksums of the rows of `unsettled`.
    pub(super) unsettled: i64,
    /// The greatest ordinal that was ever deleted.
    pub(super) trimmed: i64,
    /// The greatest place that was ever deleted.
    pub(super) trimmed_place: i64,
    /// The place up to which ended transactions were examined to remove their payloads.
    pub(super) payloads_to: i64,
}

/// An error from reading the row.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetaError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("the table meta is not what was written")]
    Damaged,
}

impl From<MetaError> for ReadError {
    fn from(error: MetaError) -> Self {
        match error {
            MetaError::Sqlite(error) => error.into(),
            MetaError::Damaged => Self::Damaged { why: error.to_string() },
        }
    }
}

impl Meta {
    pub(super) const TABLE: &str = "
        CREATE TABLE meta (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            identity BLOB NOT NULL,
            epoch INTEGER NOT NULL,
            nonce INTEGER NOT NULL,
            previous_nonce INTEGER NOT NULL,
            sided INTEGER NOT NULL,
            copy INTEGER NOT NULL,
            head INTEGER NOT NULL,
            indexed INTEGER NOT NULL,
            chain INTEGER NOT NULL,
            total INTEGER NOT NULL,
            unsettled INTEGER NOT NULL,
            trimmed INTEGER NOT NULL,
            trimmed_place INTEGER NOT NULL,
            payloads_to INTEGER NOT NULL,
            checksum INTEGER NOT NULL
        );
    ";

    /// # Errors
    /// If the row cannot be read, or is not the row that was written.
    pub(super) fn read(file: &Connection) -> Result<Self, MetaError> {
        let mut statement = file.prepare_cached(
            "SELECT identity, epoch, nonce, previous_nonce, sided, copy, head, indexed, chain,
             total, unsettled, trimmed, trimmed_place, payloads_to, checksum FROM meta WHERE one = 1",
        )?;
        let (meta, checksum) = statement.query_row([], |row| {
            let number = |column| row.get::<_, i64>(column);
            let meta = Self {
                identity: u64::from_be_bytes(row.get(0)?),
                epoch: number(1)?.cast_unsigned(),
                nonce: number(2)?.cast_unsigned(),
                previous_nonce: number(3)?.cast_unsigned(),
                sided: row.get(4)?,
                copy: row.get(5)?,
                head: number(6)?.cast_unsigned(),
                indexed: number(7)?,
                chain: number(8)?,
                total: number(9)?,
                unsettled: number(10)?,
                trimmed: number(11)?,
                trimmed_place: number(12)?,
                payloads_to: number(13)?,
            };
            Ok((meta, number(14)?))
        })?;
        if meta.checksum() == checksum { Ok(meta) } else { Err(MetaError::Damaged) }
    }

    /// Writes the row, in the caller's transaction.
    pub(super) fn write(&self, file: &Connection) -> rusqlite::Result<()> {
        let unsigned = [self.epoch, self.nonce, self.previous_nonce, self.head];
        let [epoch, nonce, previous_nonce, head] = unsigned.map(u64::cast_signed);
        file.prepare_cached(
            "INSERT OR REPLACE INTO meta VALUES (1, :identity, :epoch, :nonce, :previous_nonce,
             :sided, :copy, :head, :indexed, :chain, :total, :unsettled, :trimmed,
             :trimmed_place, :payloads_to, :checksum)",
        )?
        .execute(named_params! {
            ":identity": &self.identity.to_be_bytes() as &dyn ToSql,
            ":epoch": epoch,
            ":nonce": nonce,
            ":previous_nonce": previous_nonce,
            ":sided": self.sided,
            ":copy": self.copy,
            ":head": head,
            ":indexed": self.indexed,
            ":chain": self.chain,
            ":total": self.total,
            ":unsettled": self.unsettled,
            ":trimmed": self.trimmed,
            ":trimmed_place": self.trimmed_place,
            ":payloads_to": self.payloads_to,
            ":checksum": self.checksum(),
        })?;
        Ok(())
    }

    pub(super) fn identity(&self) -> LogId {
        LogId::from_bits(self.identity)
    }

    pub(super) fn head(&self) -> Position {
        Position(self.head)
    }

    fn checksum(&self) -> i64 {
        let unsigned = [self.identity, self.epoch, self.nonce, self.previous_nonce, self.head];
        let [identity, epoch, nonce, previous_nonce, head] = unsigned.map(u64::cast_signed);
        let [sided, copy] = [self.sided, self.copy].map(i64::from);
        let Self { indexed, chain, total, unsettled, trimmed, trimmed_place, payloads_to, .. } =
            *self;
        let known = [identity, epoch, nonce, previous_nonce, head, sided, copy];
        let known = numbers(&known).cast_signed();
        let numbers = numbers(&[
            known,
            indexed,
            chain,
            total,
            unsettled,
            trimmed,
            trimmed_place,
            payloads_to,
        ]);
        numbers.cast_signed()
    }
}
