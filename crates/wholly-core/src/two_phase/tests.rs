use std::time::Duration;

use super::*;
use crate::entry;
use crate::protocol::{Answered, Input, LAST_ANSWERS_LIMIT, Now, Protocol as _};
use crate::wire::{Answer, Operation};

const NOW: Timestamp = Timestamp::from_millis(1_000);
const LATE: Timestamp = Timestamp::from_millis(99_000);

fn started(participants: &[&str], one_phase: bool) -> Started {
    let branch = |name: &&str| StartedBranch {
        participant: ParticipantName::new(*name).unwrap(),
        payload: Payload::parse("{}").unwrap(),
    };
    Started {
        name: Name::new("place order").unwrap(),
        key: None,
        trace: None,
        deadline: NOW + Duration::from_secs(10),
        one_phase,
        branches: participants.iter().map(branch).collect(),
    }
}

fn two() -> Transaction {
    Transaction::start(&started(&["orders", "payments"], false))
}

fn alone() -> Transaction {
    Transaction::start(&started(&["orders"], true))
}

fn answer(t: &mut Transaction, branch: u16, operation: Operation, answer: Answer) -> Vec<Record> {
    t.step(&answered(branch, operation, answer, false), NOW).unwrap()
}

fn answered(branch: u16, operation: Operation, answer: Answer, exhausted: bool) -> Input {
    Input::Answered(Answered { branch, operation, answer, tries: 1, exhausted })
}

fn no() -> Answer {
    Answer::refused("no stock")
}

fn lost() -> Answer {
    Answer::unknown("connection reset")
}

fn deadline_passed() -> AbortReason {
    AbortReason::Deadline { last_answers: String::new() }
}

fn outstanding(t: &Transaction) -> Vec<(u16, Operation)> {
    t.effects().map(|effect| (effect.branch, effect.operation)).collect()
}

use Operation::{Abort, Commit, CommitOnePhase, Prepare};

#[test]
fn every_yes_commits_and_every_acknowledgement_settles() {
    let mut t = two();
    assert_eq!(outstanding(&t), [(0, Prepare), (1, Prepare)]);
    assert_eq!(answer(&mut t, 1, Prepare, Answer::Done), [Record::Vote(1, Vote::Yes)]);
    assert_eq!(t.state().as_str(), "init");
    let records = answer(&mut t, 0, Prepare, Answer::Done);
    assert_eq!(records, [Record::Vote(0, Vote::Yes), Record::Committed]);
    assert!(t.forces(&records[1]) && !t.forces(&records[0]));
    assert_eq!(outstanding(&t), [(0, Commit), (1, Commit)]);
    assert_eq!(answer(&mut t, 0, Commit, Answer::Done), [Record::Acknowledged(0)]);
    let last = answer(&mut t, 1, Commit, Answer::Done);
    assert_eq!(last, [Record::Acknowledged(1), Record::Settled]);
    assert!(t.is_settled() && outstanding(&t).is_empty());
}

#[test]
fn a_no_aborts_the_others_and_ends_its_own_branch() {
    let mut t = two();
    answer(&mut t, 0, Prepare, Answer::Done);
    let records = answer(&mut t, 1, Prepare, no());
    assert!(matches!(records[1], Record::Aborted(AbortReason::Refused { .. })));
    assert_eq!(outstanding(&t), [(0, Abort)]);
    assert_eq!(answer(&mut t, 0, Abort, Answer::Done).last(), Some(&Record::Settled));
}

#[test]
fn a_no_after_a_lost_attempt_is_aborted_all_the_same() {
    let mut t = two();
    assert_eq!(answer(&mut t, 1, Prepare, lost()), [Record::Lost(1)]);
    assert_eq!(answer(&mut t, 1, Prepare, lost()), []);
    answer(&mut t, 1, Prepare, no());
    assert_eq!(outstanding(&t), [(0, Abort), (1, Abort)]);
}

#[test]
fn read_only_drops_out_unless_an_attempt_was_lost() {
    let mut t = two();
    answer(&mut t, 0, Prepare, Answer::ReadOnly);
    answer(&mut t, 1, Prepare, Answer::Done);
    assert_eq!(outstanding(&t), [(1, Commit)]);

    let mut t = two();
    answer(&mut t, 0, Prepare, lost());
    assert_eq!(answer(&mut t, 0, Prepare, Answer::ReadOnly), [Record::Vote(0, Vote::Yes)]);
    answer(&mut t, 1, Prepare, Answer::Done);
    assert_eq!(outstanding(&t), [(0, Commit), (1, Commit)]);
}

