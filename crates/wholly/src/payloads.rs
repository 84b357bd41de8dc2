//! The rest of a stored transaction once its payloads are removed.

use wholly_core::entry;

use crate::log::StoredTransaction;
use crate::replay::replay;

/// The texts of a settled transaction's entries without their payloads. `None` where they stay as
/// they are: there is none left, or what is left could not be read back as the same transaction.
pub(crate) fn without_payloads(stored: &StoredTransaction) -> Option<Vec<String>> {
    let whole = replay(stored).ok()?;
    if whole.payloads_removed {
        return None;
    }
    let text = |text: &str| {
        let records = entry::decode(text).ok()?.into_iter();
        let left = |(at, record): (_, wholly_core::Record)| {
            Some((at, record.without_payloads(&whole.transaction)?))
        };
        entry::encode_removed(&records.map(left).collect::<Option<Vec<_>>>()?).ok()
    };
    let texts: Vec<_> = stored.entries.iter().map(|e| text(&e.text)).collect::<Option<_>>()?;
    // INVARIANT: what is left folds to a transaction in the same state.
    let mut left = stored.clone();
    left.entries.iter_mut().zip(&texts).for_each(|(entry, text)| entry.text.clone_from(text));
    let same = replay(&left).is_ok_and(|left| {
        left.transaction.is_settled()
            && left.transaction.view().state == whole.transaction.view().state
    });
    if !same {
        tracing::error!(transaction = %stored.id, "the transaction's payloads cannot be removed, so they are kept");
    }
    same.then_some(texts)
}
