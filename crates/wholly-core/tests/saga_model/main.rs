//! The model check of the saga: every run of the core, unchanged, among faults.
//!
//! [`world::World`] is one saga with everything around it: the value
//! [`wholly_core::saga::Transaction`] as the engine holds it, the log, the calls and answers on
//! their way, and the participants. Stateright explores every order in which [`network::Action`]s
//! can follow each other, and asserts [`properties::laws`] in each state.
//!
//! # The model
//!
//! - The coordinator asks for the [`effects`](wholly_core::saga::Transaction::effects), one attempt
//!   a step at a time, and shows the client how the saga stands as soon as it may. A call on its
//!   way when the saga turns back is waited for, until it answers or times out.
//! - The graphs of [`shape`]. Each step is given what those before it put out, or only some of
//!   them, so that the rest is not forced.
//! - The log: nothing leaves while a forced record is not synced, and more is decided meanwhile. A
//!   crash keeps any prefix of what was not synced, cut between what two inputs led to; the restart
//!   replays it and tells the core.
//! - The network: calls are late, lost, doubled, and overtake each other, also those of an earlier
//!   incarnation of the coordinator. Answers are late or lost.
//! - Participants do or refuse an action as they like, with a barrier or with less of a memory
//!   ([`participant::Memory`]). After the pivot they refuse only for a while, and a compensation
//!   likewise. One that crashes keeps its row and loses an answer, and one that cannot be reached
//!   gives none: both are what a time-out is.
//! - The deadline passes at any moment, the client cancels at any moment, an operator looks at a
//!   participant and ends its step.
//!
//! Each fault happens at most as often as [`network::Faults`] says, so that the model is finite.
//!
//! # Left out
//!
//! - More than one saga, and more than one coordinator: sagas share nothing in the core, and a
//!   lease is not part of it.
//! - The expiry of an action: a participant that refuses because of it refuses like any other.
//! - An answer that reaches the coordinator after its attempt timed out: the engine drops it.
//! - A payload that does not resolve, and an operator who says what is not so.
//! - The engine's loop and the SQLite log: they have the simulation, which runs the real ones.
//!
//! # Running it
//!
//! `cargo test -p wholly-core --test saga_model -- --nocapture` prints how many states each
//! configuration has. The deep ones:
//! `cargo test --release -p wholly-core --test saga_model -- --ignored --nocapture`.
//!
//! # Reading a counterexample
//!
//! A failure names the property, and then, a step a line, what happened and what it led to: the
//! saga's state and its steps', what a client could see (`shown`), each participant's row and how
//! often its action and its compensation had their effects, and the calls nobody waits for that may
//! still arrive (`strays`). It ends with the first step that breaks the property.

mod bug;
#[path = "../common/check.rs"]
mod check;
mod log;
#[path = "../common/network.rs"]
mod network;
mod participant;
mod properties;
mod scenario;
mod shape;
mod world;

use bug::Bug;
use check::{holds, is_caught};
use network::{Faults, NONE};
use participant::Memory::{Barrier, Forgetful, NoSuspension, Nothing};
use properties::{
    ALL_OR_NOTHING, DURABLE_FIRST, GIVEN, IN_ORDER, IN_REVERSE, NEVER_CHANGES, NO_LAW_BROKEN,
    NO_WAY_BACK, NOT_IN_VAIN, NOTHING_TWICE, ONLY_BACK, QUIET_IS_SETTLED, UNDONE_RAN,
};
use scenario::Scenario;
use shape::{
    DIAMOND, FEW_TRIES, FORK, FREE_MIDDLE, HALF_READ, LIST, PIVOT, READ_LATER, Shape, UNREAD_LIST,
    UNREAD_PIVOT, WIDE_PIVOT,
};

const LATE: Faults = Faults { time_outs: 1, ..NONE };
const CRASH: Faults = Faults { crashes: 1, ..NONE };
/// One of each fault that turns a saga back or makes it forget.
const ONE_EACH: Faults = Faults { time_outs: 1, crashes: 1, cancels: 1, deadline: true, ..NONE };

const fn saga(shape: Shape, faults: Faults) -> Scenario {
    Scenario { shape, memory: Barrier, faults, bug: None, sights: &["completes"] }
}

