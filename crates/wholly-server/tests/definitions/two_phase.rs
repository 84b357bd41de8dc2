//! Two-phase transactions, as they are submitted: what is drawn of them, and what is wrong.

use super::{is_well_formed, of, story};

const ORDER: &str = r#"{"name": "place order", "key": "ORD001", "branches": [
    {"participant": "orders", "payload": {"order_id": "ORD001"}},
    {"participant": "payments", "payload": {"amount": 1000}}]}"#;

/// The same with these participants.
fn with(participants: &[&str]) -> String {
    let branch = |name: &&str| format!(r#"{{"participant": "{name}", "payload": null}}"#);
    let branches: Vec<String> = participants.iter().map(branch).collect();
    format!(r#"{{"name": "place order", "branches": [{}]}}"#, branches.join(", "))
}

/// The sections of what is drawn, each with its title in the first line.
fn pictures(name: &str, text: &str) -> Vec<String> {
    let (code, out, error) = of("diagram", name, text);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let mut sections = out.split("\n## ").map(str::to_owned);
    assert_eq!(sections.next().as_deref(), Some("# place order, in two phases\n"));
    sections.collect()
}

fn title(picture: &str) -> &str {
    picture.lines().next().unwrap()
}

#[test]
fn every_vote_and_every_lost_answer_is_drawn() {
    let pictures = pictures("order.json", ORDER);
    let titles: Vec<&str> = pictures.iter().map(|picture| title(picture)).collect();
    assert_eq!(
        titles,
        [
            "Every vote is yes",
            "orders votes no",
            "payments votes no",
            "payments does not vote before the deadline",
            "payments votes read-only",
            "The answer of payments to commit is lost",
        ]
    );
    insta::assert_snapshot!(pictures[0], @r"
    Every vote is yes

    ```mermaid
    sequenceDiagram
        participant C as Coordinator
        participant P1 as orders
        participant P2 as payments
        Note over C,P2: init
        C->>P1: prepare
        C->>P2: prepare
        P1-->>C: yes
        P2-->>C: yes
        Note over C,P2: prepared
        Note over C,P2: committed
        C->>P1: commit
        C->>P2: commit
        P1-->>C: done
        P2-->>C: done
        Note over C,P2: settled
    ```
    ");
    let story = |nth: usize| story(&pictures[nth], "init");
    insta::assert_snapshot!(story(1), @r"
    C->>P1: prepare
    C->>P2: prepare
    P2-->>C: yes
    P1-->>C: no
    Note over C,P2: aborted: orders refused: no
    C->>P2: abort
    P2-->>C: done
    Note over C,P2: settled
    ");
    insta::assert_snapshot!(story(2), @r"
    C->>P1: prepare
    C->>P2: prepare
    P1-->>C: yes
    P2-->>C: no
    Note over C,P2: aborted: payments refused: no
    C->>P1: abort
    P1-->>C: done
    Note over C,P2: settled
    ");
    insta::assert_snapshot!(story(3), @r"
    C->>P1: prepare
    C->>P2: prepare
    P1-->>C: yes
    P2--xC: no answer
    Note over C,P2: aborted: the deadline passed before every vote was in
    C->>P1: abort
    C->>P2: abort
    P1-->>C: done
    P2-->>C: done
    Note over C,P2: settled
    ");
    insta::assert_snapshot!(story(4), @r"
    C->>P1: prepare
    C->>P2: prepare
    P1-->>C: yes
    P2-->>C: read-only
    Note over C,P2: prepared
    Note over C,P2: committed
    C->>P1: commit
    P1-->>C: done
    Note over C,P2: settled
    ");
    insta::assert_snapshot!(story(5), @r"
    C->>P1: prepare
    C->>P2: prepare
    P1-->>C: yes
    P2-->>C: yes
    Note over C,P2: prepared
    Note over C,P2: committed
    C->>P1: commit
    C->>P2: commit
    P1-->>C: done
    P2--xC: no answer
    Note over C,P2: payments may have done it: it is asked until it acknowledges
    C->>P2: commit
    P2-->>C: done
    Note over C,P2: settled
    ");
}

#[test]
fn one_branch_alone_is_drawn_in_one_phase_too() {
    let pictures = pictures("order.json", &with(&["payments"]));
    let (in_two, in_one) = pictures.split_at(5);
    assert!(in_two.iter().all(|picture| !picture.contains("commit-one-phase")));
    let titles: Vec<&str> = in_one.iter().map(|picture| title(picture)).collect();
    assert_eq!(
        titles,
        [
            "In one phase, where payments offers it: it commits",
            "In one phase, where payments offers it: it refuses",
            "In one phase, where payments offers it: its answer is lost",
            "In one phase, where payments offers it: its answer is lost, and then it refuses",
        ]
    );
    let story = |nth: usize| story(&in_one[nth], "init");
    insta::assert_snapshot!(story(0), @r"
    C->>P1: commit-one-phase
    P1-->>C: done
    Note over C,P1: committed
    Note over C,P1: settled
    ");
    insta::assert_snapshot!(story(1), @r"
    C->>P1: commit-one-phase
    P1-->>C: refused
    Note over C,P1: aborted: payments refused: no
    Note over C,P1: settled
    ");
    insta::assert_snapshot!(story(2), @r"
    C->>P1: commit-one-phase
    P1--xC: no answer
    Note over C,P1: payments may have done it: it is asked until it answers
    C->>P1: commit-one-phase
    P1-->>C: done
    Note over C,P1: committed
    Note over C,P1: settled
    ");
    insta::assert_snapshot!(story(3), @r"
    C->>P1: commit-one-phase
    P1--xC: no answer
    Note over C,P1: payments may have done it: it is asked until it answers
    C->>P1: commit-one-phase
    P1-->>C: refused
    C->>P1: abort
    P1-->>C: done
    Note over C,P1: aborted: payments refused: no
    Note over C,P1: settled
    ");
}

#[test]
fn every_picture_ends_settled() {
    for participants in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
        let pictures = pictures("order.json", &with(participants));
        let alone = if participants.len() == 1 { 4 } else { 0 };
        assert_eq!(pictures.len(), 4 + participants.len() + alone);
        for picture in &pictures {
            let story = story(picture, "init");
            let mut ends = story.lines().rev();
            let settled = format!("Note over C,P{}: settled", participants.len());
            assert_eq!(ends.next(), Some(&*settled), "{picture}");
            // It is decided once, and what is decided is what its title lets expect.
            let decided = |state: &str| story.matches(&format!(": {state}")).count();
            let (committed, aborted) = (decided("committed"), decided("aborted"));
            let title = title(picture);
            let fails = ["votes no", "does not vote", "refuses"];
            let fails = fails.iter().any(|failure| title.contains(failure));
            assert_eq!((committed, aborted), if fails { (0, 1) } else { (1, 0) }, "{picture}");
            let (_, drawn) = picture.split_once("```mermaid\n").unwrap();
            is_well_formed(drawn);
        }
    }
}

#[test]
fn it_is_read_in_toml_too() {
    let toml = "name = \"place order\"\nkey = \"ORD001\"\n\
                [[branches]]\nparticipant = \"orders\"\npayload = { order_id = \"ORD001\" }\n\
                [[branches]]\nparticipant = \"payments\"\npayload = { amount = 1000 }\n";
    assert_eq!(pictures("order.toml", toml), pictures("order.json", ORDER));
    // What a text looks like counts, where its name says nothing.
    assert_eq!(pictures("order", toml), pictures("order", ORDER));
    let (code, out, error) = of("check", "order.toml", toml);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    insta::assert_snapshot!(out, @r"
    order.toml: place order, a two-phase transaction
      1. orders
      2. payments
    ");
}

/// The same error from both commands, and nothing else.
fn wrong(name: &str, text: &str) -> String {
    let said = of("check", name, text);
    assert_eq!(of("diagram", name, text), said, "{text}");
    let (code, out, error) = said;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{text}");
    error.trim_end().to_owned()
}

#[test]
fn what_no_coordinator_takes_is_said() {
    let branch = |members: &str| format!("{{\"name\": \"x\", \"branches\": [{{{members}}}]}}");
    let texts = [
        r#"{"branches": []}"#,
        r#"{"name": "x", "key": "k"}"#,
        r#"{"name": "", "branches": []}"#,
        r#"{"name": "x", "branches": []}"#,
        r#"{"name": "x", "branches": {}}"#,
        r#"{"name": "x", "branches": [], "step": 1}"#,
        r#"{"name": "x", "branches": [], "input": 1}"#,
        r#"{"pattern": "saga", "saga": {"name": "x"}}"#,
        r#"{"name": "x", "branches": [], "pattern": "tcc"}"#,
        &branch(r#""participant": "a""#),
        &branch(r#""participant": "A", "payload": 1"#),
        &with(&["a", "b", "a"]),
        &with(&["a"]).replace("\"branches\"", "\"deadline_millis\": 0, \"branches\""),
        &with(&["a"]).replace("null", &format!("\"{}\"", "x".repeat(1 << 16))),
        r#"{"name": "x"}"#,
        "{}",
    ];
    let errors: Vec<String> = texts.iter().map(|text| wrong("x.json", text)).collect();
    insta::assert_snapshot!(errors.join("\n"), @r#"
    x.json: the two-phase transaction is invalid: missing field `name`
    x.json: the two-phase transaction is invalid: missing field `branches`
    x.json: the two-phase transaction is invalid: a transaction's name must not be empty
    x.json: the two-phase transaction is invalid: the transaction has no branches; give it at least one
    x.json:1:26: the two-phase transaction is invalid: invalid type: map, expected a sequence
    x.json:1:36: the two-phase transaction is invalid: unknown field `step`, expected one of `key`, `pattern`, `deadline_millis`, `name`, `branches`, `saga`, `input`
    x.json: the two-phase transaction is invalid: the field `input` belongs to sagas; add "pattern": "saga", or leave it out
    x.json: this submits a saga; give the saga's definition, which has `steps`, instead
    x.json:1:46: the two-phase transaction is invalid: unknown variant `tcc`, expected `two-phase` or `saga`
    x.json:1:47: the two-phase transaction is invalid: missing field `payload`
    x.json: the two-phase transaction is invalid: a participant's name must not contain 'A'; it may contain a to z, 0 to 9, '-' and '_'
    x.json: the two-phase transaction is invalid: the transaction names the participant a twice; put what it is to do in one branch
    x.json: the two-phase transaction is invalid: a deadline of 0ns is out of range; it may be from 1ms to 2592000s
    x.json: the two-phase transaction is invalid: the payload of a cannot be taken: the payload is 65538 bytes long; the limit is 65536
    x.json: this is neither a saga's definition, which has `steps`, nor a two-phase transaction, which has `branches`, nor a service's declaration, which has a `service`
    x.json: this is neither a saga's definition, which has `steps`, nor a two-phase transaction, which has `branches`, nor a service's declaration, which has a `service`
    "#);
    let toml = "name = \"x\"\n[[branches]]\nparticipant = \"a\"\n";
    let in_toml = |line: &str| wrong("x.toml", &format!("{toml}{line}"));
    let errors = [in_toml("paylod = 1"), in_toml("payload = 2026-01-01")];
    insta::assert_snapshot!(errors.join("\n"), @r#"
    x.toml:4:1: the two-phase transaction is invalid: unknown field `paylod`, expected `participant` or `payload`
    x.toml:4:11: JSON has no dates; write "2026-01-01"
    "#);
    let crowd: Vec<String> = (0..65).map(|nth| format!("p{nth}")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    assert!(wrong("x.json", &with(&crowd)).ends_with("has 65 branches; the limit is 64"));
}
