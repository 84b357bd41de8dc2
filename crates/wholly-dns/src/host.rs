//! One host: what its name resolved to last, and the look-up that is on its way.
//!
//! INVARIANT: a look-up is on its way until its thread has answered or dropped the sending end of
//! the answer, as it does where the look-up panics. Only without one another is begun.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Addresses, Hosts, LATE, LookUp, STALE};

pub(super) struct Host {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: Option<Found>,
    looking: Option<Looking>,
    /// It was said that the name resolves no more, and it has not resolved since.
    warned: bool,
}

struct Found {
    addresses: Addresses,
    at: Instant,
    /// Another look-up was asked for since.
    refreshed: bool,
}

struct Looking {
    since: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

/// A look-up's end.
pub(super) type Answer = Result<Addresses, Arc<io::Error>>;

/// The known addresses of a host. `answer` is of the look-up that is on its way.
pub(super) enum Known {
    Fresh(Addresses),
    Stale {
        addresses: Addresses,
        /// The time after which the look-up that is on its way is late.
        late_in: Duration,
        answer: watch::Receiver<Option<Answer>>,
    },
    Nothing {
        answer: watch::Receiver<Option<Answer>>,
    },
}

impl Host {
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), state: Mutex::default() }
    }

    /// What is known; unless it is fresh, with a look-up that is on its way.
    pub fn ask(self: &Arc<Self>, hosts: &Hosts) -> Known {
        let mut state = self.state();
        let found = state.found.as_ref().filter(|found| found.at.elapsed() < STALE);
        let is_fresh = |found: &&Found| !found.refreshed && found.at.elapsed() < hosts.fresh;
        if let Some(found) = found.filter(is_fresh) {
            return Known::Fresh(found.addresses.clone());
        }
        let old = found.map(|found| found.addresses.clone());
        let on_its_way = state.looking.take().filter(Looking::is_on_its_way);
        let looking = on_its_way.unwrap_or_else(|| self.begin(hosts.look_up.clone()));
        let answer = looking.answer.clone();
        let late_in = LATE.saturating_sub(looking.since.elapsed());
        state.looking = Some(looking);
        match old {
            Some(addresses) => Known::Stale { addresses, late_in, answer },
            None => Known::Nothing { answer },
        }
    }

    pub fn refresh(&self) {
        if let Some(found) = &mut self.state().found {
            found.refreshed = true;
        }
    }

    /// Whether forgetting the host would lose anything.
    pub fn is_of_use(&self) -> bool {
        let state = self.state();
        state.looking.as_ref().is_some_and(Looking::is_on_its_way)
            || state.found.as_ref().is_some_and(|found| found.at.elapsed() < STALE)
    }

    /// What was found is older by this.
    #[cfg(test)]
    pub fn grow_older(&self, by: Duration) {
        if let Some(found) = &mut self.state().found {
            found.at = found.at.checked_sub(by).unwrap_or(found.at);
        }
    }

    fn begin(self: &Arc<Self>, look_up: Arc<LookUp>) -> Looking {
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
        // Where the system denies the thread, nothing is on its way, as after a panic.
        let thread = std::thread::Builder::new().name("wholly-dns".to_owned()).spawn(run);
        if let Err(why) = thread {
            tracing::warn!("the name {} cannot be looked up: {why}", self.name);
        }
        Looking { since: Instant::now(), answer }
    }

    fn learn(&self, answer: &Answer) {
        let mut state = self.state();
        match answer {
            Ok(addresses) => {
                let (addresses, at) = (addresses.clone(), Instant::now());
                state.found = Some(Found { addresses, at, refreshed: false });
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

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looking {
    fn is_on_its_way(&self) -> bool {
        self.answer.has_changed().is_ok() && self.answer.borrow().is_none()
    }
}
