//! A transaction on its way to the server.
//!
//! INVARIANT: it always goes with a key, and always with the same, so that however often it is
//! sent, it is one transaction.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use wholly_core::saga::Definition;
use wholly_core::wire::header;
use wholly_core::{Key, TraceContext, TransactionId};

use crate::answer::Submitted;
use crate::client::{Client, json};
use crate::error::{InvalidSubmission, RequestError, SubmitError};
use crate::http::ApiRequest;
use crate::retry::{FinalResponse, GaveUp};

/// The longest that one request waits: under the minute after which widespread proxies give up.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A transaction to be submitted; its parts depend on its pattern.
#[must_use = "nothing happens before it is submitted"]
pub struct Submission<P> {
    client: Client,
    transaction: P,
    key: Option<Key>,
    trace: Option<TraceContext>,
    patience: Option<Duration>,
}

/// The parts of a [`Submission`] in two-phase.
#[derive(Serialize)]
pub struct TwoPhase {
    pattern: &'static str,
    name: String,
    branches: Vec<SubmittedBranch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_millis: Option<u64>,
}

#[derive(Serialize)]
struct SubmittedBranch {
    participant: String,
    payload: Box<RawValue>,
}

/// The parts of a [`Submission`] of a saga.
#[derive(Serialize)]
pub struct Saga {
    pattern: &'static str,
    saga: SagaSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_millis: Option<u64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SagaSource {
    Inline(Box<Definition>),
    Stored {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
    },
}

/// A [`Submission`] as JSON, which the server checks.
#[derive(Serialize)]
#[serde(transparent)]
pub struct JsonTransaction(Box<RawValue>);

impl Client {
    /// A transaction in two-phase.
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
        self.saga_from(SagaSource::Inline(definition.into()))
    }

    /// A saga of a definition that the server has; of the newest version where none is given.
    pub fn stored_saga(&self, name: &str, version: Option<u32>) -> Submission<Saga> {
        self.saga_from(SagaSource::Stored { name: name.to_owned(), version })
    }

    /// A transaction in the JSON of the API, with the key that it names.
    ///
    /// # Errors
    /// When the text is no JSON, or its key is invalid.
    pub fn transaction_json(
        &self,
        text: &str,
    ) -> Result<Submission<JsonTransaction>, InvalidSubmission> {
        #[derive(Deserialize)]
        struct Keyed {
            key: Option<String>,
        }
        let no_json = |why: serde_json::Error| InvalidSubmission::Json {
            what: "the transaction".to_owned(),
            why: why.to_string(),
        };
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(no_json)?;
        // A text of another form has no key; the server refuses it.
        let key = serde_json::from_str(text).ok().and_then(|Keyed { key }| key);
        let key = key.map(Key::new).transpose()?;
        Ok(Submission { key, ..self.submission(JsonTransaction(raw)) })
    }

    fn saga_from(&self, saga: SagaSource) -> Submission<Saga> {
        self.submission(Saga { pattern: "saga", saga, input: None, deadline_millis: None })
    }

    fn submission<P>(&self, transaction: P) -> Submission<P> {
        Submission { client: self.clone(), transaction, key: None, trace: None, patience: None }
    }
}

impl Submission<TwoPhase> {
    /// Adds a branch: a participant and its payload.
    ///
    /// # Errors
    /// When the payload has no form in JSON.
    pub fn branch<T: Serialize + ?Sized>(
        mut self,
        participant: &str,
        payload: &T,
    ) -> Result<Self, InvalidSubmission> {
        let payload = raw(&format!("the payload for {participant:?}"), payload)?;
        self.transaction
            .branches
            .push(SubmittedBranch { participant: participant.to_owned(), payload });
        Ok(self)
    }

    /// The time in which it must be decided; after that it aborts.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.transaction.deadline_millis = Some(millis(deadline));
        self
    }
}

impl Submission<Saga> {
    /// The saga's input.
    ///
    /// # Errors
    /// When the input has no form in JSON.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Result<Self, InvalidSubmission> {
        self.transaction.input = Some(raw("the input", input)?);
        Ok(self)
    }

    /// The time in which it must complete; after that it turns back, unless its pivot was called.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.transaction.deadline_millis = Some(millis(deadline));
        self
    }
}

