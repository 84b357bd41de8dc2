//! Labels as the file holds them: one small number.
//!
//! What never changes of a transaction (name, pattern, participants, and the log that minted its
//! id) is its *kind*. There are few kinds, so each is written once, in a table of its own, and has a
//! number. A label is the number of a kind, and in its low bits the transaction's state, whether it
//! is stuck, and whether it has settled. An entry takes one byte or two for it.
//!
//! A program may give every transaction a name of its own. Then there are as many kinds as
//! transactions; that costs room, and lists by anything but the name look at more rows.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use wholly_core::{LogId, Name, ParticipantName};

use super::super::listing::{Labels, Pattern, State};
use super::super::{Entry, ReadError};
use super::checksum::{numbers, text};

/// How many low bits of a label are not the kind: the state's number, stuck and settled.
pub(super) const STANDING_BITS: u32 = State::BITS + 2;
/// How many kinds the writer remembers.
const REMEMBERED: usize = 4_096;

/// What never changes of a transaction's labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LabelKind {
    name: Name,
    pattern: Pattern,
    participants: Arc<[ParticipantName]>,
    log: LogId,
}

/// The kinds that the writer has met.
#[derive(Default)]
pub(super) struct Kinds(HashMap<LabelKind, i64>);

impl Kinds {
    /// The label of a transaction with this entry, in the caller's transaction, which may add a
    /// kind.
    pub(super) fn label(&mut self, file: &Connection, entry: &Entry) -> rusqlite::Result<i64> {
        let Labels { name, pattern, participants, state, stuck } = entry.labels.clone();
        let (log, settled) = (entry.transaction.log(), entry.ended.is_some());
        let kind = self.number(file, LabelKind { name, pattern, participants, log })?;
        let standing = (state.number() as i64) << 2 | i64::from(stuck) << 1 | i64::from(settled);
        Ok(kind << STANDING_BITS | standing)
    }

    fn number(&mut self, file: &Connection, kind: LabelKind) -> rusqlite::Result<i64> {
        if let Some(number) = self.0.get(&kind) {
            return Ok(*number);
        }
        let names: Vec<_> = kind.participants.iter().map(ParticipantName::as_str).collect();
        let (names, log) = (names.join(" "), kind.log.to_bits().to_be_bytes());
        let row = params![kind.name.as_str(), kind.pattern.as_str(), names, log];
        let known = file
            .prepare_cached(
                "SELECT kind FROM kinds
                 WHERE name = ?1 AND pattern = ?2 AND participants = ?3 AND log = ?4",
            )?
            .query_row(row, |row| row.get(0))
            .optional()?;
        let number = match known {
            Some(number) => number,
            None => {
                let next = "SELECT coalesce(max(kind), 0) + 1 FROM kinds";
                let number = file.prepare_cached(next)?.query_row([], |row| row.get(0))?;
                let parts = (log, [kind.name.to_string(), kind.pattern.as_str().to_owned(), names]);
                insert_kind(file, number, &parts)?;
                number
            }
        };
        if self.0.len() >= REMEMBERED {
            self.forget();
        }
        self.0.insert(kind, number);
        Ok(number)
    }

    /// Forgets all of them: some may be gone from the file.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Labels by their number, as one read finds them.
pub(super) struct Dictionary<'f> {
    file: &'f Connection,
    kinds: HashMap<i64, Option<LabelKind>>,
}

impl<'f> Dictionary<'f> {
    pub(super) fn of(file: &'f Connection) -> Self {
        Self { file, kinds: HashMap::new() }
    }

    /// The labels with this number, and whether they are of one that has settled; `None` if
    /// nothing has them, or has them any more.
    pub(super) fn labels(&mut self, label: i64) -> Result<Option<(Labels, bool)>, ReadError> {
        let Some(kind) = self.kind(label >> STANDING_BITS)? else { return Ok(None) };
        let state = (label >> 2) & ((1 << (STANDING_BITS - 2)) - 1);
        let Some(state) = State::ALL.get(state as usize).copied() else { return Ok(None) };
        let LabelKind { name, pattern, participants, log: _ } = kind.clone();
        let labels = Labels { name, pattern, participants, state, stuck: label & 2 != 0 };
        Ok(Some((labels, label & 1 != 0)))
    }

