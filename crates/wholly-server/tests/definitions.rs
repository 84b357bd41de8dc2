//! The commands that look at definitions, as processes.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

#[path = "definitions/two_phase.rs"]
mod two_phase;

use std::path::Path;

use common::run;
use tempfile::tempdir;

const GRAPH: &str = r#"{"name": "g", "version": 1, "steps": [
    {"name": "a", "participant": "p", "compensation": "undo"},
    {"name": "b", "participant": "q", "compensation": "undo", "after": ["a"]},
    {"name": "c", "participant": "r", "compensation": false, "after": ["a"]},
    {"name": "d", "participant": "q", "compensation": "undo", "after": ["c"]}]}"#;

const ORDER: &str = r#"
name = "create order"
version = 1

[[steps]]
name = "reserve"
participant = "inventory"
compensation = "release"

[[steps]]
name = "charge"
participant = "payment"
compensation = "refund"
payload = { amount = { "$from" = "/input/amount" }, shelf = { "$from" = "/steps/reserve/shelf" } }
pivot = true

[[steps]]
name = "confirm"
participant = "order"
"#;

/// Writes the definition to a file with this name and runs a command on it.
fn of(command: &str, name: &str, text: &str) -> (Option<i32>, String, String) {
    let directory = tempdir().unwrap();
    let file = directory.path().join(name);
    std::fs::write(&file, text).unwrap();
    let (code, out, error) = run(&[command, file.to_str().unwrap()]);
    let folder = format!("{}/", directory.path().to_str().unwrap());
    (code, out.replace(&folder, ""), error.replace(&folder, ""))
}

