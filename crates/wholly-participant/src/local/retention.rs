//! The retention of rows of branches and steps that ended.
//!
//! INVARIANT: a prepared branch is never deleted, and nothing is while the clock is not trusted.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wholly_clock::{Ages, SteadyClock};
use wholly_core::{LogId, Timestamp, TransactionId};

use super::TransactionError;

/// The most rows that a purge deletes in one transaction, so that calls need not wait long.
const BATCH: u32 = 1000;

/// The judge of the ages of a database's rows.
#[derive(Debug)]
pub struct Retention {
    ages: Mutex<Ages>,
}

/// The rows that one statement deletes: of branches and steps that ended, with both columns less
/// than these, and at most so many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The bound of `transaction_id`. Ids ascend with time, and a branch ends after its transaction
    /// began: the scan is over at the first id that is kept.
    pub transaction_id: String,
    /// The bound of `changed_at`, in milliseconds since the Unix epoch.
    pub changed_at: i64,
    /// The most rows.
    pub limit: u32,
}

impl Expired {
    pub(crate) fn before(time: Timestamp, limit: u32) -> Self {
        let transaction_id = TransactionId::mint(0, time, 0, LogId::from_bits(0)).to_string();
        Self { transaction_id, changed_at: millis(time), limit }
    }
}

impl Retention {
    /// Begins with a database that was opened just now, and the columns `transaction_id` and
    /// `changed_at` of its row with the greatest id.
    pub fn new(youngest: Option<(String, i64)>) -> Self {
        let youngest = youngest.map(|(id, changed_at)| {
            let began = id.parse::<TransactionId>();
            let began = began.map_or(Timestamp::default(), TransactionId::minted_at);
            began.max(Timestamp::from_millis(changed_at.unsigned_abs()))
        });
        let now = SteadyClock::of_process().read();
        Self { ages: Mutex::new(Ages::from(now, youngest, Duration::MAX)) }
    }

    /// Deletes, in one transaction after the other, the rows that ended longer than `age` ago;
    /// returns how many. `delete` is one transaction.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub async fn purge<F: Future<Output = Result<usize, TransactionError>>>(
        &self,
        age: Duration,
        delete: impl Fn(Expired) -> F,
    ) -> Result<usize, TransactionError> {
        let mut purged = 0;
        loop {
            let Some(before) = self.expired_before(age) else {
                tracing::debug!(
                    "no branch is deleted: the clock jumped, or disagrees with the rows"
                );
                return Ok(purged);
            };
            let count = delete(Expired::before(before, BATCH)).await?;
            purged += count;
            if count < BATCH as usize {
                return Ok(purged);
            }
        }
    }

    /// The moment before which rows kept for `age` have expired; `None` while no age is trusted.
    fn expired_before(&self, age: Duration) -> Option<Timestamp> {
        // The value behind the lock is whole after a panic, too: single values are written.
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        ages.before(SteadyClock::of_process().read(), age)
    }
}

/// A time as the column `changed_at` has it: milliseconds since the Unix epoch.
pub fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
