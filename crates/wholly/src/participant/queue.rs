//! The queue of attempts that wait for a slot.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Answered, Attempt};
use super::{Answer, Call};

/// The attempts that wait for a slot. If none waits longer than the loop's next turn, this costs a
/// push and a pop; the order by deadline makes the next to go the next to expire.
#[derive(Default)]
pub(super) struct Queue {
    second_phase: BinaryHeap<Reverse<Waiting>>,
    first_phase: BinaryHeap<Reverse<Waiting>>,
    arrived: u64,
}

/// An attempt that waits.
pub(super) struct Waiting {
    /// The last moment at which it may leave.
    leaves_by: Instant,
    pub deadline: Instant,
    /// The order of arrival, by which attempts of the same deadline go.
    place: u64,
    pub call: Call,
    pub branch: u16,
    pub timeout: Duration,
}

impl Queue {
    /// Adds attempts that were sent at this time.
    pub fn extend(&mut self, sent_at: Instant, attempts: Vec<Attempt>) {
        // Nothing waits past the end of time.
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        for Attempt { call, branch, timeout } in attempts {
            self.arrived += 1;
            let timeout = timeout.min(LONGEST);
            let (leaves_by, deadline) = (sent_at + timeout / 2, sent_at + timeout);
            let place = self.arrived;
            let waiting = Reverse(Waiting { leaves_by, deadline, place, call, branch, timeout });
            match waiting.0.is_first_phase() {
                true => self.first_phase.push(waiting),
                false => self.second_phase.push(waiting),
            }
        }
    }

    /// Takes the next attempt; of the second phase alone unless the first may leave, too.
    pub fn next(&mut self, first_phase_too: bool) -> Option<Waiting> {
        let second_phase = self.second_phase.pop();
        let next = match first_phase_too {
            true => second_phase.or_else(|| self.first_phase.pop()),
            false => second_phase,
        };
        next.map(|Reverse(waiting)| waiting)
    }

    pub fn len(&self) -> usize {
        self.second_phase.len() + self.first_phase.len()
    }

    pub fn is_empty(&self) -> bool {
        self.second_phase.is_empty() && self.first_phase.is_empty()
    }

    /// The moment at which the next attempt expires.
    pub fn leaves_by(&self) -> Option<Instant> {
        let heaps = [&self.second_phase, &self.first_phase];
        heaps.into_iter().filter_map(|heap| heap.peek()).map(|waiting| waiting.0.leaves_by).min()
    }

    /// Takes the attempts that may not leave any more.
    pub fn expired(&mut self) -> Vec<Answered> {
        let mut expired = Vec::new();
        if self.is_empty() {
            return expired;
        }
        let now = Instant::now();
        for heap in [&mut self.second_phase, &mut self.first_phase] {
            while heap.peek().is_some_and(|waiting| waiting.0.leaves_by <= now)
                && let Some(Reverse(waiting)) = heap.pop()
            {
                expired.push(waiting.never_left());
            }
        }
        expired
    }
}

impl Waiting {
    pub fn is_first_phase(&self) -> bool {
        self.call.operation.is_first_phase()
    }

    fn never_left(self) -> Answered {
        let waited = self.timeout / 2;
        let answer =
            Answer::unknown(format!("never sent: its turn did not come within {waited:?}"));
        let Call { transaction, operation, .. } = self.call;
        Answered { transaction, branch: self.branch, operation, answer, sent: false }
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.leaves_by, self.place).cmp(&(other.leaves_by, other.place))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}
