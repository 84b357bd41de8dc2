use wholly_core::saga::Side;

use super::*;

fn wrong(text: &str, format: Format) -> Vec<String> {
    match read(text, format) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(Located::to_string).collect(),
    }
}

const ORDER: &str = r#"# The lesson's.
name = "create order"
version = 2
deadline_millis = 30_000

[[steps]]
name = "reserve"
participant = "inventory"
compensation = "release"
timeout_millis = 0x3e8
retry = { first_millis = 50, factor = 1.5, tries = 3 }

[[steps]]
name = "charge"
participant = "payment"
action = "take"
compensation = false
pivot = true

[steps.payload]
z = { "$from" = "/steps/reserve/shelf" }
big = 123456789012345678901234567890
a = [+1, -2.50, 5e+22, "é\"", true]

[[steps]]
name = "confirm"
participant = "order"
after = ["charge"]
"#;

const THE_SAME: &str = r#"{"name":"create order","version":2,"deadline_millis":30000,"steps":[
    {"name":"reserve","participant":"inventory","compensation":"release","timeout_millis":1000,
     "retry":{"first_millis":50,"factor":1.5,"tries":3}},
    {"name":"charge","participant":"payment","action":"take","compensation":false,"pivot":true,
     "payload":{"z":{"$from":"/steps/reserve/shelf"},"big":123456789012345678901234567890,"a":[1,-2.50,5e+22,"é\"",true]}},
    {"name":"confirm","participant":"order","after":["charge"]}]}"#;

#[test]
fn toml_says_what_json_says() {
    let graph = read(ORDER, Format::Toml).unwrap();
    assert_eq!(graph, read(THE_SAME, Format::Json).unwrap());
    assert_eq!(graph.nodes()[1].side, Side::Pivot);
}

#[test]
fn what_is_wrong_has_a_place_in_toml() {
    let cases = [
        (
            "reserve\"\np",
            "Reserve\"\np",
            "7:8: a step's name must not contain 'R'; it may contain a to z, 0 to 9, '-' and '_'",
        ),
        ("version = 2", "version = \"2\"", "3:11: invalid type: string \"2\", expected u32"),
        (
            "version = 2",
            "version = 0",
            "3:11: version 0 is out of range; it is from 1 to 2147483647",
        ),
        ("version = 2\n", "", "1:1: `version` is missing"),
        ("participant = \"order\"\n", "", "25:1: `participant` is missing"),
        (
            "deadline_millis",
            "deadlin_millis",
            "4:1: there is no `deadlin_millis` here; did you mean `deadline_millis`?",
        ),
        (
            "pivot = true",
            "pivot = true\n\"turning point\" = 1",
            "19:1: there is no `turning point` here; there may be `name`, `participant`, `action`, `compensation`, `payload`, `after`, `pivot`, `timeout_millis`, `retry`",
        ),
        (
            "compensation = false",
            "compensation = true",
            "17:16: a compensation is an operation's name, or false where none is needed",
        ),
        (
            "compensation = false\n",
            "",
            "13:1: nothing says how \"charge\" is taken back; name an operation as its `compensation`, or say false where it needs none",
        ),
        ("0x3e8", "0", "10:18: 0 ms is out of range; it is from 1 to 2592000000 (30 days)"),
        ("tries = 3", "tries = -3", "11:52: invalid value: integer `-3`, expected u32"),
        ("1.5", "0.5", "11:39: a factor of 0.5 is out of range; it is from 1 to 100"),
        ("{ first_millis = 50, factor = 1.5, tries = 3 }", "3", "11:9: this must be an object"),
        ("[\"charge\"]", "\"charge\"", "28:9: this must be a list"),
        ("[\"charge\"]", "[\"charge\", 3]", "28:20: invalid type: integer `3`, expected a string"),
        (
            "[\"charge\"]",
            "[\"charge\",\n  \"chrage\"]",
            "29:3: there is no step \"chrage\"; did you mean \"charge\"?",
        ),
        (
            "/steps/reserve/",
            "/steps/resreve/",
            "21:17: there is no step \"resreve\"; did you mean \"reserve\"?",
        ),
        ("true]", "1979-05-27]", "23:31: JSON has no dates; write \"1979-05-27\""),
        ("true]", "nan]", "23:31: JSON has no nan"),
        (
            "0x3e8",
            "0xffffffffffffffffffffffffffffffffff",
            "10:18: 0xffffffffffffffffffffffffffffffffff is too large",
        ),
        (
            "[[steps]]\nname = \"reserve\"",
            "[[steps]\nname = \"reserve\"",
            "6:9: unclosed array table, expected `]`",
        ),
    ];
    for (right, instead, problem) in cases {
        assert!(ORDER.contains(right), "{right}");
        assert_eq!(wrong(&ORDER.replacen(right, instead, 1), Format::Toml), [problem]);
    }
}

