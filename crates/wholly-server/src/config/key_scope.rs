//! `key_scope`: whether a key is one caller's or everybody's.

use serde::Deserialize;
use wholly::KeyScope;

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyScopeWord {
    #[default]
    Global,
    Caller,
}

impl KeyScopeWord {
    pub fn scope(self) -> KeyScope {
        match self {
            Self::Global => KeyScope::Global,
            Self::Caller => KeyScope::Caller,
        }
    }
}