impl<P: Serialize> Submission<P> {
    /// The idempotency key: a submission with the same key, after a crash too, gives the same
    /// transaction. Without it, a random key is used for this submission.
    ///
    /// # Errors
    /// When the key is invalid.
    pub fn key(self, key: &str) -> Result<Self, InvalidSubmission> {
        Ok(Self { key: Some(Key::new(key)?), ..self })
    }

    /// The trace of the caller's own span. The server's work and every call to a participant become
    /// its children.
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

    /// The time that [`execute`](Self::execute) waits for the end; without a limit unless it is set.
    /// The server counts in whole seconds.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Submits the transaction, and returns when it is accepted: from then on it is never lost.
    ///
    /// # Errors
    /// When it was not accepted, or the outcome is not known.
    pub async fn submit(self) -> Result<Submitted, SubmitError> {
        self.keyed().send("respond-async".to_owned(), Duration::ZERO, false).await
    }

    /// Submits the transaction, and waits until it has ended, or [`patience`](Self::patience) has.
    ///
    /// # Errors
    /// When it was not accepted, or the outcome is not known.
    pub async fn execute(self) -> Result<Submitted, SubmitError> {
        // A time that cannot be represented is no limit.
        let until = self.patience.and_then(|patience| Instant::now().checked_add(patience));
        let request = self.keyed();
        let mut accepted = false;
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let wait = left.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
            let seconds = wait.as_millis().div_ceil(1_000);
            let submitted = request.send(format!("wait={seconds}"), wait, accepted).await?;
            if submitted.has_ended() || until.is_some_and(|until| Instant::now() >= until) {
                return Ok(submitted);
            }
            accepted = true;
        }
    }

    fn keyed(self) -> KeyedRequest {
        let key = self.key.unwrap_or_else(random_key);
        KeyedRequest { client: self.client, body: json(&self.transaction), key, trace: self.trace }
    }
}

/// The body and the key that all attempts share.
struct KeyedRequest {
    client: Client,
    body: Bytes,
    key: Key,
    trace: Option<TraceContext>,
}

impl KeyedRequest {
    /// Sends it until there is an answer. `accepted` is true if an earlier answer said so.
    async fn send(
        &self,
        prefer: String,
        wait: Duration,
        accepted: bool,
    ) -> Result<Submitted, SubmitError> {
        let mut headers = Vec::new();
        // In quotes: a header loses the white space at its ends.
        let key = format!("\"{}\"", self.key.as_str());
        let mut values = vec![("idempotency-key", key), ("prefer", prefer)];
        if let Some(trace) = &self.trace {
            values.push((header::TRACEPARENT, trace.traceparent().to_owned()));
            values.extend(trace.tracestate().map(|state| (header::TRACESTATE, state.to_owned())));
        }
        for (name, value) in values {
            // Keys, traces and preferences are printable ASCII.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.push((HeaderName::from_static(name), value));
            }
        }
        let (method, path) = (Method::POST, "/v1/transactions".to_owned());
        let request = ApiRequest { method, path, headers, body: Some(self.body.clone()), wait };
        let (why, may_be_accepted) = match self.client.send(&request).await {
            Ok(FinalResponse { response, .. }) => {
                match response.read::<Submitted>(&self.client.http().url(&request)) {
                    Ok(submitted) => {
                        return Ok(Submitted { key: Some(self.key.clone()), ..submitted });
                    }
                    // Something before the server answered: the server may have accepted it.
                    Err(why @ RequestError::NotUnderstood { .. }) => {
                        (why, response.status.is_success() || response.status.is_server_error())
                    }
                    Err(why) => (why, false),
                }
            }
            Err(GaveUp { why, may_have_arrived }) => (why, may_have_arrived),
        };
        match may_be_accepted || accepted {
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

/// A key of 128 random bits, which no other submission has.
fn random_key() -> Key {
    let mut random = [0; 16];
    let filled = SystemRandom::new().fill(&mut random);
    // A program that needs unique names cannot continue without random numbers.
    filled.expect("the system has random numbers");
    let text = format!("{:032x}", u128::from_be_bytes(random));
    Key::new(text).expect("hex digits are printable")
}

/// The id of the transaction, which most callers keep.
impl From<Submitted> for TransactionId {
    fn from(submitted: Submitted) -> Self {
        submitted.id
    }
}