#[test]
fn what_is_wrong_has_a_place_in_json() {
    let cases = [
        (
            "inventory",
            "Inventory",
            "2:37: a participant's name must not contain 'I'; it may contain a to z, 0 to 9, '-' and '_'",
        ),
        (
            "\"tries\":3",
            "\"tries\":3,\"tires\":3",
            "3:56: there is no `tires` here; did you mean `tries`?",
        ),
        ("\"version\":2", "\"version\":2,\"version\":3", "1:36: `version` is there twice"),
        ("\"version\":2", "\"version\":null", "1:34: invalid type: null, expected u32"),
        (
            "reserve/shelf",
            "confirm",
            "5:30: \"confirm\" comes after this step, so that its output is not there yet; only what this step comes after can be referred to",
        ),
        (
            "[\"charge\"]",
            "[\"é\", \"charge\"]",
            "6:54: a step's name must not contain 'é'; it may contain a to z, 0 to 9, '-' and '_'",
        ),
        (",\"pivot\":true", ",\"pivot\":true,", "4:96: key must be a string"),
        ("[\"charge\"]}]}", "[\"charge\"]}]", "6:64: EOF while parsing an object"),
        // No two readers agree which of two members with one name counts.
        (
            "{\"$from\":\"/steps/reserve/shelf\"}",
            "1, \"z\":{\"$from\":\"/steps/charge\"}",
            "5:16: the member \"z\" is there twice in one object of the payload; take one of them out",
        ),
    ];
    for (right, instead, problem) in cases {
        assert!(THE_SAME.contains(right), "{right}");
        assert_eq!(wrong(&THE_SAME.replacen(right, instead, 1), Format::Json), [problem]);
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_in_the_text_s_order() {
    let text = ORDER
        .replace("version = 2", "version = 0\nvresion = 2")
        .replace("[\"charge\"]", "[\"chrage\"]")
        .replace("true]", "1979-05-27]");
    let at: Vec<String> =
        wrong(&text, Format::Toml).iter().map(|line| line[..5].to_owned()).collect();
    assert_eq!(at, ["3:11:", "4:1: ", "24:31", "29:10"]);
}

/// ORDER with these changes.
fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(ORDER.to_owned(), |text, (right, instead)| {
        assert!(text.contains(right), "{right}");
        text.replacen(right, instead, 1)
    })
}

#[test]
fn what_cannot_be_read_hides_nothing_else() {
    const CHRAGE: (&str, &str) = ("[\"charge\"]", "[\"chrage\"]");
    let chrage = "28:10: there is no step \"chrage\"; did you mean \"charge\"?";
    let cases = [
        (("1.5", "0.5"), "11:39: a factor of 0.5 is out of range; it is from 1 to 100"),
        (
            ("\"inventory\"", "\"Inventory\""),
            "8:15: a participant's name must not contain 'I'; it may contain a to z, 0 to 9, '-' and '_'",
        ),
        (("pivot = true", "pivot = 1"), "18:9: invalid type: integer `1`, expected a boolean"),
        (("version = 2", "#"), "1:1: `version` is missing"),
    ];
    for (change, problem) in cases {
        assert_eq!(wrong(&changed(&[change, CHRAGE]), Format::Toml), [problem, chrage]);
    }
    let negative = changed(&[("tries = 3", "cap_millis = -1"), ("30_000", "0")]);
    assert_eq!(
        wrong(&negative, Format::Toml),
        [
            "4:19: 0 ms is out of range; it is from 1 to 2592000000 (30 days)",
            "11:57: invalid value: integer `-1`, expected u64",
        ]
    );
    let twice = THE_SAME.replace("\"tries\":3", "\"tries\":3,\"tries\":4");
    let twice = twice.replace("[\"charge\"]", "[\"chrage\"]");
    let places: Vec<String> =
        wrong(&twice, Format::Json).iter().map(|line| line[..5].to_owned()).collect();
    assert_eq!(places, ["3:56:", "6:54:"]);
}

#[test]
fn what_follows_from_another_problem_is_not_said() {
    let one = |changes: &[(&str, &str)]| {
        let said = wrong(&changed(changes), Format::Toml);
        assert_eq!(said.len(), 1, "{said:?}");
    };
    // The payload of "charge" refers to it.
    one(&[("name = \"reserve\"", "name = \"Reserve?\"")]);
    one(&[("name = \"reserve\"\n", "")]);
    // Without the pivot, "confirm" would need a compensation.
    one(&[("pivot = true", "pivot = \"yes\"")]);
    one(&[("compensation = \"release\"", "compensation = 3")]);
    one(&[("participant = \"order\"", "participant = \"order\"\ncompensation = true")]);
    one(&[("[\"charge\"]", "\"charge\"")]);
    one(&[("[\"charge\"]", "[\"charge\", \"Charge\"]")]);
    one(&[("action = \"take\"", "action = \"Take\"")]);
    let no_object = THE_SAME.replacen("\"steps\":[", "\"steps\":[3,", 1);
    assert_eq!(wrong(&no_object, Format::Json), ["1:69: this must be an object"]);
    let no_steps = r#"{"name":"s","version":1,"steps":{}}"#;
    assert_eq!(wrong(no_steps, Format::Json), ["1:33: this must be a list"]);
}

#[test]
fn what_is_nothing_at_all_has_a_place_too() {
    for (text, format, problem) in [
        ("", Format::Json, "1:1: EOF while parsing a value"),
        ("[]", Format::Json, "1:1: this must be an object"),
        ("{} {}", Format::Json, "1:4: trailing characters"),
        ("=", Format::Toml, "1:1: unquoted keys"),
    ] {
        assert!(wrong(text, format)[0].starts_with(problem), "{:?}", wrong(text, format));
    }
    assert_eq!(wrong("", Format::Toml).len(), 3);
}

#[test]
fn depth_is_no_danger() {
    let keys = "a.".repeat(30_000);
    let (open, close) = ("[".repeat(30_000), "]".repeat(30_000));
    for text in [format!("{keys}a = 1"), format!("[{keys}a]"), format!("a = {open}")] {
        assert!(!wrong(&text, Format::Toml).is_empty());
    }
    // A payload is passed on as it is, however deep; it only cannot refer.
    let deep = |inner: &str| {
        let step = format!(
            r#"{{"name":"a","participant":"p","compensation":false,"payload":{open}{inner}{close}}}"#
        );
        wrong(&format!(r#"{{"name":"s","version":1,"steps":[{step}]}}"#), Format::Json)
    };
    assert_eq!(deep("1"), [""; 0]);
    assert!(deep(r#"{"$from":"/input"}"#)[0].contains("levels deep"));
}

#[test]
fn a_payload_that_repeats_a_member_is_refused_where_it_is() {
    let text = r#"{"name":"s","version":1,"steps":[
        {"name":"a","participant":"p","compensation":false,"payload":{"b":[{"c":1,"c":2}]}}]}"#;
    let said = wrong(text, Format::Json);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("2:70: the member \"c\" is there twice"), "{said:?}");
}

#[test]
fn a_flood_of_problems_is_cut() {
    let steps = vec!["{}"; 10_000].join(",");
    assert_eq!(
        wrong(&format!(r#"{{"name":"s","version":1,"steps":[{steps}]}}"#), Format::Json).len(),
        100
    );
}
