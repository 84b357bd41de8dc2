//! Conformance suites: outbox and inbox for every driver and database; feeds, reactions and
//! followers.
//!
//! A test provides new databases. A failed case panics; its name is the last one printed.
//!
//! ```no_run
//! # use wholly_events::conformance::{self, TestDatabase};
//! # #[tokio::main]
//! # async fn main() {
//! struct InFile(tempfile::TempDir);
//!
//! impl TestDatabase for InFile {
//!     type Connection = rusqlite::Connection;
//!
//!     async fn connect(&self) -> rusqlite::Connection {
//!         rusqlite::Connection::open(self.0.path().join("events.db")).unwrap()
//!     }
//! }
//!
//! conformance::run(async || InFile(tempfile::tempdir().unwrap())).await;
//! # }
//! ```
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod client;
mod connection;
#[cfg(feature = "choreography")]
pub mod feed;
#[cfg(feature = "choreography")]
pub mod follower;
mod inbox;
mod outbox;
#[cfg(feature = "choreography")]
pub mod reactions;
#[cfg(feature = "choreography")]
mod report;
mod sequencing;
mod statements;

use client::TestClient;
pub use connection::TestConnection;
#[cfg(feature = "choreography")]
pub use report::{Report, RuleCheck, Verdict};

use crate::session::Session;
use crate::sql::Dialect;

/// A database for one case, new and empty.
#[expect(async_fn_in_trait, reason = "the suite does not leave the thread")]
pub trait TestDatabase {
    /// The means by which it is reached.
    type Connection: TestConnection;

    /// Opens another connection to it.
    async fn connect(&self) -> Self::Connection;
}

/// Runs every case, each in a database of its own.
///
/// # Panics
/// If a case fails.
pub async fn run<D: TestDatabase>(new: impl AsyncFn() -> D) {
    macro_rules! each {
        ($($module:ident::$case:ident)+) => {$(
            eprintln!("{}", concat!(stringify!($module), "::", stringify!($case)));
            $module::$case(&new().await).await;
        )+};
    }
    each! {
        outbox::tables_are_made_twice_with_nothing_lost
        outbox::tables_that_are_there_are_made_without_a_lock
        outbox::tables_are_made_by_two_at_once
        outbox::what_is_rolled_back_is_not_published
        outbox::what_is_committed_is_published_once_with_all_its_fields
        outbox::data_is_kept_as_it_is
        outbox::a_transaction_keeps_the_order_of_its_events
        outbox::an_id_is_published_as_often_as_the_caller_says
        outbox::a_position_is_not_given_again_after_all_was_trimmed
        inbox::an_event_is_first_and_then_again
        inbox::each_reaction_and_each_source_has_its_own
        inbox::ids_are_compared_by_their_bytes
        inbox::what_is_rolled_back_was_not_received
        inbox::the_second_of_two_at_once_comes_again
        inbox::the_second_of_two_at_once_is_first_where_the_first_rolls_back
        inbox::one_of_many_at_once_is_first
        inbox::the_longest_names_fit
        statements::every_statement_is_understood
        statements::correlations_are_compared_by_their_bytes
        statements::a_number_and_a_text_may_be_null_at_any_time
    }
    if dialect(&new().await).await == Dialect::Postgres {
        each! {
            sequencing::an_event_that_is_committed_late_comes_later
            sequencing::an_event_of_a_prepared_transaction_is_not_skipped
            sequencing::what_is_rolled_back_takes_no_position
            sequencing::two_sequencers_give_no_position_twice
        }
    }
}

async fn dialect<D: TestDatabase>(database: &D) -> Dialect {
    fn of<S: Session>(_: S) -> Dialect {
        S::DIALECT
    }
    of(database.connect().await.session())
}
