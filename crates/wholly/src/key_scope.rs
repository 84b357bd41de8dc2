//! The scope of clients' keys.

use wholly_core::{InvalidName, Key, Name};

use crate::engine::OtherKey;

/// The scope in which a client's key names one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyScope {
    /// All callers have their keys in common.
    #[default]
    Global,
    /// Each caller has keys of its own.
    Caller,
}

impl KeyScope {
    /// The key with which a caller's transaction begins, and the one of the other scope. The
    /// caller's own is looked up first in both scopes, before the one that is everybody's.
    pub(crate) fn keys(
        self,
        caller: &Name,
        key: Result<Key, InvalidName>,
    ) -> (Result<Key, InvalidName>, Option<OtherKey>) {
        let Ok(key) = key else { return (key, None) };
        let own = key.clone().of_caller(caller);
        let (key, other) = match self {
            Self::Global => (key, OtherKey::Before(own)),
            Self::Caller => (own, OtherKey::After(key)),
        };
        (Ok(key), Some(other))
    }
}
