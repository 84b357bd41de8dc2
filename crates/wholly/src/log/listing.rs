//! Listing: what a log knows of a transaction without reading its records, and how it is asked.
//!
//! Every entry says what its transaction is once the entry is there: its [`Labels`]. The log keeps
//! them for the lists and for nothing else; the records stay the truth.
//!
//! A list is newest first, and comes in pages. A [`Cursor`] is a place among the transactions of a
//! log, which have a fixed order: so pages stay right while transactions come and change. None is
//! in two pages, and none is missing that was there, and matched, all the while.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wholly_core::{Name, ParticipantName, Timestamp, TransactionId};

pub use wholly_core::{Pattern, State};

/// What a transaction is, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Labels {
    /// What it is called.
    pub name: Name,
    /// How it is carried out.
    pub pattern: Pattern,
    /// Who takes part, each once, in order.
    pub participants: Arc<[ParticipantName]>,
    /// Where it stands.
    pub state: State,
    /// Whether an operator is needed.
    pub stuck: bool,
}

/// Which transactions are listed: those that match all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those that stand here.
    pub state: Option<State>,
    /// Those of this pattern.
    pub pattern: Option<Pattern>,
    /// Those with exactly this name.
    pub name: Option<Name>,
    /// Those in which this participant takes part.
    pub participant: Option<ParticipantName>,
    /// Those that have settled, or that have not.
    pub settled: Option<bool>,
    /// Those that need an operator, or that need none.
    pub stuck: Option<bool>,
    /// Those accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Those accepted before this time.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether a transaction with these labels matches; its time is another matter.
    #[must_use]
    pub fn matches(&self, labels: &Labels, settled: bool) -> bool {
        self.state.is_none_or(|state| state == labels.state)
            && self.pattern.is_none_or(|pattern| pattern == labels.pattern)
            && self.name.as_ref().is_none_or(|name| *name == labels.name)
            && self.participant.as_ref().is_none_or(|who| labels.participants.contains(who))
            && self.settled.is_none_or(|wanted| wanted == settled)
            && self.stuck.is_none_or(|stuck| stuck == labels.stuck)
    }

    /// Whether it says nothing of a transaction but when it was accepted.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        let Self { state, pattern, name, participant, settled, stuck, since: _, until: _ } = self;
        state.is_none()
            && pattern.is_none()
            && name.is_none()
            && participant.is_none()
            && settled.is_none()
            && stuck.is_none()
    }
}

/// What a log is asked to list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Which transactions.
    pub filter: Filter,
    /// From after this place on, which is the end of the page before.
    pub after: Option<Cursor>,
    /// How many transactions the page may have.
    pub limit: usize,
    /// Those that are stuck whatever the log says: the coordinator has set them aside.
    pub quarantined: BTreeSet<TransactionId>,
}

impl Query {
    /// The newest transactions, at most `limit`.
    #[must_use]
    pub fn newest(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The ordinals of the transactions that may be in the page.
    #[must_use]
    pub fn ordinals(&self) -> Range<u64> {
        let since = self.filter.since.map_or(0, first_ordinal);
        let until = self.filter.until.map_or(u64::MAX, first_ordinal);
        since..until.min(self.after.map_or(u64::MAX, |Cursor(ordinal)| ordinal))
    }

    /// A transaction's labels as the page shows them.
    #[must_use]
    pub fn shown(&self, id: TransactionId, mut labels: Labels) -> Labels {
        labels.stuck |= self.quarantined.contains(&id);
        labels
    }
}

/// The least ordinal that a transaction minted at `time` can have.
pub(super) fn first_ordinal(time: Timestamp) -> u64 {
    const COUNTED_IN_A_MILLISECOND: u64 = 1 << 12;
    time.as_millis().saturating_mul(COUNTED_IN_A_MILLISECOND)
}

/// Where a page ended, and the next begins. Its text is for whoever gave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cursor(u64);

impl Cursor {
    /// After the transaction with this ordinal, in the order of the list.
    #[must_use]
    pub const fn after(ordinal: u64) -> Self {
        Self(ordinal)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor; take it as it is from the page before, or leave it out")]
#[non_exhaustive]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let is_own = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let ordinal = u64::from_str_radix(text, 16).ok().filter(|_| is_own);
        ordinal.map(Self).ok_or(InvalidCursor)
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl TryFrom<String> for Cursor {
    type Error = InvalidCursor;

    fn try_from(text: String) -> Result<Self, InvalidCursor> {
        text.parse()
    }
}

/// Some of the transactions that were asked for, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The transactions. There may be fewer than the limit, even none, although more follow: a log
    /// looks at a bounded number of transactions for a page.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` where this is the last one.
    pub next: Option<Cursor>,
}

/// One transaction in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The transaction.
    pub id: TransactionId,
    /// What it is.
    pub labels: Labels,
    /// Whether nothing is left to do.
    pub settled: bool,
}
