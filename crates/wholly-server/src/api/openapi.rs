//! `GET /openapi.json`: the API as OpenAPI 3.1.
//!
//! The document is a file of its own, for people and tools to read as it is; tests keep it and the
//! code together: each route with its requirement of a caller, and each kind of problem, is in it,
//! and the real server answers to requests made from it as it says (`tests/openapi.rs`).

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;

const DOCUMENT: &str = include_str!("openapi.json");

pub async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::{Value, json};
    use wholly_core::{PartState, Pattern, State};

    use super::DOCUMENT;
    use crate::api::ROUTES;
    use crate::api::roles::{Requirement, requirement};
    use crate::problem::Kind;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// The operations, by method and path.
    fn operations(document: &Value) -> BTreeMap<(&str, &str), &Value> {
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(|(method, operation)| ((method.as_str(), path.as_str()), operation))
        });
        operations.collect()
    }

    #[test]
    fn every_route_is_documented_and_nothing_else() {
        let document = document();
        let operations = operations(&document);
        let documented: BTreeSet<_> = operations.keys().copied().collect();
        assert_eq!(documented, ROUTES.iter().copied().collect());
        for (route, operation) in operations {
            assert!(operation["operationId"].is_string(), "{route:?} has no id");
        }
    }

    #[test]
    fn every_operation_says_what_its_caller_needs() {
        let document = document();
        for ((method, path), operation) in operations(&document) {
            let requirement = requirement(path, &method.to_uppercase().parse().unwrap()).unwrap();
            let some = |roles: &[String]| json!([{}, {"token": roles}, {"certificate": roles}]);
            let requirement = match requirement {
                Requirement::Nothing => json!([]),
                Requirement::Somebody => some(&[]),
                Requirement::Role(role) => some(&[format!("{role:?}").to_lowercase()]),
            };
            let said = operation.get("security").unwrap_or(&document["security"]);
            assert_eq!(*said, requirement, "{method} {path}");
        }
        let schemes = document["components"]["securitySchemes"].as_object().unwrap();
        assert_eq!(schemes.keys().collect::<Vec<_>>(), ["certificate", "token"]);
    }

    /// The types of problems that answers name, each with the answer's status.
    fn answers(value: &Value, found: &mut Vec<(String, u64)>) {
        match value {
            Value::Object(members) => {
                let types =
                    value.pointer("/allOf/1/properties/type/enum").and_then(Value::as_array);
                let status = value.pointer("/allOf/1/properties/status/const");
                for name in types.into_iter().flatten().filter_map(Value::as_str) {
                    let status = status.and_then(Value::as_u64).unwrap();
                    found.push((name.to_owned(), status));
                }
                members.values().for_each(|value| answers(value, found));
            }
            Value::Array(elements) => elements.iter().for_each(|value| answers(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_kind_of_problem_is_documented_with_its_status() {
        let document = document();
        let types = &document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
        let mut found = Vec::new();
        answers(&document, &mut found);
        for &(name, status) in Kind::ALL {
            let named = format!("/problems/{name}");
            let known = types.as_array().unwrap().contains(&Value::from(named.as_str()));
            assert!(known, "{named} is not documented");
            let mut of_it = found.iter().filter(|(found, _)| *found == named).peekable();
            // These two no operation answers.
            let elsewhere = ["no-such-route", "no-such-method"].contains(&name);
            assert!(elsewhere || of_it.peek().is_some(), "no operation answers {named}");
            for (_, found) in of_it {
                assert_eq!(*found, u64::from(status), "the status of {named}");
            }
        }
    }

    /// The schemas that list words of the engine, each with all of them.
    fn words() -> Vec<(&'static str, BTreeSet<&'static str>)> {
        let unknown = ["unknown"];
        let patterns: BTreeSet<_> = Pattern::ALL.iter().map(|pattern| pattern.as_str()).collect();
        let states: BTreeSet<_> = State::ALL.iter().map(|state| state.as_str()).collect();
        let ended = State::ALL.iter().filter(|state| state.end().is_some());
        let or_unknown = |words: &BTreeSet<_>| words.iter().copied().chain(unknown).collect();
        vec![
            ("/components/schemas/Pattern/enum", patterns.clone()),
            ("/components/schemas/Snapshot/properties/pattern/enum", or_unknown(&patterns)),
            ("/components/schemas/Event/properties/pattern/enum", or_unknown(&patterns)),
            ("/paths/~1v1~1transactions/get/parameters/0/schema/enum", states.clone()),
            (
                "/components/schemas/Page/properties/transactions/items/properties/state/enum",
                or_unknown(&states),
            ),
            ("/components/schemas/Snapshot/properties/state/enum", or_unknown(&states)),
            ("/components/schemas/Event/properties/state/enum", or_unknown(&states)),
            (
                "/components/schemas/Settled/properties/state/enum",
                ended.map(|state| state.as_str()).collect(),
            ),
        ]
    }

    fn enumeration<'a>(document: &'a Value, pointer: &str) -> BTreeSet<&'a str> {
        let words = document.pointer(pointer).and_then(Value::as_array);
        let words = words.unwrap_or_else(|| panic!("{pointer} is not there"));
        words.iter().filter_map(Value::as_str).collect()
    }

    #[test]
    fn every_pattern_and_state_is_documented() {
        let document = document();
        for (pointer, words) in words() {
            assert_eq!(enumeration(&document, pointer), words, "{pointer}");
        }
        let of = |part: &str| {
            let pointer = format!(
                "/components/schemas/Snapshot/properties/{part}/items/properties/state/enum"
            );
            enumeration(&document, &pointer).into_iter().collect::<Vec<_>>()
        };
        let parts: BTreeSet<_> = of("branches").into_iter().chain(of("steps")).collect();
        assert_eq!(parts, PartState::ALL.iter().map(|state| state.as_str()).collect());
    }

    #[test]
    fn the_version_is_that_of_the_server() {
        assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
