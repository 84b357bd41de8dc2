//! Whether a call comes from the coordinator, as it left it: the participant's side of
//! [`wholly_core::wire::signature`].
//!
//! What is not signed, or was changed on its way, or is too old, is answered 401 and reaches no
//! handler. A call that is repeated by who has seen it does no harm within its time, because every
//! operation is idempotent, and none after it.

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

/// The secrets with which calls may be signed, by their ids: more than one while one is replaced.
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

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Its id is none.
    #[error(transparent)]
    Id(#[from] InvalidName),
    /// Its secret is too short.
    #[error("the signing secret is {bytes} bytes long; it needs at least {SHORTEST_SECRET}")]
    Short {
        /// The secret's length.
        bytes: usize,
    },
}

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsigned {
    /// It bears no signature, or one of another form.
    #[error("the call is not signed as Wholly signs, over all that it says")]
    Form,
    /// It was signed with a key that is not known here.
    #[error("the key that the call is signed with is not known here")]
    Key,
    /// It was signed too long ago, or its time is yet to come.
    #[error("the call was signed too long ago, or its signer's clock is wrong")]
    Time,
    /// It is not what was signed.
    #[error("the call is not as it was signed, or was signed with another secret")]
    Wrong,
}

impl Keys {
    /// This key alone.
    ///
    /// # Errors
    /// When its id is none, or its secret is shorter than 32 bytes.
    pub fn new(key_id: &str, secret: &[u8]) -> Result<Self, InvalidKey> {
        Self(HashMap::new()).and(key_id, secret)
    }

    /// This key, too; it takes the place of one with the same id.
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

    /// Lets only signed calls through to these routes. Merge the service's own routes afterwards.
    ///
    /// The path that is signed is that of the coordinator's configuration: nothing in between may
    /// change it.
    pub fn protect(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), check))
    }

    /// Whether a `POST` to this path, with these headers and this body, is signed with one of the
    /// keys, at most [`TOLERANCE`] from `now`, in seconds since the Unix epoch.
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

    /// Lets only signed reads through to these routes: of a feed, and how the service stands.
    pub fn protect_reads(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), check_read))
    }

    /// Returns if a `GET` of this path and query, with these headers, is signed with one of the
    /// keys, at most [`TOLERANCE`] from `now`, in seconds since the Unix epoch.
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
    // Inside of a nested router the address is cut.
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
    // Inside of a nested router the address is cut.
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

/// The header's one value. Of two, a proxy or a handler might read another than was signed.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Unsigned> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Unsigned::Form),
        (Some(_), Some(_)) => Err(Unsigned::Form),
    }
}
