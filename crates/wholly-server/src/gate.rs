//! The limits at the server's entrance: the rules in force, and the use of each resource.
//!
//! The rules change as a whole when the configuration is read again; a request, or a handshake, is
//! judged by those in force when it begins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;

use crate::access::Access;
use crate::audit::Audit;
use crate::config::Limits;

/// The rules for everything that comes in, its audit, and its use of resources.
pub struct Gate {
    rules: RwLock<Arc<Rules>>,
    pub audit: Arc<Audit>,
    /// The bytes of the bodies of requests in progress.
    pub bodies: Arc<Usage>,
    /// The connections.
    pub connections: Arc<Usage>,
}

/// The rules of the configuration for connections and requests.
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

/// The amount of a resource in use. Each call of `take` gives the limit, which a reload may change.
#[derive(Default)]
pub struct Usage(AtomicUsize);

/// A share of a resource, given back when it is dropped.
pub struct Permit {
    usage: Arc<Usage>,
    amount: usize,
}

impl Usage {
    /// Takes this amount, if the total stays within the limit.
    pub fn take(self: &Arc<Self>, amount: usize, limit: usize) -> Option<Permit> {
        let more = |taken: usize| taken.checked_add(amount).filter(|&all| all <= limit);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Permit { usage: Arc::clone(self), amount })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.usage.0.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_keeps_its_limit_and_takes_back_what_is_dropped() {
        let usage = Arc::new(Usage::default());
        let (first, second) = (usage.take(6, 10), usage.take(4, 10));
        assert!(first.is_some() && second.is_some());
        assert!(usage.take(1, 10).is_none() && usage.take(usize::MAX, usize::MAX).is_none());
        drop(first);
        assert!(usage.take(7, 10).is_none());
        assert!(usage.take(6, 10).is_some());
    }
}
