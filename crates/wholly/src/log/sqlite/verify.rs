//! Verifying: all of the log is read, and what is wrong is said in words. Nothing is changed.

use std::collections::BTreeSet;
use std::path::Path;

use super::check::{DamagedPart, FileCheck};
use super::file::{self, LogFile};
use super::find::{find, snapshot};
use super::look::{connect_to_look, make_sure_it_is_one, stand};
use super::side;
use super::tail::{Shared, read_back};
use super::{create, write_ahead};
use crate::log::maintenance::{Doubt, Provenance, Verified, VerifyError};
use crate::log::{OpenError, Position, ReadError};

/// So many damages are told in words.
const TOLD: usize = 1_000;

pub(super) fn verify(given: &Path) -> Result<Verified, VerifyError> {
    let storage = |why: String| VerifyError::Storage { log: given.to_owned(), why };
    let path = file::canonical(given).map_err(|error| storage(error.to_string()))?;
    if !path.metadata().is_ok_and(|file| file.len() > 0) {
        return Err(OpenError::Missing { log: path.display().to_string() }.into());
    }
    let kept = LogFile::keep(&path).map_err(|error| storage(error.to_string()))?;
    let mut findings = Findings::default();
    // Before the database: beside a running coordinator it is then never ahead of what is read.
    let side = side::read(&path).map_err(|error| storage(error.to_string()))?;
    let broken = write_ahead::broken_frame(&path).map_err(|error| storage(error.to_string()))?;
    if let Some(frame) = broken {
        findings.of_any(format!(
            "frame {frame} of the write-ahead log is broken, and later commits stand behind it"
        ));
    }
    match findings.read(&path, side) {
        Ok(()) => {}
        Err(Unreadable::Log(OpenError::Damaged { why, .. })) => findings.of_any(why),
        Err(Unreadable::Log(error)) => return Err(error.into()),
        Err(Unreadable::Read(ReadError::Damaged { why })) => findings.of_any(why),
        Err(Unreadable::Read(error)) => return Err(storage(error.to_string())),
    }
    drop(kept);
    Ok(findings.0)
}

enum Unreadable {
    Log(OpenError),
    Read(ReadError),
}

impl From<OpenError> for Unreadable {
    fn from(error: OpenError) -> Self {
        Self::Log(error)
    }
}

impl<E: Into<ReadError>> From<E> for Unreadable {
    fn from(error: E) -> Self {
        Self::Read(error.into())
    }
}

struct Findings(Verified);

impl Default for Findings {
    fn default() -> Self {
        Self(Verified {
            identity: None,
            head: Position(0),
            transactions: 0,
            unsettled: 0,
            damage: Vec::new(),
            doubt: Doubt::Nothing,
            refused: None,
        })
    }
}

impl Findings {
    fn of_any(&mut self, what: String) {
        self.take(DamagedPart::of_any(what));
    }

    fn take(&mut self, problem: DamagedPart) {
        let Verified { damage, doubt, .. } = &mut self.0;
        if damage.len() < TOLD {
            damage.push(problem.what);
        }
        match (problem.transaction, doubt) {
            (None, doubt) => *doubt = Doubt::Any,
            (Some(id), Doubt::These(these)) => _ = these.insert(id),
            (Some(id), doubt @ Doubt::Nothing) => *doubt = Doubt::These(BTreeSet::from([id])),
            (Some(_), Doubt::Any) => {}
        }
    }

    fn read(&mut self, path: &Path, side: side::Found) -> Result<(), Unreadable> {
        let file = connect_to_look(path, 16_000)?;
        let _snapshot = snapshot(&file)?;
        make_sure_it_is_one(&file, path)?;
        let (meta, stand) = stand(&file, path)?;
        (self.0.identity, self.0.head) = (Some(stand.identity), stand.head);
        match side::judge(path, &stand, side, Provenance::Original) {
            Err(OpenError::Behind { why, .. }) => self.of_any(why),
            judged => self.0.refused = judged.err(),
        }
        if let Some(what) = create::wrong_structure(&file)? {
            self.of_any(what);
        }
        let mut check = FileCheck::begin(&file, meta)?;
        while check.piece(&file, &mut |problem| self.take(problem))? {}
        check.nothing_more(&file, &mut |problem| self.take(problem))?;
        self.0.transactions = check.transactions;

        let read = read_back(&file, &meta, usize::MAX)?;
        if let Some(what) = read.damage {
            self.of_any(what);
        }
        self.0.unsettled = read.tail.unsettled.len() as u64;
        let recent: Vec<_> = read.tail.transactions.iter().map(|(o, k)| (*o, k.begun)).collect();
        self.0.transactions += recent.iter().filter(|(_, begun)| begun.is_some()).count() as u64;
        let tail = Shared::new(read.tail);
        for (ordinal, _) in recent {
            let Some(found) = find(&file, &tail, ordinal)? else { continue };
            if let Some(what) = found.damage {
                self.take(DamagedPart { what, transaction: Some(found.id) });
            }
        }
        Ok(())
    }
}
