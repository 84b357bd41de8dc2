//! What a service needs to take part in transactions: the participant's half of the protocol.
//!
//! A coordinator of Wholly calls a service by HTTP: prepare, then commit or abort; or, in a saga, an
//! action of the service's own, and perhaps its compensation. The calls come at least once, late and
//! out of order, and the service may crash between any two. This crate brings the two things that
//! every service then needs, so that what is left to write is the business: [validate, apply and
//! release](sqlite::Participant), or [actions and what undoes them](sqlite::Actions).
//!
//! - [`barrier`]: the rules that make every call idempotent, as pure functions.
//! - [`http`]: the HTTP contract, as routes to add to the service's own.
//! - `signature`: that a call comes from the coordinator, where that is not otherwise sure.
//! - [`sqlite`]: both put to work inside the service's own SQLite transaction.
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
#[cfg(feature = "signed")]
pub mod signature;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// An error of the service's own code. The coordinator learns nothing from it but that the outcome
/// is unknown: everything is rolled back, nothing is remembered, and it asks again. To say no, vote
/// [`No`](barrier::Vote::No), or let the action be [`Refused`](barrier::saga::Outcome::Refused).
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
