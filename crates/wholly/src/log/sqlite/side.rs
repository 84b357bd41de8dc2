//! The side file: the log's state, kept beside the database.
//!
//! A database alone cannot tell that it is an older copy of itself, or that a part of it was lost.
//! So after each commit a few numbers are written beside it: the database's file, the log's
//! identity, its epoch and head, and the *nonce* of the opening, a random number that the database
//! holds, too. A database behind these numbers has lost something; one without the nonce is another
//! database, or an older copy. [`judge`] draws the conclusions, and is pure.
//!
//! There are two slots, each in a block of its own and with a checksum, written in turns: a torn
//! one leaves the other. The order of an opening, by which the log opens again after a kill or a
//! power failure between any two of its writes:
//!
//! | step | a database that | the side file |
//! |---|---|---|
//! | found | has nonce N | has nonce N, or the one before it, and at most this head |
//! | 1 | has nonce N | is brought level: nonce N, this head; synced |
//! | 2 | raises the epoch by a commit, with a new nonce M, and remembers N | is level with what was |
//! | 3 | has nonce M | says M; synced |
//! | each batch | commits | says the new head; not synced |
//! | a stop | is closed | is synced |
//!
//! INVARIANT: the side file is written after the commit that it describes. So it is never ahead of
//! a database that lost nothing, also after a power failure that took what was not synced.
//!
//! A database that was just created, or given an identity of its own, is marked as lacking its side
//! file (`Stand::sided`) until the commit of step 2, which is then copied from the write-ahead log
//! at once: even without that log the database must not look new.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_64;
use wholly_core::LogId;

use super::Provenance;
use super::file::{FileId, beside, make_private};
use super::probe::{Bug, planted};
use crate::log::{OpenError, Position};

/// The distance between slots, in blocks that no disk writes together.
const SLOT_BYTES: u64 = 4_096;
/// "whlyside", and the version of the layout.
const MAGIC: u64 = 0x7768_6c79_7369_6465;
const VERSION: u64 = 1;
/// The count of numbers in a slot, its checksum among them.
const NUMBERS: usize = 11;

/// The content of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The number of the write: the slot with the greater one is the newer.
    pub(super) written: u64,
    pub(super) file: FileId,
    pub(super) identity: LogId,
    pub(super) epoch: u64,
    pub(super) nonce: u64,
    pub(super) head: Position,
}

/// The content of a side file, if it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Missing,
    /// Both slots are torn: nothing is known.
    Torn,
    Known(Slot),
}

/// The state of a database, to be compared with its side file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) file: FileId,
    pub(super) identity: LogId,
    pub(super) epoch: u64,
    pub(super) nonce: u64,
    /// The nonce of the opening before.
    pub(super) previous_nonce: u64,
    pub(super) head: Position,
    /// True if it is marked as a copy: a backup, or a salvage.
    pub(super) copy: bool,
    /// True if its side file was written.
    pub(super) sided: bool,
}

/// Judges if a database may be opened under this provenance.
pub(super) fn judge(
    log: &Path,
    stand: &Stand,
    found: Found,
    provenance: Provenance,
) -> Result<(), OpenError> {
    let name = log.display().to_string();
    let copied = |why: String| Err(OpenError::Copied { log: name.clone(), why });
    if provenance == Provenance::Restored {
        return Ok(());
    }
    if stand.copy && !(provenance == Provenance::Moved && planted(Bug::CopyOpensAsMoved)) {
        return copied("it is marked as a copy: a backup, or what was salvaged".to_owned());
    }
    let side = match found {
        Found::Missing if !stand.sided => return Ok(()),
        // The database has just got an identity of its own.
        Found::Known(side) if !stand.sided && side.identity != stand.identity => return Ok(()),
        Found::Missing => {
            let side = path(log);
            return copied(format!("its side file {} is not there", side.display()));
        }
        Found::Torn => return Ok(()),
        Found::Known(side) => side,
    };
    if side.identity != stand.identity {
        return copied(format!(
            "it has the identity {}, and its side file is of {}",
            stand.identity, side.identity
        ));
    }
    if ![stand.nonce, stand.previous_nonce].contains(&side.nonce) && !planted(Bug::AnyNonce) {
        return copied(format!(
            "it is at its opening number {}, and its side file at {}: it is an older copy, or \
             another one was opened since",
            stand.epoch, side.epoch
        ));
    }
    if stand.head < side.head && !planted(Bug::AnyHead) {
        let why = format!("it ends with batch {}, and had {}", stand.head.0, side.head.0);
        return Err(OpenError::Behind { log: name, why });
    }
    if provenance == Provenance::Original && !stand.file.is_same(side.file) {
        let FileId { device, inode, .. } = stand.file;
        let why = format!(
            "it is inode {inode} of device {device}, and was inode {} of device {}",
            side.file.inode, side.file.device
        );
        return Err(OpenError::Moved { log: name, why });
    }
    Ok(())
}