#[test]
fn a_list_keeps_the_laws() {
    holds(
        "list: late, lost, cancelled, and crashes",
        Scenario {
            sights: &[
                "completes",
                "completes though an answer was lost",
                "turns back: refused",
                "turns back: deadline",
                "turns back: cancelled",
                "an end outlives a crash",
                "a compensation finds nothing",
                "a late action meets its compensation",
                "stuck",
            ],
            ..saga(LIST, Faults { crashes: 2, ..ONE_EACH })
        },
    );
    holds(
        "list: late and lost twice",
        Scenario {
            sights: &["completes", "a refusal after a lost attempt is compensated"],
            ..saga(LIST, Faults { time_outs: 2, refusals: 1, cancels: 0, ..ONE_EACH })
        },
    );
    let doubled = Faults { duplicates: 1, pendings: 1, deadline: false, ..ONE_EACH };
    holds("list: repeated and pending", saga(LIST, doubled));
}

#[test]
fn independent_steps_keep_the_laws() {
    let sights: &[_] = &["completes", "turns back: refused", "two are compensated at once"];
    let faults = Faults { cancels: 0, ..ONE_EACH };
    holds("diamond: late, lost, a crash", Scenario { sights, ..saga(DIAMOND, faults) });
    holds("fork: late, lost, a crash", Scenario { sights, ..saga(FORK, faults) });
    let faults = Faults { cancels: 1, duplicates: 1, ..LATE };
    holds("fork: late, cancelled, repeated", Scenario { sights, ..saga(FORK, faults) });
}

#[test]
fn a_pivot_keeps_the_laws() {
    holds(
        "pivot: late, lost, cancelled, crashes, and refusals after it",
        Scenario {
            sights: &[
                "completes",
                "completes after the deadline",
                "turns back: refused",
                "turns back: deadline",
                "a refusal after a lost attempt is compensated",
                "stuck",
                "a stuck saga completes",
            ],
            ..saga(PIVOT, Faults { time_outs: 2, crashes: 2, refusals: 1, ..ONE_EACH })
        },
    );
    let doubled = Faults { duplicates: 1, pendings: 1, ..ONE_EACH };
    holds("pivot: repeated and pending", saga(PIVOT, doubled));
    holds("wide pivot: late, lost, a crash", saga(WIDE_PIVOT, Faults { cancels: 0, ..ONE_EACH }));
}

#[test]
fn what_no_output_is_waited_for_keeps_the_laws() {
    holds(
        "unread list: late, lost, cancelled, and crashes",
        Scenario {
            sights: &[
                "completes",
                "turns back: refused",
                "turns back: deadline",
                "an end outlives a crash",
                "a compensation overtakes what may have run",
                "a late action meets its compensation",
            ],
            ..saga(UNREAD_LIST, Faults { crashes: 2, ..ONE_EACH })
        },
    );
    let doubled = Faults { duplicates: 1, pendings: 1, deadline: false, ..ONE_EACH };
    holds("unread list: repeated and pending", saga(UNREAD_LIST, doubled));
    let faults = Faults { resolves: 1, cancels: 0, ..ONE_EACH };
    holds("unread list: resolved", saga(UNREAD_LIST, faults));
    let faults = Faults { cancels: 0, ..ONE_EACH };
    holds("read later: late, lost, a crash", saga(READ_LATER, faults));
    holds("half read: late, lost, a crash", saga(HALF_READ, faults));
    let sights: &[_] = &["completes", "completes after the deadline", "turns back: deadline"];
    let faults = Faults { crashes: 2, cancels: 0, ..ONE_EACH };
    holds("unread pivot: late, lost, crashes", Scenario { sights, ..saga(UNREAD_PIVOT, faults) });
}

#[test]
fn a_step_that_needs_no_compensation_keeps_the_laws() {
    holds(
        "free middle: late, lost, cancelled, crashes",
        Scenario {
            sights: &["completes", "turns back: refused", "what needs no compensation stays"],
            ..saga(FREE_MIDDLE, Faults { crashes: 2, ..ONE_EACH })
        },
    );
}

#[test]
fn exhausted_tries_keep_the_laws() {
    holds(
        "few tries: late, lost twice, a crash",
        Scenario {
            sights: &["completes", "turns back: exhausted"],
            ..saga(FEW_TRIES, Faults { time_outs: 2, pendings: 1, ..ONE_EACH })
        },
    );
}

