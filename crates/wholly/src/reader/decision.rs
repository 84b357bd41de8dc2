//! The decision that a prepared participant in doubt is told (presumed abort).
//!
//! Presumed abort: an id that this log minted and does not hold is aborted, for nobody was asked to
//! prepare before it was durable. Nothing is presumed of an id as old as those that retention has
//! deleted, which may have committed; nor of one that another log minted, even the log of which
//! this one is a restored copy, for that one may have gone on.

use wholly_core::two_phase::Decision;
use wholly_core::{Inquiry, TransactionId};

use crate::engine::Minted;
use crate::error::DecisionError;
use crate::log::StoredTransaction;
use crate::replay::replay;

/// The durable decision of a transaction that the log holds.
pub(crate) fn decided(stored: &StoredTransaction) -> Result<Option<Decision>, DecisionError> {
    match replay(stored).map(|replayed| replayed.transaction.inquiry()) {
        Ok(Inquiry::Decision(decision)) => Ok(decision),
        Ok(Inquiry::NeverInDoubt) => Err(DecisionError::Saga { id: stored.id }),
        // Its records cannot be used, so nothing is presumed.
        Err(_) => Ok(None),
    }
}

/// The presumed decision of an id that the log does not hold. `minted` are the ids whose starts
/// were durable, if at all, before the log was read.
pub(crate) fn presumed(
    id: TransactionId,
    minted: Option<Minted>,
    trimmed: u64,
) -> Result<Option<Decision>, DecisionError> {
    let Some(minted) = minted else {
        // Its start may be in a batch that may or may not have landed.
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
