//! The check that a call comes from the coordinator, unchanged: the participant's side of
//! [`wholly_core::wire::signature`].
//!
//! A call that is not signed, was changed on its way, or is too old, is answered with 401 and reaches no
//! handler. A replayed call does no harm: within its time every operation is idempotent, and after it
//! the call is too old.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::{digest, hmac};
use wholly_core::wire::header;
use wholly_core::wire::signature::{self, Components, Input, Read, SHORTEST_SECRET, TOLERANCE};
use wholly_core::{InvalidName, KeyId};

use crate::http::{COMPENSATION_LIMIT, problem};

/// The secrets that may sign calls, by their ids; more than one while a secret is replaced.
///
/// ```
/// # use axum::Router;
/// # use wholly_participant::signature::{InvalidKey, Keys};
/// # fn service(participant: Router, old: &[u8], new: &[u8]) -> Result<Router, InvalidKey> {
/// // First the participants take the new key, then the coordinator signs with it, then the old
/// // one goes.
/// let app = Keys::new("2026-01", old)?.and("2026-07", new)?.protect(participant);
/// # Ok(app)
/// # }
/// ```
#[derive(Clone)]
pub struct Keys(HashMap<KeyId, hmac::Key>);

/// A key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Its id is invalid.
    #[error(transparent)]
    Id(#[from] InvalidName),
    /// Its secret is too short.
    #[error("the signing secret is {bytes} bytes long; it needs at least {SHORTEST_SECRET}")]
    Short {
        /// The secret's length.
        bytes: usize,
    },
}

/// A call whose signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsigned {
    /// It has no signature, or one of another form.
    #[error("the call is not signed as Wholly signs, over all that it says")]
    Form,
    /// Its key is not known here.
    #[error("the key that the call is signed with is not known here")]
    Key,
    /// It was signed too long ago, or in the future.
    #[error("the call was signed too long ago, or its signer's clock is wrong")]
    Time,
    /// It differs from what was signed.
    #[error("the call is not as it was signed, or was signed with another secret")]
    Wrong,
}

impl Keys {
    /// A single key.
    ///
    /// # Errors
    /// When its id is invalid, or its secret is shorter than 32 bytes.
    pub fn new(key_id: &str, secret: &[u8]) -> Result<Self, InvalidKey> {
        Self(HashMap::new()).and(key_id, secret)
    }

    /// Adds a key, in the place of one with the same id.
    ///
    /// # Errors
    /// As [`Keys::new`].
    pub fn and(mut self, key_id: &str, secret: &[u8]) -> Result<Self, InvalidKey> {
        let key_id = KeyId::new(key_id)?;
        match secret.len() {
            bytes @ ..SHORTEST_SECRET => Err(InvalidKey::Short { bytes }),
            _ => {
                self.0.insert(key_id, hmac::Key::new(hmac::HMAC_SHA256, secret));
                Ok(self)
            }
        }
    }

    /// Protects the routes: only signed calls reach them. Merge the service's own routes afterwards.
    ///
    /// The signature covers the path of the coordinator's configuration: no proxy may change it.
    pub fn protect(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), check))
    }

    /// Checks that a `POST` to this path, with these headers and this body, was signed with one of the
    /// keys, at most [`TOLERANCE`] before or after `now`, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// See [`Unsigned`].
    pub fn verify(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: u64,
    ) -> Result<(), Unsigned> {
        let said = |name| one(headers, name)?.ok_or(Unsigned::Form);
        let input = Input::parse(said(signature::SIGNATURE_INPUT)?).ok_or(Unsigned::Form)?;
        let components = Components {
            path,
            content_digest: said(signature::CONTENT_DIGEST)?,
            transaction: said(header::TRANSACTION)?,
            branch: said(header::BRANCH)?,
            operation: said(header::OPERATION)?,
            expires: one(headers, header::EXPIRES)?,
            idempotency_key: said(header::IDEMPOTENCY_KEY)?,
        };
        self.compare(&input, &components.base(&input), headers, now)?;
        let hash = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, body));
        match components.content_digest == signature::content_digest(&hash) {
            true => Ok(()),
            false => Err(Unsigned::Wrong),
        }
    }

    /// Protects the routes of a feed and of a service's status: only signed reads reach them.
    pub fn protect_reads(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), check_read))
    }

    /// Checks that a `GET` of this path and query, with these headers, was signed with one of the keys,
    /// at most [`TOLERANCE`] before or after `now`, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// See [`Unsigned`].
    pub fn verify_read(
        &self,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        now: u64,
    ) -> Result<(), Unsigned> {
        let input = one(headers, signature::SIGNATURE_INPUT)?.ok_or(Unsigned::Form)?;
        let input = Input::parse_read(input).ok_or(Unsigned::Form)?;
        self.compare(&input, &Read { path, query }.base(&input), headers, now)
    }

    /// Compares the signature of the headers with that of the base, in constant time.
    fn compare(
        &self,
        input: &Input<'_>,
        base: &str,
        headers: &HeaderMap,
        now: u64,
    ) -> Result<(), Unsigned> {
        let key = self.0.get(input.key_id).ok_or(Unsigned::Key)?;
        if input.created.abs_diff(now) > TOLERANCE.as_secs() {
            return Err(Unsigned::Time);
        }
        let given = one(headers, signature::SIGNATURE)?.and_then(signature::signature_base64);
        let given = given.and_then(|given| BASE64_STANDARD.decode(given).ok());
        let given = given.ok_or(Unsigned::Form)?;
        hmac::verify(key, base.as_bytes(), &given).map_err(|_| Unsigned::Wrong)
    }
}

async fn check_read(State(keys): State<Arc<Keys>>, request: Request, next: Next) -> Response {
    // A nested router cuts the address.
    let original = request.extensions().get::<OriginalUri>();
    let uri = original.map_or(request.uri(), |original| &original.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let query = uri.query().unwrap_or_default();
    let verified = match *request.method() {
        Method::GET => keys.verify_read(uri.path(), query, request.headers(), now),
        _ => Err(Unsigned::Form),
    };
    match verified {
        Ok(()) => next.run(request).await,
        Err(why) => problem(StatusCode::UNAUTHORIZED, &why.to_string()),
    }
}

async fn check(State(keys): State<Arc<Keys>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, COMPENSATION_LIMIT).await else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off");
    };
    // A nested router cuts the address.
    let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let verified = match parts.method {
        Method::POST => keys.verify(path.path(), &parts.headers, &body, now),
        _ => Err(Unsigned::Form),
    };
    match verified {
        Ok(()) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(why) => problem(StatusCode::UNAUTHORIZED, &why.to_string()),
    }
}

/// The only value of a header. Of two values, a handler might read another than was signed.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Unsigned> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unsigned::Form),
        (Some(_), Some(_)) => Err(Unsigned::Form),
    }
}
