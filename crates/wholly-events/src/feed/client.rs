//! A feed over HTTP, from the follower's side.
//!
//! Redirects are not followed, and the size of an answer is limited. A page beyond the limit is
//! requested again event by event, so that only the oversized event is set aside.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::value::RawValue;

use wholly_dns::https::{self, percent_encoded};
use wholly_participant::signature::InvalidKey;

use super::server::page_header;
use super::signing::Signing;
use super::{CursorRefusal, Feed, FeedError, FeedInfo, FeedPage, FeedRequest, SetAside, StartFrom};
use crate::cursor::Cursor;
use crate::names::ServiceName;
use crate::wire::{self, PositionedEvent};

/// The longest page in bytes: a server's limit and one more event.
const PAGE_LIMIT: usize = 1024 * 1024 + 2 * wire::EVENT_LIMIT;
/// The longest duration of an answer beyond the requested wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest stored text of an invalid entry, in characters.
const BODY_LIMIT: usize = 64 * 1024;

/// The feed of a service at an address, like `http://inventory:8080/feed`.
pub struct HttpFeed {
    client: https::HttpsClient,
    url: String,
    authorization: Option<http::HeaderValue>,
    signing: Option<Signing>,
}

/// The reason why a feed's address or credentials are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFeed {
    /// The text is not an address of a feed.
    #[error(
        "{url} is not a feed's address: use http:// or https://, a host and a path, without user or \
         query"
    )]
    Url {
        /// The text without its query and user, which may be secret.
        url: String,
    },
    /// The reads of the feed cannot be signed with the key.
    #[error("the reads of the feed at {url} cannot be signed: {why}")]
    Key {
        /// The feed's address.
        url: String,
        /// The reason.
        why: InvalidKey,
    },
    /// The token has characters that a header cannot have.
    #[error("the token for the feed at {url} has characters that a header cannot have")]
    Token {
        /// The feed's address.
        url: String,
    },
}

/// An address without query, user and password, which may be secret.
fn redacted(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("…@{host}"),
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => url.to_owned(),
    }
}

impl HttpFeed {
    /// The feed at this address.
    ///
    /// # Errors
    /// If the text is not an address of a feed.
    pub fn at(url: &str) -> Result<Self, InvalidFeed> {
        let invalid = || InvalidFeed::Url { url: redacted(url) };
        let uri: http::Uri = url.parse().map_err(|_| invalid())?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_plain = uri.authority().is_some_and(https::is_host_and_port);
        if !is_http || !is_plain || uri.query().is_some() {
            return Err(invalid());
        }
        let client = https::web_client().map_err(|_| invalid())?;
        Ok(Self { client, url: url.to_owned(), authorization: None, signing: None })
    }

    /// Sets the bearer token of each read.
    ///
    /// # Errors
    /// If the token has characters that a header cannot have.
    pub fn token(mut self, token: &str) -> Result<Self, InvalidFeed> {
        let value = http::HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| InvalidFeed::Token { url: self.url.clone() })?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Signs each read with this secret of at least 32 bytes: see
    /// [`Keys`](wholly_participant::signature::Keys).
    ///
    /// # Errors
    /// If the key's id is not valid, or the secret is too short.
    pub fn signed(mut self, key_id: &str, secret: &[u8]) -> Result<Self, InvalidFeed> {
        let invalid = |why| InvalidFeed::Key { url: self.url.clone(), why };
        self.signing = Some(Signing::new(key_id, secret).map_err(invalid)?);
        Ok(self)
    }

    async fn ask(
        &self,
        start: &StartFrom,
        limit: u64,
        wait: Duration,
    ) -> Result<FeedResponse, FeedError> {
        let after = match start {
            StartFrom::Earliest => "earliest".to_owned(),
            StartFrom::Now => "now".to_owned(),
            StartFrom::After(cursor) => percent_encoded(&cursor.to_string()),
        };
        let wait_ms = wait.as_millis();
        let url = format!("{}?after={after}&limit={limit}&wait_ms={wait_ms}", self.url);
        self.exchange(url, wire::BATCH, wait.saturating_add(ANSWER_TIMEOUT)).await
    }

