//! Outbox, feed, inbox and handlers in a simulated world: seeded, deterministic, hostile.
//!
//! A [`World`](world::World) has a clock and a shop of three services, each over an SQLite database
//! in memory. What a service does is the product's code: each [`StoreJob`](crate::choreography::job::StoreJob)
//! in a transaction, the [`Reader`](crate::choreography::feed_reader::Reader) of a feed, and the rules of
//! when a time-out may fire and what may be forgotten. Only the tasks that wait are replaced: chance
//! says what happens next. One seed gives one run. It is hostile in this:
//!
//! - processes crash between any two steps, with what they have begun committed or not; a commit
//!   may happen and not be heard of; handlers fail before or after their change;
//! - questions to feeds and their answers are lost, and arrive late: a page may be of long ago. A
//!   follower has one question at a time and hears no answer to one that it gave up, as over HTTP;
//! - in half of the runs databases are as PostgreSQL: an event takes its number when its transaction
//!   takes the correlation's lock, and is there when that commits, behind others that began later;
//! - calls to the gateway are lost, arrive after they were given up, and even after a crash;
//! - in some runs events are kept for minutes, and all services are down for longer than that;
//! - in some, a database is put back to an earlier dump, under followers and gateway that go on;
//! - outboxes hold what is no event, and data that no handler reads; an operator drops what cannot be
//!   read, and sometimes what fails, with the refusal that is declared for it.
//!
//! Transactions of one database are serial here, as SQLite's are. What PostgreSQL lets overlap is
//! for the tests over a real server.
//!
//! Some of what must be right is checked at each step, the rest when the faults have stopped and all
//! is done; [`Property`](violation::Property) names it all. It is held against a [`Ledger`](ledger::Ledger) of
//! what was really committed. [`planted`] shows that each check finds what it is for.
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
use violation::Violation;
use world::World;

/// The seeds of this run: fresh ones, as many as the environment says.
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

fn run(seed: u64, bug: Option<Bug>) -> Result<World, Violation> {
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
        assert!(seen.contains_key(what), "it never came to this: {what}");
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
