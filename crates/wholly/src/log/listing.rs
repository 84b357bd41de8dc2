//! Listing: a log's knowledge of transactions without reading their records, and its queries.
//!
//! Every entry carries the [`Labels`] of its transaction as of that entry. The log keeps them for
//! lists and for nothing else; the records stay the truth.
//!
//! A list is newest first, and comes in pages. A [`Cursor`] is a place in the fixed order of a
//! log's transactions, so pages stay right while transactions come and change. No transaction is in
//! two pages, and none is missing that existed and matched throughout.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wholly_core::{Name, ParticipantName, Timestamp, TransactionId};

pub use wholly_core::{Pattern, State};

/// The labels of a transaction, as a list shows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Labels {
    /// Its name.
    pub name: Name,
    /// Its pattern.
    pub pattern: Pattern,
    /// Its participants, each once, in order.
    pub participants: Arc<[ParticipantName]>,
    /// Its state.
    pub state: State,
    /// True if it needs an operator.
    pub stuck: bool,
}

/// The transactions to list: those that match every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The state.
    pub state: Option<State>,
    /// The pattern.
    pub pattern: Option<Pattern>,
    /// The exact name.
    pub name: Option<Name>,
    /// A participant of the transaction.
    pub participant: Option<ParticipantName>,
    /// True for settled transactions, false for unsettled ones.
    pub settled: Option<bool>,
    /// True for transactions that need an operator, false for all others.
    pub stuck: Option<bool>,
    /// The earliest time of acceptance.
    pub since: Option<Timestamp>,
    /// The end of the times of acceptance, itself excluded.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// True if a transaction with these labels matches, whatever its time.
    #[must_use]
    pub fn matches(&self, labels: &Labels, settled: bool) -> bool {
        self.state.is_none_or(|state| state == labels.state)
            && self.pattern.is_none_or(|pattern| pattern == labels.pattern)
            && self.name.as_ref().is_none_or(|name| *name == labels.name)
            && self.participant.as_ref().is_none_or(|who| labels.participants.contains(who))
            && self.settled.is_none_or(|wanted| wanted == settled)
            && self.stuck.is_none_or(|stuck| stuck == labels.stuck)
    }

    /// True if it restricts nothing but the time of acceptance.
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

/// A query for a page of a list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The transactions to list.
    pub filter: Filter,
    /// The end of the page before; this page begins after it.
    pub after: Option<Cursor>,
    /// The greatest number of transactions in the page.
    pub limit: usize,
    /// The transactions that the coordinator has set aside: stuck, whatever the log says.
    pub quarantined: BTreeSet<TransactionId>,
}

impl Query {
    /// The query for the newest transactions, at most `limit`.
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

/// The end of one page and the beginning of the next. Only its issuer interprets its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cursor(u64);

impl Cursor {
    /// The cursor after the transaction with this ordinal, in the order of the list.
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

/// A page of the transactions that were asked for, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The transactions. A page may be short, even empty, although more follow: a log examines a
    /// bounded number of transactions for a page.
    pub rows: Vec<Row>,
    /// The beginning of the next page; `None` if this is the last one.
    pub next: Option<Cursor>,
}

/// One transaction in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The transaction.
    pub id: TransactionId,
    /// Its labels.
    pub labels: Labels,
    /// True if nothing is left to do.
    pub settled: bool,
}