#[test]
fn all_read_only_commits_and_is_settled_at_once() {
    let mut t = two();
    answer(&mut t, 0, Prepare, Answer::ReadOnly);
    let records = answer(&mut t, 1, Prepare, Answer::ReadOnly);
    assert_eq!(records[1..], [Record::Committed, Record::Settled]);
}

#[test]
fn the_deadline_aborts_what_is_undecided_even_on_the_last_yes() {
    let mut t = two();
    answer(&mut t, 0, Prepare, Answer::Done);
    let yes = answered(1, Prepare, Answer::Done, false);
    let records = t.step(&yes, LATE).unwrap();
    assert_eq!(records, [Record::Vote(1, Vote::Yes), Record::Aborted(deadline_passed())]);
}

#[test]
fn the_deadline_records_the_last_answers_and_a_replay_says_the_same() {
    let mut t = two();
    let long = format!("payments (prepare, asked 3 times): {}", "é".repeat(LAST_ANSWERS_LIMIT));
    let records = t.step(&Input::Time, Now { at: LATE, last_answers: &long }).unwrap();
    let [Record::Aborted(reason)] = &records[..] else { panic!("{records:?}") };
    let AbortReason::Deadline { last_answers } = reason else { panic!("{reason}") };
    assert!(long.starts_with(last_answers.as_str()) && last_answers.len() <= LAST_ANSWERS_LIMIT);
    assert!(reason.to_string().contains("vote was in; payments (prepare, asked 3 times): é"));
    let text = entry::encode(&[(LATE, crate::Record::TwoPhase(records[0].clone()))]).unwrap();
    let read = entry::decode(&text).unwrap();
    let mut replayed = crate::Transaction::TwoPhase(two());
    replayed.apply(&read[0].1).unwrap();
    assert_eq!(replayed, crate::Transaction::TwoPhase(t));
}

