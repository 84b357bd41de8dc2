//! `wholly choose` as its users meet it: by flags, by a file, and asked in a terminal.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// A user with a directory for what programs remember.
struct User(TempDir);

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl User {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wholly"));
        command.arg("choose").args(arguments).env("XDG_STATE_HOME", self.0.path());
        command
    }

    fn chooses(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// Chooses in a terminal, into which this is typed, and then the end of the input.
    fn types(&self, arguments: &[&str], typed: &str) -> Said {
        let here = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&here).unwrap();
        unlockpt(&here).unwrap();
        let name = ptsname(&here, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let mut here = File::from(here);
        here.write_all(typed.as_bytes()).unwrap();
        // Ctrl-D.
        here.write_all(b"\x04").unwrap();
        Said::of(&self.command(arguments).stdin(terminal).output().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let file = self.0.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    #[track_caller]
    fn advises(self, how: &str) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        assert!(self.stdout.starts_with(how), "{}", self.stdout);
        self.stdout
    }

    #[track_caller]
    fn fails(self, code: i32, says: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert!(self.stderr.contains(says), "{}", self.stderr);
    }
}

/// Two databases of one team.
const CASE: &str = "participants = 'few'\ndatabases = 'one-owner'\nreaders = 'strict'\n\
    undo = 'every-step'\nprepare = 'all'\noutage = 'may-wait'\nduration = 'seconds'\n\
    contention = 'rare'\nservices = 'one-team'\n";

#[test]
fn the_lessons_question_has_its_answer_and_says_why_the_others_are_none() {
    let said = User::new().chooses(&["--lesson"]).advises("Advice: an orchestrated saga\n");
    insta::assert_snapshot!(said, @r"
    Advice: an orchestrated saga

    A coordinator asks for one local transaction after the other. Where a step is
    refused, it asks for the compensations of those that were done. It holds no lock
    between the steps, and one place says where each change stands. [Garcia-Molina &
    Salem 1987; Richardson 2018, ch. 4]

    The options that were considered
      two-phase           No. A participant that cannot prepare cannot promise to
                          commit. Many databases and brokers have no prepare.
                          [Mohan, Lindsay & Obermarck 1986; Richardson 2018, ch. 4]
                          All participants have to vote before any commits. While
                          one is down, the change waits, and is aborted at its
                          deadline. [Mohan, Lindsay & Obermarck 1986; Richardson
                          2018, ch. 4]
                          What a crash leaves in doubt holds locks until somebody
                          ends it, and here each database has another owner who
                          would have to. [Kleppmann 2017, ch. 9]
      saga                Yes, this is the advice.
      distributed-lock    No. A lock isolates: it keeps others away. It undoes
                          nothing. Where its holder stops after the payment and
                          before the stock, the books disagree, with the lock or
                          without. [Kleppmann 2017, ch. 7]
                          A lock that expires can have two holders, because the
                          first one may be slow and not dead. Each service would
                          have to refuse old fencing tokens. [Kleppmann 2017, ch. 8]
                          It can spare two workers the same work, where a mistake
                          costs only time.
      optimistic-locking  No. A version number finds out that somebody else has
                          written the same row of one database. Across databases
                          each check is a commit of its own: the first has committed
                          when the second one fails. [Kleppmann 2017, ch. 7; Gray &
                          Reuter 1993, ch. 7]
                          Within one database it finds lost updates: in a local
                          transaction, or in a step of a saga, as the countermeasure
                          `re-read value`.

    Why not another
      one-database  The data stays in several databases, and a local transaction
                    ends at the border of one. [Helland 2007]
      choreography  With services other-companies: Each service has to subscribe to
                    the events of the others. Another company answers your calls,
                    and will hardly react to your events. [Richardson 2018, ch. 4]
      tcc           A participant that cannot reserve has no tentative operation
                    that could be confirmed or cancelled. [Helland 2007]
                    All participants have to vote before any commits. While one is
                    down, the change waits, and is aborted at its deadline. [Mohan,
                    Lindsay & Obermarck 1986; Richardson 2018, ch. 4]

    What would turn the advice
      --participants one            no distributed transaction
      --databases could-be-one      no distributed transaction
      --readers strict              nothing fits
      --undo several-cannot         nothing fits

    What is not known
      contention    read as hot; makes no difference to the advice
      services      read as other-companies; with several-teams: a choreographed
                    saga

    What to watch for
      - A compensation is a new change, not a rollback: others may have seen and
        used what it takes back. Agree with the business what a cancelled order
        looks like. [Garcia-Molina & Salem 1987; Richardson 2018, ch. 4]
      - A compensation must not be refused. It is repeated until it is done, and an
        operator is called where that takes too long. [Garcia-Molina & Salem 1987;
        Richardson 2018, ch. 4]
      - Each message can arrive twice, late and out of order. Every operation has to
        be idempotent, which the barrier and the inbox of Wholly do. [Helland 2007]
      - With services other-companies: A call that was not answered may have taken
        effect. Send a key that makes it idempotent, or ask what became of it before
        you repeat it. [Helland 2007]

    Countermeasures
      - semantic lock: Mark what is not final yet, for example by a state `pending`,
        so that others wait, refuse or warn. The last step or the compensation
        removes the mark. [Richardson 2018, ch. 4]
      - commutative updates: With contention hot: Add and subtract with a check
        (stock >= 2), and never write a value that was read before: then the order
        of the updates does not matter, and the row is locked briefly. [Gray &
        Reuter 1993, ch. 7; Richardson 2018, ch. 4]

    Sources
      - C. Mohan, B. Lindsay, R. Obermarck: Transaction Management in the R*
        Distributed Database Management System. ACM TODS 11(4), 1986
      - H. Garcia-Molina, K. Salem: Sagas. ACM SIGMOD Conference, 1987
      - J. Gray, A. Reuter: Transaction Processing: Concepts and Techniques. Morgan
        Kaufmann, 1993
      - P. Helland: Life beyond Distributed Transactions: an Apostate's Opinion.
        CIDR, 2007
      - M. Kleppmann: Designing Data-Intensive Applications. O'Reilly, 2017
      - C. Richardson: Microservices Patterns. Manning, 2018

    This case again
      wholly choose --participants few --databases several-owners \
        --readers tolerant --undo every-step --prepare not-all --outage go-on \
        --duration seconds --contention unknown --services unknown \
        --considered two-phase,saga,distributed-lock,optimistic-locking
    ");
}

#[test]
fn what_cannot_be_answered_is_said_with_what_would_have_to_change() {
    let said = User::new().chooses(&["--lesson", "--readers", "strict", "--considered", "saga"]);
    let said = said.advises("Nothing fits.\n");
    let (said, _) = said.split_once("\nWhy none fits").unwrap();
    insta::assert_snapshot!(said, @r"
    Nothing fits.
    Each approach is ruled out. Something in the case has to change first.

    What would have to change
      --participants one                         no distributed transaction
      --databases could-be-one                   no distributed transaction
      --readers tolerant                         an orchestrated saga
      --prepare all --outage may-wait            TCC (try, confirm, cancel)
      --prepare could-reserve --outage may-wait  TCC (try, confirm, cancel)

    The options that were considered
      saga                No. A saga commits step by step, and others see its
                          intermediate states: it has no isolation. [Garcia-Molina &
                          Salem 1987; Richardson 2018, ch. 4]
    ");
}

#[test]
fn what_is_unknown_is_to_be_found_out() {
    let said = User::new().chooses(&["--lesson", "--undo", "unknown", "--readers", "unknown"]);
    let said = said.advises("Too little is known.\n");
    let (said, _) = said.split_once("\nThe options").unwrap();
    insta::assert_snapshot!(said, @r"
    Too little is known.
    What is unknown may rule out each of the approaches.

    What to find out
      --readers tolerant --undo every-step   an orchestrated saga
      --readers tolerant --undo all-but-one  an orchestrated saga
    ");
}

#[test]
fn flags_count_before_the_file() {
    let user = User::new();
    let file = user.file("case.toml", CASE);
    user.chooses(&["--file", &file]).advises("Advice: two-phase commit\n");
    let hot = ["--file", &file, "--contention", "hot"];
    user.chooses(&hot).advises("Advice: TCC (try, confirm, cancel)\n");
    let piped = user.command(&["--file", "-"]).stdin(File::open(&file).unwrap()).output();
    Said::of(&piped.unwrap()).advises("Advice: two-phase commit\n");
}

#[test]
fn the_same_case_again_has_the_same_advice() {
    let user = User::new();
    let said = user.chooses(&["--lesson"]).advises("Advice");
    let (_, again) = said.split_once("This case again\n").unwrap();
    let arguments = again.replace("\\\n", " ");
    let mut arguments = arguments.split_whitespace();
    assert_eq!([arguments.next(), arguments.next()], [Some("wholly"), Some("choose")]);
    assert_eq!(user.chooses(&arguments.collect::<Vec<_>>()).advises("Advice"), said);
}

#[test]
fn what_is_wrong_or_missing_exits_with_2_and_says_what_to_do() {
    let user = User::new();
    let file = user.file("case.toml", &CASE.replace("outage", "outages"));
    let says = "case.toml:6:1: there is no key `outages` here; did you mean `outage`?";
    user.chooses(&["--file", &file]).fails(2, says);
    user.chooses(&["--file", "/nowhere.toml"]).fails(2, "/nowhere.toml: cannot be read");
    let file = user.file("part.toml", "readers = 'strict'\nundo = 'unknown'\n");
    let missing = "without an answer: --participants, --databases, --prepare, --outage, \
                   --duration, --contention. Give these flags, each of which may be `unknown`";
    user.chooses(&["--file", &file, "--services", "one-team"]).fails(2, missing);
    user.chooses(&["--readers", "some"]).fails(2, "tolerant, strict, unknown");
    user.chooses(&["--lesson", "--file", &file]).fails(2, "cannot be used with");
    user.chooses(&["--lesson", "--considered", "hope"]).fails(2, "distributed-lock");
}

#[test]
fn a_terminal_is_asked_what_is_missing() {
    let user = User::new();
    let said = user.types(&[], "2\n3\n1\nevery-step\n3\n?\n1\n1\n\n2\n");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.starts_with("Advice: a choreographed saga\n"), "{}", said.stdout);
    assert!(said.stderr.contains("9/9 Who owns the services?"), "{}", said.stderr);
    assert!(said.stderr.contains("need the vote of every participant"), "{}", said.stderr);

    let file = user.file("case.toml", &CASE.replace("readers = 'strict'\n", ""));
    let said = user.types(&["--file", &file, "--json"], "strict\n");
    assert!(said.stderr.contains("1/1 May readers see"), "{}", said.stderr);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(document["advice"], "two-phase");

    user.types(&[], "2\n").fails(1, "the answers ended before the questions");
}

#[test]
fn programs_are_told_the_same() {
    let user = User::new();
    let said = user.chooses(&["--lesson", "--json"]).advises("{");
    assert_eq!(said.lines().count(), 1);
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(document["advice"], "saga");
    assert_eq!(document["answers"]["services"], "unknown");
    assert_eq!(document["read_as"]["services"], "other-companies");
    let verdicts = document["considered"].as_array().unwrap().iter().map(|one| &one["verdict"]);
    assert_eq!(verdicts.collect::<Vec<_>>(), ["no", "advised", "no", "no"]);
    let turned = json!({"question": "readers", "to": "strict", "advice": "nothing-fits"});
    assert!(document["turns"].as_array().unwrap().contains(&turned), "{said}");
    let contention = json!({"question": "contention", "matters": false, "turns": []});
    assert_eq!(document["unknown"][0], contention);
    assert_eq!(document["unknown"][1]["turns"][0]["advice"], "choreography");
    assert_eq!(document["figures"], Value::Null);
}

#[test]
fn the_figures_of_the_last_comparison_are_shown() {
    let user = User::new();
    let regime = |name: &str, rate: f64, accepted: u32| {
        json!({"regime": name, "fair": {"cost": {"orders_per_second": rate}},
            "bad": {"availability": {"outage_long": {"submitted": 50, "accepted": accepted}}}})
    };
    let compared = json!({"version": 1, "made_at": "2026-11-20T10:00:00Z", "complete": false,
        "regimes": [regime("two-phase", 80.5, 0), regime("saga", 120.0, 50)]});
    user.file("wholly/compare.json", &compared.to_string());
    let said = user.chooses(&["--lesson"]).advises("Advice");
    assert!(said.contains("\nMeasured on this machine by wholly compare, "), "{said}");
    assert!(said.contains(" ago (a run that was broken off)\n"), "{said}");
    let (_, figures) = said.split_once("broken off)\n").unwrap();
    let (figures, _) = figures.split_once("\n\n").unwrap();
    insta::assert_snapshot!(figures, @r"
                                          saga              two-phase
      orders a second, fair weather       120               80
      accepted in a long outage           100 %             0 %
    ");
    let one = ["--lesson", "--databases", "could-be-one"];
    assert!(!user.chooses(&one).advises("Advice").contains("Measured"));

    user.file("wholly/compare.json", "{\"regimes\"");
    let said = user.chooses(&["--lesson"]).advises("Advice");
    let one_line = said.replace('\n', " ");
    assert!(one_line.contains("compare.json is no comparison; `wholly compare` writes"), "{said}");
}

#[test]
fn each_line_fits_80_columns() {
    let user = User::new();
    let directory: &Path = user.0.path();
    let file = user.file("case.toml", CASE);
    for arguments in
        [vec!["--lesson"], vec!["--file", &file], vec!["--lesson", "--readers", "strict"]]
    {
        let said = user.chooses(&arguments).advises("");
        assert!(!said.contains(directory.to_str().unwrap()));
        let long: Vec<&str> = said.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(long, [""; 0]);
    }
}
