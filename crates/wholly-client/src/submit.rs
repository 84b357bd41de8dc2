//! A transaction on its way to the server.
//!
//! INVARIANT: it always goes with a key, and always with the same, so that however often it is
//! sent, it is one transaction.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use wholly_core::saga::Definition;
use wholly_core::wire::header;
use wholly_core::{Key, TraceContext, TransactionId};

use crate::answer::Submitted;
use crate::client::{Client, json};
use crate::error::{AskError, InvalidSubmission, SubmitError};
use crate::http::Ask;
use crate::retry::{Answered, Unanswered};

/// The longest that one request waits: under the minute after which widespread proxies give up.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A transaction that is to be submitted; what it is made of depends on its pattern.
#[must_use = "nothing happens before it is submitted"]
pub struct Submission<P> {
    client: Client,
    transaction: P,
    key: Option<Key>,
    trace: Option<TraceContext>,
    patience: Option<Duration>,
}

/// A [`Submission`] in two phases.
#[derive(Serialize)]
pub struct TwoPhase {
    pattern: &'static str,
    name: String,
    branches: Vec<Branch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_millis: Option<u64>,
}

#[derive(Serialize)]
struct Branch {
    participant: String,
    payload: Box<RawValue>,
}

/// A [`Submission`] of a saga.
#[derive(Serialize)]
pub struct Saga {
    pattern: &'static str,
    saga: Asked,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_millis: Option<u64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Asked {
    Whole(Box<Definition>),
    Stored {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
    },
}

/// A [`Submission`] that is written in JSON already; the server says whether it makes sense.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Written(Box<RawValue>);

impl Client {
    /// A transaction in two phases.
    pub fn two_phase(&self, name: &str) -> Submission<TwoPhase> {
        let (pattern, name) = ("two-phase", name.to_owned());
        self.submission(TwoPhase { pattern, name, branches: Vec::new(), deadline_millis: None })
    }

    /// A saga with its definition.
    ///
    /// ```no_run
    /// # use serde_json::json;
    /// # use wholly_client::{Client, Definition};
    /// # async fn create(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let definition: Definition = serde_json::from_value(json!({
    ///     "name": "create order", "version": 1, "steps": [
    ///         {"name": "reserve", "participant": "inventory", "compensation": "release"},
    ///         {"name": "charge", "participant": "payment", "compensation": "refund"},
    ///     ]
    /// }))?;
    /// let done = client.saga(definition).input(&json!({"item": "item1"}))?.execute().await?;
    /// println!("{} gave {:?}", done.id, done.outputs);
    /// # Ok(())
    /// # }
    /// ```
    pub fn saga(&self, definition: Definition) -> Submission<Saga> {
        self.asked(Asked::Whole(definition.into()))
    }

    /// A saga whose definition the server has; without a version, the newest.
    pub fn stored_saga(&self, name: &str, version: Option<u32>) -> Submission<Saga> {
        self.asked(Asked::Stored { name: name.to_owned(), version })
    }

    /// A transaction as the API takes it, in JSON. A key that it names is its key.
    ///
    /// # Errors
    /// When it is no JSON, or its key is none.
    pub fn written(&self, text: &str) -> Result<Submission<Written>, InvalidSubmission> {
        #[derive(Deserialize)]
        struct Keyed {
            key: Option<String>,
        }
        let no_json = |why: serde_json::Error| InvalidSubmission::Json {
            what: "the transaction".to_owned(),
            why: why.to_string(),
        };
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(no_json)?;
        // What has not even the form to have a key is for the server to say.
        let key = serde_json::from_str(text).ok().and_then(|Keyed { key }| key);
        let key = key.map(Key::new).transpose()?;
        Ok(Submission { key, ..self.submission(Written(raw)) })
    }

    fn asked(&self, saga: Asked) -> Submission<Saga> {
        self.submission(Saga { pattern: "saga", saga, input: None, deadline_millis: None })
    }

    fn submission<P>(&self, transaction: P) -> Submission<P> {
        Submission { client: self.clone(), transaction, key: None, trace: None, patience: None }
    }
}

impl Submission<TwoPhase> {
    /// Adds a branch: who takes part, and with what.
    ///
    /// # Errors
    /// When the payload has no form in JSON.
    pub fn branch<T: Serialize + ?Sized>(
        mut self,
        participant: &str,
        payload: &T,
    ) -> Result<Self, InvalidSubmission> {
        let payload = raw(&format!("the payload for {participant:?}"), payload)?;
        self.transaction.branches.push(Branch { participant: participant.to_owned(), payload });
        Ok(self)
    }

    /// How long it has to be decided; else it aborts.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.transaction.deadline_millis = Some(millis(deadline));
        self
    }
}

impl Submission<Saga> {
    /// What the saga is given.
    ///
    /// # Errors
    /// When it has no form in JSON.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Result<Self, InvalidSubmission> {
        self.transaction.input = Some(raw("the input", input)?);
        Ok(self)
    }

    /// How long it has; else it turns back, if its pivot has not left.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.transaction.deadline_millis = Some(millis(deadline));
        self
    }
}

