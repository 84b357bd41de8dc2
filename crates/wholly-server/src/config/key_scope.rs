//! `key_scope`: keys belong to one caller each, or to everybody.

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
