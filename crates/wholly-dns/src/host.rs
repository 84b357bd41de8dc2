//! One host: the last result of its look-up, and the look-up that is pending.
//!
//! INVARIANT: a look-up is pending until its thread has sent a result or dropped the sender, as it
//! does when the look-up panics. Another one begins only when none is pending.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Addresses, Hosts, LATE, LookUp, STALE};

pub(super) struct Host {
    name: String,
    state: Mutex<HostState>,
}

#[derive(Default)]
struct HostState {
    found: Option<Resolved>,
    pending: Option<PendingLookUp>,
    /// True if a warning said that the name does not resolve any more, and it has not resolved since.
    warned: bool,
}

struct Resolved {
    addresses: Addresses,
    at: Instant,
    /// True if another look-up was requested since.
    refreshed: bool,
}

struct PendingLookUp {
    since: Instant,
    answer: watch::Receiver<Option<LookUpResult>>,
}

/// The result of a look-up.
pub(super) type LookUpResult = Result<Addresses, Arc<io::Error>>;

/// The known addresses of a host, and the result to come of the pending look-up.
pub(super) enum Cached {
    Fresh(Addresses),
    Stale {
        addresses: Addresses,
        /// The time after which the pending look-up is late.
        late_in: Duration,
        answer: watch::Receiver<Option<LookUpResult>>,
    },
    Nothing {
        answer: watch::Receiver<Option<LookUpResult>>,
    },
}

impl Host {
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), state: Mutex::default() }
    }

    /// The known addresses; unless they are fresh, a look-up is pending or begins.
    pub fn ask(self: &Arc<Self>, hosts: &Hosts) -> Cached {
        let mut state = self.state();
        let found = state.found.as_ref().filter(|found| found.at.elapsed() < STALE);
        let is_fresh = |found: &&Resolved| !found.refreshed && found.at.elapsed() < hosts.fresh;
        if let Some(found) = found.filter(is_fresh) {
            return Cached::Fresh(found.addresses.clone());
        }
        let old = found.map(|found| found.addresses.clone());
        let pending = state.pending.take().filter(PendingLookUp::is_pending);
        let look_up = pending.unwrap_or_else(|| self.begin(hosts.look_up.clone()));
        let answer = look_up.answer.clone();
        let late_in = LATE.saturating_sub(look_up.since.elapsed());
        state.pending = Some(look_up);
        match old {
            Some(addresses) => Cached::Stale { addresses, late_in, answer },
            None => Cached::Nothing { answer },
        }
    }

    pub fn refresh(&self) {
        if let Some(found) = &mut self.state().found {
            found.refreshed = true;
        }
    }

    /// True if the host has addresses that may be served, or a pending look-up.
    pub fn is_of_use(&self) -> bool {
        let state = self.state();
        state.pending.as_ref().is_some_and(PendingLookUp::is_pending)
            || state.found.as_ref().is_some_and(|found| found.at.elapsed() < STALE)
    }

    /// Makes the result older by this time.
    #[cfg(test)]
    pub fn grow_older(&self, by: Duration) {
        if let Some(found) = &mut self.state().found {
            found.at = found.at.checked_sub(by).unwrap_or(found.at);
        }
    }

    fn begin(self: &Arc<Self>, look_up: Arc<LookUp>) -> PendingLookUp {
        let (said, answer) = watch::channel(None);
        let host = self.clone();
        let run = move || {
            let answer = look_up(&host.name).and_then(|addresses| match addresses.is_empty() {
                true => Err(io::Error::other("it has no address")),
                false => Ok(Addresses::from(addresses)),
            });
            let answer = answer.map_err(Arc::new);
            host.learn(&answer);
            said.send_replace(Some(answer));
        };
        // Without a thread no look-up is pending, as after a panic.
        let thread = std::thread::Builder::new().name("wholly-dns".to_owned()).spawn(run);
        if let Err(why) = thread {
            tracing::warn!("the name {} cannot be looked up: {why}", self.name);
        }
        PendingLookUp { since: Instant::now(), answer }
    }

    fn learn(&self, answer: &LookUpResult) {
        let mut state = self.state();
        match answer {
            Ok(addresses) => {
                let (addresses, at) = (addresses.clone(), Instant::now());
                state.found = Some(Resolved { addresses, at, refreshed: false });
                state.warned = false;
            }
            Err(why) => {
                if state.found.is_some() && !std::mem::replace(&mut state.warned, true) {
                    tracing::warn!(
                        "the name {} resolves no more: {why}; its last addresses are used for up \
                         to {STALE:?}",
                        self.name
                    );
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, HostState> {
        // Nothing panics between two changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingLookUp {
    fn is_pending(&self) -> bool {
        self.answer.has_changed().is_ok() && self.answer.borrow().is_none()
    }
}
