//! The memory for open transactions, and whether there is room for more.
//!
//! Transactions in flight are kept in memory, and whoever may submit decides how large they are. So
//! they have a limit in bytes, [`Settings::in_flight_limit_bytes`](crate::Settings::in_flight_limit_bytes),
//! beside the limit in number: a submission that would exceed it is refused as overload. The bytes are
//! those of payloads, outputs and definitions, and an allowance for the rest.
//!
//! While transactions wait to be [loaded](super::unloaded), half of the limit is theirs, so that
//! neither they nor the new ones keep the others away.
//!
//! INVARIANT: the bytes in use are the sum of those of the open transactions.

use wholly_core::{Proposal, Timestamp, TransactionId};

use super::targets::Who;
use super::{Attempts, Engine, Open, OpenState};
use crate::error::SubmitError;

/// The bytes of a transaction beside its payloads.
const OWN_BYTES: usize = 2_048;
/// The bytes of each of its branches or steps beside that, with a call on its way.
const BRANCH_BYTES: usize = 1_536;

/// The memory for open transactions.
pub(super) struct Room {
    limit: usize,
    used: usize,
    /// The part of it that is taken by those that were loaded from the log.
    loaded: usize,
}

/// The memory that a transaction holds.
#[derive(Clone, Copy, Default)]
pub(super) struct Permit {
    pub(super) bytes: usize,
    /// It was loaded from the log.
    loaded: bool,
}

impl Room {
    pub fn new(limit: usize) -> Self {
        Self { limit, used: 0, loaded: 0 }
    }

    pub fn used(&self) -> usize {
        self.used
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The most that may be taken by the transactions for which one participant owes an answer.
    pub fn share(&self) -> usize {
        self.limit / 2
    }

    /// Whether a new transaction fits in. One that is larger than all of the room fits if it is alone.
    pub fn admits(&self, bytes: usize, others_wait: bool) -> bool {
        let new = self.used - self.loaded;
        let fits = self.used.saturating_add(bytes) <= self.limit;
        let fits_its_half = !others_wait || new.saturating_add(bytes) <= self.limit / 2;
        (fits && fits_its_half) || self.used == 0
    }

    /// How much may be loaded; `None` while it is too little for a page.
    pub fn to_load(&self) -> Option<usize> {
        let free = self.limit.saturating_sub(self.used);
        let free = free.min((self.limit / 2).saturating_sub(self.loaded));
        (free >= self.limit / 8 || self.used == 0).then_some(free.max(1))
    }

    /// Whether any is left for those that are loaded.
    pub fn is_left_to_load(&self) -> bool {
        self.used < self.limit && self.loaded < self.limit / 2
    }

    /// Whether the limit is exceeded.
    pub fn is_exceeded(&self) -> bool {
        self.used > self.limit
    }

    fn change(&mut self, permit: &mut Permit, bytes: usize) {
        self.used = self.used - permit.bytes + bytes;
        if permit.loaded {
            self.loaded = self.loaded - permit.bytes + bytes;
        }
        permit.bytes = bytes;
    }

    /// Takes back the memory of a transaction.
    pub fn give_back(&mut self, mut permit: Permit) {
        self.change(&mut permit, 0);
    }
}

impl Permit {
    /// Nothing yet, by one that was loaded.
    pub fn by_loaded() -> Self {
        Self { bytes: 0, loaded: true }
    }
}

/// The bytes that a new transaction will take.
pub(super) fn needed(proposal: &Proposal, parts: usize) -> usize {
    OWN_BYTES + parts * BRANCH_BYTES + proposal.memory_bytes()
}

impl<W> Engine<W> {
    /// Makes sure that a transaction fits in; what is stuck gives up its place.
    pub(super) fn make_room(&mut self, bytes: usize, now: Timestamp) -> Result<(), SubmitError> {
        while self.open.len() >= self.settings.in_flight_limit {
            if !self.unload_one(now) {
                return Err(SubmitError::Overloaded { in_flight: self.open.len() });
            }
        }
        while !self.room.admits(bytes, self.unloaded.any()) {
            if !self.unload_one(now) {
                return Err(self.no_room());
            }
        }
        Ok(())
    }

    pub(super) fn no_room(&self) -> SubmitError {
        SubmitError::OutOfRoom { in_flight_bytes: self.room.used(), limit_bytes: self.room.limit() }
    }

    /// Counts anew what a transaction takes, after it has changed.
    pub(super) fn count_bytes(&mut self, id: TransactionId) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let (before, after) = (open.permit.bytes, open.bytes());
        self.room.change(&mut open.permit, after);
        if before != after {
            for who in open.owing() {
                self.targets.resize(who, before, after);
            }
        }
    }
}

impl<W> Open<W> {
    fn bytes(&self) -> usize {
        let held = match &self.part {
            OpenState::Live(transaction) => transaction.memory_bytes(),
            OpenState::Unusable | OpenState::Ended => 0,
        };
        OWN_BYTES + self.attempts.len() * BRANCH_BYTES + held
    }

    /// Who owes an answer for it, each once.
    pub(super) fn owing(&self) -> impl Iterator<Item = Who> {
        let owes = |attempts: &&Attempts| attempts.owes;
        let attempts = &self.attempts;
        let first = move |place: usize, who| {
            attempts[..place].iter().filter(owes).all(|other| other.who != who)
        };
        let owing = attempts.iter().enumerate().filter(|(_, attempts)| attempts.owes);
        owing.filter(move |(place, of)| first(*place, of.who)).map(|(_, of)| of.who)
    }
}
