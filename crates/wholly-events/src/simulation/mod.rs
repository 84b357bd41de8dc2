//! Outbox, feed, inbox and handlers in a simulated world: seeded, deterministic, hostile.
//!
//! A [`World`](world::World) has a clock and a shop of three services, each over an SQLite database
//! in memory. The services run the product's code: each
//! [`StoreJob`](crate::choreography::job::StoreJob) in a transaction, the
//! [`FeedReader`](crate::choreography::feed_reader::FeedReader) of a feed, and the rules for
//! time-outs and retention. Only the waiting tasks are replaced: a random number selects the next
//! step. One seed gives one run. The hostile parts of the world:
//!
//! - processes crash between any two steps, and their open transactions are committed or not; a
//!   commit may happen without an answer; handlers fail before or after their change;
//! - requests to feeds and their answers are lost or late: a page may be old. A follower has one
//!   request at a time and ignores answers to abandoned ones, as over HTTP;
//! - in half of the runs databases behave like PostgreSQL: an event takes its sequence when its
//!   transaction locks the correlation, and may be committed after events with later sequences;
//! - calls to the gateway are lost, or arrive after they were abandoned, even after a crash;
//! - in some runs events are kept for minutes, and all services are down for longer than that;
//! - in some runs a database is restored to an earlier dump, while followers and gateway continue;
//! - outboxes hold invalid entries and unreadable data; an operator drops unreadable events, and
//!   sometimes failing ones with their declared refusal.
//!
//! Transactions of one database are serial here, as in SQLite. Tests over a real PostgreSQL server
//! cover concurrent ones.
//!
//! Each [`Property`](violation::Property) is checked at every step, or after the faults have
//! stopped and all work is done, against a [`Ledger`](ledger::Ledger) of the real commits.
//! [`planted`] shows that each check catches the bugs it is meant for.
//!
//! ```sh
//! WHOLLY_SEEDS=10000 cargo test --release -p wholly-events --lib simulation::every_seed -- --nocapture
//! WHOLLY_SEED=0x1234 cargo test -p wholly-events --lib simulation::one_seed -- --nocapture
//! ```
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod check;
mod database;
mod feeds;
mod gateway;
mod handlers;
mod ledger;
mod operator;
mod planted;
mod random;
mod service;
mod session;
mod shop;
mod steps;
mod tasks;
mod unreadable;
mod violation;
mod work;
mod world;

use std::collections::BTreeMap;

use planted::Bug;
use violation::Checked;
use world::World;

/// The seeds of this run: as many as `WHOLLY_SEEDS` says, from `WHOLLY_SEED` or a random one.
fn seeds(default: u64) -> impl Iterator<Item = u64> {
    let count = environment("WHOLLY_SEEDS").unwrap_or(default);
    let first = environment("WHOLLY_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    println!("{count} seeds from {first:#x}");
    (0..count).map(move |n| first.wrapping_add(n))
}

fn environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|error| panic!("{name}={text:?}: {error}")))
}

fn run(seed: u64, bug: Option<Bug>) -> Checked<World> {
    let mut world = World::new(seed, bug);
    world.run()?;
    Ok(world)
}

#[test]
fn every_seed_ends_right() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds(120) {
        match run(seed, None) {
            Ok(world) => {
                for (what, times) in world.seen {
                    *seen.entry(what).or_default() += times;
                }
            }
            Err(wrong) => panic!("seed {seed:#x}: {wrong}\nreplay: WHOLLY_SEED={seed:#x} {REPLAY}"),
        }
    }
    println!("{seen:?}");
    // A simulation in which nothing happens proves nothing.
    for what in EVERYTHING {
        assert!(seen.contains_key(what), "it never happened: {what}");
    }
}

const REPLAY: &str = "cargo test -p wholly-events --lib simulation::one_seed -- --nocapture";

/// The incidents of which each must have happened in some run.
const EVERYTHING: [&str; 22] = [
    "again",
    "call",
    "call without a result",
    "commit unheard",
    "crash",
    "done",
    "dropped",
    "dropped with its refusal",
    "failure",
    "late call",
    "late commit",
    "not dropped",
    "outage",
    "parked behind another",
    "question lost",
    "refusal of a cursor",
    "refused",
    "restored",
    "set aside",
    "suppressed",
    "time-out",
    "trimmed",
];

#[test]
fn a_seed_replays_to_the_same_trace() {
    for seed in seeds(5) {
        let trace = || match run(seed, None) {
            Ok(world) => world.trace,
            Err(wrong) => panic!("seed {seed:#x}: {wrong}"),
        };
        let [first, second] = [trace(), trace()];
        assert!(!first.is_empty());
        assert_eq!(first, second, "seed {seed:#x}");
    }
}

/// Prints the trace of one seed, named by `WHOLLY_SEED`.
#[test]
fn one_seed() {
    let Some(seed) = environment("WHOLLY_SEED") else { return };
    let mut world = World::new(seed, None);
    let result = world.run();
    for line in &world.trace {
        println!("{line}");
    }
    println!(
        "{:?}, sequenced: {}, {:?}",
        world.shop, world.services[0].database.sequenced, world.story
    );
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}