    /// Sends a request and reads the whole answer within a time limit.
    pub(super) async fn exchange(
        &self,
        url: String,
        accept: &'static str,
        limit: Duration,
    ) -> Result<FeedResponse, FeedError> {
        let uri: http::Uri = url.parse().map_err(unreachable)?;
        let mut request = Request::get(&uri).header(header::ACCEPT, accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(signing) = &self.signing {
            for (name, value) in signing.headers(uri.path(), uri.query().unwrap_or_default()) {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::default()).map_err(unreachable)?;
        let whole = async {
            let (head, body) =
                self.client.request(request).await.map_err(unreachable)?.into_parts();
            let body = match Limited::new(body, PAGE_LIMIT).collect().await {
                Ok(body) => Some(body.to_bytes()),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => None,
                Err(error) => return Err(unreachable(error)),
            };
            Ok(FeedResponse { head, body })
        };
        let late = || FeedError::Unreachable(format!("no answer within {limit:?}"));
        tokio::time::timeout(limit, whole).await.unwrap_or_else(|_| Err(late()))
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

#[cfg(feature = "conformance")]
impl HttpFeed {
    /// The unparsed answer to a query of the feed.
    pub(crate) async fn get_query(
        &self,
        query: &str,
    ) -> Result<(http::response::Parts, Bytes), FeedError> {
        let url = format!("{}?{query}", self.url);
        let answer = self.exchange(url, wire::BATCH, ANSWER_TIMEOUT).await?;
        Ok((answer.head, answer.body.unwrap_or_default()))
    }

    /// The resource at this path beside the feed.
    pub(crate) async fn get_beside(&self, path: &str) -> Result<Bytes, FeedError> {
        let url = format!("{}/{path}", super::introspection::base(&self.url));
        let answer = self.exchange(url, wire::BATCH, ANSWER_TIMEOUT).await?;
        match answer.head.status {
            StatusCode::OK => Ok(answer.body.unwrap_or_default()),
            _ => Err(answer.refusal()),
        }
    }
}

impl Feed for HttpFeed {
    async fn read(&self, ask: FeedRequest) -> Result<(FeedInfo, FeedPage), FeedError> {
        let answer = self.ask(&ask.start, ask.limit, ask.wait).await?;
        let (info, place) = answer.info()?;
        let before = ask.start.position();
        if let Some(body) = &answer.body {
            return Ok((info, page(body, before, place)?));
        }
        // Either one event is too long, or the server has no limit: events are read one at a time.
        let answer = self.ask(&ask.start, 1, Duration::ZERO).await?;
        let (info, place) = answer.info()?;
        match &answer.body {
            Some(body) => Ok((info, page(body, before, place)?)),
            None => {
                let position = place.cursor.position;
                let why = format!("it has more than {PAGE_LIMIT} bytes");
                let set_aside = vec![SetAside { position, body: String::new(), why }];
                let PageEnd { cursor, head } = place;
                Ok((info, FeedPage { events: Vec::new(), set_aside, cursor, head }))
            }
        }
    }
}

/// An answer. Its body is none if it was too long.
pub(super) struct FeedResponse {
    pub(super) head: http::response::Parts,
    pub(super) body: Option<Bytes>,
}

/// The cursor at the end of a page, and the position at the end of the feed.
struct PageEnd {
    cursor: Cursor,
    head: u64,
}

impl FeedResponse {
    /// The description of the feed and the end of the page, from the headers.
    fn info(&self) -> Result<(FeedInfo, PageEnd), FeedError> {
        if self.head.status != StatusCode::OK {
            return Err(self.refusal());
        }
        let source = self.text(page_header::SOURCE)?;
        let source = ServiceName::new(source).map_err(unreachable)?;
        let retention = Duration::from_secs(self.number(page_header::RETENTION)?);
        let cursor = self.text(page_header::CURSOR)?.parse().map_err(unreachable)?;
        let head = self.number(page_header::HEAD)?;
        Ok((FeedInfo { source, retention }, PageEnd { cursor, head }))
    }

    fn text(&self, name: &'static str) -> Result<&str, FeedError> {
        let value = self.head.headers.get(name).and_then(|value| value.to_str().ok());
        let missing = || {
            FeedError::Unreachable(format!(
                "the answer has no header {name}; check that the address is a feed's"
            ))
        };
        value.ok_or_else(missing)
    }

    fn number(&self, name: &'static str) -> Result<u64, FeedError> {
        self.text(name)?.parse().map_err(unreachable)
    }

    /// The error in an answer that is not a page.
    pub(super) fn refusal(&self) -> FeedError {
        #[derive(serde::Deserialize)]
        struct ProblemDetails {
            #[serde(default)]
            r#type: String,
            #[serde(default)]
            detail: String,
        }
        let status = self.head.status;
        let body = self.body.as_deref().unwrap_or_default();
        let problem = serde_json::from_slice::<ProblemDetails>(body).ok();
        let (kind, detail) = problem.map_or_else(Default::default, |one| (one.r#type, one.detail));
        match (status, kind.strip_prefix("urn:wholly:feed:")) {
            (StatusCode::GONE, Some(kind)) => {
                FeedError::Refused(CursorRefusal::Said { kind: kind.to_owned(), detail })
            }
            _ => FeedError::Unreachable(format!("it answered {status} {detail}")),
        }
    }
}

/// Reads a batch of events after a position. Invalid items are set aside one by one.
fn page(
    body: &[u8],
    before: u64,
    PageEnd { cursor, head }: PageEnd,
) -> Result<FeedPage, FeedError> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(unreachable)?;
    let mut page = FeedPage { events: Vec::new(), set_aside: Vec::new(), cursor, head };
    let mut last = 0;
    for item in items {
        let read = wire::from_json(item.get());
        let read = read.and_then(|(event, position)| {
            Ok(PositionedEvent { event, position: position.ok_or("it has no position")? })
        });
        match read {
            Ok(placed) if placed.position > last && placed.position <= page.cursor.position => {
                last = placed.position;
                page.events.push(placed);
            }
            Ok(placed) => {
                let why =
                    format!("a page's positions do not ascend: {} follows {last}", placed.position);
                return Err(FeedError::Unreachable(why));
            }
            Err(why) => {
                let next = last.max(before) + 1;
                last = claimed_position(item).filter(|position| *position > last).unwrap_or(next);
                let body = item.get().chars().take(BODY_LIMIT).collect();
                page.set_aside.push(SetAside { position: last, body, why });
            }
        }
    }
    Ok(page)
}

/// The position that an invalid item claims.
fn claimed_position(item: &RawValue) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Stated {
        position: String,
    }
    serde_json::from_str::<Stated>(item.get()).ok()?.position.parse().ok()
}

pub(super) fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FeedError {
    let error = error.into();
    FeedError::Unreachable(crate::SqlError::of(&*error).0)
}
