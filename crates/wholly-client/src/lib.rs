//! The typed client of Wholly's server.
//!
//! ```no_run
//! # use serde_json::json;
//! # use wholly_client::{Client, State};
//! # async fn place() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::at("http://127.0.0.1:7400").build()?;
//! let done = client
//!     .two_phase("place order")
//!     .branch("orders", &json!({"order_id": "ORD001"}))?
//!     .branch("payments", &json!({"amount": 1_000}))?
//!     .key("place ORD001")?
//!     .execute()
//!     .await?;
//! match done.state {
//!     Some(State::Committed) => println!("{} is made everywhere", done.id),
//!     Some(State::Aborted) => println!("it is made nowhere: {:?}", done.reason),
//!     _ => println!("{} goes on", done.id),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Retries
//!
//! The client repeats a request until [`Builder::retry_for`] has passed if the server cannot be
//! reached, the connection is lost, no response comes in time, or the status is 429, 502, 503 or 504
//! (after its Retry-After). A repeated request never acts twice:
//!
//! | operation | reason |
//! |---|---|
//! | submit | a request always has a key, and a key makes one transaction; it is random if none is given |
//! | get, list, events, choreographies, participants, sagas | they change nothing |
//! | define | a name and version mean one definition for ever |
//! | abort | an aborted transaction is left as it is, and the answer is the same |
//! | retry | the calls are outstanding anyway, and are only made sooner |
//! | resolve, end | an ended branch is not ended again; if the first response was lost, the history shows whose resolution it was |
//!
//! # Layout
//!
//! | module | content |
//! |---|---|
//! | `builder`, `client` | the configuration; reads of one answer |
//! | `submit` | transactions on their way to the server |
//! | `list`, `events` | lists page by page; streams of events |
//! | `choreography` | choreographed transactions |
//! | `operator` | an operator's commands |
//! | `answer`, `words` | the server's answers, without the members that a newer server adds |
//! | `retry`, `http` | the attempts at one request; one attempt |
//!
//! The client trusts the address that it was given: it follows no redirect and uses no proxy of the
//! environment. The library installs nothing global.

mod answer;
mod builder;
mod choreography;
mod client;
mod error;
mod events;
mod http;
mod list;
mod operator;
mod retry;
mod submit;
mod words;

pub use answer::{
    Branch, CallAttempts, HistoryEntry, LastAnswer, LastError, Participant, Record, SagaVersion,
    Slots, Step, Submitted, Transaction, TransactionSummary,
};
pub use builder::{BuildError, Builder};
pub use choreography::{
    Choreography, ChoreographySummary, ChoreographyWatch, PublishedEvent, Reaction,
};
pub use client::Client;
pub use error::{DefinitionFault, InvalidSubmission, Problem, RequestError, SubmitError};
pub use events::{Events, FeedEvent, FeedItem, Trimmed};
pub use list::{ChoreographyFilter, Rows, RowsPage, TransactionFilter};
pub use operator::Resolution;
pub use serde_json::value::RawValue;
pub use submit::{JsonTransaction, Saga, Submission, TwoPhase};
pub use wholly_core::saga::Definition;
pub use wholly_core::{
    Key, Name, ParticipantName, StepName, Timestamp, TraceContext, TransactionId,
};
pub use words::{BranchState, Health, Pattern, State, StepState};
