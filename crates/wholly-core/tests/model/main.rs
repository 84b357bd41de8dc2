//! The model check of two-phase commit: every run of the core, unchanged, among faults.
//!
//! [`world::World`] is one transaction with everything around it: the value
//! [`wholly_core::two_phase::Transaction`] as the engine holds it, the log, the requests and
//! answers on their way, and the participants. Stateright explores every order in which
//! [`network::Action`]s can follow each other, and asserts [`properties::laws`] in each state.
//!
//! # The model
//!
//! - The coordinator asks for the [`effects`](wholly_core::two_phase::Transaction::effects), one
//!   attempt a branch at a time, and tells the client of a decision as soon as it may.
//! - The log: nothing leaves while a forced record is not synced, and more is decided meanwhile. A
//!   crash keeps any prefix of what was not synced, cut between any two records; the restart
//!   replays it and tells the core.
//! - The network: requests are late, lost, doubled, and overtake each other, also those of an
//!   earlier incarnation of the coordinator. Answers are late or lost.
//! - Participants vote as they like, with a barrier or without a memory of what they refused
//!   ([`participant::Memory`]), and end branches on their own. One that crashes keeps what it holds
//!   and loses an answer, which is what a time-out does.
//! - The deadline passes at any moment, the client cancels at any moment, an operator resolves
//!   what ended heuristically.
//!
//! Each fault happens at most as often as [`network::Faults`] says, so that the model is finite.
//!
//! # Left out
//!
//! - More than one transaction, and more than one coordinator: transactions share nothing in the
//!   core, and a lease is not part of it.
//! - The expiry of a prepare: a participant that refuses because of it votes no like any other.
//! - An answer that reaches the coordinator after its attempt timed out: the engine drops it.
//! - An operator who resolves what is not a heuristic, or says what is not so.
//! - The engine's loop and the SQLite log: they have the simulation, which runs the real ones.
//!
//! # Running it
//!
//! `cargo test -p wholly-core --test model -- --nocapture` prints how many states each
//! configuration has. The deep ones:
//! `cargo test --release -p wholly-core --test model -- --ignored --nocapture`.
//!
//! # Reading a counterexample
//!
//! A failure names the property, and then, a step a line, what happened and what it led to: the
//! transaction's state, the decision that could be seen outside (`shown`), what the participants
//! hold, and the requests nobody waits for that may still arrive (`strays`). It ends with the first
//! step that breaks the property, and steps of another branch before it may have no part in it.
//! If the last step is a crash or the arrival of a stray, look for the step that left it behind.

mod bug;
#[path = "../common/check.rs"]
mod check;
#[path = "../common/network.rs"]
mod network;
mod participant;
mod properties;
mod scenario;
mod world;

use bug::Bug;
use check::{holds, is_caught};
use network::{Faults, NONE};
use participant::Memory::{Barrier, Forgetful, NoAbortMarker};
use participant::Says::{No, ReadOnly, Yes};
use properties::{
    ALL_OR_NOTHING, EVERY_YES, NEVER_CHANGES, NO_LAW_BROKEN, NO_ORPHAN, NOT_IN_VAIN,
    QUIET_IS_SETTLED, SETTLED_IS_DONE,
};
use scenario::Scenario;

const TWO: Scenario = Scenario {
    branches: 2,
    one_phase: false,
    memory: Barrier,
    says: &[Yes, No, ReadOnly],
    faults: NONE,
    bug: None,
    sights: &["commits", "aborts: refused", "read-only drops out"],
};
const THREE: Scenario = Scenario { branches: 3, ..TWO };
const ALONE: Scenario = Scenario {
    branches: 1,
    one_phase: true,
    sights: &[
        "commits",
        "aborts: refused",
        "commits though the answer was lost",
        "a fence is sent",
    ],
    ..TWO
};

