//! What the server lets in: the rules in force, and the room that is left.
//!
//! The rules change as a whole when the configuration is read again; a request, or a handshake, is
//! judged by those in force when it begins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

use crate::access::Access;
use crate::audit::Audit;
use crate::config::Limits;

/// What is asked and remembered of everything that comes in.
pub struct Gate {
    rules: RwLock<Arc<Rules>>,
    pub audit: Arc<Audit>,
    /// The bytes of the bodies of requests in progress.
    pub bodies: Arc<Room>,
    /// The connections.
    pub connections: Arc<Room>,
}

/// What the configuration says of who comes in.
pub struct Rules {
    pub access: Access,
    pub limits: Limits,
    pub tls: Option<Arc<ServerConfig>>,
}

impl Gate {
    pub fn new(rules: Rules, audit: Audit) -> Self {
        let (bodies, connections) = Default::default();
        Self { rules: RwLock::new(rules.into()), audit: audit.into(), bodies, connections }
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules in force.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules.into();
    }
}

/// How much of something is taken. The limit is the taker's, because it may change meanwhile.
#[derive(Default)]
pub struct Room(AtomicUsize);

/// A part of a room, given back when dropped.
pub struct Taken {
    room: Arc<Room>,
    amount: usize,
}

impl Room {
    /// Takes so much, if that keeps within the limit.
    pub fn take(self: &Arc<Self>, amount: usize, limit: usize) -> Option<Taken> {
        let more = |taken: usize| taken.checked_add(amount).filter(|&all| all <= limit);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Taken { room: Arc::clone(self), amount })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_holds_its_limit_and_what_is_given_back() {
        let room = Arc::new(Room::default());
        let (first, second) = (room.take(6, 10), room.take(4, 10));
        assert!(first.is_some() && second.is_some());
        assert!(room.take(1, 10).is_none() && room.take(usize::MAX, usize::MAX).is_none());
        drop(first);
        assert!(room.take(7, 10).is_none());
        assert!(room.take(6, 10).is_some());
    }
}
