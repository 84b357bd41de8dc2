//! The address of each operation: parsed once for each, because a call should not pay for it.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use http::Uri;
use wholly_core::OperationName;
use wholly_core::wire::{Call, Operation};

use super::url::{BaseUrl, InvalidUrl};

/// The most names of a saga's own that are kept. Authors of sagas choose the names, which could
/// fill the memory without a bound.
const KEPT: usize = 1_024;

/// The addresses of one participant's operations.
pub(super) struct Addresses {
    prepare: Uri,
    commit: Uri,
    abort: Uri,
    commit_one_phase: Uri,
    own: RwLock<BTreeMap<OperationName, Uri>>,
}

impl Addresses {
    pub(super) fn under(base: &BaseUrl) -> Result<Self, InvalidUrl> {
        Ok(Self {
            prepare: base.operation(Operation::Prepare.as_str())?,
            commit: base.operation(Operation::Commit.as_str())?,
            abort: base.operation(Operation::Abort.as_str())?,
            commit_one_phase: base.operation(Operation::CommitOnePhase.as_str())?,
            own: RwLock::default(),
        })
    }

    /// The address of a call; `base` is that of [`Addresses::under`].
    pub(super) fn of(&self, call: &Call, base: &BaseUrl) -> Result<Uri, InvalidUrl> {
        match (&call.operation_name, call.operation) {
            (Some(name), _) => self.own(name, base),
            (None, Operation::Prepare) => Ok(self.prepare.clone()),
            (None, Operation::Commit) => Ok(self.commit.clone()),
            (None, Operation::Abort) => Ok(self.abort.clone()),
            (None, Operation::CommitOnePhase) => Ok(self.commit_one_phase.clone()),
            // A saga's operations have names of their own; nothing here depends on it.
            (None, Operation::Action | Operation::Compensation) => {
                base.operation(call.operation_name())
            }
        }
    }

    fn own(&self, name: &OperationName, base: &BaseUrl) -> Result<Uri, InvalidUrl> {
        // A panic happens only outside of any change to the map.
        let known = self.own.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(address) = known {
            return Ok(address);
        }
        let address = base.operation(name.as_str())?;
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        if own.len() < KEPT {
            own.insert(name.clone(), address.clone());
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use wholly_core::{LogId, Payload, Timestamp, TransactionId};

    use super::*;

    fn call(operation_name: Option<&str>, operation: Operation) -> Call {
        let id = TransactionId::mint(0, Timestamp::default(), 0, LogId::from_bits(1));
        let call = Call::new(id, "reserve".parse().unwrap(), operation, Payload::null());
        Call { operation_name: operation_name.map(|name| name.parse().unwrap()), ..call }
    }

    #[test]
    fn past_the_bound_an_address_is_right_and_not_kept() {
        let base = BaseUrl::parse("http://shop/tx").unwrap();
        let addresses = Addresses::under(&base).unwrap();
        for number in 0..KEPT + 3 {
            let name = format!("reserve-{number}");
            for operation in [Operation::Action, Operation::Compensation] {
                let address = addresses.of(&call(Some(&name), operation), &base).unwrap();
                assert_eq!(address.to_string(), format!("/tx/{name}"));
            }
        }
        assert_eq!(addresses.own.read().unwrap().len(), KEPT);
        for operation in Operation::TWO_PHASE {
            let address = addresses.of(&call(None, operation), &base).unwrap();
            assert_eq!(address.to_string(), format!("/tx/{operation}"));
        }
    }
}