#[test]
fn two_participants_keep_the_laws() {
    holds(
        "two: late, lost, and crashes",
        Scenario {
            faults: Faults { time_outs: 1, crashes: 2, deadline: true, ..NONE },
            sights: &[
                "aborts: deadline",
                "aborts: restarted",
                "a commit outlives a crash",
                "a late prepare meets an abort",
                "a no after the abort ends its branch",
                "a shown abort is lost and decided again",
                "read-only drops out",
                "stuck after many tries",
            ],
            ..TWO
        },
    );
    holds(
        "two: late and lost twice",
        Scenario {
            faults: Faults { time_outs: 2, crashes: 1, ..NONE },
            sights: &[
                "commits though the answer was lost",
                "read-only after a lost attempt is committed",
                "a no after a lost attempt is aborted",
            ],
            ..TWO
        },
    );
    holds(
        "two: repeated and pending",
        Scenario {
            faults: Faults { time_outs: 1, crashes: 1, duplicates: 1, pendings: 1, ..NONE },
            ..TWO
        },
    );
    holds(
        "two: cancelled",
        Scenario {
            faults: Faults { time_outs: 1, crashes: 1, cancels: 1, ..NONE },
            sights: &["commits", "aborts: cancelled", "aborts: restarted"],
            ..TWO
        },
    );
}

#[test]
fn two_forgetful_participants_keep_the_laws() {
    holds(
        "two forgetful: late, lost, a crash",
        Scenario {
            memory: Forgetful,
            faults: Faults { time_outs: 2, crashes: 1, deadline: true, ..NONE },
            sights: &[
                "commits",
                "aborts: refused",
                "aborts: deadline",
                "read-only drops out",
                "read-only after a lost attempt is committed",
                "a no after a lost attempt is aborted",
                "a late prepare meets an abort",
            ],
            ..TWO
        },
    );
}

#[test]
fn three_participants_keep_the_laws() {
    holds(
        "three: a crash",
        Scenario { faults: Faults { crashes: 1, deadline: true, ..NONE }, ..THREE },
    );
    holds(
        "three: late and lost",
        Scenario { faults: Faults { time_outs: 1, cancels: 1, ..NONE }, ..THREE },
    );
    holds(
        "three forgetful: late and lost",
        Scenario {
            memory: Forgetful,
            faults: Faults { time_outs: 1, deadline: true, ..NONE },
            ..THREE
        },
    );
}

#[test]
fn one_participant_alone_keeps_the_laws() {
    holds(
        "alone: everything but heuristics",
        Scenario {
            faults: Faults {
                time_outs: 3,
                crashes: 2,
                duplicates: 1,
                pendings: 1,
                cancels: 1,
                deadline: true,
                ..NONE
            },
            ..ALONE
        },
    );
    holds(
        "alone and forgetful: late and lost",
        Scenario {
            memory: Forgetful,
            faults: Faults { time_outs: 4, deadline: true, cancels: 1, ..NONE },
            sights: &["a fence is sent", "a fence finds a commit", "stuck after many tries"],
            ..ALONE
        },
    );
}

#[test]
fn heuristics_are_reported_and_resolved() {
    holds(
        "two: heuristics",
        Scenario {
            says: &[Yes, No],
            faults: Faults { time_outs: 1, crashes: 1, heuristics: 2, ..NONE },
            sights: &["a heuristic is reported", "a heuristic is resolved", "commits"],
            ..TWO
        },
    );
}

#[test]
#[ignore = "deep: for release builds, see the module's page"]
fn deep_configurations_keep_the_laws() {
    let faults = Faults { time_outs: 2, crashes: 2, cancels: 1, deadline: true, ..NONE };
    holds("two: deep", Scenario { faults, ..TWO });
    holds("two forgetful: deep", Scenario { memory: Forgetful, faults, ..TWO });
    let faults = Faults { time_outs: 2, crashes: 1, duplicates: 1, pendings: 1, ..NONE };
    holds("two: deep, repeated and pending", Scenario { faults, ..TWO });
    let faults = Faults { time_outs: 1, crashes: 1, deadline: true, ..NONE };
    holds("three: deep", Scenario { faults, ..THREE });
    holds("three forgetful: deep", Scenario { memory: Forgetful, faults, ..THREE });
}