#[test]
fn what_an_operator_ends_keeps_the_laws() {
    let sights: &[_] = &["completes", "turns back: resolved"];
    let faults = Faults { resolves: 1, cancels: 0, ..ONE_EACH };
    holds("list: resolved", Scenario { sights, ..saga(LIST, faults) });
    holds("pivot: resolved", Scenario { sights, ..saga(PIVOT, faults) });
}

/// A participant may forget its refusals, but for one fault: a call that the network repeats while
/// its first copy is answered. Nobody can tell the copy from a late attempt, so the contract asks
/// for a memory of refusals all the same.
#[test]
fn a_refusal_must_be_remembered_only_where_calls_repeat() {
    let forgetful = |shape, faults| Scenario { memory: Forgetful, ..saga(shape, faults) };
    let faults = Faults { time_outs: 2, pendings: 1, ..ONE_EACH };
    holds("list, forgetful", forgetful(LIST, faults));
    holds("pivot, forgetful", forgetful(PIVOT, Faults { refusals: 1, ..faults }));
    holds("fork, forgetful", forgetful(FORK, Faults { cancels: 0, ..ONE_EACH }));

    let repeated = Faults { duplicates: 1, ..NONE };
    holds("list, with a barrier: a repeated call", saga(LIST, repeated));
    is_caught("a call repeated on its way", ALL_OR_NOTHING, forgetful(LIST, repeated));
}

/// Without faults, and with steps in a row, the coordinator alone keeps every law. A cancel, or a
/// refusal beside an independent step, is enough to need a barrier: a step that may have been asked
/// is compensated, even if its call has not left.
#[test]
fn without_faults_no_participant_needs_a_memory() {
    let simple = |shape, faults| Scenario { memory: Nothing, ..saga(shape, faults) };
    for (name, shape) in [("list", LIST), ("pivot", PIVOT), ("free middle", FREE_MIDDLE)] {
        holds(&format!("{name}, without a memory"), simple(shape, NONE));
    }
    is_caught("a refusal beside what was not asked", UNDONE_RAN, simple(FORK, NONE));
    let cancelled = simple(LIST, Faults { cancels: 1, ..NONE });
    is_caught("a compensation of what was not asked", UNDONE_RAN, cancelled);
    is_caught("a call asked again", NOTHING_TWICE, simple(LIST, LATE));
}

#[test]
#[ignore = "deep: for release builds, see the module's page"]
fn deep_configurations_keep_the_laws() {
    let twice = Faults { time_outs: 2, crashes: 2, ..ONE_EACH };
    let late_twice = Faults { time_outs: 2, ..ONE_EACH };
    for memory in [Barrier, Forgetful] {
        let deep = |shape, faults| Scenario { memory, ..saga(shape, faults) };
        holds(&format!("list, {memory:?}: deep"), deep(LIST, twice));
        holds(&format!("pivot, {memory:?}: deep"), deep(PIVOT, twice));
        holds(&format!("unread list, {memory:?}: deep"), deep(UNREAD_LIST, twice));
        holds(&format!("read later, {memory:?}: deep"), deep(READ_LATER, twice));
        holds(&format!("half read, {memory:?}: deep"), deep(HALF_READ, twice));
        holds(&format!("unread pivot, {memory:?}: deep"), deep(UNREAD_PIVOT, twice));
        holds(&format!("free middle, {memory:?}: deep"), deep(FREE_MIDDLE, twice));
        holds(&format!("diamond, {memory:?}: deep"), deep(DIAMOND, late_twice));
        holds(&format!("fork, {memory:?}: deep"), deep(FORK, late_twice));
        holds(&format!("wide pivot, {memory:?}: deep"), deep(WIDE_PIVOT, late_twice));
    }
    let all = Faults { duplicates: 1, pendings: 1, refusals: 1, ..ONE_EACH };
    holds("list: deep, of everything one", saga(LIST, Faults { resolves: 1, ..all }));
    holds("pivot: deep, of everything one", saga(PIVOT, Faults { resolves: 1, ..all }));
    holds("diamond: deep, two crashes", saga(DIAMOND, Faults { crashes: 2, ..ONE_EACH }));
    holds("fork: deep, two crashes", saga(FORK, twice));
}

