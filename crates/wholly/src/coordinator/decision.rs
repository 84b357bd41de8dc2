//! What a prepared participant that is in doubt is told (presumed abort).

use wholly_core::two_phase::Decision;
use wholly_core::{Transaction, TransactionId};

use super::Coordinator;
use crate::engine::{Input, Known, Minted, Reply};
use crate::error::{DecisionError, GetError};
use crate::log::StoredTransaction;
use crate::replay::replay;

impl Coordinator {
    /// What is durably decided of a transaction in two phases; `None` while it is undecided.
    ///
    /// Presumed abort: an id that this log minted and does not hold is aborted, for nobody was
    /// asked to prepare before it was durable. But not one as old as those that retention has
    /// deleted, which may have committed; nor one that another log minted, the one that this log
    /// is a restored copy of among them, for that one may have gone on.
    ///
    /// # Errors
    /// When it cannot be told; the participant stays in doubt.
    pub async fn decision(&self, id: TransactionId) -> Result<Option<Decision>, DecisionError> {
        // What is known but not durable yet is made so first.
        let known = match self.ask(|to| Input::Read { id, to }).await {
            Some(Reply::Read(known)) => known,
            _ => Known::default(),
        };
        let unreadable =
            |error: GetError| DecisionError::Unavailable { id, why: error.to_string() };
        match self.read(move |log| log.history(id)).await.map_err(unreadable)? {
            Some(stored) => decided(&stored),
            None => {
                // Asked for after the history, so that what is trimmed in between is not missed.
                let trimmed = self.read(|log| log.trimmed()).await.map_err(unreadable)?;
                presumed(id, known.minted, trimmed)
            }
        }
    }
}

pub(crate) fn decided(stored: &StoredTransaction) -> Result<Option<Decision>, DecisionError> {
    match replay(stored).map(|replayed| replayed.transaction) {
        Ok(Transaction::TwoPhase(transaction)) => Ok(transaction.decision()),
        Ok(Transaction::Saga(_)) => Err(DecisionError::Saga { id: stored.id }),
        // It is quarantined: what it says cannot be read, so nothing is presumed.
        Err(_) => Ok(None),
    }
}

/// What is presumed of an id that the log does not hold.
pub(crate) fn presumed(
    id: TransactionId,
    minted: Option<Minted>,
    trimmed: u64,
) -> Result<Option<Decision>, DecisionError> {
    let Some(minted) = minted else {
        // Its start may be in the batch of which it is not known whether it landed.
        let why = "the log is not available".to_owned();
        return Err(DecisionError::Unavailable { id, why });
    };
    match id.ordinal() {
        _ if id.log() != minted.identity => Err(DecisionError::OtherLog { id }),
        newer if newer > minted.last_ordinal => Err(DecisionError::NotBegun { id }),
        old if old <= trimmed => Err(DecisionError::Trimmed { id }),
        _ => Ok(Some(Decision::Aborted)),
    }
}