/// Each planted bug is caught by the property it is named with, which holds without it.
#[test]
fn planted_bugs_are_caught() {
    let late = Faults { time_outs: 1, ..NONE };
    let crash = Faults { crashes: 1, ..NONE };
    let two = |bug, faults| Scenario { bug: Some(bug), faults, sights: &[], ..TWO };
    let forgetful = |bug, says| Scenario { says, memory: Forgetful, ..two(bug, late) };
    let alone = |bug, faults| Scenario { memory: Forgetful, sights: &[], faults, bug, ..ALONE };
    let cancel = Faults { crashes: 1, cancels: 1, ..NONE };
    for (name, property, scenario) in [
        ("commit on all but one yes", EVERY_YES, two(Bug::CommitOnAllButOneYes, NONE)),
        ("undecided, prepared again", NEVER_CHANGES, two(Bug::RestartNotTold, cancel)),
        (
            "a no believed while an earlier attempt is unanswered",
            NO_ORPHAN,
            forgetful(Bug::LostAttemptForgotten, &[Yes, No]),
        ),
        (
            "read-only believed while an earlier attempt is unanswered",
            NO_ORPHAN,
            forgetful(Bug::LostAttemptForgotten, &[Yes, ReadOnly]),
        ),
        (
            "a time-out taken for a no after the decision",
            ALL_OR_NOTHING,
            two(Bug::TimeOutIsNo, late),
        ),
        ("a time-out taken for done", SETTLED_IS_DONE, two(Bug::TimeOutIsDone, late)),
        ("effects before the sync", NEVER_CHANGES, two(Bug::EffectsBeforeSync, crash)),
        ("a decision forgotten", NEVER_CHANGES, two(Bug::CommitNotForced, crash)),
        (
            "a late prepare accepted after the abort",
            NO_ORPHAN,
            Scenario {
                memory: NoAbortMarker,
                faults: Faults { time_outs: 1, cancels: 1, ..NONE },
                sights: &[],
                ..TWO
            },
        ),
        (
            "a refusal in one phase believed without a fence",
            ALL_OR_NOTHING,
            alone(Some(Bug::LostAttemptForgotten), late),
        ),
        ("a branch not asked again", QUIET_IS_SETTLED, two(Bug::NeverAskedAgain, late)),
        ("an acknowledgement not heard", NOT_IN_VAIN, two(Bug::DeafToAcknowledgement, NONE)),
        ("a log with a gap", NO_LAW_BROKEN, two(Bug::GapInLog, crash)),
    ] {
        let memory = if scenario.memory == NoAbortMarker { Barrier } else { scenario.memory };
        holds(&format!("without {name:?}"), Scenario { bug: None, memory, ..scenario.clone() });
        is_caught(name, property, scenario);
    }
}

/// A participant may forget its refusals, but for one fault: a request that the network repeats
/// while its first copy is answered. Nobody can tell the copy from a late attempt, so the contract
/// asks for a memory of refusals all the same.
#[test]
fn a_refusal_must_be_remembered_only_where_requests_repeat() {
    let two = Scenario { memory: Forgetful, sights: &[], ..TWO };
    let alone = Scenario { memory: Forgetful, sights: &[], ..ALONE };
    let pending = Faults { pendings: 1, ..NONE };
    holds("forgetful: pending, and the next attempt refused", Scenario { faults: pending, ..two });
    let crash = Faults { crashes: 1, ..NONE };
    holds(
        "forgetful: asked again in one phase, after a crash",
        Scenario { faults: crash, ..alone },
    );

    let repeated = Scenario { faults: Faults { duplicates: 1, ..NONE }, ..two };
    holds("with a barrier: a repeated request", Scenario { memory: Barrier, ..repeated.clone() });
    is_caught("a request repeated on its way", NO_ORPHAN, repeated);
}
