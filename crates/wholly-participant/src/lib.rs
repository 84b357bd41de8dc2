//! The SDK of a service that takes part in transactions: the participant's half of the protocol.
//!
//! A coordinator calls a service by HTTP: prepare, then commit or abort; or, in a saga, an action of
//! the service's own, and perhaps its compensation. The calls come at least once, late and out of
//! order, and the service may crash between any two. This crate makes every call idempotent, so that
//! only the business is left to write: [validate, apply and release](sqlite::Participant), or
//! [actions and their compensations](sqlite::Actions).
//!
//! | module | content |
//! |---|---|
//! | [`barrier`] | the rules that make every call idempotent, as pure functions |
//! | [`local`] | the order of a call in the service's own database transaction, without I/O, and the list of what a new database brings |
//! | [`sqlite`] | the statements and the connection of SQLite |
//! | [`http`] | the HTTP contract, as routes to add to the service's own |
//! | `signature` | the check that a call comes from the coordinator |
//!
//! A service in two-phase:
//!
//! ```
//! use rusqlite::Transaction;
//! use wholly_participant::Failure;
//! use wholly_participant::barrier::Vote;
//! use wholly_participant::sqlite::{Database, Participant, router};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Transfer {
//!     account: String,
//!     cents: i64,
//! }
//!
//! struct Accounts;
//!
//! impl Participant for Accounts {
//!     type Payload = Transfer;
//!     type Prepared = Transfer;
//!
//!     /// Holds the money, so that no other transaction can count on it.
//!     fn validate(&self, db: &Transaction, asked: Transfer) -> Result<Vote<Transfer>, Failure> {
//!         let held = db.execute(
//!             "UPDATE account SET held = held + ?2 WHERE name = ?1 AND cents - held >= ?2",
//!             (&asked.account, asked.cents),
//!         )?;
//!         Ok(match held {
//!             0 => Vote::No(format!("{} has less than {}", asked.account, asked.cents)),
//!             _ => Vote::Yes(asked),
//!         })
//!     }
//!
//!     fn apply(&self, db: &Transaction, held: Transfer) -> Result<(), Failure> {
//!         db.execute(
//!             "UPDATE account SET cents = cents - ?2, held = held - ?2 WHERE name = ?1",
//!             (held.account, held.cents),
//!         )?;
//!         Ok(())
//!     }
//!
//!     fn release(&self, db: &Transaction, held: Transfer) -> Result<(), Failure> {
//!         db.execute(
//!             "UPDATE account SET held = held - ?2 WHERE name = ?1",
//!             (held.account, held.cents),
//!         )?;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("accounts.db");
//! let database = Database::open(path)?;
//! database
//!     .transaction(|db| Ok(db.execute_batch("CREATE TABLE account (name, cents, held)")?))
//!     .await?;
//! let app: axum::Router = router(Accounts, database); // .merge(the service's own routes)
//! # Ok(())
//! # }
//! ```

pub mod barrier;
pub mod http;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "signed")]
pub mod signature;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// An error of the service's own code. Everything is rolled back, nothing is remembered, and the
/// coordinator, to which the outcome is unknown, calls again. To say no, vote
/// [`No`](barrier::Vote::No), or let the action be [`Refused`](barrier::saga::ActionOutcome::Refused).
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
