//! Everything that reads what others wrote takes anything: no panic, no hang, and what it
//! understands it writes the same way again.
//!
//! Inputs are mutations of a corpus, `fuzz-corpus/` beside this crate's source, by a seeded mutator
//! that knows the corpus' own words. The corpus and some mutations of it are a test; ten million are
//!
//! ```text
//! cargo test --release -p wholly-server --bin wholly -- --ignored --nocapture fuzz::ten_million
//! ```
//!
//! `WHOLLY_FUZZ_INPUTS` sets how many, `WHOLLY_FUZZ_SEED` which.

mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mutate::Mutator;
use targets::{TARGETS, Target};

/// Far more than any input may take.
const HANG: Duration = Duration::from_secs(20);

#[test]
fn the_corpus_and_what_is_like_it() {
    run(20_000, 1);
}

#[test]
#[ignore = "takes minutes; the module's documentation has the command"]
fn ten_million() {
    let number = |name, or| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    run(number("WHOLLY_FUZZ_INPUTS", 10_000_000), number("WHOLLY_FUZZ_SEED", 1));
}

#[test]
fn a_panic_is_reported_with_its_input() {
    let target = Target {
        name: "planted",
        prepare: || {
            Box::new(|input| {
                assert!(!input.ends_with(b"{"), "planted");
                true
            })
        },
        share: 1,
    };
    let failed = catch_unwind(AssertUnwindSafe(|| fuzz(&target, vec![b"{}".to_vec()], 1_000, 1)));
    let said = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(said.starts_with("planted: panicked over \""), "{said}");
}

/// Throws so many inputs in all at all targets.
fn run(inputs: u64, seed: u64) {
    let shares: u64 = TARGETS.iter().map(|target| target.share).sum();
    for target in &TARGETS {
        let corpus = corpus(target.name);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        fuzz(target, corpus, inputs * target.share / shares, seed);
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn fuzz(target: &Target, corpus: Vec<Vec<u8>>, inputs: u64, seed: u64) {
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let begun = Instant::now();
    let (done, understood) = (AtomicU64::new(0), AtomicU64::new(0));
    let watched: Vec<Mutex<(Instant, Vec<u8>)>> =
        (0..workers).map(|_| Mutex::new((Instant::now(), Vec::new()))).collect();
    let over = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        let work = |worker: u64| {
            let (corpus, watched) = (&corpus, &watched[worker as usize]);
            let (done, understood) = (&done, &understood);
            scope.spawn(move || {
                let mut mutator = Mutator::new(corpus, seed * workers + worker);
                let mut check = (target.prepare)();
                for nth in 0..=inputs / workers {
                    // First the corpus as it is.
                    let input = match corpus.get(nth as usize) {
                        Some(whole) => whole.clone(),
                        None => mutator.next(),
                    };
                    *watched.lock().unwrap_or_else(PoisonError::into_inner) =
                        (Instant::now(), input.clone());
                    match catch_unwind(AssertUnwindSafe(|| check(&input))) {
                        Ok(true) => _ = understood.fetch_add(1, Ordering::Relaxed),
                        Ok(false) => {}
                        Err(_) => return Some(input),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                None
            })
        };
        let workers: Vec<_> = (0..workers).map(work).collect();
        let (watched, over) = (&watched, &over);
        scope.spawn(move || watch(target.name, watched, over));
        let failed: Vec<_> = workers.into_iter().filter_map(|w| w.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        failed
    });
    if let Some(input) = failed.first() {
        panic!("{}: panicked over \"{}\"", target.name, input.escape_ascii());
    }
    let (done, understood) = (done.into_inner(), understood.into_inner());
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    println!("{:<14} {done:>9} inputs, {understood} understood, {rate:.0}/s", target.name);
    assert!(understood > 0, "{} understands nothing", target.name);
}

/// Ends the process, with the input, where one takes too long.
fn watch(name: &str, watched: &[Mutex<(Instant, Vec<u8>)>], over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        for worker in watched {
            let (since, input) = &*worker.lock().unwrap_or_else(PoisonError::into_inner);
            if since.elapsed() > HANG && !over.load(Ordering::Relaxed) {
                eprintln!("{name}: hangs over \"{}\"", input.escape_ascii());
                std::process::abort();
            }
        }
    }
}