#[test]
fn check_says_what_it_understood() {
    let (code, out, error) = of("check", "order.toml", ORDER);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    insta::assert_snapshot!(out, @r"
    order.toml: create order, version 1
      1. reserve: inventory/reserve, taken back by release
      2. charge: payment/charge, taken back by refund; the pivot
      3. confirm: order/confirm, tried until it is done
    ");
}

#[test]
fn check_says_all_that_is_wrong_and_where() {
    let bad = ORDER
        .replace("version = 1", "version = 0")
        .replace("/steps/reserve/", "/steps/resrve/")
        .replace("participant = \"order\"", "particpant = \"order\"")
        .replace("pivot = true", "pivot = true\nretry = { first_millis = 9, cap_millis = 8 }");
    let (code, out, error) = of("check", "order.toml", &bad);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    insta::assert_snapshot!(error, @r#"
    order.toml:3:11: version 0 is out of range; it is from 1 to 2147483647
    order.toml:14:73: there is no step "resrve"; did you mean "reserve"?
    order.toml:16:42: the longest pause, 8 ms, is shorter than the first, 9 ms
    order.toml:18:1: `participant` is missing
    order.toml:20:1: there is no `particpant` here; did you mean `participant`?
    "#);
    // What a file looks like counts, where its name says nothing.
    let (code, _, error) = of("check", "order", "{\n  \"name\": }");
    assert_eq!((code, error.as_str()), (Some(1), "order:2:11: expected value\n"));
}

#[test]
fn check_looks_at_every_file_and_ends_with_the_worst() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (right, wrong, gone) = (at("right.toml"), at("wrong.json"), at("gone.toml"));
    std::fs::write(&right, ORDER).unwrap();
    std::fs::write(&wrong, "[]").unwrap();
    let (code, out, error) = run(&["check", &wrong, &right]);
    assert_eq!(code, Some(1));
    assert!(out.starts_with(&right) && error.starts_with(&format!("{wrong}:1:1: ")));
    let (code, _, error) = run(&["check", &gone, &wrong, &right]);
    assert_eq!(code, Some(2));
    assert!(error.starts_with(&format!("{gone}: cannot be read: ")), "{error}");
    assert_eq!(run(&["check"]).0, Some(2));
    // A folder is no file.
    assert_eq!(run(&["check", Path::new(&right).parent().unwrap().to_str().unwrap()]).0, Some(2));
}

/// The events of a picture, after it began in this state.
fn story(picture: &str, begins: &str) -> String {
    let (_, story) = picture.split_once(&format!("{begins}\n")).unwrap();
    let (story, _) = story.split_once("```").unwrap();
    story.replace("    ", "").trim().to_owned()
}

#[test]
fn diagram_draws_the_success_and_each_way_of_failing() {
    let (code, out, error) = of("diagram", "order.toml", ORDER);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let mut parts = out.split("\n## ");
    assert_eq!(parts.next(), Some("# create order, version 1\n"));
    let pictures: Vec<&str> = parts.collect();
    let titles: Vec<&str> =
        pictures.iter().map(|picture| picture.lines().next().unwrap()).collect();
    assert_eq!(
        titles,
        [
            "Every step is done",
            "reserve is refused",
            "reserve is not answered",
            "reserve is not answered, then refused",
            "charge, the pivot, is refused",
            "charge, the pivot, is not answered",
            "charge, the pivot, is not answered, then refused",
            "confirm, after the pivot, is refused",
        ]
    );
    insta::assert_snapshot!(pictures[0], @r"
    Every step is done

    ```mermaid
    sequenceDiagram
        participant C as Coordinator
        participant P1 as inventory
        participant P2 as payment
        participant P3 as order
        Note over C,P3: running
        C->>P1: reserve
        P1-->>C: done
        C->>P2: charge
        P2-->>C: done
        C->>P3: confirm
        P3-->>C: done
        Note over C,P3: completed
    ```
    ");
    insta::assert_snapshot!(story(pictures[1], "running"), @r"
    C->>P1: reserve
    P1-->>C: refused
    Note over C,P3: compensating: reserve was refused: no
    Note over C,P3: compensated
    ");
    insta::assert_snapshot!(story(pictures[2], "running"), @r"
    C->>P1: reserve
    P1--xC: no answer
    Note over C,P3: compensating: the deadline passed before it was done
    C->>P1: release (reserve)
    P1-->>C: done
    Note over C,P3: compensated
    ");
    insta::assert_snapshot!(story(pictures[3], "running"), @r"
    C->>P1: reserve
    P1--xC: no answer
    Note over C,P3: reserve may be done: it is asked again
    C->>P1: reserve
    P1-->>C: refused
    Note over C,P3: compensating: reserve was refused: no
    C->>P1: release (reserve)
    P1-->>C: done
    Note over C,P3: compensated
    ");
    insta::assert_snapshot!(story(pictures[4], "running"), @r"
    C->>P1: reserve
    P1-->>C: done
    C->>P2: charge
    P2-->>C: refused
    Note over C,P3: compensating: charge was refused: no
    C->>P1: release (reserve)
    P1-->>C: done
    Note over C,P3: compensated
    ");
    insta::assert_snapshot!(story(pictures[5], "running"), @r"
    C->>P1: reserve
    P1-->>C: done
    C->>P2: charge
    P2--xC: no answer
    Note over C,P3: charge may be done: it is asked until it answers
    C->>P2: charge
    P2-->>C: done
    C->>P3: confirm
    P3-->>C: done
    Note over C,P3: completed
    ");
    insta::assert_snapshot!(story(pictures[6], "running"), @r"
    C->>P1: reserve
    P1-->>C: done
    C->>P2: charge
    P2--xC: no answer
    Note over C,P3: charge may be done: it is asked until it answers
    C->>P2: charge
    P2-->>C: refused
    Note over C,P3: compensating: charge was refused: no
    C->>P2: refund (charge)
    P2-->>C: done
    C->>P1: release (reserve)
    P1-->>C: done
    Note over C,P3: compensated
    ");
    insta::assert_snapshot!(story(pictures[7], "running"), @r"
    C->>P1: reserve
    P1-->>C: done
    C->>P2: charge
    P2-->>C: done
    C->>P3: confirm
    P3-->>C: refused
    Note over C,P3: no way back: confirm is asked until it is done
    C->>P3: confirm
    P3-->>C: done
    Note over C,P3: completed
    ");
}

#[test]
fn independent_steps_are_drawn_at_once() {
    let (code, out, _) = of("diagram", "graph.json", GRAPH);
    assert_eq!(code, Some(0));
    let (_, picture) = out.split_once("b is not answered\n").unwrap();
    insta::assert_snapshot!(story(picture, "running"), @r"
    C->>P1: a
    P1-->>C: done
    C->>P2: b
    C->>P3: c
    P3-->>C: done
    P2--xC: no answer
    C->>P2: d
    P2-->>C: done
    Note over C,P3: compensating: the deadline passed before it was done
    C->>P2: undo (b)
    C->>P2: undo (d)
    P2-->>C: done
    P2-->>C: done
    C->>P1: undo (a)
    P1-->>C: done
    Note over C,P3: compensated
    ");
}

#[test]
fn tries_that_end_are_drawn() {
    let tries = |tries: &str| {
        let retry = format!("compensation = \"release\"\nretry = {{ tries = {tries} }}");
        let tried = ORDER.replace("compensation = \"release\"", &retry);
        let (code, out, _) = of("diagram", "order.toml", &tried);
        assert_eq!(code, Some(0));
        let (_, picture) = out.split_once("## reserve is not answered at any try\n").unwrap();
        story(picture, "running")
    };
    insta::assert_snapshot!(tries("3"), @r"
    C->>P1: reserve
    P1--xC: no answer, 3 times
    Note over C,P3: compensating: reserve was tried as often as it may be: no answer
    C->>P1: release (reserve)
    P1-->>C: done
    Note over C,P3: compensated
    ");
    assert!(tries("1").contains("P1--xC: no answer\n"));
}

#[test]
fn every_compensation_is_drawn() {
    // A pivot runs its own only when it was refused after a lost attempt.
    let pivot_alone = r#"{"name": "p", "version": 1, "steps": [
        {"name": "pay", "participant": "p", "compensation": "refund", "pivot": true}]}"#;
    let pivot_of_graph =
        GRAPH.replace(r#""after": ["c"]"#, r#""after": ["b", "c"], "pivot": true"#);
    let shop = include_str!("../../wholly-demo/src/shop/create-order.toml");
    let all = [
        ("order.toml", ORDER),
        ("graph.json", GRAPH),
        ("graph.json", &pivot_of_graph),
        ("pivot.json", pivot_alone),
        ("create-order.toml", shop),
    ];
    for (name, text) in all {
        let (_, understood, _) = of("check", name, text);
        let (code, drawn, _) = of("diagram", name, text);
        assert_eq!(code, Some(0));
        let taken_back = understood.lines().filter_map(|line| {
            let (step, rest) = line.trim().split_once(". ")?.1.split_once(':')?;
            let (_, operation) = rest.split_once("taken back by ")?;
            Some(format!(": {} ({step})\n", operation.split(';').next()?))
        });
        let taken_back: Vec<String> = taken_back.collect();
        assert!(!taken_back.is_empty(), "{understood}");
        for compensation in taken_back {
            assert!(drawn.contains(&compensation), "{name}: {compensation}");
        }
        drawn.split("```mermaid\n").skip(1).for_each(is_well_formed);
    }
}

/// Whether Mermaid reads a picture: each line is a message or a note, of whom it was told before.
fn is_well_formed(picture: &str) {
    let (picture, _) = picture.split_once("```\n").unwrap();
    let mut lines = picture.lines();
    assert_eq!(lines.next(), Some("sequenceDiagram"));
    let mut known = Vec::new();
    for line in lines.map(str::trim) {
        if let Some(participant) = line.strip_prefix("participant ") {
            known.push(participant.split_once(" as ").unwrap().0);
            continue;
        }
        let (who, text) = line.split_once(": ").unwrap();
        assert!(!text.is_empty() && !text.contains(['#', ';']), "{line}");
        let (from, to) = match who.strip_prefix("Note over ") {
            Some(two) => two.split_once(',').unwrap(),
            None => ["-->>", "--x", "->>"].iter().find_map(|arrow| who.split_once(arrow)).unwrap(),
        };
        assert!(known.contains(&from) && known.contains(&to), "{line}");
    }
}

#[test]
fn diagram_draws_nothing_of_what_is_wrong() {
    let (code, out, error) = of("diagram", "order.toml", &ORDER.replace("\"charge\"", "3"));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(error, "order.toml:11:8: invalid type: integer `3`, expected a string\n");
    assert_eq!(run(&["diagram", "/nowhere/order.toml"]).0, Some(2));
}
