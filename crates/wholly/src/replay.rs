//! From a transaction's entries back to its value: the one way to read a log.

use wholly_core::entry::{self, DecodeError, EndedByHand, Timed};
use wholly_core::{BrokenInvariant, Key, Transaction, TransactionId};

use crate::log::StoredTransaction;

/// A transaction as its entries tell it.
pub(crate) struct Replayed {
    pub transaction: Transaction,
    /// Every record, oldest first.
    pub history: Vec<Timed>,
    /// True if its payloads were removed: `null` is in their place.
    pub payloads_removed: bool,
}

/// A stored transaction, folded where the log is read, so that the loop parses no text.
pub(crate) struct FoldedTransaction {
    pub id: TransactionId,
    /// The key with which it was submitted, as far as it can be read.
    pub key: Option<Key>,
    /// The transaction as far as its entries tell it, and why that is not all.
    pub folded: (Option<Replayed>, Option<ReplayError>),
    /// The sequence of the entry that follows.
    pub next_sequence: u32,
}

impl From<&StoredTransaction> for FoldedTransaction {
    fn from(stored: &StoredTransaction) -> Self {
        let key = || {
            let first = entry::decode(&stored.entries.first()?.text).ok()?;
            first.first()?.1.key().cloned()
        };
        Self {
            id: stored.id,
            key: key(),
            folded: as_far_as_known(stored),
            next_sequence: stored.entries.last().map_or(0, |entry| entry.sequence + 1),
        }
    }
}

impl FoldedTransaction {
    /// The transaction, if all of it can be used.
    pub fn whole(self) -> Result<Replayed, ReplayError> {
        match self.folded {
            (_, Some(wrong)) => Err(wrong),
            (Some(replayed), None) => Ok(replayed),
            (None, None) => Err(ReplayError::NoStart),
        }
    }
}

/// Reads a transaction back.
pub(crate) fn replay(stored: &StoredTransaction) -> Result<Replayed, ReplayError> {
    FoldedTransaction::from(stored).whole()
}

/// Reads a transaction back as far as its entries tell it, from the first one on; and why that is
/// not all.
pub(crate) fn as_far_as_known(
    stored: &StoredTransaction,
) -> (Option<Replayed>, Option<ReplayError>) {
    let (mut history, mut wrong) = records(stored);
    let transaction = fold(&history).or_else(|(sound, broken)| {
        wrong.get_or_insert(broken);
        // The transaction that broke a law is not used: the records before are folded again.
        history.truncate(sound);
        fold(&history)
    });
    let wrong = last_word(stored, wrong);
    let payloads_removed =
        stored.entries.first().is_some_and(|first| entry::is_removed(&first.text));
    let known =
        transaction.ok().map(|transaction| Replayed { transaction, history, payloads_removed });
    (known, wrong)
}

/// The records of the entries that are there one after the other and can be read.
fn records(stored: &StoredTransaction) -> (Vec<Timed>, Option<ReplayError>) {
    let mut history = Vec::new();
    for (expected, entry) in (0..).zip(&stored.entries) {
        if entry.sequence != expected {
            return (history, Some(ReplayError::Gap { expected, found: entry.sequence }));
        }
        match entry::decode(&entry.text) {
            Ok(records) => history.extend(records),
            Err(error) => return (history, Some(error.into())),
        }
    }
    (history, None)
}

/// The transaction that these records amount to; else the number of them that are sound.
fn fold(history: &[Timed]) -> Result<Transaction, (usize, ReplayError)> {
    let start = history.first().and_then(|(_, record)| Transaction::start(record));
    let mut transaction = start.ok_or((0, ReplayError::NoStart))?;
    for (nth, (_, record)) in history.iter().enumerate().skip(1) {
        transaction.apply(record).map_err(|broken| (nth, broken.into()))?;
    }
    Ok(transaction)
}

/// The reason why a transaction cannot be used, if it is wrong: an operator's word tells more than
/// damage, and damage more than the gap that it leaves.
fn last_word(stored: &StoredTransaction, wrong: Option<ReplayError>) -> Option<ReplayError> {
    let wrong = stored.damage.clone().map(ReplayError::Damaged).or(wrong)?;
    let ended = stored.entries.last().and_then(|last| entry::decode_ended(&last.text));
    Some(ended.map_or(wrong, ReplayError::Ended))
}