/// Each planted bug is caught by the property it is named with, which holds without it.
#[test]
fn planted_bugs_are_caught() {
    let late_and_cancelled = Faults { cancels: 1, ..LATE };
    let crash_and_deadline = Faults { deadline: true, ..CRASH };
    let crash_and_cancel = Faults { cancels: 1, ..CRASH };
    let deadline = Faults { deadline: true, ..NONE };
    for (bug, property, shape, memory, faults) in [
        (Bug::CompensatesRefused, UNDONE_RAN, LIST, Nothing, NONE),
        (Bug::ForgetsUnknown, ALL_OR_NOTHING, LIST, Barrier, late_and_cancelled),
        (Bug::ForwardOrder, IN_REVERSE, LIST, Barrier, NONE),
        (Bug::ForwardOrder, IN_REVERSE, DIAMOND, Barrier, NONE),
        (Bug::LosesOutput, GIVEN, LIST, Barrier, CRASH),
        (Bug::RunsAgain, ONLY_BACK, LIST, Barrier, NONE),
        (Bug::RunsAgain, NOTHING_TWICE, LIST, Nothing, NONE),
        (Bug::PivotNotWaitedFor, NO_WAY_BACK, PIVOT, Barrier, deadline),
        (Bug::PivotNotWaitedFor, ALL_OR_NOTHING, PIVOT, Barrier, deadline),
        (Bug::TurnedBackNotForced, ALL_OR_NOTHING, FREE_MIDDLE, Barrier, crash_and_cancel),
        (Bug::TurnedBackNotForced, ONLY_BACK, LIST, Barrier, crash_and_cancel),
        (Bug::CompletedNotForced, ALL_OR_NOTHING, LIST, Barrier, crash_and_deadline),
        (Bug::CompletedNotForced, IN_REVERSE, LIST, Barrier, crash_and_deadline),
        (Bug::LostAttemptForgotten, ALL_OR_NOTHING, LIST, Forgetful, LATE),
        (Bug::LostAttemptForgotten, NO_WAY_BACK, PIVOT, Forgetful, LATE),
        (
            Bug::LostAttemptForgotten,
            ALL_OR_NOTHING,
            LIST,
            Forgetful,
            Faults { pendings: 1, ..NONE },
        ),
        (Bug::RestartNotTold, ALL_OR_NOTHING, LIST, Forgetful, CRASH),
        (Bug::RestartTellsNothingAhead, ALL_OR_NOTHING, UNREAD_LIST, Barrier, crash_and_deadline),
        (Bug::RestartTellsNothingAhead, IN_REVERSE, UNREAD_LIST, Barrier, crash_and_deadline),
        (Bug::RestartTellsNothingAhead, ALL_OR_NOTHING, HALF_READ, Barrier, crash_and_deadline),
        (Bug::CompletedNotForced, NO_WAY_BACK, UNREAD_PIVOT, Barrier, crash_and_deadline),
        (Bug::CompletedNotForced, ALL_OR_NOTHING, READ_LATER, Barrier, crash_and_deadline),
        (Bug::EndNotForced, NEVER_CHANGES, LIST, Barrier, crash_and_deadline),
        (Bug::TimeOutIsNo, ALL_OR_NOTHING, LIST, Barrier, LATE),
        (Bug::TimeOutIsDone, ALL_OR_NOTHING, LIST, Barrier, LATE),
        (Bug::TimeOutIsDone, IN_ORDER, LIST, Barrier, LATE),
        (Bug::EffectsBeforeSync, DURABLE_FIRST, LIST, Barrier, NONE),
        (Bug::EffectsBeforeSync, ALL_OR_NOTHING, LIST, Barrier, crash_and_deadline),
        (Bug::NeverCompensates, QUIET_IS_SETTLED, LIST, Barrier, NONE),
        (Bug::DeafToAcknowledgement, NOT_IN_VAIN, LIST, Barrier, NONE),
        (Bug::GapInLog, NO_LAW_BROKEN, LIST, Barrier, CRASH),
    ] {
        let right = Scenario { memory, ..saga(shape, faults) };
        holds(&format!("without {bug:?}"), right.clone());
        is_caught(&format!("{bug:?}"), property, Scenario { bug: Some(bug), ..right });
    }
}

/// The participant's half of the protocol is needed, too.
#[test]
fn a_late_action_must_be_refused() {
    let late_and_cancelled = saga(LIST, Faults { cancels: 1, ..LATE });
    holds("with a barrier: late and cancelled", late_and_cancelled.clone());
    let planted = Scenario { memory: NoSuspension, ..late_and_cancelled };
    is_caught("a late action accepted after its compensation", ALL_OR_NOTHING, planted);
}
