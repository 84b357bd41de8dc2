//! A participant over HTTP/1.1.
//!
//! One operation is one `POST` to `{url}/{operation}`; [`wholly_core::wire`] says what is sent and
//! what every answer means. This module adds what a network can do to an answer:
//!
//! - An incomplete answer is none: no connection, garbage, a connection closed within the
//!   head, a time-out. All of these are [`Answer::Unknown`].
//! - **The status line and the headers are the answer.** The body only gives the reason. So an
//!   answer whose body is cut off, endless or slow means what its head says, with as much of the
//!   reason as came within the limits of the module `body`. A fault within a body can then never
//!   turn the meaning of an answer, and asking again would only do the work twice.
//! - **The one exception is an action that was done**: its body is the output, which later steps
//!   and the compensation are given. Half of it is none, and the action is asked again, because a
//!   participant repeats its first answer. That costs a call and never turns a done into a
//!   refusal.
//! - A redirect is followed nowhere: it is unknown, and its target never hears of it.
//! - Connections are reused, if the body ended within the limit. A call that is given up takes its
//!   connection with it: a late answer cannot be taken for that of the next call.
//! - A call that finds its pooled connection dead *before a byte of it was sent* goes out at once
//!   on another. That cannot even deliver it twice, and it spares a call the backoff because a
//!   server closed an idle connection. A call of which anything was sent is never repeated here:
//!   it is unknown, and the engine decides if and when to ask again (the contract, at least once,
//!   would allow it).

mod addresses;
mod body;
mod connections;
mod credentials;
mod signing;
#[cfg(feature = "tls")]
mod tls;
mod url;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};
use wholly_core::Payload;
use wholly_core::wire::{Answer, Call, HttpAnswer, Operation, header};

use self::addresses::Addresses;
use self::body::{OUTPUT_LIMIT, REASON_LIMIT, reason_patience, start_of};
use self::connections::{Connections, Failed, Outgoing, Transport};
pub use self::credentials::InvalidCredentials;
use self::signing::Signing;
use self::url::BaseUrl;
pub use self::url::InvalidUrl;
use super::{AnswerFuture, Endpoint};

/// The longest wait that a participant may ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(60 * 60);
/// The time that reaching the host may take, unless set.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest that a call may be given, so that no time is past the clock's end.
const TIMEOUT_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

static TRANSACTION: HeaderName = HeaderName::from_static(header::TRANSACTION);
static BRANCH: HeaderName = HeaderName::from_static(header::BRANCH);
static OPERATION: HeaderName = HeaderName::from_static(header::OPERATION);
static EXPIRES: HeaderName = HeaderName::from_static(header::EXPIRES);
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(header::IDEMPOTENCY_KEY);
static TRACEPARENT: HeaderName = HeaderName::from_static(header::TRACEPARENT);
static TRACESTATE: HeaderName = HeaderName::from_static(header::TRACESTATE);
static JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The error of a call that cannot be written.
type Unwritten = Box<dyn Error + Send + Sync>;

/// A participant that is called over HTTP: the [`Endpoint`] of this kind.
///
/// ```
/// use std::time::Duration;
/// use wholly::HttpParticipant;
///
/// let payments = HttpParticipant::at("http://payments.internal:8080/wholly")?
///     .call_timeout(Duration::from_secs(2))
///     .refused_statuses(&[402])
///     .one_phase(true);
/// assert_eq!(payments.url(), "http://payments.internal:8080/wholly");
/// # Ok::<(), wholly::InvalidUrl>(())
/// ```
pub struct HttpParticipant {
    base: BaseUrl,
    host: HeaderValue,
    addresses: Addresses,
    transport: Transport,
    connections: Connections,
    connect_timeout: Duration,
    authorization: Option<HeaderValue>,
    signing: Option<Signing>,
    /// None: the lane's time-out is enough, and a second timer for each call is not free.
    call_timeout: Option<Duration>,
    refused_statuses: Vec<u16>,
    one_phase: bool,
    reported: Mutex<BTreeSet<u16>>,
}

