//! Fuzzing of everything that reads foreign input: no panic, no hang, and an input that is
//! understood is written the same way again.
//!
//! Inputs are a corpus, `fuzz-corpus/` beside this crate's source, the examples of `openapi.json`,
//! and what proptest makes of both from a seed ([`nearly`]); it shrinks what fails. Everything in
//! reach must be reached: every route, every kind of problem, every kind of record. Ten million
//! inputs take
//!
//! ```text
//! WHOLLY_FUZZ_INPUTS=10000000 cargo test --release -p wholly-server --lib -- --nocapture fuzz
//! ```
//!
//! and `WHOLLY_FUZZ_SEED` makes other ones.

mod nearly;
mod requests;
mod server;
mod targets;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use proptest::strategy::{Just, Strategy};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use targets::{TARGETS, Target};

/// A time far beyond that of any input.
const HANG: Duration = Duration::from_secs(20);

/// The counted results of the inputs, which show that nothing was left out.
type Reached = BTreeMap<String, u64>;

#[test]
fn the_corpus_and_inputs_like_it() {
    let number = |name, or| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let inputs: u32 = number("WHOLLY_FUZZ_INPUTS", 20_000);
    let seed: u32 = number("WHOLLY_FUZZ_SEED", 1);
    thread::scope(|scope| {
        for target in &TARGETS {
            scope.spawn(move || {
                let mut corpus = corpus(target.name);
                assert!(!corpus.is_empty(), "{} has no corpus", target.name);
                corpus.extend((target.seeds)());
                fuzz(target, &corpus, inputs / 100 * target.share, seed);
            });
        }
    });
}

const PLANTED: Target = Target {
    name: "planted",
    prepare: || Box::new(|_, _| true),
    share: 1,
    understood: 0,
    seeds: Vec::new,
    must: Vec::new,
};

fn failure(target: &Target) -> String {
    let corpus = [br#"{"a":[1,{"b":true}],"c":"x"}"#.to_vec()];
    let failed = catch_unwind(AssertUnwindSafe(|| fuzz(target, &corpus, 1_000, 1)));
    *failed.unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn a_panic_is_reported_with_its_input() {
    let prepare = || -> targets::Check {
        Box::new(|input, _| {
            assert!(!input.ends_with(b"}}"), "a planted panic");
            true
        })
    };
    let said = failure(&Target { prepare, ..PLANTED });
    assert!(
        said.starts_with("planted: a planted panic over \"") && said.ends_with("}}\""),
        "{said}"
    );
}

#[test]
fn what_is_never_reached_is_reported() {
    let prepare = || -> targets::Check {
        Box::new(|_, reached| {
            count(reached, "one");
            true
        })
    };
    let must = || vec!["one".to_owned(), "two".to_owned()];
    let said = failure(&Target { prepare, must, ..PLANTED });
    assert!(said.contains("planted never came to [\"two\"]"), "{said}");
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Throws the corpus as it is, and then so many inputs like it.
fn fuzz(target: &Target, corpus: &[Vec<u8>], inputs: u32, seed: u32) {
    let (begun, name) = (Instant::now(), target.name);
    let watch = watch(name);
    let came = RefCell::new(((target.prepare)(), Reached::new(), 0));
    let test = |input: Vec<u8>| {
        watch.send(input.clone()).map_err(|_| TestCaseError::fail("nobody watches"))?;
        let (check, reached, understood) = &mut *came.borrow_mut();
        *understood += u64::from(check(&input, reached));
        Ok(())
    };
    let config = Config {
        cases: inputs,
        failure_persistence: None,
        max_shrink_time: 20_000,
        ..Config::default()
    };
    let mut bits = [0; 32];
    bits[..4].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bits);
    let mut runner = TestRunner::new_with_rng(config, random);
    let as_it_is = corpus.iter().try_for_each(|input| {
        let input = Just(input.clone()).new_tree(&mut runner).map_err(TestError::Abort)?;
        runner.run_one(input, test).map(drop)
    });
    let ended = as_it_is.and_then(|()| runner.run(&nearly::like(corpus), test));
    match ended {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => {
            panic!("{name}: {why} over \"{}\"", input.escape_ascii())
        }
        Err(TestError::Abort(why)) => panic!("{name}: no inputs: {why}"),
    }
    let (_, reached, understood) = came.into_inner();
    let inputs = corpus.len() as u64 + u64::from(inputs);
    let (share, rate) = (understood * 100 / inputs, inputs as f64 / begun.elapsed().as_secs_f64());
    let counts: String = reached.iter().map(|(what, n)| format!("    {n:>9} {what}\n")).collect();
    println!("{name:<14} {inputs:>9} inputs, {share}% understood, {rate:.0}/s\n{counts}");
    assert!(share >= target.understood, "{name} understands only {share}%");
    let missing = (target.must)().into_iter().filter(|what| !reached.contains_key(what));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{name} never came to {missing:?}");
}

fn count(reached: &mut Reached, what: impl Into<String>) {
    *reached.entry(what.into()).or_default() += 1;
}

/// Ends the process if one input takes too long, and prints that input.
fn watch(name: &'static str) -> Sender<Vec<u8>> {
    let (sender, inputs) = mpsc::channel();
    thread::spawn(move || {
        let mut last: Vec<u8> = Vec::new();
        loop {
            match inputs.recv_timeout(HANG) {
                Ok(input) => last = input,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{name}: hangs over \"{}\"", last.escape_ascii());
                    std::process::abort();
                }
            }
        }
    });
    sender
}