#[test]
fn a_deadline_before_which_nobody_said_anything_is_a_name_alone() {
    let text = r#"{"v":1,"r":[[5,{"aborted":"deadline"}]]}"#;
    let read = entry::decode(text).unwrap();
    let record = crate::Record::TwoPhase(Record::Aborted(deadline_passed()));
    assert_eq!(read, [(Timestamp::from_millis(5), record)]);
    assert_eq!(entry::encode(&read).unwrap(), text);
    assert!(entry::decode(r#"{"v":1,"r":[[5,{"aborted":"dead-line"}]]}"#).is_err());
}

#[test]
fn after_the_decision_only_forward() {
    let mut t = two();
    answer(&mut t, 0, Prepare, Answer::Done);
    answer(&mut t, 1, Prepare, Answer::Done);
    for said in [no(), lost(), Answer::pending(None)] {
        assert_eq!(answer(&mut t, 0, Commit, said), []);
    }
    assert_eq!(t.step(&Input::Time, LATE).unwrap(), []);
    assert_eq!(t.step(&Input::Restarted, LATE).unwrap(), []);
    assert_eq!(t.cancel("changed my mind", NOW), Err(CancelError::Committed));
    assert_eq!(answer(&mut t, 0, Prepare, no()), []);
    assert_eq!(outstanding(&t), [(0, Commit), (1, Commit)]);
}

#[test]
fn a_restart_aborts_what_is_undecided() {
    let mut t = two();
    answer(&mut t, 0, Prepare, Answer::Done);
    let records = t.step(&Input::Restarted, NOW).unwrap();
    assert_eq!(records, [Record::Aborted(AbortReason::Restarted)]);
    assert_eq!(outstanding(&t), [(0, Abort), (1, Abort)]);
    assert_eq!(answer(&mut t, 1, Prepare, Answer::Done), []);
    assert_eq!(outstanding(&t), [(0, Abort), (1, Abort)]);
}

#[test]
fn many_tries_are_stuck_and_still_asked() {
    let mut t = two();
    t.cancel("no longer wanted", NOW).unwrap();
    let tired = answered(0, Abort, lost(), true);
    assert_eq!(t.step(&tired, NOW).unwrap().len(), 1);
    assert_eq!(t.step(&tired, NOW).unwrap().len(), 0);
    assert!(t.is_stuck());
    assert_eq!(outstanding(&t), [(0, Abort), (1, Abort)]);
    answer(&mut t, 0, Abort, Answer::Done);
    assert!(!t.is_stuck());
}

#[test]
fn a_heuristic_waits_for_a_person() {
    let mut t = two();
    answer(&mut t, 0, Prepare, Answer::Done);
    answer(&mut t, 1, Prepare, Answer::Done);
    answer(&mut t, 1, Commit, Answer::Done);
    answer(&mut t, 0, Commit, Answer::heuristic("lock timeout"));
    assert!(t.is_stuck() && !t.is_settled() && outstanding(&t).is_empty());
    assert_eq!(t.branch_state(&t.branches()[0]), PartState::Aborted);
    assert_eq!(t.resolve(1, Decision::Committed, "", NOW), Err(ResolveError::Over));
    let records = t.resolve(0, Decision::Committed, "booked by hand", NOW).unwrap();
    assert_eq!(records.last(), Some(&Record::Settled));
    assert!(!t.is_stuck());
}

#[test]
fn one_branch_alone_decides() {
    let mut t = alone();
    assert_eq!(t.step(&Input::Time, LATE).unwrap(), []);
    assert_eq!(t.cancel("", NOW), Err(CancelError::OnePhase));
    assert_eq!(outstanding(&t), [(0, CommitOnePhase)]);
    let done = answer(&mut t, 0, CommitOnePhase, Answer::Done);
    assert_eq!(done, [Record::Committed, Record::Settled]);
    assert!(!t.forces(&Record::Committed));

    let mut t = alone();
    assert_eq!(answer(&mut t, 0, CommitOnePhase, no()).last(), Some(&Record::Settled));
    assert_eq!(t.state().as_str(), "aborted");
}

#[test]
fn one_phase_refused_after_a_lost_attempt_is_fenced() {
    for (said, state) in [(Answer::Done, "aborted"), (Answer::heuristic("did it"), "committed")] {
        let mut t = alone();
        assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [Record::Lost(0)]);
        assert_eq!(answer(&mut t, 0, CommitOnePhase, no()).len(), 1);
        assert_eq!((t.decision(), outstanding(&t)), (None, vec![(0, Abort)]));
        assert_eq!(answer(&mut t, 0, Abort, said).last(), Some(&Record::Settled));
        assert_eq!(t.state().as_str(), state);
    }
}

#[test]
fn a_law_that_is_broken_is_an_error_and_no_panic() {
    let restarted = || Record::Aborted(AbortReason::Restarted);
    for (records, law) in [
        (vec![Record::Committed], "every branch"),
        (vec![Record::Vote(0, Vote::Yes), Record::Committed], "every branch"),
        (vec![restarted(), Record::Committed], "never changes"),
        (vec![Record::Vote(0, Vote::Yes), Record::Vote(0, Vote::Yes)], "votes once"),
        (vec![Record::Acknowledged(0)], "before the decision"),
        (vec![restarted(), Record::Settled], "every branch is over"),
        (vec![Record::Lost(7)], "that the transaction has"),
        (vec![Record::Lost(0), Record::Vote(0, Vote::ReadOnly)], "plain yes"),
        (vec![Record::Started(started(&["a"], false))], "starts once"),
    ] {
        let mut t = two();
        let broken = records.iter().find_map(|record| t.apply(record).err()).expect("a broken law");
        assert!(broken.law.contains(law), "{broken}");
    }
}

#[test]
fn a_trace_stands_in_the_start_and_decides_nothing() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 rojo=1";
    let trace: std::sync::Arc<crate::TraceContext> = std::sync::Arc::new(trace.parse().unwrap());
    let traced = Started { trace: Some(trace.clone()), ..started(&["orders"], false) };
    let records = vec![(NOW, crate::Record::TwoPhase(Record::Started(traced.clone())))];
    let text = crate::entry::encode(&records).unwrap();
    assert_eq!(crate::entry::decode(&text).unwrap(), records);
    let member = format!(r#""trace":"{trace}","#);
    assert_eq!(text.matches(&member).count(), 1, "{text}");
    let (with, without) =
        (Transaction::start(&traced), Transaction::start(&started(&["orders"], false)));
    assert_eq!((with.view().trace, without.view().trace), (Some(&trace), None));
    assert_eq!(outstanding(&with), outstanding(&without));
    // A start that nobody could have written cannot be read.
    assert!(crate::entry::decode(&text.replace("-01 rojo", "-0x rojo")).is_err());
}

#[test]
fn entries_survive_their_text() {
    let records = vec![
        (NOW, Record::Started(started(&["orders", "payments"], false))),
        (NOW, Record::Vote(1, Vote::No("no \"stock\"".into()))),
        (NOW, Record::Aborted(deadline_passed())),
        (NOW, Record::Resolved(0, Decision::Aborted, "by phone".into())),
        (NOW, Record::Settled),
    ];
    let records: Vec<_> =
        records.into_iter().map(|(at, record)| (at, crate::Record::TwoPhase(record))).collect();
    let text = crate::entry::encode(&records).unwrap();
    assert_eq!(crate::entry::decode(&text).unwrap(), records);
    insta::assert_snapshot!(text);
    for bad in ["", "{}", r#"{"v":2,"r":[]}"#, r#"{"v":1,"r":[[1,"flown"]]}"#, "[1]"] {
        assert!(crate::entry::decode(bad).is_err(), "{bad}");
    }
}
