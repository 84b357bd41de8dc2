//! A passive health check of a host's addresses, by the calls to them.
//!
//! An address that cannot be connected to, or whose last [`FAILING`] calls ended without a word of
//! the participant, is left for another one of the same name. It is only put last: if all fail,
//! all are tried. After [`FORGIVEN_AFTER`] it is tried as the others, and one more failure counts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The number of calls in a row that must fail.
pub(super) const FAILING: u32 = 3;
/// The time for which an address that fails is tried after the others.
pub(super) const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// The state of the addresses of one host.
#[derive(Default)]
pub(super) struct AddressHealth(Mutex<HealthState>);

#[derive(Default)]
struct HealthState {
    /// The addresses of the last look-up.
    known: Vec<IpAddr>,
    failures: HashMap<IpAddr, Failures>,
}

struct Failures {
    in_a_row: u32,
    last: Instant,
}

impl AddressHealth {
    /// The addresses in the order in which they are to be tried; those that fail are last, and
    /// among them the one whose failure is longest ago is first.
    pub fn ranked(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut state = self.state();
        state.known = addresses.to_vec();
        state.failures.retain(|address, _| addresses.contains(address));
        let mut ranked = addresses.to_vec();
        ranked.sort_by_key(|address| state.failing_since(*address));
        ranked
    }

    /// Notes that the address cannot be connected to.
    pub fn unreachable(&self, address: IpAddr) {
        self.state().failed(address, FAILING);
    }

    /// Notes that a call to the address failed.
    pub fn failed(&self, address: IpAddr) {
        self.state().failed(address, 1);
    }

    /// Notes that the participant answered at the address.
    pub fn answered(&self, address: IpAddr) {
        self.state().failures.remove(&address);
    }

    /// True if the address fails and another does not.
    pub fn is_left(&self, address: IpAddr) -> bool {
        let state = self.state();
        let fails = |address: &IpAddr| state.failing_since(*address).is_some();
        fails(&address) && !state.known.iter().all(fails)
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        // Nothing panics between two changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HealthState {
    fn failed(&mut self, address: IpAddr, times: u32) {
        let last = Instant::now();
        let failures = self.failures.entry(address).or_insert(Failures { in_a_row: 0, last });
        failures.in_a_row = failures.in_a_row.saturating_add(times);
        failures.last = last;
    }

    /// The last failure of an address that fails.
    fn failing_since(&self, address: IpAddr) -> Option<Instant> {
        let failures = self.failures.get(&address)?;
        let fails = failures.in_a_row >= FAILING && failures.last.elapsed() < FORGIVEN_AFTER;
        fails.then_some(failures.last)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const C: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 3));

    #[tokio::test(start_paused = true)]
    async fn an_address_that_only_fails_comes_after_the_others_for_a_while() {
        let health = AddressHealth::default();
        assert_eq!(health.ranked(&[A, B, C]), [A, B, C]);
        health.failed(A);
        health.failed(A);
        health.answered(A);
        health.failed(A);
        assert_eq!(health.ranked(&[A, B, C]), [A, B, C], "it does not only fail");
        health.failed(A);
        health.failed(A);
        assert_eq!(health.ranked(&[A, B, C]), [B, C, A]);
        assert!(health.is_left(A) && !health.is_left(B));
        advance(Duration::from_secs(1)).await;
        health.unreachable(B);
        assert_eq!(health.ranked(&[A, B, C]), [C, A, B]);
        health.unreachable(C);
        assert!(!health.is_left(A), "there is no better one");
        advance(FORGIVEN_AFTER).await;
        assert_eq!(health.ranked(&[A, B, C]), [A, B, C], "forgiven");
        health.failed(A);
        assert_eq!(health.ranked(&[A, B, C]), [B, C, A], "but not forgotten");
        health.answered(A);
        assert_eq!(health.ranked(&[A, B, C]), [A, B, C]);
        assert!(!health.is_left(A));
    }
}
