use proptest::prelude::*;

use super::*;

/// All that is wrong with a definition, a problem a line.
fn wrong(definition: &str) -> Vec<String> {
    let definition = serde_json::from_str(definition).unwrap();
    match Graph::new(definition) {
        Ok(_) => Vec::new(),
        Err(InvalidDefinition { problems }) => problems.iter().map(Problem::to_string).collect(),
    }
}

/// A definition of these steps. `+` stands for an unneeded compensation.
fn of_steps(steps: &str) -> String {
    let steps = steps.replace('+', r#""compensation":false"#);
    format!(r#"{{"name":"s","version":1,"steps":[{steps}]}}"#)
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases = [
        ("", "/steps: a saga has at least one step"),
        (
            r#"{"name":"a",+},{"name":"a",+}"#,
            r#"/steps/1/name: step 1 is called "a" already; give this one a name of its own"#,
        ),
        (
            r#"{"name":"reserve",+},{"name":"b",+,"after":["resrve"]}"#,
            r#"/steps/1/after/0: there is no step "resrve"; did you mean "reserve"?"#,
        ),
        (r#"{"name":"a",+,"after":["far"]}"#, r#"/steps/0/after/0: there is no step "far""#),
        (
            r#"{"name":"a",+,"after":["a"]}"#,
            r#"/steps/0/after/0: the step "a" cannot come after itself"#,
        ),
        (
            r#"{"name":"a",+},{"name":"b",+,"after":["a","a"]}"#,
            r#"/steps/1/after/1: "a" is named twice; once is enough"#,
        ),
        (
            r#"{"name":"x",+},{"name":"a",+,"after":["c"]},{"name":"b",+},{"name":"c",+},{"name":"d",+}"#,
            r#"/steps/1: steps wait for each other in a circle: "a" comes after "c" comes after "b" comes after "a""#,
        ),
        (
            r#"{"name":"a",+,"pivot":true},{"name":"b",+,"pivot":true}"#,
            r#"/steps/1/pivot: "a" is the pivot already; a saga has at most one"#,
        ),
        (
            r#"{"name":"a",+,"pivot":true},{"name":"b","after":[]}"#,
            r#"/steps/1: "b" is neither before nor after the pivot "a"; name "b" in the `after` of "a", or "a" in the `after` of "b""#,
        ),
        (
            r#"{"name":"a"}"#,
            r#"/steps/0: nothing says how "a" is taken back; name an operation as its `compensation`, or say false where it needs none"#,
        ),
        (
            r#"{"name":"a","pivot":true}"#,
            r#"/steps/0: nothing says how "a" is taken back; name an operation as its `compensation`, or say false where it needs none"#,
        ),
        (
            r#"{"name":"a",+,"pivot":true},{"name":"b",+}"#,
            "/steps/1/compensation: what comes after the pivot is never taken back; leave the compensation out",
        ),
        (
            r#"{"name":"commit",+}"#,
            r#"/steps/0/name: "commit" is an operation of two-phase commit; give the step an `action` with another name"#,
        ),
        (
            r#"{"name":"a",+,"action":"commit-one-phase"}"#,
            r#"/steps/0/action: "commit-one-phase" is an operation of two-phase commit; give the step an `action` with another name"#,
        ),
        (
            r#"{"name":"a","compensation":"abort"}"#,
            r#"/steps/0/compensation: "abort" is an operation of two-phase commit; call it otherwise"#,
        ),
        (
            r#"{"name":"a","compensation":"a"}"#,
            r#"/steps/0/compensation: "a" is the action, too; what takes it back has another name"#,
        ),
        (
            r#"{"name":"a",+,"timeout_millis":0}"#,
            "/steps/0/timeout_millis: 0 ms is out of range; it is from 1 to 2592000000 (30 days)",
        ),
        (
            r#"{"name":"a",+,"retry":{"first_millis":2592000001}}"#,
            "/steps/0/retry/first_millis: 2592000001 ms is out of range; it is from 1 to 2592000000 (30 days)",
        ),
        (
            r#"{"name":"a",+,"retry":{"first_millis":9,"cap_millis":8}}"#,
            "/steps/0/retry/cap_millis: the longest pause, 8 ms, is shorter than the first, 9 ms",
        ),
        (
            r#"{"name":"a",+,"retry":{"tries":0}}"#,
            "/steps/0/retry/tries: 0 tries are out of range: from 1 to 1000000",
        ),
        (
            r#"{"name":"a",+,"pivot":true,"retry":{"tries":3}}"#,
            "/steps/0/retry/tries: from the pivot on there is no way back, and a step is tried until it answers; leave `tries` out",
        ),
        (
            r#"{"name":"a",+,"pivot":true},{"name":"b","retry":{"tries":3}}"#,
            "/steps/1/retry/tries: from the pivot on there is no way back, and a step is tried until it answers; leave `tries` out",
        ),
        (
            r#"{"name":"a",+,"payload":{"x":[1,{"$from":"input"}]}}"#,
            r#"/steps/0/payload/x/1/$from: "input" is no JSON Pointer: it begins with a slash, as in "/input/amount""#,
        ),
        (
            r#"{"name":"a",+,"payload":{"$from":"/input/a~2"}}"#,
            r#"/steps/0/payload/$from: "a~2" is no part of a JSON Pointer: write ~0 for ~, ~1 for /"#,
        ),
        (
            r#"{"name":"a",+,"payload":{"$from":"/inptu"}}"#,
            r#"/steps/0/payload/$from: "/inptu" points nowhere; a reference begins with /input or /steps/STEP; did you mean "input"?"#,
        ),
        (
            r#"{"name":"aaa",+},{"name":"b",+,"payload":{"$from":"/steps/aab"}}"#,
            r#"/steps/1/payload/$from: there is no step "aab"; did you mean "aaa"?"#,
        ),
        (
            r#"{"name":"a",+,"payload":{"$from":"/steps/a"}}"#,
            r#"/steps/0/payload/$from: "a" is this very step; its output comes after its payload"#,
        ),
        (
            r#"{"name":"a",+,"payload":{"$from":"/steps/b/x"}},{"name":"b",+}"#,
            r#"/steps/0/payload/$from: "b" comes after this step, so that its output is not there yet; only what this step comes after can be referred to"#,
        ),
        (
            r#"{"name":"a",+},{"name":"b",+,"after":[],"payload":{"$from":"/steps/a"}}"#,
            r#"/steps/1/payload/$from: this step does not come after "a", so that its output may not be there yet; name "a" in this step's `after`"#,
        ),
        (
            r#"{"name":"a",+,"payload":{"$\u0066rom":7}}"#,
            r#"/steps/0/payload/$from: $from holds a JSON Pointer in quotes, like "/input/amount"; for an object that is to have this member, write {"$literal": …} around it"#,
        ),
        (
            r#"{"name":"a",+,"payload":{"$from":"/input","x":1}}"#,
            "/steps/0/payload/$from: $from stands alone in its object; take out the other members",
        ),
    ];
    for (steps, problem) in cases {
        assert_eq!(wrong(&of_steps(steps)), [problem], "{steps}");
    }
}

#[test]
fn what_concerns_no_step_is_named_too() {
    let step = r#"[{"name":"a","compensation":false}]"#;
    for (head, problem) in [
        (r#""version":0"#, "/version: version 0 is out of range; it is from 1 to 2147483647"),
        (
            r#""version":2147483648"#,
            "/version: version 2147483648 is out of range; it is from 1 to 2147483647",
        ),
        (
            r#""version":1,"deadline_millis":0"#,
            "/deadline_millis: 0 ms is out of range; it is from 1 to 2592000000 (30 days)",
        ),
    ] {
        assert_eq!(wrong(&format!(r#"{{"name":"s",{head},"steps":{step}}}"#)), [problem]);
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let problems = wrong(&of_steps(
        r#"{"name":"a"},{"name":"a",+,"after":["b","c"]},{"name":"b",+,"timeout_millis":0}"#,
    ));
    let at: Vec<&str> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
    assert_eq!(
        at,
        ["/steps/1/name", "/steps/1/after/1", "/steps/1", "/steps/0", "/steps/2/timeout_millis"]
    );
}

#[test]
fn ten_thousand_steps_are_too_many_at_once() {
    let steps: Vec<String> = (0..10_000).map(|_| r#"{"name":"a",+}"#.to_owned()).collect();
    let problem = "/steps: there are 10000 steps; a saga has at most 128";
    assert_eq!(wrong(&of_steps(&steps.join(","))), [problem]);
}

#[test]
fn a_flood_of_problems_is_cut() {
    let names: Vec<String> = (0..128).map(|n| format!("\"{n:0>64}\"")).collect();
    let step = |n| format!(r#"{{"name":"s{n}",+,"after":[{}]}}"#, names.join(","));
    let steps: Vec<String> = (0..128).map(step).collect();
    assert_eq!(wrong(&of_steps(&steps.join(","))).len(), 100);
}

fn graph(steps: &str) -> Graph {
    Graph::new(serde_json::from_str(&of_steps(steps)).unwrap()).unwrap()
}

#[test]
fn the_list_is_the_order_where_nothing_else_is_said() {
    let graph = graph(
        r#"{"name":"a",+},{"name":"b",+,"after":["a"]},{"name":"c",+,"after":["a"]},
           {"name":"d","compensation":"undo","after":["b","c"],"pivot":true},{"name":"e"}"#,
    );
    let sides: Vec<Side> = graph.steps().map(|(_, node)| node.side).collect();
    assert_eq!(sides, [Side::Before, Side::Before, Side::Before, Side::Pivot, Side::After]);
    let (step, node) = graph.step(3).unwrap();
    assert_eq!((step.name.as_str(), node.action.as_str()), ("d", "d"));
    assert_eq!(node.compensation.as_ref().map(OperationName::as_str), Some("undo"));
    assert_eq!(node.after.iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(node.ancestors.iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(graph.step(4).unwrap().1.ancestors.iter().count(), 4);
    assert!(graph.step(5).is_none());
}

#[test]
fn what_a_payload_is_made_of_and_whether_there_is_a_way_back_is_forced() {
    let forced = |steps: &str| -> Vec<bool> {
        graph(steps).steps().map(|(_, node)| node.output_is_forced).collect()
    };
    let list = |payload: &str| {
        forced(&format!(
            r#"{{"name":"a",+}},{{"name":"b",+}},{{"name":"c",+}},{{"name":"d",+,"payload":{payload}}}"#
        ))
    };
    assert_eq!(list(r#"{"n":1}"#), [false; 4]);
    assert_eq!(list(r#"{"$from":"/input/steps"}"#), [false; 4]);
    assert_eq!(list(r#"{"n":{"$from":"/steps/b/x"}}"#), [false, true, false, false]);
    assert_eq!(list(r#"{"$from":"/steps"}"#), [true, true, true, false]);
    assert_eq!(list(r#"{"$from":""}"#), [true, true, true, false]);
    let pivot =
        r#"{"name":"a",+},{"name":"b",+},{"name":"c",+,"pivot":true},{"name":"d"},{"name":"e"}"#;
    assert_eq!(forced(pivot), [false, true, true, false, false]);
}

#[test]
fn a_hundred_and_twenty_eight_steps_are_taken() {
    let steps: Vec<String> = (0..128).map(|n| format!(r#"{{"name":"s{n}",+}}"#)).collect();
    let graph = graph(&steps.join(","));
    assert_eq!(graph.step(127).unwrap().1.ancestors.iter().count(), 127);
}

#[test]
fn an_input_that_no_payload_can_be_filled_from_is_not_accepted() {
    let graph = graph(
        r#"{"name":"a","participant":"p",+},
           {"name":"b","participant":"p",+,"payload":[{"$from":"/steps/a/x"},{"$from":"/input/x/0"}]},
           {"name":"c","participant":"p",+,"payload":[{"$from":"/input"},{"$from":"/input"}]}"#,
    );
    let accepts = |input| graph.accepts(&Payload::parse(input).unwrap());
    assert_eq!(accepts(r#"{"x":[1]}"#), Ok(()));
    assert_eq!(
        accepts(r#"{"x":1}"#).unwrap_err().to_string(),
        r#"/steps/1/payload: this input does not suit the step "b": the reference "/input/x/0" does not resolve: there is nothing at "/input/x/0""#
    );
    let long = format!(r#"{{"x":["{}"]}}"#, "x".repeat(Payload::LIMIT / 2));
    assert!(accepts(&long).unwrap_err().to_string().contains("longer than the limit, 65536 bytes"));
}

#[test]
fn a_definition_comes_back_as_it_was_written() {
    let text = of_steps(r#"{"name":"a","compensation":"undo","payload":null},{"name":"b",+}"#);
    let graph: Graph = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&graph).unwrap(), text);
    assert!(serde_json::from_str::<Graph>(&of_steps("")).is_err());
}

proptest! {
    /// Steps in a random order, each after some of those that are earlier in another one.
    #[test]
    fn a_random_graph_agrees_with_a_naive_walk(
        edges in prop::collection::vec(prop::collection::vec(any::<bool>(), 12), 1..12),
        keys in prop::collection::vec(any::<u32>(), 12),
    ) {
        let count = edges.len();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|&n| keys[n]);
        let mut after = vec![Vec::new(); count];
        for (nth, &step) in order.iter().enumerate() {
            after[step] = order[..nth].iter().copied().filter(|&n| edges[step][n]).collect();
        }
        let name = |n: &usize| format!("\"s{n}\"");
        let steps: Vec<String> = after
            .iter()
            .enumerate()
            .map(|(n, after)| {
                let after: Vec<String> = after.iter().map(name).collect();
                format!(r#"{{"name":"s{n}",+,"after":[{}]}}"#, after.join(","))
            })
            .collect();
        let graph = graph(&steps.join(","));
        fn reaches(after: &[Vec<usize>], from: usize, to: usize) -> bool {
            after[from].iter().any(|&n| n == to || reaches(after, n, to))
        }
        for (one, (_, node)) in graph.steps().enumerate() {
            for other in 0..count {
                let other_index = other as StepIndex;
                prop_assert_eq!(node.after.has(other_index), after[one].contains(&other));
                prop_assert_eq!(node.ancestors.has(other_index), reaches(&after, one, other));
            }
        }
    }

    /// Whatever the steps come after: either it is a graph, or a problem says why not.
    #[test]
    fn nothing_makes_the_check_panic(
        after in prop::collection::vec(
            prop::option::of(prop::collection::vec(0..9_usize, 0..4)), 0..9),
        pivots in prop::collection::vec(any::<bool>(), 9),
    ) {
        let steps: Vec<String> = after
            .iter()
            .enumerate()
            .map(|(n, after)| {
                let after = after.as_ref().map_or(String::new(), |after| {
                    let names: Vec<String> = after.iter().map(|n| format!("\"s{n}\"")).collect();
                    format!(r#","after":[{}]"#, names.join(","))
                });
                format!(r#"{{"name":"s{n}",+,"pivot":{}{after}}}"#, pivots[n])
            })
            .collect();
        wrong(&of_steps(&steps.join(",")));
    }
}
