//! The engine's real loop in a simulated world: seeded, deterministic, hostile.
//!
//! A [`World`](world::World) has a clock, a network (loss, delay, duplication, reordering,
//! partition), a log (a crash before or after a batch lands, an append that fails although it
//! landed, or because it did not), participants that crash, that move, and whose names do not
//! resolve, clients that retry, and operators who resolve by hand, a backup that takes the place of a
//! log that is lost. While the coordinator is down, an older copy of the log, another one or an empty
//! one lies in its place, and entries are damaged until an operator puts the storage right. The wall
//! clock jumps, by seconds and by years. Memory is scarce in half of the worlds, so that transactions
//! wait in the log and give up their places. Transactions in two phases and sagas go through the same
//! loop. One seed gives one run, event for event. What is wrong is found at once where it can be:
//!
//! - no effect leaves before its record is durable, and what is recorded did happen;
//! - no step starts before what it comes after, and each is given what those before it gave;
//! - nothing runs again once a saga has turned back, and none turns back while its pivot may have
//!   run;
//! - steps are taken back in reverse order, only those that may have run, and nothing twice;
//! - for how many transactions each participant is waited for is counted as it is;
//! - only the log that was open is opened again, with all that was told to be durable;
//! - a read shows what anybody was told, and no decision is presumed of what becomes durable;
//! - nobody waits longer than the longest wait, ids ascend, and nothing young is removed;
//! - for what is damaged nothing is sent and nothing recorded, and nobody is told how it ends.
//!
//! After a while the faults stop, and what is left must be right:
//!
//! - every transaction has settled; one in two phases everywhere the same way; of a saga every step
//!   is done, or every one that may have run is taken back;
//! - nobody holds anything, and nothing took effect twice;
//! - what a client or a reader was ever told still holds; a key gave one transaction.
//!
//! The [`Ledger`](ledger::Ledger) is what it is held against: what was really sent, done and
//! recorded of each saga, kept beside the core. [`Check`](wrong::Check) names all that is checked,
//! and [`planted`] shows that each check finds what it is for.
//!
//! ```sh
//! WHOLLY_SEEDS=10000 cargo test --release -p wholly --lib simulation -- --nocapture
//! WHOLLY_SEED=0x1234 cargo test -p wholly --lib simulation::one_seed -- --nocapture
//! ```

mod check;
mod clients;
mod definitions;
mod disk;
mod ledger;
mod network;
mod operator;
mod participants;
mod planted;
mod readers;
mod restored;
mod seen;
mod sent;
mod steps;
mod storage;
mod time;
mod world;
mod wrong;

use planted::Bug;
use seen::Seen;
use world::World;
use wrong::Wrong;

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

fn run(seed: u64, bug: Option<Bug>) -> Result<World, Wrong> {
    let mut world = World::new(seed, bug);
    world.run()?;
    Ok(world)
}

#[test]
fn every_seed_ends_right() {
    let mut seen = Seen::default();
    for seed in seeds(300) {
        match run(seed, None) {
            Ok(world) => seen.add(&world.seen),
            Err(wrong) => panic!("seed {seed:#x}: {wrong}\nreplay: WHOLLY_SEED={seed:#x}"),
        }
    }
    println!("{seen:?}");
    // A simulation in which nothing happens proves nothing.
    seen.assert_everything_happened();
}

#[test]
fn a_seed_replays_to_the_same_trace() {
    for seed in seeds(20) {
        let [first, second] = [(); 2].map(|()| run(seed, None).map(|world| world.trace).unwrap());
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
    result.unwrap_or_else(|wrong| panic!("{wrong}"));
}
