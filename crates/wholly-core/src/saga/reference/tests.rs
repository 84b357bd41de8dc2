use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::saga::{Definition, Graph};

fn payload(text: &str) -> Payload {
    Payload::parse(text).unwrap()
}

/// The payload that `template` gives the last of three steps: the first had the output `first`, the
/// second none.
fn filled(template: Option<&str>, input: &str, first: &str) -> Result<Payload, Unresolved> {
    let template = template.map(|text| format!(r#","payload":{text}"#)).unwrap_or_default();
    let definition: Definition = serde_json::from_str(&format!(
        r#"{{"name":"s","version":1,"steps":[{{"name":"one","compensation":false}},
            {{"name":"two","compensation":false}},
            {{"name":"last","compensation":false{template}}}]}}"#
    ))
    .unwrap();
    let graph = Graph::new(definition).unwrap();
    let outputs = [payload(first), Payload::null()];
    let (_, node) = graph.step(2).unwrap();
    node.template.fill(Payload::LIMIT, &payload(input), |step| outputs.get(usize::from(step)))
}

#[test]
fn a_payload_is_filled() {
    let input = r#"{"n": 123456789012345678901234567890.10, "a/b~": [{"z":1,"a":2}], "d":1, "d":2, "~1":3}"#;
    let first = r#"{"shelf" : "A\u00e9"}"#;
    let cases = [
        (None, input),
        (Some(r#"{"$from":"/input"}"#), input),
        (Some(r#"{ "$from" : "/steps/one" }"#), first),
        (Some(r#"{"$from":"/steps/two"}"#), "null"),
        (Some(r#"{"$\u0066rom":"/input/n"}"#), "123456789012345678901234567890.10"),
        (Some(r#"{"$from":"/input/a~1b~0/0"}"#), r#"{"z":1,"a":2}"#),
        (Some(r#"{"$from":"/input/d"}"#), "2"),
        (Some(r#"{"$from":"/input/~01"}"#), "3"),
        (
            Some(r#"{"b": [ {"$from":"/steps/one/shelf"},1e400], "a": {"$from":"/steps/two"}}"#),
            r#"{"b": [ "A\u00e9",1e400], "a": null}"#,
        ),
        (Some(r#"{"$from":"/steps"}"#), r#"{"one":{"shelf" : "A\u00e9"},"two":null}"#),
        (Some(r#"[{"$literal":{"$from":"/x"}}]"#), r#"[{"$from":"/x"}]"#),
        (Some(r#"{"$literal":{"$literal":1}}"#), r#"{"$literal":1}"#),
        (Some(r#"{"$other":"$from"}"#), r#"{"$other":"$from"}"#),
        (Some("null"), "null"),
    ];
    for (template, text) in cases {
        assert_eq!(filled(template, input, first).unwrap().as_str(), text, "{template:?}");
    }
    assert_eq!(
        filled(Some(r#"{"$from":""}"#), "7", "8").unwrap().as_str(),
        r#"{"input":7,"steps":{"one":8,"two":null}}"#
    );
}

#[test]
fn what_does_not_resolve_is_named() {
    let input = r#"{"list":[1,2],"n":7}"#;
    let cases = [
        ("/input/sum/of", "/input/sum"),
        ("/input/n/x", "/input/n/x"),
        ("/input/list/2", "/input/list/2"),
        ("/input/list/01", "/input/list/01"),
        ("/input/list/-", "/input/list/-"),
        ("/input/", "/input/"),
        ("/steps/two/x/y", "/steps/two/x"),
        ("/steps/one/x/y", "/steps/one/x/y"),
    ];
    for (pointer, missing) in cases {
        let template = format!(r#"[{{"$from":"{pointer}"}}]"#);
        assert_eq!(
            filled(Some(&template), input, r#"{"x":{}}"#),
            Err(Unresolved::Missing { pointer: pointer.into(), missing: missing.into() })
        );
    }
}

#[test]
fn a_filled_payload_has_a_limit_too() {
    let half = format!("\"{}\"", "x".repeat(Payload::LIMIT / 2 - 2));
    let twice = r#"[{"$from":"/input"},{"$from":"/input"}]"#;
    let error = filled(Some(twice), &half, "1").unwrap_err();
    assert_eq!(error, Unresolved::TooLong { limit: Payload::LIMIT });
    assert_eq!(
        error.to_string(),
        "with its references filled in the payload is longer than the limit, 65536 bytes"
    );
}

#[test]
fn an_output_that_is_not_there_is_said() {
    let template = r#"{"name":"s","version":1,"steps":[{"name":"one","compensation":false},
        {"name":"two","compensation":false,"payload":{"$from":"/steps/one"}}]}"#;
    let graph: Graph = serde_json::from_str(template).unwrap();
    let filled = graph.step(1).unwrap().1.template.fill(Payload::LIMIT, &Payload::null(), |_| None);
    assert_eq!(filled, Err(Unresolved::NotDone { pointer: "/steps/one".into() }));
}

/// Parses; reports the problem, if there is one.
fn problem_of(template: &str) -> Option<String> {
    let step = format!(r#"{{"name":"one","compensation":false,"payload":{template}}}"#);
    let definition = format!(r#"{{"name":"s","version":1,"steps":[{step}]}}"#);
    let definition: Definition = serde_json::from_str(&definition).unwrap();
    Graph::new(definition).err().map(|error| error.problems[0].what.clone())
}

#[test]
fn nothing_nests_or_repeats_without_a_bound() {
    let nested = |levels, inner: &str| "[".repeat(levels) + inner + &"]".repeat(levels);
    let reference = r#"{"$from":"/input"}"#;
    assert_eq!(problem_of(&nested(30_000, "1")), None);
    assert_eq!(problem_of(&nested(99, reference)), None);
    for levels in [100, 20_000] {
        assert!(problem_of(&nested(levels, reference)).unwrap().contains("100 levels deep"));
    }
    let pointer = |levels| format!(r#"{{"$from":"/input{}"}}"#, "/0".repeat(levels));
    assert_eq!(problem_of(&pointer(100)), None);
    assert!(problem_of(&pointer(101)).unwrap().contains("at most 100 levels deep"));
    let many = |count| format!("[{}]", vec![reference; count].join(","));
    assert_eq!(problem_of(&many(128)), None);
    assert!(problem_of(&many(2_000)).unwrap().contains("at most 128 references"));
    // A deep document under the reference is passed by, or taken whole.
    let deep = nested(30_000, "1");
    let template = r#"[{"$from":"/input/0/0"}]"#;
    assert_eq!(filled(Some(template), &deep, "1").unwrap().as_str().len(), deep.len() - 2);
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-b/~\"\\\\é]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a/~01\"]{0,2}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn a_reference_finds_what_serde_json_finds(
        document in documents(),
        tokens in prop::collection::vec("([a/0-2\"]|~0|~1){0,2}", 0..4),
    ) {
        let pointer: String = tokens.iter().map(|token| format!("/{token}")).collect();
        let template = json!([{"$from": format!("/input{pointer}")}]).to_string();
        let found = filled(Some(&template), &document.to_string(), "1");
        let expected = document.pointer(&pointer).map(|value| json!([value]));
        prop_assert_eq!(found.ok().map(|found| found.to::<Value>().unwrap()), expected);
    }

    /// A payload without references is passed on, byte by byte.
    #[test]
    fn a_literal_is_left_alone(document in documents()) {
        let text = serde_json::to_string_pretty(&document).unwrap();
        let filled = filled(Some(&text), "1", "2").unwrap();
        prop_assert_eq!(filled.as_str(), text);
    }
}