impl<P: Serialize> Submission<P> {
    /// The client's own key: who submits it again with the same key, after a crash too, gets the
    /// same transaction. Without one, a key is minted that lasts as long as this submission.
    ///
    /// # Errors
    /// When it is no key.
    pub fn key(self, key: &str) -> Result<Self, InvalidSubmission> {
        Ok(Self { key: Some(Key::new(key)?), ..self })
    }

    /// The trace that the transaction is to belong to: that of the caller's own span, as whose
    /// child the server's work and every call to a participant then show.
    ///
    /// ```no_run
    /// # use wholly_client::{Client, TraceContext};
    /// # async fn within_a_request(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let here: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
    /// client.two_phase("place order").branch("orders", &7)?.trace(here).execute().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn trace(self, trace: TraceContext) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// How long [`execute`](Self::execute) waits for the end; for ever unless it is set. The
    /// server counts in whole seconds.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Submits the transaction, and returns when it is accepted: from then on it is never lost.
    ///
    /// # Errors
    /// When it was not accepted, or that is not known.
    pub async fn submit(self) -> Result<Submitted, SubmitError> {
        self.sent().once("respond-async".to_owned(), Duration::ZERO, false).await
    }

    /// Submits the transaction, and waits until it has settled, or patience is at its end.
    ///
    /// # Errors
    /// When it was not accepted, or that is not known.
    pub async fn execute(self) -> Result<Submitted, SubmitError> {
        // Patience beyond the end of time has no end.
        let until = self.patience.and_then(|patience| Instant::now().checked_add(patience));
        let sent = self.sent();
        let mut accepted = false;
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let wait = left.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
            let seconds = wait.as_millis().div_ceil(1_000);
            let submitted = sent.once(format!("wait={seconds}"), wait, accepted).await?;
            if submitted.has_ended() || until.is_some_and(|until| Instant::now() >= until) {
                return Ok(submitted);
            }
            accepted = true;
        }
    }

    fn sent(self) -> Sent {
        let key = self.key.unwrap_or_else(minted);
        Sent { client: self.client, body: json(&self.transaction), key, trace: self.trace }
    }
}

/// What is sent, as often as it takes.
struct Sent {
    client: Client,
    body: Bytes,
    key: Key,
    trace: Option<TraceContext>,
}

impl Sent {
    /// Sends it until there is an answer. `accepted`: there was one before.
    async fn once(
        &self,
        prefer: String,
        wait: Duration,
        accepted: bool,
    ) -> Result<Submitted, SubmitError> {
        let mut headers = Vec::new();
        // In quotes, for white space at its ends would get lost.
        let key = format!("\"{}\"", self.key.as_str());
        let mut said = vec![("idempotency-key", key), ("prefer", prefer)];
        if let Some(trace) = &self.trace {
            said.push((header::TRACEPARENT, trace.traceparent().to_owned()));
            said.extend(trace.tracestate().map(|state| (header::TRACESTATE, state.to_owned())));
        }
        for (name, value) in said {
            // A key is printable ASCII, and so are a trace and what is preferred.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.push((HeaderName::from_static(name), value));
            }
        }
        let path = "/v1/transactions".to_owned();
        let body = Some(self.body.clone());
        let ask = Ask { method: Method::POST, path, headers, body, wait };
        let url = self.client.http().url(&ask);
        let (why, lost) = match self.client.ask(&ask).await {
            Ok(Answered { reply, .. }) => match reply.read::<Submitted>(&url) {
                Ok(submitted) => return Ok(Submitted { key: Some(self.key.clone()), ..submitted }),
                // Not a word of this server's: what is behind it may have taken it.
                Err(why @ AskError::NotUnderstood { .. }) => (
                    why,
                    reply.status.is_success() || reply.status >= StatusCode::INTERNAL_SERVER_ERROR,
                ),
                Err(why) => (why, false),
            },
            Err(Unanswered { why, lost }) => (why, lost),
        };
        match lost || accepted {
            true => Err(SubmitError::Unknown { key: self.key.clone(), why }),
            false => Err(SubmitError::NotAccepted(why)),
        }
    }
}

fn raw<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Box<RawValue>, InvalidSubmission> {
    serde_json::value::to_raw_value(value)
        .map_err(|why| InvalidSubmission::Json { what: what.to_owned(), why: why.to_string() })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// 128 random bits: nobody else has this key.
fn minted() -> Key {
    let mut random = [0; 16];
    let filled = SystemRandom::new().fill(&mut random);
    // Like every program that needs secrets or unique names, it cannot go on without randomness.
    filled.expect("the system has random numbers");
    let text = format!("{:032x}", u128::from_be_bytes(random));
    // 32 hex digits are a key.
    Key::new(text).expect("hex digits are printable")
}

/// The id is what most callers keep.
impl From<Submitted> for TransactionId {
    fn from(submitted: Submitted) -> Self {
        submitted.id
    }
}
