//! A wall clock that jumps while the server runs, both ways, by seconds and by years, and the real
//! binary: libfaketime changes what the server takes for the wall clock.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Little, Said, Server, configure, eventually};
use hyper::StatusCode;
use tempfile::tempdir;

const ORDER: &str = r#"{"name": "place order", "branches": [
    {"participant": "orders", "payload": 1}, {"participant": "payments", "payload": 2}]}"#;
/// A deadline longer than the pause between two sweeps under `RETENTION`.
const HURRIED: &str = r#"{"name": "place order", "deadline_millis": 7000, "branches": [
    {"participant": "orders", "payload": 1}, {"participant": "payments", "payload": 2}]}"#;
/// Longer than any test takes. A sweep comes every six seconds.
const RETENTION: &str = "[retention]\nhistory = '10m'\n";

/// A wall clock that can be set, for the processes that are started with its variables.
struct WallClock {
    set_to: PathBuf,
}

impl WallClock {
    fn right(directory: &Path) -> Self {
        let clock = Self { set_to: directory.join("faketime") };
        clock.jump(0);
        clock
    }

    /// Lets the clock differ from the right one by so many seconds.
    fn jump(&self, seconds: i64) {
        let new = self.set_to.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        // At once, so that nobody reads half of it.
        std::fs::rename(new, &self.set_to).unwrap();
    }

    fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", library()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.set_to.to_str().unwrap().to_owned()),
        ]
    }

    /// The jump as a process sees it: the distance that each clock moved, in whole seconds.
    ///
    /// libfaketime also stands before CLOCK_BOOTTIME; with FAKETIME_DONT_FAKE_MONOTONIC it leaves that
    /// one and CLOCK_MONOTONIC as they are.
    fn moved_by_a_jump(&self, seconds: i64) -> (i64, i64, i64) {
        let script = "
import os, sys, time
def read():
    others = [time.clock_gettime(c) for c in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)]
    return [time.time(), *others]
before = read()
with open('new', 'w') as new: new.write(sys.argv[1] + '\\n')
os.rename('new', os.environ['FAKETIME_TIMESTAMP_FILE'])
print(*[round(after - before) for before, after in zip(before, read())])
";
        let output = std::process::Command::new("python3")
            .args(["-c", script, &format!("{seconds:+}")])
            .envs(self.variables())
            .current_dir(self.set_to.parent().unwrap())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let moved: Vec<i64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
        let [wall, monotonic, boottime] = moved[..] else { panic!("{text} {:?}", output.stderr) };
        (wall, monotonic, boottime)
    }
}

/// Debian's package `faketime` has it.
fn library() -> String {
    const NAME: &str = "faketime/libfaketimeMT.so.1";
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let found = folders.map(|folder| folder.join(NAME)).find(|library| library.exists());
    let found = found.expect("libfaketime is installed (Debian's package `faketime`)");
    found.to_str().unwrap().to_owned()
}

async fn start(clock: &WallClock, directory: &Path) -> Server {
    let variables = clock.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    Server::start_where(&variables, directory, &[]).await
}

