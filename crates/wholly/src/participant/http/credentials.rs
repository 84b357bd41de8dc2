//! The credentials a coordinator shows to a participant: a header, a certificate, or a signature.
//!
//! INVARIANT: no message, and no `Debug`, shows a secret.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use wholly_core::InvalidName;

/// Why a participant cannot be called with these credentials. No message shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCredentials {
    /// A header cannot have it.
    #[error("{what} holds a character that no header can have")]
    Character {
        /// The intended use of the text.
        what: &'static str,
    },
    /// A user's name would end at its first colon.
    #[error("a user's name cannot have a colon")]
    Colon,
    /// A key's id is none.
    #[error(transparent)]
    KeyId(#[from] InvalidName),
    /// A secret is too short to sign with.
    #[error("the signing secret is {bytes} bytes long; it needs at least {least}")]
    ShortSecret {
        /// Its length.
        bytes: usize,
        /// The least that is taken.
        least: usize,
    },
    /// There is no TLS where the URL is for http.
    #[error("{url} is not for https, so there is nothing to use a certificate for")]
    NoTls {
        /// The participant's URL.
        url: String,
    },
    /// A certificate or a key is none.
    #[error("{what} cannot be used: {why}")]
    Certificate {
        /// The certificate or the key.
        what: &'static str,
        /// The reason.
        why: String,
    },
}

/// `Authorization: Bearer …`.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, InvalidCredentials> {
    // A header could hold a space or a tab; a token (RFC 6750) cannot.
    match token.bytes().all(|b| b.is_ascii_graphic()) && !token.is_empty() {
        true => secret(format!("Bearer {token}"), "the token"),
        false => Err(InvalidCredentials::Character { what: "the token" }),
    }
}

/// `Authorization: Basic …`.
pub(super) fn basic(user: &str, password: &str) -> Result<HeaderValue, InvalidCredentials> {
    if user.contains(':') {
        return Err(InvalidCredentials::Colon);
    }
    let both = BASE64_STANDARD.encode(format!("{user}:{password}"));
    secret(format!("Basic {both}"), "the password")
}

fn secret(text: String, what: &'static str) -> Result<HeaderValue, InvalidCredentials> {
    let mut value =
        HeaderValue::try_from(text).map_err(|_| InvalidCredentials::Character { what })?;
    value.set_sensitive(true);
    Ok(value)
}