/// The side file of the log at this path.
pub(super) fn path(log: &Path) -> PathBuf {
    beside(log, "-side")
}

/// Reads the side file of the log at this path.
pub(super) fn read(log: &Path) -> io::Result<Found> {
    let bytes = match std::fs::read(path(log)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) => return Err(error),
    };
    let slots = [0, SLOT_BYTES as usize].map(|at| bytes.get(at..).and_then(Slot::decode));
    let newest = slots.into_iter().flatten().max_by_key(|slot| slot.written);
    Ok(newest.map_or(Found::Torn, Found::Known))
}

/// A side file that is written.
#[derive(Debug)]
pub(super) struct Side {
    file: File,
    slot: Slot,
}

impl Side {
    /// Brings the side file level with the database, and makes that durable.
    pub(super) fn bring_level(log: &Path, stand: &Stand, found: Found) -> io::Result<Self> {
        let path = path(log);
        make_private(&path)?;
        let file = OpenOptions::new().write(true).open(&path)?;
        let written = match found {
            Found::Known(slot) => slot.written,
            Found::Missing | Found::Torn => 0,
        };
        let Stand { file: id, identity, epoch, nonce, head, .. } = *stand;
        let mut side =
            Self { file, slot: Slot { written, file: id, identity, epoch, nonce, head } };
        // Both slots: an older one may be of another identity.
        side.write()?;
        side.write()?;
        side.sync()?;
        super::file::sync_directory(log)?;
        Ok(side)
    }

    /// Records the epoch and the nonce of an opening, and makes that durable.
    pub(super) fn opened(&mut self, epoch: u64, nonce: u64) -> io::Result<()> {
        (self.slot.epoch, self.slot.nonce) = (epoch, nonce);
        self.write()?;
        self.sync()
    }

    /// Records the log's head, without a sync.
    pub(super) fn has_come_to(&mut self, head: Position) -> io::Result<()> {
        self.slot.head = head;
        self.write()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&mut self) -> io::Result<()> {
        self.slot.written += 1;
        write_at(&self.file, &self.slot.encode(), (self.slot.written % 2) * SLOT_BYTES)
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

impl Slot {
    fn encode(&self) -> [u8; NUMBERS * 8] {
        let FileId { device, inode, born_nanos } = self.file;
        let (identity, head) = (self.identity.to_bits(), self.head.0);
        let numbers = [
            MAGIC,
            VERSION,
            self.written,
            device,
            inode,
            born_nanos,
            identity,
            self.epoch,
            self.nonce,
            head,
        ];
        let mut bytes = [0; NUMBERS * 8];
        for (to, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = XxHash3_64::oneshot(&bytes[..(NUMBERS - 1) * 8]);
        bytes[(NUMBERS - 1) * 8..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, _) = bytes.split_at_checked(NUMBERS * 8)?;
        let mut numbers = [0; NUMBERS];
        for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = u64::from_le_bytes(bytes.try_into().ok()?);
        }
        let [magic, version, written, device, inode, born_nanos, identity, epoch, nonce, head, sum] =
            numbers;
        let whole = XxHash3_64::oneshot(&bytes[..(NUMBERS - 1) * 8]) == sum;
        (whole && magic == MAGIC && version == VERSION).then(|| Self {
            written,
            file: FileId { device, inode, born_nanos },
            identity: LogId::from_bits(identity),
            epoch,
            nonce,
            head: Position(head),
        })
    }
}

#[cfg(test)]
mod tests;
