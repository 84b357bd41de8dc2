//! The signature of a call, by which a participant knows that it comes from its coordinator,
//! unchanged: HTTP Message Signatures (RFC 9421) with HMAC-SHA256, over all that a call says.
//!
//! This is the part without secrets: the signed text and the headers. A call bears
//!
//! - `Content-Digest: sha-256=:…:`, the body's digest (RFC 9530);
//! - `Signature-Input: wholly=(…);created=…;keyid="…";alg="hmac-sha256"`;
//! - `Signature: wholly=:…:`, the HMAC of the [base](Components::base).
//!
//! A small part of the standard is used, and only in one form, so that a participant can compare
//! texts and need not parse structured fields. The components are always the same, in the same
//! order; `wholly-expires` is one exactly where the call has the header. INVARIANT: the base has a
//! line for each header that the call has *now*, and the list of those that it had when it was
//! signed: an expiry that was taken away or added makes another base.

use std::fmt::Write;
use std::time::Duration;

use crate::KeyId;

/// The header with the body's digest.
pub const CONTENT_DIGEST: &str = "content-digest";
/// The header that says what is signed, when, and by which key.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// The header with the signature.
pub const SIGNATURE: &str = "signature";

/// The most that a signature's time may be off the participant's clock, either way.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The shortest secret, in bytes: as long as the HMAC itself, for a shorter one is the weaker part.
pub const SHORTEST_SECRET: usize = 32;

/// The label of the signature in the two headers.
const LABEL: &str = "wholly=";
const COVERED: &str = r#"("@method" "@path" "content-digest" "wholly-transaction" "wholly-branch" "wholly-operation" "wholly-expires" "idempotency-key")"#;
const COVERED_WITHOUT_EXPIRY: &str = r#"("@method" "@path" "content-digest" "wholly-transaction" "wholly-branch" "wholly-operation" "idempotency-key")"#;
const COVERED_OF_READ: &str = r#"("@method" "@path" "@query")"#;
const ALGORITHM: &str = r#"alg="hmac-sha256""#;

/// The signed parts of a call, as its headers have them. The method is always `POST`.
#[derive(Clone, Copy, Debug)]
pub struct Components<'a> {
    /// The address without scheme, host and query.
    pub path: &'a str,
    /// `Content-Digest`.
    pub content_digest: &'a str,
    /// `Wholly-Transaction`.
    pub transaction: &'a str,
    /// `Wholly-Branch`.
    pub branch: &'a str,
    /// `Wholly-Operation`.
    pub operation: &'a str,
    /// `Wholly-Expires`, where the call has it.
    pub expires: Option<&'a str>,
    /// `Idempotency-Key`.
    pub idempotency_key: &'a str,
}

impl Components<'_> {
    /// The value of `Signature-Input` for a signature made at `created`, in seconds since the Unix
    /// epoch.
    ///
    /// ```
    /// # use wholly_core::KeyId;
    /// # use wholly_core::wire::signature::{Components, Input};
    /// let components = Components {
    ///     path: "/commit",
    ///     content_digest: "sha-256=:…:",
    ///     transaction: "…",
    ///     branch: "payment",
    ///     operation: "commit",
    ///     expires: None,
    ///     idempotency_key: "…",
    /// };
    /// let text = components.input(1_700_000_000, &KeyId::new("2026")?);
    /// let input = Input::parse(&text).unwrap();
    /// assert_eq!((input.created, input.key_id), (1_700_000_000, "2026"));
    /// assert!(components.base(&input).starts_with("\"@method\": POST\n\"@path\": /commit\n"));
    /// # Ok::<(), wholly_core::InvalidName>(())
    /// ```
    pub fn input(&self, created: u64, key_id: &KeyId) -> String {
        let covered = if self.expires.is_some() { COVERED } else { COVERED_WITHOUT_EXPIRY };
        format!("{LABEL}{covered};created={created};keyid=\"{key_id}\";{ALGORITHM}")
    }

    /// The text that is signed.
    pub fn base(&self, input: &Input<'_>) -> String {
        let mut base = String::with_capacity(1024);
        let mut line = |name: &str, value: &str| {
            // Writing to a text never fails.
            let _ = writeln!(base, "\"{name}\": {value}");
        };
        line("@method", "POST");
        line("@path", self.path);
        line(CONTENT_DIGEST, self.content_digest);
        line(super::header::TRANSACTION, self.transaction);
        line(super::header::BRANCH, self.branch);
        line(super::header::OPERATION, self.operation);
        if let Some(expires) = self.expires {
            line(super::header::EXPIRES, expires);
        }
        line(super::header::IDEMPOTENCY_KEY, self.idempotency_key);
        base.extend(["\"@signature-params\": ", input.params]);
        base
    }
}

