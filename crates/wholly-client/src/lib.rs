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
//! # What is tried again
//!
//! A server that cannot be reached, a connection that is lost, an answer that does not come in
//! time, and the statuses 429, 502, 503 and 504 (after their Retry-After) are tried again, until
//! [`Builder::retry_for`] has passed. This never does anything twice:
//!
//! | operation | because |
//! |---|---|
//! | submit | it always goes with a key, and a key makes one transaction; it is minted if none is given |
//! | get, list, events, choreographies, participants, sagas | they change nothing |
//! | define | a name and version mean one definition for ever |
//! | abort | what is aborted already is left as it is, and the answer is the same |
//! | retry | it asks what is asked anyway, only sooner |
//! | resolve | what is over is not resolved again: where the answer to the first try was lost, the history says whose word it was |
//!
//! # Layout
//!
//! | module | what it is |
//! |---|---|
//! | `client`, `builder` | where the server is, and what it can be asked |
//! | `submit` | a transaction on its way to the server |
//! | `list`, `events` | the transactions page by page; one of them live, or all |
//! | `choreography` | the choreographed transactions: one, a list, one live |
//! | `by_hand` | what a person does |
//! | `answer`, `words` | the server's answers; what a newer server adds to them is passed over |
//! | `retry`, `http` | asking until there is an answer; one try |
//!
//! Answers are believed from the address that was named: no redirect is followed, and no proxy of
//! the environment is used. The library installs nothing global.

mod answer;
mod builder;
mod by_hand;
mod choreography;
mod client;
mod error;
mod events;
mod http;
mod list;
mod retry;
mod submit;
mod words;

pub use answer::{
    Branch, CallAttempts, Event, LastAnswer, LastError, Listed, Page, Participant, Record,
    SagaVersion, Slots, Step, Submitted, Transaction,
};
pub use builder::{BuildError, Builder};
pub use by_hand::As;
pub use choreography::{
    Choreographies, Choreography, ChoreographyFilter, ListedChoreography, PublishedEvent, Reaction,
    Watched,
};
pub use client::Client;
pub use error::{AskError, InvalidSubmission, Problem, SubmitError, Wrong};
pub use events::{Events, FeedItem, Seen, Trimmed};
pub use list::{Filter, Rows};
pub use serde_json::value::RawValue;
pub use submit::{Saga, Submission, TwoPhase, Written};
pub use wholly_core::saga::Definition;
pub use wholly_core::{
    Key, Name, ParticipantName, StepName, Timestamp, TraceContext, TransactionId,
};
pub use words::{BranchState, Health, Pattern, State, StepState};
