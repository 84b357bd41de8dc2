//! The number of transactions that go on briskly: each recorded something a short while ago.
//!
//! A batch waits for the entries of others that are likely to come at once. A transaction that
//! waits for a participant that hangs is in flight, too, perhaps for days; to wait for it would
//! slow those that do not touch that participant.

use wholly_core::Timestamp;

/// The length of a span: a transaction that recorded in this one or the one before it is active.
const SPAN_MILLIS: u64 = 64;

/// Counts the active transactions, without a look at each.
#[derive(Default)]
pub(super) struct RecentlyActive {
    span: u64,
    in_span: usize,
    in_span_before: usize,
}

/// The span in which something of a transaction was recorded last.
#[derive(Clone, Copy, Default)]
pub(super) struct LastSeen(Option<u64>);

impl RecentlyActive {
    /// Notes that something of a transaction is recorded.
    pub fn saw(&mut self, last: &mut LastSeen, now: Timestamp) {
        self.turn(now);
        if last.0 != Some(self.span) {
            self.forget(*last);
            *last = LastSeen(Some(self.span));
            self.in_span += 1;
        }
    }

    /// Forgets a transaction that is gone.
    pub fn forget(&mut self, LastSeen(last): LastSeen) {
        match last {
            Some(span) if span == self.span => self.in_span -= 1,
            Some(span) if span + 1 == self.span => self.in_span_before -= 1,
            _ => {}
        }
    }

    /// The number of active transactions when something was recorded last.
    pub fn count(&self) -> usize {
        self.in_span + self.in_span_before
    }

    fn turn(&mut self, now: Timestamp) {
        // A clock that was set back begins no other span.
        let span = (now.as_millis() / SPAN_MILLIS).max(self.span);
        if span > self.span {
            self.in_span_before = if span == self.span + 1 { self.in_span } else { 0 };
            (self.span, self.in_span) = (span, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(spans: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 / SPAN_MILLIS * SPAN_MILLIS + spans * SPAN_MILLIS)
    }

    #[test]
    fn what_went_on_a_short_while_ago_is_counted_once() {
        let (mut recently_active, mut seen) = (RecentlyActive::default(), [LastSeen::default(); 3]);
        let [one, two, three] = &mut seen;
        recently_active.saw(one, at(0));
        recently_active.saw(one, at(0));
        recently_active.saw(two, at(0));
        assert_eq!(recently_active.count(), 2);
        recently_active.saw(one, at(1));
        assert_eq!(recently_active.count(), 2);
        // The second hangs.
        recently_active.saw(one, at(2));
        assert_eq!(recently_active.count(), 1);
        recently_active.saw(three, at(2));
        recently_active.forget(*one);
        recently_active.forget(*two);
        assert_eq!(recently_active.count(), 1);
        // Set back, and then after a long pause.
        recently_active.saw(two, at(0));
        assert_eq!(recently_active.count(), 2);
        recently_active.saw(three, at(9));
        recently_active.forget(*two);
        assert_eq!(recently_active.count(), 1);
        recently_active.forget(*three);
        assert_eq!(recently_active.count(), 0);
    }
}