impl ReplayError {
    /// The kind of error, without a word of the text that was read.
    pub fn kind(&self) -> String {
        match self {
            Self::Decode(DecodeError::Json(error)) => format!(
                "its records are not readable: {:?} at line {}, column {}",
                error.classify(),
                error.line(),
                error.column()
            ),
            other => other.to_string(),
        }
    }

    /// The operator's word that ended the transaction, if one did.
    pub fn ended(&self) -> Option<&EndedByHand> {
        match self {
            Self::Ended(ended) => Some(ended),
            Self::Damaged(_)
            | Self::Decode(_)
            | Self::BrokenInvariant(_)
            | Self::Gap { .. }
            | Self::NoStart => None,
        }
    }
}

/// The reason why a transaction cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    BrokenInvariant(#[from] BrokenInvariant),
    #[error("entry {expected} is missing; the next one is {found}")]
    Gap { expected: u32, found: u32 },
    #[error("it does not begin with a start")]
    NoStart,
    #[error("it is damaged in the log: {0}")]
    Damaged(String),
    #[error("an operator ended it at {} (milliseconds since the Unix epoch): {}", .0.at, .0.reason)]
    Ended(EndedByHand),
}

#[cfg(test)]
mod tests {
    use wholly_core::{LogId, Timestamp, TransactionId};

    use super::*;
    use crate::log::StoredEntry;

    #[test]
    fn what_cannot_be_read_is_told_without_a_word_of_it() {
        let text = r#"{"v":1,"r":[[5,"marked"]]}"#;
        let error = ReplayError::from(entry::decode(text).unwrap_err());
        assert!(error.to_string().contains("marked"), "{error}");
        assert!(!error.kind().contains("marked"), "{}", error.kind());
        assert!(error.kind().contains("line 1"), "{}", error.kind());
    }

    #[test]
    fn what_is_known_ends_before_the_first_record_that_cannot_be_used() {
        let start =
            r#"{"v":1,"r":[[1,{"started":{"name":"a","deadline":9,"branches":[["x",1]]}}]]}"#;
        let vote = r#"{"v":1,"r":[[2,{"vote":[0,"yes"]}]]}"#;
        let twice = r#"{"v":1,"r":[[2,{"vote":[0,"yes"]},{"vote":[0,"yes"]}]]}"#;
        let ended = r#"{"v":1,"ended":[3,"by hand"]}"#;
        type Case<'a> = (&'a [(u32, &'a str)], Option<&'a str>, usize, &'a str);
        let cases: [Case<'_>; 8] = [
            (&[(0, start), (1, vote)], None, 2, ""),
            (&[(0, start), (1, vote)], Some("entry 2 is gone"), 2, "entry 2 is gone"),
            (&[(0, start), (2, vote)], Some("entry 1 is gone"), 1, "entry 1 is gone"),
            (&[(0, start), (2, vote)], None, 1, "entry 1 is missing"),
            (&[(0, start), (1, twice)], None, 2, "votes once"),
            (&[(0, start), (1, "no JSON"), (2, vote)], None, 1, "not readable"),
            (&[(0, start), (2, ended)], Some("entry 1 is gone"), 1, "an operator ended it"),
            (&[(1, vote), (2, ended)], Some("entry 0 is gone"), 0, "an operator ended it"),
        ];
        for (entries, damage, known, why) in cases {
            let id = TransactionId::mint(0, Timestamp::default(), 0, LogId::from_bits(1));
            let entry = |&(sequence, text): &(u32, &str)| {
                let text = text.to_owned();
                StoredEntry { sequence, text }
            };
            let entries = entries.iter().map(entry).collect();
            let stored = StoredTransaction { id, entries, damage: damage.map(str::to_owned) };
            let (replayed, wrong) = as_far_as_known(&stored);
            assert_eq!(replayed.map_or(0, |replayed| replayed.history.len()), known, "{stored:?}");
            let wrong = wrong.map(|wrong| wrong.to_string()).unwrap_or_default();
            assert!(wrong.contains(why) && wrong.is_empty() == why.is_empty(), "{wrong}");
            assert_eq!(replay(&stored).is_ok(), why.is_empty());
        }
    }
}
