//! The demo as who runs it sees it: what it claims, how it ends, and what it leaves behind.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::{TempDir, tempdir};

fn demo(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
    command.arg("demo").args(arguments).env("TMPDIR", temporary).stdout(Stdio::piped());
    command
}

/// Plays a part; what it printed, once it ended well and left nothing.
fn played(arguments: &[&str]) -> String {
    let temporary = tempdir().unwrap();
    let output = demo(temporary.path(), arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains('\x1b'), "colour where nobody looks: {said:?}");
    assert_eq!(left_in(&temporary), [""; 0]);
    assert_eq!(running_in(&temporary), [""; 0]);
    // Long lines are broken; what they tell is the same.
    said.replace("\n               ", " ")
}

fn left_in(temporary: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(temporary.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The processes whose arguments name a file in the directory.
fn running_in(temporary: &TempDir) -> Vec<String> {
    let directory = temporary.path().to_str().unwrap();
    let ps = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output().unwrap();
    let all = String::from_utf8_lossy(&ps.stdout).into_owned();
    all.lines().filter(|line| line.contains(directory)).map(str::to_owned).collect()
}

/// Says these, in this order.
#[track_caller]
fn assert_tells(said: &str, parts: &[&str]) {
    parts.iter().fold(said, |rest, part| match rest.split_once(part) {
        Some((_, rest)) => rest,
        None => panic!("{part:?} is missing, or not in its place, in:\n{said}"),
    });
}

#[test]
fn without_a_coordinator_the_books_end_up_wrong() {
    let said = played(&["problem"]);
    assert_tells(
        &said,
        &[
            "order        takes the order",
            "payment      takes the money",
            "inventory    refuses: insufficient stock for item2: 100 asked, 5 available",
            "payments: ORD002 = 500; stock: item1 = 10, item2 = 5",
            "the books no longer agree",
        ],
    );
    assert!(!said.contains("coordinator  "), "{said}");
}

#[test]
fn two_phase_commit_happens_wholly_or_not_at_all() {
    let said = played(&["two-phase"]);
    let votes = "prepare   votes yes";
    assert_tells(
        &said,
        &[
            "ORD001",
            votes,
            votes,
            votes,
            "decides   committed",
            "commit    done",
            "commit    done",
            "commit    done",
            "payments: ORD001 = 1000; stock: item1 = 8, item2 = 5",
            "10 to 8",
            "ORD002",
            votes,
            votes,
            "votes no: insufficient stock",
            "decides   aborted",
            "abort     done",
            "abort     done",
            "payments: ORD001 = 1000; stock: item1 = 8, item2 = 5",
            "nothing changed",
        ],
    );
}

/// The steps of a saga whose payment is declined, up to there.
const DECLINED: [&str; 3] = [
    "order        create-order       completed",
    "inventory    reserve-inventory  completed",
    "payment      process-payment    failed: Payment declined",
];
const TAKEN_BACK: &str = "create-order compensated, reserve-inventory compensated, \
                          process-payment failed, confirm-order pending";

#[test]
fn a_saga_goes_forward_or_back() {
    let said = played(&["saga"]);
    let success = [
        "ORD001",
        "order        create-order       completed",
        "inventory    reserve-inventory  completed",
        "payment      process-payment    completed",
        "order        confirm-order      completed",
        "coordinator  ends               completed",
        "client       is told            completed",
        "orders: ORD001 = confirmed; payments: ORD001 = 1000; stock: item1 = 8, item2 = 5",
        "10 to 8",
        "ORD002",
    ];
    let failure = [
        "coordinator  turns back         process-payment was refused: Payment declined",
        "inventory    release-inventory  compensated",
        "order        cancel-order       compensated",
        "coordinator  ends               compensated",
        TAKEN_BACK,
        "client       is told            compensated",
        "orders: ORD001 = confirmed, ORD002 = cancelled; payments: ORD001 = 1000; \
         stock: item1 = 8, item2 = 5",
        "no payment was kept",
        "ORD003",
    ];
    assert_tells(&said, &[&success[..], &DECLINED, &failure, &DECLINED, &KILLED].concat());
}

/// A coordinator that dies in mid-compensation.
const KILLED: [&str; 8] = [
    "inventory    release-inventory  compensated",
    "coordinator  SIGKILL",
    "= created; payments:",
    "item1 = 8",
    "coordinator  starts",
    "order        cancel-order       compensated",
    TAKEN_BACK,
    "✓",
];

#[test]
fn crashes_end_the_right_way() {
    let said = played(&["crash"]);
    assert_tells(
        &said,
        &[
            "ORD101",
            "coordinator  SIGKILL   every vote is yes, and the inventory's is still on its way",
            "2 of it held",
            "decides   aborted",
            "payments: none; stock: item1 = 10, item2 = 5",
            "✓",
            "ORD102",
            "coordinator  SIGKILL   the decision was written, and no service has acted upon it",
            "2 of it held",
            "decides   committed",
            "payments: ORD102 = 1000; stock: item1 = 8, item2 = 5",
            "✓",
            "ORD103",
            "decides   committed",
            "inventory    SIGKILL",
            "waits",
            "ORD103 = 300; stock: item1 = 8, item2 = 4",
            "✓",
            "ORD104",
        ],
    );
    let (_, fourth) = said.split_once("ORD104").unwrap();
    assert_tells(fourth, &[&DECLINED[..], &KILLED].concat());
}

#[test]
fn no_command_kills_itself() {
    for command in ["serve", "shop-service", "shop-by-events"] {
        let output = Command::new(env!("CARGO_BIN_EXE_wholly"))
            .args([command, "--kill-at=before-call:1"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("unexpected argument '--kill-at'"), "{command}: {said}");
    }
}

#[test]
fn events_alone_lose_nothing_and_do_nothing_twice() {
    let said = played(&["choreography"]);
    let success = [
        "ORD001",
        "order        emits              ORD001: OrderCreated",
        "inventory    OrderCreated       ORD001: done → InventoryReserved",
        "payment      InventoryReserved  ORD001: done → PaymentTaken",
        "order        PaymentTaken       ORD001: done → OrderConfirmed",
        "orders: ORD001 = confirmed; payments: ORD001 = 1000; stock: item1 = 8, item2 = 5",
        "10 to 8",
    ];
    let failure = [
        "payment      InventoryReserved  ORD002: refused: Payment declined → PaymentRefused",
        "inventory    PaymentRefused     ORD002: done → InventoryReleased",
        "order        InventoryReleased  ORD002: done → OrderCancelled",
        "ORD002 = cancelled; payments: ORD001 = 1000; stock: item1 = 8, item2 = 5",
        "no payment was kept",
    ];
    let away = [
        "payment      SIGKILL",
        "ORD005 = created; payments: unknown, its service is down; stock: item1 = 5, item2 = 5",
        "payment      starts",
        "order        PaymentTaken       ORD005: done → OrderConfirmed",
        "ORD005 = 100; stock: item1 = 5, item2 = 5",
        "nothing twice",
    ];
    let killed = [
        "inventory    SIGKILL",
        "payment      SIGKILL",
        "order        SIGKILL",
        "orders: 24 orders = cancelled, 96 orders = confirmed; payments: 96 orders = 9600; \
         stock: item1 = 808",
        "each paid once",
    ];
    let parallel = [
        "ORD006: done\n",
        "ORD006: done → OrderConfirmed",
        "ORD006 = confirmed; payments: ORD006 = 1000; stock: item1 = 8, item2 = 5",
        "payment      InventoryRefused   ORD007: done → PaymentRefunded",
        "payment      OrderCreated       ORD007: suppressed",
        "order        PaymentRefunded    ORD007: done → OrderCancelled",
        "ORD007 = cancelled; payments: ORD006 = 1000; stock: item1 = 8, item2 = 5",
        "nothing was charged",
    ];
    assert_tells(&said, &[&success[..], &failure, &away, &killed, &parallel].concat());
    assert!(!said.contains("coordinator  "), "{said}");
}

#[test]
fn all_parts_are_played_in_turn() {
    let said = played(&[]);
    assert_tells(
        &said,
        &[
            "The problem",
            "Two-phase commit",
            "Saga",
            "Choreography",
            "Crashes",
            "ORD104",
            "measured",
            "consistency",
            "broken",
            "with it, in whichever way, none do",
            "Where to go next",
        ],
    );
    // Among all parts the crash of a saga is told with the other crashes, and only there.
    assert_eq!(said.matches("mid-compensation").count(), 1, "{said}");
}

/// A demo that is stopped in the middle, with its processes running.
fn in_the_middle(temporary: &TempDir) -> Child {
    // On a busy machine it may be over before it is stopped.
    (0..20).find_map(|_| stopped_in_the_middle(temporary)).unwrap()
}

fn stopped_in_the_middle(temporary: &TempDir) -> Option<Child> {
    let mut demo = demo(temporary.path(), &["crash"]).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("coordinator  SIGKILL")));
    signal(&demo, Signal::STOP);
    // What is printed from here on, nobody reads.
    std::thread::spawn(move || lines.count());
    if running_in(temporary).is_empty() {
        signal(&demo, Signal::CONT);
        demo.wait().unwrap();
        return None;
    }
    Some(demo)
}

fn signal(demo: &Child, signal: Signal) {
    kill_process(Pid::from_child(demo), signal).unwrap();
}

#[test]
fn an_interruption_leaves_nothing() {
    for (stopping, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let temporary = tempdir().unwrap();
        let mut demo = in_the_middle(&temporary);
        signal(&demo, stopping);
        signal(&demo, Signal::CONT);
        assert_eq!(demo.wait().unwrap().code(), Some(code));
        assert_eq!(left_in(&temporary), [""; 0]);
        assert_eq!(running_in(&temporary), [""; 0]);
    }
}

#[test]
fn no_process_outlives_a_demo_that_is_killed() {
    let temporary = tempdir().unwrap();
    let mut demo = in_the_middle(&temporary);
    signal(&demo, Signal::KILL);
    demo.wait().unwrap();
    let give_up = Instant::now() + Duration::from_secs(30);
    while !running_in(&temporary).is_empty() {
        assert!(Instant::now() < give_up, "{:?}", running_in(&temporary));
        std::thread::yield_now();
    }
}
