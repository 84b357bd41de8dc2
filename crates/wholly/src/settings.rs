//! The settings of a coordinator, with their limits.

use std::time::Duration;

use wholly_core::two_phase;

use crate::SubmitError;
use crate::engine::Backoff;

/// The settings of a coordinator. The defaults suit most.
///
/// ```
/// use std::time::Duration;
/// use wholly::Settings;
///
/// let mut settings = Settings::default();
/// settings.deadline = Duration::from_secs(5);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The time after which an undecided transaction aborts, or a saga turns back, if neither its
    /// client nor its definition names a deadline.
    pub deadline: Duration,
    /// The longest time that one call to a participant may take.
    pub call_timeout: Duration,
    /// The pauses between the tries of one operation.
    pub backoff: Backoff,
    /// The number of tries after which a branch or step with no other way is stuck (commit, abort,
    /// a compensation, a saga's pivot and the steps after it). It is asked on all the same.
    pub stuck_after_tries: u32,
    /// The most transactions that may be in flight; more are refused as overload.
    pub in_flight_limit: usize,
    /// The most bytes of memory that the transactions in flight may take: their payloads, outputs
    /// and definitions, and an allowance for the rest. More are refused as overload; those for
    /// which one participant owes an answer may take half of it. A restart loads no more than fits
    /// in at once. `None`: an eighth of the memory that this process may use.
    pub in_flight_limit_bytes: Option<usize>,
    /// The most transactions for which one participant, or the code of one saga, may owe an answer;
    /// more that name it are refused as overload. So one that hangs leaves room for the others.
    /// `None`: half of `in_flight_limit`. [`Slots::with_in_flight_limit`] sets it for one.
    ///
    /// [`Slots::with_in_flight_limit`]: crate::Slots::with_in_flight_limit
    pub in_flight_limit_per_participant: Option<usize>,
    /// The time past the deadline for which [`execute`](crate::Submission::execute) waits for a
    /// transaction to settle.
    pub patience: Duration,
    /// The time for which settled transactions are kept.
    pub retention: Retention,
    /// True if events are counted, for [`Coordinator::measures`](crate::Coordinator::measures).
    pub measured: bool,
}

/// The time for which a transaction is kept after it settled. One that is unsettled, or stuck, is
/// kept for as long as that is so, whatever is said here. The default: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// A transaction and its history; `None`: for ever. For so long, too, a client's key makes
    /// submitting idempotent, and the transaction can be asked for.
    pub history: Option<Duration>,
    /// Its payloads, input and outputs; `None`: as long as its history. A submission with the same
    /// key is then the same if it names the same participants, or the same saga and version.
    pub payloads: Option<Duration>,
}

impl Retention {
    /// Everything for ever.
    pub const FOR_EVER: Self = Self { history: None, payloads: None };
}

impl Settings {
    /// The most branches that a transaction may have.
    pub const BRANCH_LIMIT: usize = two_phase::Proposal::BRANCH_LIMIT;
    /// The shortest deadline that a client may name.
    pub const SHORTEST_DEADLINE: Duration = Duration::from_millis(1);
    /// The longest deadline that a client may name: thirty days.
    pub const LONGEST_DEADLINE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Checks that a transaction may have this deadline.
    ///
    /// # Errors
    /// When it is shorter than the shortest or longer than the longest.
    pub fn check_deadline(deadline: Duration) -> Result<(), SubmitError> {
        match (Self::SHORTEST_DEADLINE..=Self::LONGEST_DEADLINE).contains(&deadline) {
            true => Ok(()),
            false => Err(SubmitError::Deadline { deadline }),
        }
    }

    /// The most transactions for which a participant with this limit of its own may owe an answer.
    pub(crate) fn share(&self, own: Option<usize>) -> usize {
        let of_all = || self.in_flight_limit_per_participant;
        own.or_else(of_all).unwrap_or(self.in_flight_limit.div_ceil(2))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            call_timeout: Duration::from_secs(5),
            backoff: Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(30) },
            stuck_after_tries: 10,
            in_flight_limit: 200_000,
            in_flight_limit_bytes: None,
            in_flight_limit_per_participant: None,
            patience: Duration::from_secs(10),
            retention: Retention::FOR_EVER,
            measured: true,
        }
    }
}