impl HttpParticipant {
    /// The participant whose operations are at `{url}/prepare`, `{url}/commit` and so on, and those
    /// of sagas at `{url}/` and their own names.
    ///
    /// Nothing is sent yet. An https URL needs the feature `tls`; its certificate is checked
    /// against Mozilla's roots.
    ///
    /// # Errors
    /// When the URL is not for http or https, or holds a user, a query or a fragment.
    pub fn at(url: &str) -> Result<Self, InvalidUrl> {
        let base = BaseUrl::parse(url)?;
        let host = HeaderValue::from_str(base.authority()).map_err(|why| {
            InvalidUrl::Malformed { url: base.as_str().to_owned(), why: why.to_string() }
        })?;
        let transport = Transport::for_url(&base)?;
        Ok(Self {
            host,
            addresses: Addresses::under(&base)?,
            connections: Connections::to(base.uri().clone(), &transport, CONNECT_TIMEOUT),
            connect_timeout: CONNECT_TIMEOUT,
            transport,
            authorization: None,
            signing: None,
            call_timeout: None,
            refused_statuses: Vec::new(),
            one_phase: false,
            reported: Mutex::default(),
            base,
        })
    }

    /// The longest that a call may take from first to last, connecting and the answer's body
    /// included. Then it is unknown. Unless set, as long as the coordinator or the saga's step
    /// gives it; at most a day.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = Some(timeout.min(TIMEOUT_LIMIT));
        self
    }

    /// The time that reaching the host may take, where a new connection is needed: the look-up of its
    /// name and the connection each; TLS counts towards the call's time-out only. 2 seconds unless
    /// set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self.connections = self.connections.with(&self.transport, timeout);
        self
    }

    /// Sends `Authorization: Bearer {token}` with every call. Whoever can read the calls has the
    /// token, so that its URL should be for https.
    ///
    /// # Errors
    /// When no header can have the token.
    pub fn bearer(mut self, token: &str) -> Result<Self, InvalidCredentials> {
        self.authorization = Some(credentials::bearer(token)?);
        Ok(self)
    }

    /// Sends `Authorization: Basic …`, this user and password, with every call. Whoever can read
    /// the calls has them, so that its URL should be for https.
    ///
    /// # Errors
    /// When the user's name has a colon.
    pub fn basic(mut self, user: &str, password: &str) -> Result<Self, InvalidCredentials> {
        self.authorization = Some(credentials::basic(user, password)?);
        Ok(self)
    }

    /// Signs every call with a secret that the participant knows, too, in the form of
    /// [`wholly_core::wire::signature`]. Give each participant a secret of its own: a signature
    /// says nothing of the host.
    ///
    /// ```
    /// # use wholly::HttpParticipant;
    /// # let secret = [0; 32];
    /// let payments = HttpParticipant::at("http://payments:8080")?.signed_by("2026", &secret)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the key's id is none, or the secret is shorter than 32 bytes.
    pub fn signed_by(mut self, key_id: &str, secret: &[u8]) -> Result<Self, InvalidCredentials> {
        self.signing = Some(Signing::new(key_id, secret)?);
        Ok(self)
    }

    /// Trusts the certificates of this `authority` in the place of Mozilla's roots, and shows this
    /// `identity`, a certificate chain and its key, to a participant that asks who calls. All of
    /// them are PEM.
    ///
    /// # Errors
    /// When the URL is for http, or where one of them cannot be used.
    #[cfg(feature = "tls")]
    pub fn tls(
        mut self,
        authority: Option<&[u8]>,
        identity: Option<(&[u8], &[u8])>,
    ) -> Result<Self, InvalidCredentials> {
        if !self.base.tls {
            return Err(InvalidCredentials::NoTls { url: self.url().to_owned() });
        }
        self.transport = Transport::Tls(tls::config(authority, identity)?);
        self.connections = self.connections.with(&self.transport, self.connect_timeout);
        Ok(self)
    }

    /// The statuses with which this service refuses although it does not say `Wholly-Answer:
    /// refused`. Only those from 400 to 499 count: what a gateway says of a service that is down
    /// must never be taken for a refusal.
    #[must_use]
    pub fn refused_statuses(mut self, statuses: &[u16]) -> Self {
        self.refused_statuses =
            statuses.iter().copied().filter(|status| (400..500).contains(status)).collect();
        self
    }

    /// True if the service offers `commit-one-phase`. It does not unless set.
    #[must_use]
    pub fn one_phase(mut self, offered: bool) -> Self {
        self.one_phase = offered;
        self
    }

    /// The URL under which the operations are.
    pub fn url(&self) -> &str {
        self.base.as_str()
    }

    /// The request is written before the future, which then does not hold it twice.
    fn ask(&self, call: Call) -> impl Future<Output = Answer> + Send + use<'_> {
        let request = self.request(&call).and_then(|request| self.signed(request));
        async move {
            let request = match request {
                Ok(request) => request,
                Err(why) => return Answer::unknown(format!("the call cannot be written: {why}")),
            };
            match self.send(request, call.operation).await {
                Ok((status, answer)) => {
                    self.report_mistake(&call, status, &answer);
                    answer
                }
                Err(why) => Answer::unknown(why),
            }
        }
    }

    /// Sends a request, and returns the answer or the reason for which there is none.
    async fn send(
        &self,
        request: Outgoing,
        operation: Operation,
    ) -> Result<(StatusCode, Answer), String> {
        let now = Instant::now();
        let response = match self.call_timeout {
            None => self.connections.send(request).await,
            Some(limit) => {
                // In a box, or every call would have room for it, also where none has a limit.
                let sending = Box::pin(timeout_at(now + limit, self.connections.send(request)));
                match sending.await {
                    Ok(response) => response,
                    Err(_) => return Err(format!("no answer within {limit:?}")),
                }
            }
        };
        let (response, exchange) = response.map_err(|error| self.what_failed(&error))?;
        let deadline = now + self.call_timeout.unwrap_or(TIMEOUT_LIMIT);
        let (head, body) = response.into_parts();
        let has_output = operation == Operation::Action && head.status.is_success();
        let (limit, deadline) = match has_output {
            true => (OUTPUT_LIMIT, deadline),
            false => {
                let patience = reason_patience(&head.headers);
                (REASON_LIMIT, deadline.min(Instant::now() + patience))
            }
        };
        let body = start_of(body, limit, deadline).await;
        let said = said(&head.headers);
        let answer = HttpAnswer {
            status: head.status.as_u16(),
            answer: said.as_deref(),
            retry_after: retry_after(&head.headers),
            body: &body.bytes,
            cut_off: body.cut_off,
            json: is_json(&head.headers),
        };
        let meaning = answer.meaning(operation, &self.refused_statuses);
        if !matches!(meaning, Answer::Unknown { .. }) {
            exchange.answered();
        }
        Ok((head.status, meaning.with_http(head.status.as_u16(), redirect(&head))))
    }

    fn signed(&self, mut request: Outgoing) -> Result<Outgoing, Unwritten> {
        if let Some(signing) = &self.signing {
            signing.sign(&mut request)?;
        }
        Ok(request)
    }

    fn request(&self, call: &Call) -> Result<Outgoing, Unwritten> {
        // `{transaction}/{branch}/{operation}` is written once; the headers are slices of it.
        let key = Bytes::from(call.idempotency_key());
        let branch_ends = key.len() - call.operation_name().len() - 1;
        let branch_starts = branch_ends - call.branch.as_str().len();
        let value = |text: Bytes| HeaderValue::from_maybe_shared(text);

        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, JSON.clone());
        headers.insert(&TRANSACTION, value(key.slice(..branch_starts - 1))?);
        headers.insert(&BRANCH, value(key.slice(branch_starts..branch_ends))?);
        headers.insert(&OPERATION, value(key.slice(branch_ends + 1..))?);
        headers.insert(&IDEMPOTENCY_KEY, value(key)?);
        if let Some(expires) = call.expires {
            headers.insert(&EXPIRES, HeaderValue::from(expires.as_millis()));
        }
        if let Some(trace) = &call.trace {
            headers.insert(&TRACEPARENT, HeaderValue::try_from(trace.traceparent())?);
            if let Some(state) = trace.tracestate() {
                headers.insert(&TRACESTATE, HeaderValue::try_from(state)?);
            }
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        // The content's length is added by the client, which knows it from the body.
        let body = Full::new(Bytes::from_owner(Body(call.payload.clone())));
        let mut request = Box::new(Request::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.addresses.of(call, &self.base)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The time-out of its own, if it has one.
    #[cfg(feature = "conformance")]
    pub(crate) fn own_call_timeout(&self) -> Option<Duration> {
        self.call_timeout
    }

    /// The address of an operation, also of one that nobody offers.
    #[cfg(feature = "conformance")]
    pub(crate) fn operation(&self, name: &str) -> Result<http::Uri, InvalidUrl> {
        self.base.operation(name)
    }

    /// Returns the answer to a call that `change` made break the contract. It is signed as
    /// changed.
    #[cfg(feature = "conformance")]
    pub(crate) async fn ask_changed(
        &self,
        call: &Call,
        change: impl FnOnce(&mut Request<Full<Bytes>>),
    ) -> Result<(StatusCode, Answer), String> {
        let mut request = self.request(call).map_err(|why| why.to_string())?;
        change(&mut request);
        let request = self.signed(request).map_err(|why| why.to_string())?;
        self.send(request, call.operation).await
    }

    fn what_failed(&self, error: &Failed) -> String {
        let mut text = format!("{error} {}", self.base.as_str());
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// Warns once for each status that an answer looks like a mistake, because another call will
    /// not mend it.
    fn report_mistake(&self, call: &Call, status: StatusCode, answer: &Answer) {
        let Answer::Unknown { reason, .. } = answer else { return };
        let likely = match status {
            _ if status.is_client_error() => "a mistake in configuration",
            _ if status.is_success() => {
                "it contradicts itself, a proxy's page stands in for it, or its output is no JSON, \
                 too long or broken off"
            }
            _ => return,
        };
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.insert(status.as_u16()) {
            tracing::warn!(
                transaction = %call.transaction,
                branch = %call.branch,
                url = self.base.as_str(),
                operation = call.operation_name(),
                status = status.as_u16(),
                reason,
                "the participant's answer means neither done nor refused, so the call is repeated; \
                 likely {likely}"
            );
        }
    }
}

impl Endpoint for HttpParticipant {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        Box::pin(self.ask(call))
    }

    fn offers_one_phase(&self) -> bool {
        self.one_phase
    }

    fn address(&self) -> Option<String> {
        Some(self.url().to_owned())
    }

    /// Closes the connections, each after the call that is on its way over it.
    fn reconnect(&self) {
        self.connections.close();
    }
}

/// The header `Wholly-Answer`: one value, or all of them with commas between, which no rule knows. An
/// empty one says nothing.
fn said(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let mut values =
        headers.get_all(header::ANSWER).iter().map(|v| String::from_utf8_lossy(v.as_bytes()));
    let first = values.next()?;
    Some(values.fold(first, |all, next| all + ", " + next)).filter(|all| !all.is_empty())
}

/// True if the service says that its body is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(text)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else { return false };
    let kind = text.split(';').next().unwrap_or_default().trim_end();
    let suffix = kind.len().checked_sub("+json".len()).and_then(|at| kind.get(at..));
    kind.eq_ignore_ascii_case("application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

/// The target of a redirect.
fn redirect(head: &http::response::Parts) -> Option<String> {
    let target = head.headers.get(LOCATION).filter(|_| head.status.is_redirection())?;
    Some(String::from_utf8_lossy(target.as_bytes()).into_owned())
}

/// `Retry-After` in seconds. Its other form, a date, would need the clocks to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // Digits that fit no number are more than the limit.
    let seconds = || Duration::from_secs(text.parse().unwrap_or(u64::MAX));
    digits.then(|| seconds().min(RETRY_AFTER_LIMIT))
}

/// A payload as the bytes of a body, not copied.
struct Body(Payload);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.as_str().as_bytes()
    }
}
