//! The reader, a process of its own: the hidden command `wholly compare-reader`.
//!
//! It is told on its standard input which orders there are (`watch ORDER`, `leave ORDER`), asks the
//! three services for them all the while, and prints a line of JSON for each intermediate state that
//! it sees. `total` asks how often it read. An order that ended is read until its services agree.
//! It ends when its standard input does.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::verdict::{self, Collect, Verdict};
use crate::client::{Http, Reply};
use crate::process::lock;
use crate::service::say_json;
use crate::shop::standing::StandingAnswer;

/// Read orders from the three services, until the standard input ends.
#[derive(Args, Debug)]
pub struct Reader {
    /// Where order, payment and inventory listen, on 127.0.0.1.
    #[arg(long, value_delimiter = ',', required = true)]
    ports: Vec<u16>,
}

/// The time for which a service is waited for: less than a customer would.
const PATIENCE: Duration = Duration::from_millis(500);
/// The pause after each read, so that the reader does not take the machine from the services.
const PAUSE: Duration = Duration::from_millis(2);
/// The number of times the reader by rule collects before it gives a read up.
const TRIES: u32 = 4;

/// The manner of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Manner {
    /// Each service once.
    Plain,
    /// Twice, until nothing is held and nothing changes.
    ByRule,
}

/// A message of the reader.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Said {
    Ready,
    Intermediate(Finding),
    Total(Totals),
}

/// An order that was seen halfway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) order: String,
    pub(super) reader: Manner,
    /// The answers of order, payment and inventory; nothing of one that did not answer.
    pub(super) states: Collect,
    /// Microseconds since the Unix epoch.
    pub(super) at_micros: u64,
}

/// The number of reads of each manner.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) plain: Reads,
    pub(super) by_rule: Reads,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reads {
    pub(super) reads: u64,
    pub(super) intermediate: u64,
    /// Tries in which a service did not answer whose answer was needed.
    pub(super) unanswered: u64,
    /// Tries that were given up, because something was held or changed.
    pub(super) given_up: u64,
}

impl Reader {
    /// Reads until the standard input ends.
    pub fn run(self) -> ExitCode {
        let Ok(ports) = <[u16; 3]>::try_from(self.ports) else {
            wholly_terminal::report("wholly: three ports are needed");
            return ExitCode::FAILURE;
        };
        let shared = Arc::<ReaderState>::default();
        let listening = Arc::clone(&shared);
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                listening.obey(&line);
            }
            // Whoever started it is gone.
            std::process::exit(0)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return ExitCode::FAILURE };
        say_json(&Said::Ready);
        runtime.block_on(async {
            let plain = Looking { ports, http: Http::default(), shared: Arc::clone(&shared) };
            let by_rule = Looking { http: Http::default(), ..plain.clone() };
            tokio::join!(plain.plainly(), by_rule.by_rule());
        });
        ExitCode::SUCCESS
    }
}

#[derive(Default)]
struct ReaderState {
    /// The orders that are looked at, and if each has ended.
    orders: Mutex<BTreeMap<String, bool>>,
    totals: Mutex<Totals>,
}

impl ReaderState {
    fn obey(&self, line: &str) {
        match line.split_once(' ') {
            Some(("watch", order)) => _ = lock(&self.orders).insert(order.to_owned(), false),
            Some(("leave", order)) => {
                if let Some(has_ended) = lock(&self.orders).get_mut(order) {
                    *has_ended = true;
                }
            }
            _ => say_json(&Said::Total(*lock(&self.totals))),
        }
    }

    fn orders(&self) -> Vec<String> {
        lock(&self.orders).keys().cloned().collect()
    }

    /// Looks no more at an order that has ended.
    fn forget(&self, order: &str) {
        let mut orders = lock(&self.orders);
        if orders.get(order) == Some(&true) {
            orders.remove(order);
        }
    }

    /// Counts what came of a try, and tells what was halfway.
    fn count(&self, manner: Manner, order: &str, outcome: &Outcome) {
        let mut totals = lock(&self.totals);
        let reads = match manner {
            Manner::Plain => &mut totals.plain,
            Manner::ByRule => &mut totals.by_rule,
        };
        match outcome {
            Outcome::Unanswered => reads.unanswered += 1,
            Outcome::GivenUp => reads.given_up += 1,
            Outcome::Read(verdict, states) => {
                reads.reads += 1;
                if *verdict == Verdict::Intermediate {
                    reads.intermediate += 1;
                    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    say_json(&Said::Intermediate(Finding {
                        order: order.to_owned(),
                        reader: manner,
                        states: *states,
                        at_micros: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
                    }));
                }
            }
        }
    }
}

/// The result of a try to read an order.
enum Outcome {
    Read(Verdict, Collect),
    Unanswered,
    GivenUp,
}

#[derive(Clone)]
struct Looking {
    ports: [u16; 3],
    http: Http,
    shared: Arc<ReaderState>,
}

impl Looking {
    async fn plainly(self) {
        loop {
            for order in self.shared.orders() {
                let seen = self.collect(&order).await;
                let outcome = match verdict::plain(seen) {
                    Some(verdict) => Outcome::Read(verdict, seen),
                    None => Outcome::Unanswered,
                };
                self.shared.count(Manner::Plain, &order, &outcome);
                if matches!(outcome, Outcome::Read(_, states) if verdict::agrees(states)) {
                    self.shared.forget(&order);
                }
                sleep(PAUSE).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn by_rule(self) {
        loop {
            for order in self.shared.orders() {
                let outcome = self.read_by_rule(&order).await;
                self.shared.count(Manner::ByRule, &order, &outcome);
                sleep(PAUSE).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn read_by_rule(&self, order: &str) -> Outcome {
        let mut before = self.collect(order).await;
        for _ in 0..TRIES {
            let now = self.collect(order).await;
            if let Some(verdict) = verdict::by_rule(before, now) {
                return Outcome::Read(verdict, now);
            }
            before = now;
        }
        if before.contains(&None) { Outcome::Unanswered } else { Outcome::GivenUp }
    }

    /// One answer of each service, one after the other.
    async fn collect(&self, order: &str) -> Collect {
        let mut states = [None; 3];
        for (state, port) in states.iter_mut().zip(self.ports) {
            let url = format!("http://127.0.0.1:{port}/orders/{order}");
            let reply = self.http.send(Method::GET, &url, &[], String::new(), PATIENCE).await;
            if let Ok(Reply { status: 200, body, .. }) = reply {
                *state = StandingAnswer::deserialize(&body).ok().map(|told| told.state);
            }
        }
        states
    }
}
