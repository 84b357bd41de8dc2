//! The participants in other languages keep the contract, and `wholly conformance` sees it where a
//! service does not. They run as they are told to be run: `./test` installs what they need.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::path::Path;
use std::process::Stdio;

use common::{Little, within};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
const PYTHON: &[&str] = &["python3", "-B", "participant.py"];
const TYPESCRIPT: &[&str] = &["node", "--import", "tsx", "participant.ts"];

const ACCEPTED: &str = r#"{"account": "alice", "cents": 1}"#;
const REFUSED: &str = r#"{"account": "alice", "cents": 1000000}"#;

/// An example as a process of its own.
struct Example {
    url: String,
    _process: Child,
    _stdout: BufReader<ChildStdout>,
    _directory: TempDir,
}

impl Example {
    async fn start(command: &[&str], keys: &str) -> Self {
        let directory = tempdir().unwrap();
        let mut process = Command::new(command[0])
            .args(&command[1..])
            .args(["0".as_ref(), directory.path().join("payments.db").as_path()])
            .current_dir(EXAMPLES)
            .env("WHOLLY_KEYS", keys)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|why| panic!("{}: {why}; ./test installs it", command[0]));
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        within("the example starts", stdout.read_line(&mut line)).await.unwrap();
        let url = line.trim_end().strip_prefix("payments listen on ");
        let url = url.unwrap_or_else(|| {
            panic!("{command:?} did not start; `npm ci` in examples brings what it needs: {line:?}")
        });
        Self { url: url.to_owned(), _process: process, _stdout: stdout, _directory: directory }
    }
}

/// The exit code, and the lines that were printed.
async fn conformance(url: &str, more: &[&str]) -> (Option<i32>, Vec<String>) {
    let payloads = ["--accepted", ACCEPTED, "--refused", REFUSED];
    let asked = Command::new(env!("CARGO_BIN_EXE_wholly"))
        .args(["conformance", url])
        .args(payloads)
        .args(more)
        .kill_on_drop(true)
        .output();
    let output = within("the suite ends", asked).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), said.lines().map(str::to_owned).collect())
}

const SAGA: &[&str] = &["--action", "pay", "--compensation", "refund"];

#[tokio::test]
async fn the_participants_in_other_languages_conform() {
    assert!(Path::new(EXAMPLES).join("participant.py").exists());
    for command in [PYTHON, TYPESCRIPT] {
        let example = Example::start(command, "").await;
        let (code, lines) = conformance(&example.url, SAGA).await;
        assert_eq!(code, Some(0), "{command:?}:\n{}", lines.join("\n"));
        let passed = |pattern| {
            let start = format!("passed       {pattern}");
            lines.iter().filter(|line| line.starts_with(&start)).count()
        };
        assert!(passed("two-phase") >= 16 && passed("saga") >= 16, "{lines:#?}");
    }
}

/// Each of them verifies signatures by itself, with what its language brings.
#[tokio::test]
async fn the_participants_in_other_languages_take_signed_calls_only() {
    let secret = "a secret of at least thirty-two bytes".replace(' ', "-");
    let keys = format!("2026-01=another 2026-07={secret}");
    let directory = tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("2026-07=file:{}", path.display())
    };
    let (right, wrong) = (file("right", &secret), file("wrong", &secret.replace("two", "one")));
    for command in [PYTHON, TYPESCRIPT] {
        let example = Example::start(command, &keys).await;
        let signed = [SAGA, &["--signing", &right]].concat();
        let (code, lines) = conformance(&example.url, &signed).await;
        assert_eq!(code, Some(0), "{command:?}:\n{}", lines.join("\n"));

        let wrongly = [SAGA, &["--signing", &wrong]].concat();
        for arguments in [SAGA, &wrongly] {
            let (code, lines) = conformance(&example.url, arguments).await;
            assert_eq!(code, Some(1));
            let unsigned = "FAILED       two-phase  a yes can be committed: after prepare: \
                            expected done, saw unknown (status 401)";
            assert_eq!(lines[0], unsigned, "{command:?}");
            assert!(!lines.join(" ").contains(&secret), "{lines:#?}");
        }
    }
}

#[tokio::test]
async fn a_service_that_says_yes_to_everything_does_not_conform() {
    let service = Little::start().await;
    let (code, lines) = conformance(&service.url(), SAGA).await;
    assert_eq!(code, Some(1), "{lines:#?}");
    let says = |line: &str| lines.iter().any(|seen| seen.starts_with(line));
    assert!(says("FAILED       two-phase  an expired prepare is refused: "), "{lines:#?}");
    assert!(says("passed       two-phase  a repeated commit is done"), "{lines:#?}");
    assert!(says("FAILED       saga       a refusal stays a refusal: "), "{lines:#?}");

    let (code, lines) = conformance(&service.url(), &[SAGA, &["--saga-only"]].concat()).await;
    assert_eq!(code, Some(1));
    assert!(lines.iter().all(|line| line.contains(" saga ")), "{lines:#?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_from_what_does_not_conform() {
    let (code, lines) = conformance("ftp://127.0.0.1", &[]).await;
    assert_eq!((code, lines.len()), (Some(2), 0));
    let (code, _) = conformance("http://127.0.0.1:1", &["--action", "pay"]).await;
    assert_eq!(code, Some(2));
}
