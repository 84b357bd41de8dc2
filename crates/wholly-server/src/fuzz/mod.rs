//! Everything that reads what others wrote takes anything: no panic, no hang, and what it
//! understands it writes the same way again.
//!
//! Inputs are mutations of a corpus, `fuzz-corpus/` beside this crate's source, and of the examples
//! of `openapi.json`, by a seeded mutator: most by their structure, so that they are nearly right,
//! the others by their bytes. Whatever can be reached must be: every route, every kind of problem,
//! every kind of record. The corpus and some mutations of it are a test; ten million are
//!
//! ```text
//! cargo test --release -p wholly-server --bin wholly -- --ignored --nocapture fuzz::ten_million
//! ```
//!
//! `WHOLLY_FUZZ_INPUTS` sets how many, `WHOLLY_FUZZ_SEED` which.

mod json;
mod mutate;
mod random;
mod reached;
mod requests;
mod server;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mutate::Mutator;
use reached::Reached;
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
            Box::new(|input, _| {
                assert!(!input.ends_with(b"{"), "planted");
                true
            })
        },
        share: 1,
        understood: 0,
        seeds: Vec::new,
        must: Vec::new,
    };
    let failed = catch_unwind(AssertUnwindSafe(|| fuzz(&target, vec![b"{}".to_vec()], 1_000, 1)));
    let said = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(said.starts_with("planted: panicked over \""), "{said}");
}

#[test]
fn what_is_never_reached_is_reported() {
    let target = Target {
        name: "planted",
        prepare: || {
            Box::new(|_, reached| {
                reached.count("one");
                true
            })
        },
        share: 1,
        understood: 0,
        seeds: Vec::new,
        must: || vec!["one".to_owned(), "two".to_owned()],
    };
    let failed = catch_unwind(AssertUnwindSafe(|| fuzz(&target, vec![b"{}".to_vec()], 10, 1)));
    let said = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("planted never came to [\"two\"]"), "{said}");
}

/// Throws so many inputs in all at all targets.
fn run(inputs: u64, seed: u64) {
    let shares: u64 = TARGETS.iter().map(|target| target.share).sum();
    for target in &TARGETS {
        let mut corpus = corpus(target.name);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        corpus.extend((target.seeds)());
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
    let (begun, name) = (Instant::now(), target.name);
    let watched: Vec<Watched> = (0..workers).map(|_| (Instant::now(), Vec::new()).into()).collect();
    let over = AtomicBool::new(false);
    let came: Vec<_> = std::thread::scope(|scope| {
        let work = |(watched, nth): (_, u64)| {
            let mutator = Mutator::new(&corpus, seed * workers + nth);
            let (corpus, inputs) = (&corpus, inputs / workers);
            scope.spawn(move || throw(target, corpus, mutator, inputs, watched))
        };
        let workers: Vec<_> = watched.iter().zip(0..).map(work).collect();
        scope.spawn(|| watch(name, &watched, &over));
        let came = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        came
    });
    let mut all = Came::default();
    for came in came {
        match came {
            Ok(came) => all.add(came),
            Err(input) => panic!("{name}: panicked over \"{}\"", input.escape_ascii()),
        }
    }
    let Came { inputs, understood, reached } = all;
    let (share, rate) =
        (understood * 100 / inputs.max(1), inputs as f64 / begun.elapsed().as_secs_f64());
    println!("{name:<14} {inputs:>9} inputs, {share}% understood, {rate:.0}/s\n{reached}");
    assert!(share >= target.understood, "{name} understands only {share}%");
    let missing = reached.missing((target.must)());
    assert!(missing.is_empty(), "{name} never came to {missing:?}");
}

/// What a worker throws, and since when.
type Watched = Mutex<(Instant, Vec<u8>)>;

/// What came of some inputs.
#[derive(Default)]
struct Came {
    inputs: u64,
    understood: u64,
    reached: Reached,
}

impl Came {
    fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.understood += other.understood;
        self.reached.add(other.reached);
    }
}

/// Throws the corpus as it is, and mutations of it; or gives the input that caused a panic.
fn throw(
    target: &Target,
    corpus: &[Vec<u8>],
    mut mutator: Mutator<'_>,
    inputs: u64,
    watched: &Watched,
) -> Result<Came, Vec<u8>> {
    let (mut check, mut came) = ((target.prepare)(), Came::default());
    for nth in 0..inputs.max(corpus.len() as u64) {
        let input = corpus.get(nth as usize).cloned().unwrap_or_else(|| mutator.next());
        *watched.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), input.clone());
        let checked = catch_unwind(AssertUnwindSafe(|| check(&input, &mut came.reached)));
        came.understood += u64::from(checked.map_err(|_| input)?);
        came.inputs += 1;
    }
    Ok(came)
}

/// Ends the process, with the input, where one takes too long.
fn watch(name: &str, watched: &[Watched], over: &AtomicBool) {
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
