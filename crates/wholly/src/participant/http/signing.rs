//! Signs calls, in the form of [`wholly_core::wire::signature`].
//!
//! A signed call costs two hashes, of the body and of some 500 bytes; an unsigned one, nothing.
//! Each attempt is signed anew, because a signature has a time.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use ring::{digest, hmac};
use wholly_core::KeyId;
use wholly_core::wire::header;
use wholly_core::wire::signature::{self, Components, Input, SHORTEST_SECRET};

use super::credentials::InvalidCredentials;

static CONTENT_DIGEST: HeaderName = HeaderName::from_static(signature::CONTENT_DIGEST);
static SIGNATURE_INPUT: HeaderName = HeaderName::from_static(signature::SIGNATURE_INPUT);
static SIGNATURE: HeaderName = HeaderName::from_static(signature::SIGNATURE);

/// A secret that the participant knows, too.
pub(super) struct Signing {
    key_id: KeyId,
    key: hmac::Key,
}

impl Signing {
    pub(super) fn new(key_id: &str, secret: &[u8]) -> Result<Self, InvalidCredentials> {
        let key_id = KeyId::new(key_id)?;
        match secret.len() {
            bytes @ ..SHORTEST_SECRET => {
                Err(InvalidCredentials::ShortSecret { bytes, least: SHORTEST_SECRET })
            }
            _ => Ok(Self { key_id, key: hmac::Key::new(hmac::HMAC_SHA256, secret) }),
        }
    }

    /// Signs what the request says now.
    pub(super) fn sign(
        &self,
        request: &mut Request<Full<Bytes>>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        // A coordinator's clock before 1970 makes a signature that nobody takes.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let hash = digest::digest(&digest::SHA256, &content(request.body()));
        let content_digest = signature::content_digest(&BASE64_STANDARD.encode(hash));
        let path = request.uri().path();
        let components = components(path, request.headers(), &content_digest)?;
        let input = components.input(now.as_secs(), &self.key_id);
        let base = Input::parse(&input).map(|input| components.base(&input));
        let base = base.ok_or("the signature's form is not the one that is read")?;
        let tag = BASE64_STANDARD.encode(hmac::sign(&self.key, base.as_bytes()));

        let headers = request.headers_mut();
        headers.insert(&CONTENT_DIGEST, HeaderValue::try_from(content_digest)?);
        headers.insert(&SIGNATURE_INPUT, HeaderValue::try_from(input)?);
        headers.insert(&SIGNATURE, HeaderValue::try_from(signature::signature(&tag))?);
        Ok(())
    }
}

/// The content of a whole body, which is there at once.
fn content(body: &Full<Bytes>) -> Bytes {
    let whole = body.clone().collect().now_or_never().and_then(Result::ok);
    whole.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

fn components<'a>(
    path: &'a str,
    headers: &'a HeaderMap,
    content_digest: &'a str,
) -> Result<Components<'a>, http::header::ToStrError> {
    let value = |name| headers.get(name).map(HeaderValue::to_str).transpose();
    // An absent header is signed as empty; the participant is to refuse it.
    let said = |name| value(name).map(Option::unwrap_or_default);
    Ok(Components {
        path,
        content_digest,
        transaction: said(header::TRANSACTION)?,
        branch: said(header::BRANCH)?,
        operation: said(header::OPERATION)?,
        expires: value(header::EXPIRES)?,
        idempotency_key: said(header::IDEMPOTENCY_KEY)?,
    })
}