/// The signed parts of a read: a `GET` of a feed. It changes nothing, so only its time keeps it
/// from being asked again.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The address without scheme, host and query.
    pub path: &'a str,
    /// The query, without the question mark.
    pub query: &'a str,
}

impl Read<'_> {
    /// The value of `Signature-Input` for a signature made at `created`, in seconds since the Unix
    /// epoch.
    ///
    /// ```
    /// # use wholly_core::KeyId;
    /// # use wholly_core::wire::signature::{Input, Read};
    /// let read = Read { path: "/feed", query: "after=earliest" };
    /// let text = read.input(1_700_000_000, &KeyId::new("2026")?);
    /// let input = Input::parse_read(&text).unwrap();
    /// assert_eq!((input.created, input.key_id), (1_700_000_000, "2026"));
    /// assert!(read.base(&input).contains("\"@query\": ?after=earliest\n"));
    /// # Ok::<(), wholly_core::InvalidName>(())
    /// ```
    pub fn input(&self, created: u64, key_id: &KeyId) -> String {
        format!("{LABEL}{COVERED_OF_READ};created={created};keyid=\"{key_id}\";{ALGORITHM}")
    }

    /// The text that is signed.
    pub fn base(&self, input: &Input<'_>) -> String {
        let Self { path, query } = self;
        let params = input.params;
        format!(
            "\"@method\": GET\n\"@path\": {path}\n\"@query\": ?{query}\n\
             \"@signature-params\": {params}"
        )
    }
}

/// A `Signature-Input` of the one form that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    params: &'a str,
    /// The time of the signature, in seconds since the Unix epoch.
    pub created: u64,
    /// The id of its key.
    pub key_id: &'a str,
}

impl<'a> Input<'a> {
    /// Reads the header's value; `None` where it has another form.
    pub fn parse(text: &'a str) -> Option<Self> {
        let params = text.strip_prefix(LABEL)?;
        let covered = params.strip_prefix(COVERED);
        let rest = covered.or_else(|| params.strip_prefix(COVERED_WITHOUT_EXPIRY))?;
        Self::of(params, rest)
    }

    /// Reads the header's value of a read; `None` where it has another form.
    pub fn parse_read(text: &'a str) -> Option<Self> {
        let params = text.strip_prefix(LABEL)?;
        Self::of(params, params.strip_prefix(COVERED_OF_READ)?)
    }

    /// Parses the parameters after the list of the components.
    fn of(params: &'a str, rest: &'a str) -> Option<Self> {
        let (created, rest) = rest.strip_prefix(";created=")?.split_once(";keyid=\"")?;
        let (key_id, algorithm) = rest.split_once("\";")?;
        let is_number = !created.is_empty() && created.bytes().all(|b| b.is_ascii_digit());
        if !is_number || algorithm != ALGORITHM {
            return None;
        }
        Some(Self { params, created: created.parse().ok()?, key_id })
    }
}

/// The value of `Content-Digest` for the SHA-256 in this base64.
pub fn content_digest(base64: &str) -> String {
    format!("sha-256=:{base64}:")
}

/// The value of `Signature` for the HMAC in this base64.
pub fn signature(base64: &str) -> String {
    format!("{LABEL}:{base64}:")
}

/// The base64 in a value of `Signature`; `None` where it has another form.
pub fn signature_base64(text: &str) -> Option<&str> {
    text.strip_prefix(LABEL)?.strip_prefix(':')?.strip_suffix(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_read() {
        let good = format!("wholly={COVERED};created=17;keyid=\"k 1\";alg=\"hmac-sha256\"");
        let input = Input::parse(&good).unwrap();
        assert_eq!((input.created, input.key_id), (17, "k 1"));
        let changes = [
            ("wholly=", "sig1="),
            ("created=17", "created=+17"),
            ("created=17", "created="),
            ("created=17", "created=99999999999999999999"),
            ("hmac-sha256", "none"),
            ("\"@path\" ", ""),
            ("\"wholly-operation\" ", ""),
            (";alg=\"hmac-sha256\"", ""),
            (";alg=\"hmac-sha256\"", ";alg=\"hmac-sha256\";expires=1"),
            ("\"k 1\"", "k"),
        ];
        for (from, to) in changes {
            assert_eq!(Input::parse(&good.replace(from, to)), None, "{from:?} as {to:?}");
        }
        assert_eq!(signature_base64("wholly=:AAAA:"), Some("AAAA"));
        assert_eq!(signature_base64("wholly=AAAA"), None);
    }
}