fn id_of(reply: &common::Reply) -> String {
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn millis_from(expires: i64, seconds_ahead: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    expires - (now.as_millis() as i64 + seconds_ahead * 1_000)
}

async fn goes_on_through_a_jump_of(seconds: i64) {
    let directory = tempdir().unwrap();
    let clock = WallClock::right(directory.path());
    let (wall, monotonic, boottime) = clock.moved_by_a_jump(seconds);
    assert!((wall - seconds).abs() <= 1, "{wall}");
    assert!(monotonic <= 1 && boottime <= 1, "only the wall clock moved: {monotonic}, {boottime}");
    clock.jump(0);

    let (orders, payments) = (Little::start().await, Little::start().await);
    let participants = [("orders", &orders), ("payments", &payments)];
    configure(directory.path(), &participants, RETENTION);
    let server = start(&clock, directory.path()).await;
    let young = id_of(&server.submit(&[("idempotency-key", "young")], ORDER).await);
    server.settled(&format!("/v1/transactions/{young}")).await;

    // One is retried, a client waits for one until its deadline.
    payments.says("commit", Said::Broken);
    let retried = server.submit(&[("prefer", "respond-async")], ORDER).await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{retried:?}");
    let retried = format!("/v1/transactions/{}", retried.json()["id"].as_str().unwrap());
    let commits = || payments.asked_to("commit").len();
    eventually("it is retried", async || (commits() > 2).then_some(())).await;
    payments.says("prepare", Said::Nothing);
    let waiting = server.submit(&[], HURRIED);
    let jumping = async {
        eventually("it is asked", async || (payments.asked_to("prepare").len() > 2).then_some(()))
            .await;
        clock.jump(seconds);
        let before = commits();
        eventually("it is retried on", async || (commits() > before + 3).then_some(())).await;
    };
    let (waited, ()) = tokio::join!(waiting, jumping);
    assert_eq!((waited.status, &waited.json()["state"]), (StatusCode::OK, &"aborted".into()));
    payments.says("prepare", Said::Done);
    payments.says("commit", Said::Done);
    assert_eq!(server.settled(&retried).await["state"], "committed");

    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("\nwholly_clock_jumps_total 1\n"), "{metrics}");
    is_kept(&server, &payments, &young).await;
    let asked = payments.heads().len();
    let newer = id_of(&server.submit(&[], ORDER).await);
    assert!(newer > young, "ids ascend: {young}, {newer}");
    expires_by_the_wall_clock(&payments, asked, seconds);

    // Across a restart, with the clock as it is.
    assert_eq!(server.terminate().await.0, Some(0));
    let server = start(&clock, directory.path()).await;
    is_kept(&server, &payments, &young).await;
    let asked = payments.heads().len();
    let newest = id_of(&server.submit(&[], ORDER).await);
    assert!(newest > newer, "ids ascend: {newer}, {newest}");
    expires_by_the_wall_clock(&payments, asked, seconds);
    payments.says("prepare", Said::Nothing);
    let waited = server.submit(&[], HURRIED).await;
    assert_eq!((waited.status, &waited.json()["state"]), (StatusCode::OK, &"aborted".into()));
    is_kept(&server, &payments, &young).await;
}

/// A transaction that began with the test is not removed, and its key does not run again.
async fn is_kept(server: &Server, payments: &Little, id: &str) {
    let read = server.get(&format!("/v1/transactions/{id}")).await;
    assert_eq!(read.status, StatusCode::OK, "{read:?}");
    let asked = payments.asked_to("prepare").len();
    assert_eq!(id_of(&server.submit(&[("idempotency-key", "young")], ORDER).await), id);
    assert_eq!(payments.asked_to("prepare").len(), asked);
}

/// A prepare since `asked` expires when the server's wall clock shows what remains of its deadline.
#[track_caller]
fn expires_by_the_wall_clock(payments: &Little, asked: usize, seconds: i64) {
    let heads = payments.heads();
    let expires = heads[asked..].iter().find_map(|head| head.get("wholly-expires")).unwrap();
    let left = millis_from(expires.to_str().unwrap().parse().unwrap(), seconds);
    // The deadline is 30 s, and an answer may take its time. A jump of seconds is within that.
    assert!((-300_000..=31_000).contains(&left), "{left} ms are left");
}

const YEARS: i64 = 2 * 365 * 24 * 60 * 60;

#[tokio::test]
async fn a_leap_of_years_stalls_nobody_and_removes_nothing() {
    goes_on_through_a_jump_of(YEARS).await;
}

#[tokio::test]
async fn a_clock_set_back_by_years_stalls_nobody_and_removes_nothing() {
    goes_on_through_a_jump_of(-YEARS).await;
}

#[tokio::test]
async fn a_leap_of_seconds_stalls_nobody_and_removes_nothing() {
    goes_on_through_a_jump_of(90).await;
}

#[tokio::test]
async fn a_clock_set_back_by_seconds_stalls_nobody_and_removes_nothing() {
    goes_on_through_a_jump_of(-90).await;
}
