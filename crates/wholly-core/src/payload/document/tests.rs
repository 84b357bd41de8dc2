use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn same(one: &str, another: &str) -> bool {
    Document::of(one).unwrap() == Document::of(another).unwrap()
}

#[test]
fn numbers_compare_by_their_exact_decimal_value() {
    for (one, another) in [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("1", "0.1E+1"),
        ("100", "1e2"),
        ("-2.50", "-25e-1"),
        ("0", "-0"),
        ("0", "0.000e999999999999999999999"),
        ("1e400", "1e400"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("1e-400", "10e-401"),
    ] {
        assert!(same(one, another) && same(another, one), "{one} is {another}");
    }
    for (one, another) in [
        ("9007199254740992", "9007199254740993"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("18446744073709551616", "18446744073709551617"),
        ("1", "-1"),
        ("1", "10"),
        ("0", "1e-400"),
        ("1e400", "1e401"),
        ("1e400", "10e399"),
        ("1e-99999999999999999999", "2e-99999999999999999999"),
        ("1", "\"1\""),
        ("0", "null"),
    ] {
        assert!(!same(one, another) && !same(another, one), "{one} is not {another}");
    }
}

#[test]
fn how_it_is_written_does_not_count() {
    assert!(same(r#"{"a":1,"b":[true,{}]}"#, " { \"b\" : [ true , { } ],\n\t\"\\u0061\" : 1.0 } "));
    assert!(same(r#""a\"\\é""#, r#""\u0061\u0022\u005c\u00e9""#));
    for another in
        ["{}", "[]", r#"{"a":1}"#, r#"{"a":1,"c":[true,{}]}"#, r#"{"a":1,"b":[{},true]}"#]
    {
        assert!(!same(r#"{"a":1,"b":[true,{}]}"#, another), "{another}");
    }
    assert!(!same("[[],[]]", "[[[]]]") && !same("[[1],2]", "[[1,2]]"));
    // Half of a surrogate pair, and the same characters spelled out.
    assert!(same(r#""\ud800""#, r#""\ud800""#) && !same(r#""\ud800""#, r#""\\ud800""#));
}

#[test]
fn a_repeated_member_is_named() {
    for (text, name) in [
        (r#"{"a":1,"a":1}"#, "a"),
        (r#"[{"x":{"b":1,"a":2,"\u0062":3}}]"#, "b"),
        (r#"{"":1,"":2}"#, ""),
    ] {
        let repeated = Document::of(text).map(drop);
        assert_eq!(repeated, Err(RepeatedMember { name: name.to_owned() }), "{text}");
    }
    assert!(Document::of(r#"{"a":{"a":"a"},"b":[{"a":1},{"a":1}],"A":null}"#).is_ok());
}

#[test]
fn any_depth_is_borne() {
    let deep = |middle: &str| "[".repeat(30_000) + middle + &"]".repeat(30_000);
    assert!(same(&deep("1"), &deep(" 1.0 ")));
    assert!(!same(&deep("1"), &deep("2")));
}

/// The meaning of a text, from which it is written in different ways.
#[derive(Clone, Debug)]
enum Said {
    Word(&'static str),
    Number { negative: bool, digits: u128, exponent: i16 },
    Text(String),
    List(Vec<Said>),
    Object(BTreeMap<String, Said>),
}

fn said() -> impl Strategy<Value = Said> {
    let leaf = prop_oneof![
        prop::sample::select(&["null", "true", "false"][..]).prop_map(Said::Word),
        (any::<bool>(), any::<u128>(), -300_i16..250).prop_map(|(negative, digits, exponent)| {
            Said::Number { negative, digits, exponent }
        }),
        ".{0,6}".prop_map(Said::Text),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Said::List),
            prop::collection::btree_map(".{0,3}", inner, 0..5).prop_map(Said::Object),
        ]
    })
}

impl Said {
    /// One of many ways to write it; `choice` gives each choice.
    fn written(&self, choice: &mut dyn FnMut(usize) -> usize) -> String {
        let space = [" ", "", "\n\t"][choice(3)];
        match self {
            Self::Word(word) => format!("{space}{word}{space}"),
            Self::Number { negative, digits, exponent } => {
                let sign = if *negative { "-" } else { "" };
                let zeros = choice(4);
                let exponent = i32::from(*exponent) - i32::try_from(zeros).unwrap();
                let digits = format!("{digits}{}", "0".repeat(zeros));
                let places = choice(digits.len());
                let (whole, fraction) = digits.split_at(digits.len() - places);
                let point = if places == 0 { "" } else { "." };
                let exponent = exponent + i32::try_from(places).unwrap();
                let mark = ["e", "E"][choice(2)];
                format!("{space}{sign}{whole}{point}{fraction}{mark}{exponent}")
            }
            Self::Text(text) => space.to_owned() + &string(text, choice),
            Self::List(list) => {
                let all: Vec<_> = list.iter().map(|said| said.written(choice)).collect();
                format!("{space}[{}{space}]", all.join(","))
            }
            Self::Object(members) => {
                let mut all: Vec<_> = members
                    .iter()
                    .map(|(name, said)| {
                        format!("{space}{}:{}", string(name, choice), said.written(choice))
                    })
                    .collect();
                (0..all.len()).for_each(|at| all.swap(at, choice(members.len())));
                format!("{{{}{space}}}", all.join(","))
            }
        }
    }
}

fn string(text: &str, choice: &mut dyn FnMut(usize) -> usize) -> String {
    match choice(2) {
        0 => serde_json::to_string(text).unwrap(),
        _ => {
            let escapes = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            format!("\"{}\"", escapes.collect::<String>())
        }
    }
}

/// A text that says something, written as `seed` chooses.
fn written(said: &Said, mut seed: u64) -> String {
    said.written(&mut |of| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % of
    })
}

proptest! {
    #[test]
    fn however_it_is_written_it_is_the_same(said in said(), one: u64, another: u64) {
        let (one, another) = (written(&said, one), written(&said, another));
        serde_json::from_str::<&serde_json::value::RawValue>(&one).unwrap();
        prop_assert!(same(&one, &one));
        prop_assert!(same(&one, &another), "{one} is not {another}");
        prop_assert!(same(&another, &one));
    }

    #[test]
    fn what_floating_point_tells_apart_is_not_the_same(one in said(), another in said()) {
        let (one, another) = (written(&one, 1), written(&another, 2));
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        prop_assert_eq!(same(&one, &another), same(&another, &one));
        prop_assert!(value(&one) == value(&another) || !same(&one, &another), "{} is {}", one, another);
    }

    #[test]
    fn the_next_number_is_another(digits: u128, exponent in -300_i16..250) {
        let number = |digits| Said::Number { negative: false, digits, exponent };
        let next = digits.wrapping_add(1);
        prop_assert!(!same(&written(&number(digits), 1), &written(&number(next), 2)));
    }

    #[test]
    fn no_text_panics(one in ".*", another in ".*") {
        if let (Ok(one), Ok(another)) = (Document::of(&one), Document::of(&another)) {
            prop_assert_eq!(one == another, another == one);
        }
    }
}
