//! A process that kills itself at an exact point, by a real SIGKILL: work not durable by then is
//! lost, messages not sent are not sent.
//!
//! A point is written `WHEN-WHAT:WHICH`: `before`, `during` or `after`; an `append` to the log or a
//! `call` (of a participant by the coordinator, or of a service); its number since the process
//! started, or the first that has a name: for an append a record's, for a call an operation's,
//! which in a saga is the step's own. So `before-append:committed` is after the votes and before
//! the decision, and `after-append:committed` is after the decision and before anyone hears of it;
//! and `before-call:cancel-order` is in the middle of a compensation. A reaction to an event has
//! only `after-commit`, by its number or its name: nobody has been told then.
//!
//! *During* is a random moment: another thread kills while the append or the call is under way.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::process::{Signal, getpid, kill_process};
use wholly::log::{Log, intercept_appends};
use wholly::{AnswerFuture, Call, Endpoint, Slots};

use wholly_demo::fleet::name_of;
use wholly_demo::process::lock;
use wholly_demo::random::{Random, fresh_seed};

/// The point at which a process kills itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillAt {
    /// Before, during or after.
    pub when: When,
    /// The event.
    pub what: What,
    /// The one of these.
    pub which: Which,
}

/// The side of the event at which the process kills itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// It has not begun.
    Before,
    /// At a random moment while it is under way.
    During,
    /// It is done, and nobody has been told.
    After,
}

/// An event in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A batch is appended to the log.
    Append,
    /// A participant is called.
    Call,
    /// A reaction to an event is committed.
    Commit,
}

/// The choice among events of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The n-th since the process started, from 1.
    Nth(u32),
    /// The first that has this name.
    Named(String),
}

/// A text that names no point to kill at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no point; write one like before-append:2, during-call:1 or after-append:committed"
)]
pub struct InvalidKillAt(String);

impl FromStr for KillAt {
    type Err = InvalidKillAt;

    fn from_str(text: &str) -> Result<Self, InvalidKillAt> {
        parse(text).ok_or_else(|| InvalidKillAt(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<KillAt> {
    let (point, which) = text.split_once(':')?;
    let (when, what) = point.split_once('-')?;
    let when = When::from_str(when, false).ok()?;
    let what = What::from_str(what, false).ok()?;
    if what == What::Commit && when != When::After {
        return None;
    }
    let which = match which.parse() {
        Ok(0) => return None,
        Ok(nth) => Which::Nth(nth),
        Err(_) if which.is_empty() => return None,
        Err(_) => Which::Named(which.to_owned()),
    };
    Some(KillAt { when, what, which })
}

impl fmt::Display for KillAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}:", name_of(&self.when), name_of(&self.what))?;
        match &self.which {
            Which::Nth(nth) => write!(f, "{nth}"),
            Which::Named(name) => f.write_str(name),
        }
    }
}

/// Waits for its point, and kills the process there. Clones share the count.
#[derive(Clone, Debug)]
pub struct Killer {
    at: KillAt,
    seen: Arc<AtomicU32>,
    /// The time that the last append or call took: a moment *during* the next lies within that.
    took: Arc<Mutex<Duration>>,
}

impl Killer {
    /// A killer for this point.
    pub fn new(at: KillAt) -> Self {
        let took = Arc::new(Mutex::new(Duration::from_millis(1)));
        Self { at, seen: Arc::default(), took }
    }

    /// The log, with the point put around its appends.
    pub fn log(&self, inner: Arc<dyn Log>) -> Arc<dyn Log> {
        let killer = self.clone();
        Arc::new(intercept_appends(inner, move |writer, after, batch| {
            let here = killer.reaches(What::Append, |record| {
                let record = format!("\"{record}\"");
                batch.iter().any(|entry| entry.text.contains(&record))
            });
            let begun = killer.begin(here);
            let appended = writer.append(after, batch);
            killer.end(here, begun);
            appended
        }))
    }

    /// The participant, with the point put around its calls.
    pub fn endpoint(&self, inner: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        Arc::new(KillingEndpoint { inner, killer: self.clone() })
    }

    /// Puts the point around a call of this operation.
    pub async fn around<T>(&self, operation: &str, call: impl Future<Output = T>) -> T {
        let here = self.reaches(What::Call, |name| name == operation);
        let begun = self.begin(here);
        let answer = call.await;
        self.end(here, begun);
        answer
    }

    /// Kills where this reaction, which is committed, is the point.
    pub fn after_commit(&self, reaction: &str) {
        if self.reaches(What::Commit, |name| name == reaction).is_some() {
            kill();
        }
    }

    /// Counts what happens; where it is the point, on which side of it the process dies.
    fn reaches(&self, what: What, has_name: impl Fn(&str) -> bool) -> Option<When> {
        if what != self.at.what {
            return None;
        }
        let is_it = match &self.at.which {
            Which::Nth(nth) => self.seen.fetch_add(1, Ordering::SeqCst) + 1 == *nth,
            Which::Named(name) => has_name(name),
        };
        is_it.then_some(self.at.when)
    }

    fn begin(&self, here: Option<When>) -> Instant {
        match here {
            Some(When::Before) => kill(),
            Some(When::During) => {
                let took = *lock(&self.took);
                let moment = Random::seeded(fresh_seed()).moment(took);
                std::thread::spawn(move || {
                    std::thread::sleep(moment);
                    kill()
                });
            }
            Some(When::After) | None => {}
        }
        Instant::now()
    }

    fn end(&self, here: Option<When>, begun: Instant) {
        // If the random moment has not come yet it was as late as it can be: nobody is told.
        if here.is_some() {
            kill();
        }
        *lock(&self.took) = begun.elapsed();
    }
}

fn kill() -> ! {
    // A process may always kill itself; and if not, it must not go on as if nothing was asked.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

struct KillingEndpoint {
    inner: Arc<dyn Endpoint>,
    killer: Killer,
}

impl Endpoint for KillingEndpoint {
    fn call(&self, call: Call) -> AnswerFuture<'_> {
        let name = call.operation_name().to_owned();
        Box::pin(async move { self.killer.around(&name, self.inner.call(call)).await })
    }

    fn offers_one_phase(&self) -> bool {
        self.inner.offers_one_phase()
    }

    fn slots(&self) -> Slots {
        self.inner.slots()
    }

    fn address(&self) -> Option<String> {
        self.inner.address()
    }

    fn reconnect(&self) {
        self.inner.reconnect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_back() {
        for text in
            ["before-append:1", "during-call:12", "after-append:committed", "after-commit:3"]
        {
            assert_eq!(text.parse::<KillAt>().unwrap().to_string(), text);
        }
        let others = ["before-commit:1", "after-call:0", "at-call:1"];
        for text in ["", "before", "before-append", "before-append:"].into_iter().chain(others) {
            assert!(text.parse::<KillAt>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_point_itself_is_reached() {
        let reached = |at: &str, what, has_name: fn(&str) -> bool| {
            let killer = Killer::new(at.parse().unwrap());
            (0..3).map(move |_| killer.reaches(what, has_name).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(reached("after-call:2", What::Call, |_| false), [false, true, false]);
        assert_eq!(reached("after-call:2", What::Append, |_| true), [false; 3]);
        assert_eq!(reached("after-call:commit", What::Call, |name| name == "commit"), [true; 3]);
        assert_eq!(reached("after-call:commit", What::Call, |name| name == "abort"), [false; 3]);
    }
}