    /// Which log minted the id of a transaction with this label.
    pub(super) fn log(&mut self, label: i64) -> Result<Option<LogId>, ReadError> {
        Ok(self.kind(label >> STANDING_BITS)?.map(|kind| kind.log))
    }

    fn kind(&mut self, number: i64) -> Result<Option<&LabelKind>, ReadError> {
        if !self.kinds.contains_key(&number) {
            let read = self
                .file
                .prepare_cached(&format!("{COLUMNS} WHERE kind = ?1"))?
                .query_row([number], parts)
                .optional()?;
            let kind = read.map(|(_, parts)| LabelKind::parse(&parts)).transpose()?;
            self.kinds.insert(number, kind);
        }
        Ok(self.kinds.get(&number).and_then(Option::as_ref))
    }

    /// The numbers of the kinds with this name, or of all; `None` if they are more than `limit`.
    pub(super) fn kinds(
        &mut self,
        name: Option<&Name>,
        limit: usize,
    ) -> Result<Option<Vec<i64>>, ReadError> {
        let rows: Vec<_> = match name {
            Some(name) => self
                .file
                .prepare_cached(&format!("{COLUMNS} WHERE name = ?1 LIMIT ?2"))?
                .query_map(params![name.as_str(), limit as i64 + 1], parts)?
                .collect::<Result<_, _>>()?,
            None => self
                .file
                .prepare_cached(&format!("{COLUMNS} LIMIT ?1"))?
                .query_map([limit as i64 + 1], parts)?
                .collect::<Result<_, _>>()?,
        };
        if rows.len() > limit {
            return Ok(None);
        }
        for (number, parts) in &rows {
            self.kinds.insert(*number, Some(LabelKind::parse(parts)?));
        }
        Ok(Some(rows.into_iter().map(|(number, _)| number).collect()))
    }
}

pub(super) const COLUMNS: &str =
    "SELECT kind, log, name, pattern, participants, checksum FROM kinds";

/// A kind's log, and its name, pattern and participants, as they are written.
pub(super) type Parts = ([u8; 8], [String; 3]);

/// The number and the parts of a kind; those of one that is not what was written are an error.
pub(super) fn parts(row: &Row<'_>) -> rusqlite::Result<(i64, Parts)> {
    let (kind, parts) = (row.get(0)?, (row.get(1)?, [row.get(2)?, row.get(3)?, row.get(4)?]));
    match checksum(kind, &parts) == row.get::<_, i64>(5)? {
        true => Ok((kind, parts)),
        false => Err(rusqlite::Error::FromSqlConversionFailure(
            5,
            rusqlite::types::Type::Integer,
            format!("the kind {kind} is not what was written").into(),
        )),
    }
}

/// Writes a kind under this number.
pub(super) fn insert_kind(file: &Connection, number: i64, parts: &Parts) -> rusqlite::Result<()> {
    let (log, [name, pattern, participants]) = parts;
    file.prepare_cached(
        "INSERT INTO kinds (kind, name, pattern, participants, log, checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![number, name, pattern, participants, log, checksum(number, parts)])?;
    Ok(())
}

fn checksum(kind: i64, (log, texts): &Parts) -> i64 {
    let log = i64::from_be_bytes(*log);
    let [name, pattern, participants] = texts.each_ref().map(|part| text(Some(part.as_bytes())));
    numbers(&[kind, log, name, pattern, participants]).cast_signed()
}

impl LabelKind {
    fn parse((log, [name, pattern, participants]): &Parts) -> Result<Self, ReadError> {
        let names = participants.split_ascii_whitespace().map(ParticipantName::new);
        Ok(Self {
            name: Name::new(name.as_str()).map_err(|_| unreadable("name", name))?,
            pattern: Pattern::named(pattern).ok_or_else(|| unreadable("pattern", pattern))?,
            participants: names
                .collect::<Result<_, _>>()
                .map_err(|_| unreadable("list of participants", participants))?,
            log: LogId::from_bits(u64::from_be_bytes(*log)),
        })
    }
}

fn unreadable(what: &str, found: &str) -> ReadError {
    ReadError::Damaged { why: format!("the log holds {found:?} as a {what}, which is none") }
}
