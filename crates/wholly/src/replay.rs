//! From a transaction's entries back to its value: the one way to read a log.

use wholly_core::entry::{self, DecodeError, Timed};
use wholly_core::{BrokenInvariant, Record, Timestamp, Transaction};

use crate::log::StoredTransaction;

/// A transaction as its entries tell it.
pub(crate) struct Replayed {
    pub transaction: Transaction,
    /// Every record, oldest first.
    pub history: Vec<Timed>,
    /// Whether its payloads were removed: `null` is in their place.
    pub payloads_removed: bool,
}

/// Reads a transaction back.
pub(crate) fn replay(stored: &StoredTransaction) -> Result<Replayed, ReplayError> {
    let mut history: Vec<(Timestamp, Record)> = Vec::new();
    for (expected, entry) in (0..).zip(&stored.entries) {
        if entry.sequence != expected {
            return Err(ReplayError::Gap { expected, found: entry.sequence });
        }
        history.extend(entry::decode(&entry.text)?);
    }
    let start = history.first().and_then(|(_, record)| Transaction::start(record));
    let mut transaction = start.ok_or(ReplayError::NoStart)?;
    for (_, record) in &history[1..] {
        transaction.apply(record)?;
    }
    let payloads_removed =
        stored.entries.first().is_some_and(|first| entry::is_removed(&first.text));
    Ok(Replayed { transaction, history, payloads_removed })
}

impl ReplayError {
    /// What is wrong, without a word of what was read.
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
}

/// Why a transaction cannot be read back.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_without_a_word_of_it() {
        let text = r#"{"v":1,"r":[[5,"marked"]]}"#;
        let error = ReplayError::from(entry::decode(text).unwrap_err());
        assert!(error.to_string().contains("marked"), "{error}");
        assert!(!error.kind().contains("marked"), "{}", error.kind());
        assert!(error.kind().contains("line 1"), "{}", error.kind());
    }
}
