use std::time::Duration;

use super::*;
use crate::entry;
use crate::protocol::{Answered, Effect, Input, Now, Protocol as _};
use crate::wire::{Answer, Operation};

const NOW: Timestamp = Timestamp::from_millis(1_000);
const LATE: Timestamp = Timestamp::from_millis(99_000);

/// The steps `a`, `b` and so on, each with these members.
fn saga(steps: &[&str]) -> Transaction {
    let steps: Vec<String> = ('a'..)
        .zip(steps)
        .map(|(name, said)| format!(r#"{{"name":"{name}","participant":"p"{said}}}"#))
        .collect();
    let text = format!(r#"{{"name":"s","version":1,"steps":[{}]}}"#, steps.join(","));
    let graph = Graph::new(serde_json::from_str(&text).unwrap()).unwrap();
    Transaction::start(&Started {
        key: None,
        trace: None,
        deadline: NOW + Duration::from_secs(10),
        saga: Arc::new(graph),
        input: Payload::parse(r#"{"n":7}"#).unwrap(),
    })
}

/// It is taken back by `undo`.
fn deadline_passed() -> Reason {
    Reason::Deadline { last_answers: String::new() }
}

const UNDO: &str = r#","compensation":"undo""#;
const NO_UNDO: &str = r#","compensation":false"#;

fn list() -> Transaction {
    saga(&[UNDO, UNDO, UNDO])
}

fn with_pivot() -> Transaction {
    saga(&[UNDO, r#","compensation":"undo","pivot":true"#, ""])
}

/// `b` and `c` after `a`, `d` after both.
fn diamond() -> Transaction {
    let after = |names: &str| format!(r#"{UNDO},"after":[{names}]"#);
    saga(&[UNDO, &after(r#""a""#), &after(r#""a""#), &after(r#""b","c""#)])
}

fn answered(branch: u16, operation: Operation, answer: Answer) -> Input {
    Input::Answered(Answered { branch, operation, answer, tries: 1, exhausted: false })
}

fn act(t: &mut Transaction, step: u16, answer: Answer) -> Vec<Record> {
    t.step(&answered(step, Action, answer), NOW).unwrap()
}

fn undo(t: &mut Transaction, step: u16) -> Vec<Record> {
    t.step(&answered(step, Compensation, Answer::Done), NOW).unwrap()
}

fn no() -> Answer {
    Answer::refused("declined")
}

fn lost() -> Answer {
    Answer::unknown("connection reset")
}

fn output(json: &str) -> Payload {
    Payload::parse(json).unwrap()
}

fn completed(step: u16) -> Record {
    Record::Completed(step, Payload::null())
}

fn refused(step: &str) -> Record {
    let step = StepName::new(step).unwrap();
    Record::TurnedBack(Reason::Refused { step, reason: "declined".into() })
}

fn outstanding(t: &Transaction) -> Vec<(u16, Operation)> {
    t.effects().map(|effect| (effect.branch, effect.operation)).collect()
}

fn states(t: &Transaction) -> Vec<PartState> {
    t.steps().map(|(_, step)| t.step_state(step)).collect()
}

use Operation::{Action, Compensation};
use PartState::{Compensated, Completed, Failed, Pending};

#[test]
fn a_list_runs_in_its_order() {
    let mut t = list();
    assert_eq!(outstanding(&t), [(0, Action)]);
    for step in 0..2 {
        let records = act(&mut t, step, Answer::Done);
        assert_eq!(records, [completed(step)]);
        assert!(!t.forces(&records[0]), "nothing is made of it");
        assert_eq!(outstanding(&t), [(step + 1, Action)]);
    }
    let records = act(&mut t, 2, Answer::Done);
    assert_eq!(records, [completed(2), Record::Settled]);
    assert!(!t.forces(&records[0]) && t.forces(&records[1]));
    assert_eq!((t.state().as_str(), states(&t)), ("completed", vec![Completed; 3]));
    assert_eq!(outstanding(&t), []);
}

#[test]
fn a_refusal_turns_back_in_reverse() {
    let mut t = list();
    act(&mut t, 0, Answer::Done);
    act(&mut t, 1, Answer::DoneWith { output: output("5") });
    let records = act(&mut t, 2, no());
    assert_eq!(records, [Record::Refused(2, "declined".into()), refused("c")]);
    assert!(t.forces(&records[1]));
    assert_eq!((t.state().as_str(), outstanding(&t)), ("compensating", vec![(1, Compensation)]));
    let request = t.request(Effect { branch: 1, operation: Compensation }).unwrap();
    assert_eq!(request.payload, output(r#"{"input":{"n":7},"output":5}"#));
    assert_eq!((request.expires, request.operation_name.unwrap().as_str()), (None, "undo"));
    assert_eq!(undo(&mut t, 1), [Record::Compensated(1)]);
    assert_eq!(undo(&mut t, 1), [], "said twice");
    let last = undo(&mut t, 0);
    assert_eq!(last, [Record::Compensated(0), Record::Settled]);
    assert!(!t.forces(&last[0]) && t.forces(&last[1]));
    assert_eq!(states(&t), [Compensated, Compensated, Failed]);
    assert_eq!(t.state().as_str(), "compensated");
}

#[test]
fn a_refusal_after_a_lost_attempt_is_taken_back_all_the_same() {
    let mut t = list();
    act(&mut t, 0, Answer::Done);
    assert_eq!(act(&mut t, 1, lost()), [Record::Lost(1)]);
    assert_eq!(act(&mut t, 1, Answer::pending(None)), []);
    act(&mut t, 1, no());
    assert_eq!(outstanding(&t), [(1, Compensation)]);
    let request = t.request(Effect { branch: 1, operation: Compensation }).unwrap();
    assert_eq!(request.payload, output(r#"{"input":{"n":7}}"#), "unknown: no output");
    undo(&mut t, 1);
    undo(&mut t, 0);
    assert_eq!(states(&t), [Compensated, Compensated, Pending]);
}

#[test]
fn independent_steps_run_and_are_taken_back_at_once() {
    let mut t = diamond();
    act(&mut t, 0, Answer::Done);
    assert_eq!(outstanding(&t), [(1, Action), (2, Action)]);
    act(&mut t, 1, Answer::Done);
    assert_eq!(outstanding(&t), [(2, Action)]);
    act(&mut t, 2, Answer::Done);
    assert_eq!(outstanding(&t), [(3, Action)]);
    act(&mut t, 3, no());
    assert_eq!(outstanding(&t), [(1, Compensation), (2, Compensation)]);
    undo(&mut t, 2);
    assert_eq!(outstanding(&t), [(1, Compensation)]);
    undo(&mut t, 1);
    assert_eq!(outstanding(&t), [(0, Compensation)]);
}

#[test]
fn what_is_on_its_way_when_it_turns_back_is_taken_back_by_its_answer() {
    for (answer, left, given) in [
        (
            Answer::DoneWith { output: output("1") },
            vec![(2, Compensation)],
            Some(r#"{"input":{"n":7},"output":1}"#),
        ),
        (no(), vec![(0, Compensation)], None),
        (lost(), vec![(2, Compensation)], Some(r#"{"input":{"n":7}}"#)),
    ] {
        let mut t = diamond();
        act(&mut t, 0, Answer::Done);
        act(&mut t, 1, no());
        act(&mut t, 2, answer);
        assert_eq!(outstanding(&t), left);
        if let Some(given) = given {
            let request = t.request(Effect { branch: 2, operation: Compensation }).unwrap();
            assert_eq!(request.payload, output(given));
        }
    }
}

#[test]
fn once_the_pivot_may_have_left_only_its_answer_turns_the_saga() {
    let mut t = with_pivot();
    assert_eq!(t.turns_back_at(), Some(t.view().deadline));
    act(&mut t, 0, Answer::Done);
    assert_eq!(t.turns_back_at(), None);
    assert_eq!(t.step(&Input::Time, LATE).unwrap(), []);
    assert_eq!(t.cancel("changed my mind", NOW), Err(CancelError::PivotMayHaveLeft));
    assert_eq!(outstanding(&t), [(1, Action)]);
    act(&mut t, 1, lost());
    act(&mut t, 1, no());
    assert_eq!(outstanding(&t), [(1, Compensation)], "the lost attempt is taken back");
}

#[test]
fn after_the_pivot_there_is_only_forward() {
    let mut t = with_pivot();
    act(&mut t, 0, Answer::Done);
    act(&mut t, 1, Answer::Done);
    assert_eq!(t.cancel("too late", NOW), Err(CancelError::PivotMayHaveLeft));
    assert!(matches!(act(&mut t, 2, no())[..], [Record::Stuck(2, _)]));
    assert_eq!(act(&mut t, 2, no()), [], "it is said once");
    assert!(t.is_stuck());
    assert_eq!(outstanding(&t), [(2, Action)], "and asked again");
    let request = t.request(Effect { branch: 2, operation: Action }).unwrap();
    assert_eq!(request.expires, None);
    assert_eq!(act(&mut t, 2, Answer::Done), [completed(2), Record::Settled]);
    assert!(!t.is_stuck());
}

#[test]
fn the_deadline_records_the_last_answers() {
    for done in [false, true] {
        let mut t = list();
        let input = match done {
            true => answered(0, Action, Answer::Done),
            false => Input::Time,
        };
        let last_answers = "b (action, asked once) has not answered";
        let records = t.step(&input, Now { at: LATE, last_answers }).unwrap();
        let reason = Reason::Deadline { last_answers: last_answers.to_owned() };
        assert_eq!(records[0], Record::TurnedBack(reason.clone()));
        assert_eq!(
            reason.to_string(),
            "the deadline passed before it was done; b (action, asked once) has not answered"
        );
        let text = entry::encode(&[(LATE, crate::Record::Saga(records[0].clone()))]).unwrap();
        assert_eq!(entry::decode(&text).unwrap()[0].1, crate::Record::Saga(records[0].clone()));
    }
    let alone = r#"{"v":1,"s":[[5,{"turned_back":"deadline"}]]}"#;
    let read = entry::decode(alone).unwrap();
    assert_eq!(read[0].1, crate::Record::Saga(Record::TurnedBack(deadline_passed())));
    assert_eq!(entry::encode(&read).unwrap(), alone);
}

#[test]
fn the_deadline_takes_back_what_is_unknown() {
    let mut t = list();
    act(&mut t, 0, Answer::Done);
    let records = t.step(&Input::Time, LATE).unwrap();
    assert_eq!(records, [Record::TurnedBack(deadline_passed())]);
    assert_eq!(outstanding(&t), [(1, Compensation)], "it may have left");
    assert_eq!(t.cancel("me too", NOW), Ok(vec![]), "it turns back already");
}

#[test]
fn a_pivot_does_not_begin_after_the_deadline() {
    for (mut t, next) in [(with_pivot(), 1), (list(), 1)] {
        let done = answered(0, Action, Answer::Done);
        let records = t.step(&done, LATE).unwrap();
        assert_eq!(records, [Record::TurnedBack(deadline_passed()), completed(0)]);
        assert_eq!(outstanding(&t), [(0, Compensation)], "{next} never had its turn");
    }
    let mut t = list();
    let resolved = t.resolve(0, Resolution::Completed(Payload::null()), "?", LATE);
    assert_eq!(resolved, Err(ResolveError::TurnedBack));
    // A refusal by then is the reason all the same.
    assert_eq!(t.step(&answered(0, Action, no()), LATE).unwrap()[1], refused("a"));
}

#[test]
fn definitions_are_the_same_however_their_payloads_are_written() {
    let definition = |payload: &str| -> Definition {
        let step = format!(r#"{{"name":"a","compensation":false{payload}}}"#);
        serde_json::from_str(&format!(r#"{{"name":"s","version":1,"steps":[{step}]}}"#)).unwrap()
    };
    let one = definition(r#","payload":{"a":1,"b":2}"#);
    assert!(one.same_as(&definition(r#","payload":{"b": 2, "a": 1}"#)));
    assert!(!one.same_as(&definition(r#","payload":{"a":1}"#)));
    assert!(!one.same_as(&definition("")));
    assert!(!definition("").same_as(&definition(r#","payload":null"#)));
    assert!(!one.same_as(&definition(r#","payload":{"a":1,"b":2},"pivot":true"#)));
}

#[test]
fn a_restart_counts_what_may_have_left_as_lost() {
    let mut t = diamond();
    act(&mut t, 0, Answer::Done);
    act(&mut t, 1, lost());
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [Record::Lost(2), Record::Lost(3)]);
    act(&mut t, 2, no());
    assert_eq!(outstanding(&t), [(3, Compensation)]);
    undo(&mut t, 3);
    assert_eq!(outstanding(&t), [(1, Compensation), (2, Compensation)]);
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), []);
}

#[test]
fn an_output_is_forced_where_something_is_made_of_it() {
    let reads = format!(r#"{UNDO},"payload":{{"$from":"/steps/a"}}"#);
    let mut t = saga(&[UNDO, UNDO, &reads]);
    let first = act(&mut t, 0, Answer::Done);
    let second = act(&mut t, 1, Answer::Done);
    assert!(t.forces(&first[0]) && !t.forces(&second[0]));
    t.cancel("enough", NOW).unwrap();
    assert!(!t.forces(&first[0]), "its compensation can do without");
}

/// An earlier incarnation may have known a step done and asked the next: this one cannot tell.
#[test]
fn a_restart_counts_what_may_have_come_after_it_as_lost() {
    let mut t = list();
    let lost = [Record::Lost(0), Record::Lost(1), Record::Lost(2)];
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), lost);
    assert_eq!((outstanding(&t), states(&t)), (vec![(0, Action)], vec![Pending; 3]));
    assert_eq!(
        t.resolve(1, Resolution::Completed(Payload::null()), "?", NOW),
        Err(ResolveError::NotBegun)
    );
    act(&mut t, 0, Answer::Done);
    assert_eq!(outstanding(&t), [(1, Action)], "each in its turn");
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [], "it is said once");
    act(&mut t, 1, no());
    assert_eq!(outstanding(&t), [(2, Compensation)], "the last first");
    let request = t.request(Effect { branch: 2, operation: Compensation }).unwrap();
    assert_eq!(request.payload, output(r#"{"input":{"n":7}}"#));
    for step in [2, 1] {
        undo(&mut t, step);
    }
    assert_eq!(undo(&mut t, 0), [Record::Compensated(0), Record::Settled]);

    let mut t = list();
    t.cancel("enough", NOW).unwrap();
    assert!(t.apply(&Record::Lost(1)).is_err(), "what was over when it turned back stays so");
}

#[test]
fn a_restart_counts_nothing_as_lost_that_waited_for_what_was_forced() {
    let reads = |of: &str| format!(r#"{UNDO},"payload":{{"$from":"/steps/{of}/id"}}"#);
    let mut t = saga(&[UNDO, &reads("a"), UNDO]);
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [Record::Lost(0)]);
    act(&mut t, 0, Answer::DoneWith { output: output(r#"{"id":3}"#) });
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [Record::Lost(1), Record::Lost(2)]);
    t.cancel("enough", NOW).unwrap();
    undo(&mut t, 2);
    let request = t.request(Effect { branch: 1, operation: Compensation }).unwrap();
    assert_eq!(request.payload, output(r#"{"input":3}"#), "as its action was");

    // The pivot has not left while its predecessor's end is not durable.
    let mut t = saga(&[UNDO, UNDO, r#","compensation":"undo","pivot":true"#, ""]);
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [Record::Lost(0), Record::Lost(1)]);
    assert_eq!(t.turns_back_at(), Some(t.view().deadline));
    act(&mut t, 0, Answer::Done);
    act(&mut t, 1, Answer::Done);
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [Record::Lost(2)], "and not what follows");
    act(&mut t, 2, Answer::Done);
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [Record::Lost(3)]);
    assert_eq!(outstanding(&t), [(3, Action)]);

    // A step that cannot be given a payload was not asked, nor was any after it.
    let missing = format!(r#"{UNDO},"payload":{{"$from":"/input/none"}}"#);
    let mut t = saga(&[UNDO, &missing, UNDO]);
    assert_eq!(t.step(&Input::Restarted, NOW).unwrap(), [Record::Lost(0)]);
}

/// A copy knows less than the original did, and nothing has told it that it restarted.
#[test]
fn a_word_that_turns_a_quarantined_saga_back_takes_back_what_may_have_been_asked() {
    let lost = [Record::Lost(0), Record::Lost(1), Record::Lost(2)];
    let mut t = list();
    assert_eq!(t.release(LogId::from_bits(7), "the original is lost").unwrap()[1..], lost);
    t.cancel("enough", NOW).unwrap();
    assert_eq!(outstanding(&t), [(2, Compensation)]);

    let mut t = list();
    let before = t.clone();
    let early = t.resolve_quarantined(1, Resolution::Compensated, "?");
    assert_eq!((early, &t), (Err(ResolveError::NotBegun), &before), "nothing is kept of it");
    let records = t.resolve_quarantined(0, Resolution::Compensated, "seen there").unwrap();
    assert_eq!(records[..3], lost);
    assert!(matches!(records[3..], [Record::Resolved(0, ..), Record::TurnedBack(_)]));
    assert_eq!(outstanding(&t), [(2, Compensation)]);

    let mut t = list();
    let done = Resolution::Completed(Payload::null());
    let records = t.resolve_quarantined(0, done, "seen there").unwrap();
    assert!(matches!(records[..], [Record::Resolved(0, ..)]), "nothing turns back: {records:?}");
}

#[test]
fn exhausted_tries_turn_back_with_the_step_unknown() {
    let mut t = saga(&[r#","compensation":"undo","retry":{"tries":2}"#, UNDO]);
    assert_eq!(act(&mut t, 0, lost()), [Record::Lost(0)]);
    let second =
        Answered { branch: 0, operation: Action, answer: lost(), tries: 2, exhausted: false };
    let records = t.step(&Input::Answered(second), NOW).unwrap();
    assert!(matches!(records[..], [Record::TurnedBack(Reason::Exhausted { .. })]), "{records:?}");
    assert_eq!(outstanding(&t), [(0, Compensation)]);
}

#[test]
fn what_needs_no_compensation_is_left_but_keeps_the_order() {
    let mut t = saga(&[UNDO, NO_UNDO, UNDO]);
    for step in 0..3 {
        if step < 2 {
            act(&mut t, step, Answer::Done);
        }
    }
    act(&mut t, 2, lost());
    t.cancel("enough", NOW).unwrap();
    assert_eq!(outstanding(&t), [(2, Compensation)], "the first waits for the last");
    undo(&mut t, 2);
    undo(&mut t, 0);
    assert_eq!((t.is_settled(), states(&t)), (true, vec![Compensated; 3]));
}

#[test]
fn a_payload_that_does_not_resolve_turns_back_or_is_stuck() {
    let from = r#","payload":{"$from":"/steps/a/id"}"#;
    let mut t = saga(&[UNDO, &format!("{UNDO}{from}")]);
    let records = act(&mut t, 0, Answer::Done);
    assert!(
        matches!(records[..], [_, Record::TurnedBack(Reason::Unresolved { .. })]),
        "{records:?}"
    );
    assert_eq!(outstanding(&t), [(0, Compensation)]);

    let mut t = saga(&[r#","compensation":false,"pivot":true"#, from]);
    let records = act(&mut t, 0, Answer::Done);
    assert!(matches!(records[..], [_, Record::Stuck(1, _)]), "{records:?}");
    assert_eq!(outstanding(&t), []);
    assert_eq!(t.step(&Input::Time, LATE).unwrap(), []);
    let records = t.resolve(1, Resolution::Completed(Payload::null()), "by phone", NOW).unwrap();
    assert!(matches!(records[..], [Record::Resolved(..), Record::Settled]));

    let mut t = saga(&[UNDO, &format!("{UNDO}{from}")]);
    act(&mut t, 0, Answer::DoneWith { output: output(r#"{"id":3}"#) });
    let request = t.request(Effect { branch: 1, operation: Action }).unwrap();
    assert_eq!(request.payload, output("3"));
}

#[test]
fn a_person_s_output_has_what_later_steps_read() {
    let mut t = saga(&[
        UNDO,
        r#","compensation":false,"pivot":true"#,
        r#","payload":{"$from":"/steps/b/id"}"#,
    ]);
    act(&mut t, 0, Answer::Done);
    let before = t.clone();
    for output in ["null", r#"{"Id":3}"#, "3"].map(output) {
        let refused = t.resolve(1, Resolution::Completed(output), "paid", NOW);
        let Err(ResolveError::Unreadable { reader, why }) = refused else { panic!("{refused:?}") };
        assert_eq!((reader.as_str(), why.contains("/steps/b/id")), ("c", true), "{why}");
        assert_eq!(t, before);
    }
    t.resolve(1, Resolution::Completed(output(r#"{"id":3}"#)), "paid", NOW).unwrap();
    let request = t.request(Effect { branch: 2, operation: Action }).unwrap();
    assert_eq!(request.payload, output("3"));
}

#[test]
fn a_person_s_word_goes_before() {
    let done = || Resolution::Completed(output("1"));
    let mut t = with_pivot();
    assert_eq!(t.resolve(1, done(), "?", NOW), Err(ResolveError::NotBegun));
    assert_eq!(t.resolve(7, done(), "?", NOW), Err(ResolveError::NoSuchStep));
    act(&mut t, 0, Answer::Done);
    assert_eq!(t.resolve(0, done(), "?", NOW), Err(ResolveError::Over));
    // The pivot was not done: there is a way back.
    let records = t.resolve(1, Resolution::Compensated, "saw the books", NOW).unwrap();
    assert!(matches!(
        records[..],
        [Record::Resolved(1, ..), Record::TurnedBack(Reason::Resolved { .. })]
    ));
    assert!(t.forces(&records[0]));
    assert_eq!(act(&mut t, 1, Answer::Done), [], "its answer has no say any more");
    assert_eq!(t.resolve(0, done(), "?", NOW), Err(ResolveError::TurnedBack));
    let records = t.resolve(0, Resolution::Compensated, "by hand", NOW).unwrap();
    assert!(matches!(records[..], [Record::Resolved(..), Record::Settled]));

    let mut t = with_pivot();
    act(&mut t, 0, Answer::Done);
    t.resolve(1, done(), "saw the books", NOW).unwrap();
    assert_eq!(outstanding(&t), [(2, Action)]);
    let back = t.resolve(2, Resolution::Compensated, "?", NOW);
    assert_eq!(back, Err(ResolveError::NoWayBack));
}

#[test]
fn what_keeps_its_participant_from_answering_is_stuck_at_once() {
    let mut t = list();
    let records = act(&mut t, 0, Answer::Stuck { reason: "the input has changed".into() });
    assert!(matches!(records[..], [Record::Lost(0), Record::Stuck(0, _)]));
    assert_eq!(outstanding(&t), [(0, Action)]);
    t.step(&Input::Time, LATE).unwrap();
    assert!(!t.is_stuck(), "what kept the action does not keep the compensation");
    let tired =
        Answered { branch: 0, operation: Compensation, answer: no(), tries: 9, exhausted: true };
    assert!(matches!(t.step(&Input::Answered(tired), NOW).unwrap()[..], [Record::Stuck(0, _)]));
    assert_eq!(outstanding(&t), [(0, Compensation)], "a refusal of it is not obeyed");
}

#[test]
fn a_broken_law_is_found() {
    let turned = || Record::TurnedBack(deadline_passed());
    for (records, law) in [
        (vec![completed(1)], "after all that it comes after"),
        (vec![completed(0), completed(0)], "done once"),
        (vec![Record::Compensated(0)], "before the saga turned back"),
        (vec![completed(0), turned(), Record::Compensated(0)], "reverse order"),
        (vec![turned(), Record::Compensated(1)], "only what is to be"),
        (vec![turned(), turned()], "turns back once"),
        (vec![completed(0), completed(1), turned()], "pivot is unanswered or done"),
        (vec![completed(0), turned()], "pivot is unanswered or done"),
        (vec![Record::Settled], "every step is done"),
        (vec![turned(), Record::Settled], "every step is done"),
        (vec![Record::Lost(7)], "that the saga has"),
        (vec![Record::Lost(2)], "may have been asked is lost"),
        (vec![completed(0), Record::Refused(0, "no".into())], "that is asked answers"),
        (
            vec![turned(), Record::Resolved(0, Resolution::Completed(Payload::null()), "?".into())],
            "completes no step by hand",
        ),
    ] {
        // Without the pivot the order of the way back can be tried.
        let mut t = if law == "reverse order" { list() } else { with_pivot() };
        let broken = records.iter().find_map(|record| t.apply(record).err()).expect("a broken law");
        assert!(broken.law.contains(law), "{broken}");
    }
}

#[test]
fn entries_survive_their_text() {
    let t = with_pivot();
    let started = Started {
        key: None,
        trace: None,
        deadline: t.deadline,
        saga: t.graph.clone(),
        input: t.input.clone(),
    };
    let name = || StepName::new("a").unwrap();
    let records = [
        Record::Started(started),
        Record::Completed(0, output(r#"{"id":1.50}"#)),
        Record::TurnedBack(Reason::Refused { step: name(), reason: "no \"stock\"".into() }),
        Record::TurnedBack(deadline_passed()),
        Record::Resolved(1, Resolution::Compensated, "by phone".into()),
        Record::Resolved(1, Resolution::Completed(output("null")), "by phone".into()),
        Record::Settled,
    ];
    let records: Vec<_> = records.into_iter().map(|r| (NOW, crate::Record::Saga(r))).collect();
    let text = crate::entry::encode(&records).unwrap();
    assert_eq!(crate::entry::decode(&text).unwrap(), records);
    insta::assert_snapshot!(text);
}
