//! A second key under which a transaction may have begun: the same text of the other scope.
//!
//! INVARIANT: nothing begins under such a key while it is looked up, so that the finding stays
//! true. That is so because all submissions of one coordinator with the same text go by one scope.

use wholly_core::Key;

use super::submit::NewTransaction;

/// Another key under which a submission may have begun, and its turn.
#[derive(Clone, Debug)]
pub(crate) enum OtherKey {
    /// It is looked up before the key with which the transaction begins.
    Before(Key),
    /// It is looked up after it.
    After(Key),
}

/// The question to the log: the transaction with a key, or else the one with another.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub key: Key,
    pub or: Option<Key>,
}

impl NewTransaction {
    /// The key that is looked up first.
    pub(super) fn first_key(&self) -> Option<&Key> {
        match &self.other_key {
            Some(OtherKey::Before(other)) => Some(other),
            Some(OtherKey::After(_)) | None => self.key.as_ref(),
        }
    }

    /// The question to the log that this key leads to.
    pub(super) fn lookup(&self, key: Key) -> Lookup {
        let or = match &self.other_key {
            Some(OtherKey::After(other)) if self.key.as_ref() == Some(&key) => Some(other.clone()),
            Some(OtherKey::After(_) | OtherKey::Before(_)) | None => None,
        };
        Lookup { key, or }
    }
}
