//! Signatures of feed reads, in the format of [`wholly_core::wire::signature`].

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use wholly_core::KeyId;
use wholly_core::wire::signature::{self, Input, Read, SHORTEST_SECRET};
use wholly_participant::signature::InvalidKey;

/// A secret shared with the publisher.
pub(super) struct Signing {
    key_id: KeyId,
    key: hmac::Key,
}

impl Signing {
    pub(super) fn new(key_id: &str, secret: &[u8]) -> Result<Self, InvalidKey> {
        let key_id = KeyId::new(key_id)?;
        match secret.len() {
            bytes @ ..SHORTEST_SECRET => Err(InvalidKey::Short { bytes }),
            _ => Ok(Self { key_id, key: hmac::Key::new(hmac::HMAC_SHA256, secret) }),
        }
    }

    /// The signature headers of a read at the current time.
    pub(super) fn headers(&self, path: &str, query: &str) -> Vec<(&'static str, String)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let read = Read { path, query };
        let input = read.input(now.as_secs(), &self.key_id);
        // The publisher would refuse an input that cannot be parsed, and report it.
        let base = Input::parse_read(&input).map(|input| read.base(&input)).unwrap_or_default();
        let tag = BASE64_STANDARD.encode(hmac::sign(&self.key, base.as_bytes()));
        vec![
            (signature::SIGNATURE_INPUT, input),
            (signature::SIGNATURE, signature::signature(&tag)),
        ]
    }
}
