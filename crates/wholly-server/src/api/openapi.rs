//! `GET /openapi.json`: the API as OpenAPI 3.1.
//!
//! The document is a file of its own, for people and tools to read as it is; tests keep it and the
//! code together: each route and each kind of problem is in it, and what the real server answers
//! to requests made from it is what it says (`tests/openapi.rs`).

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;

const DOCUMENT: &str = include_str!("openapi.json");

pub async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::DOCUMENT;
    use crate::api::ROUTES;
    use crate::api::problem::Kind;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn every_route_is_documented() {
        let document = document();
        for &(method, path) in ROUTES {
            let operation = &document["paths"][path][method];
            assert!(operation["operationId"].is_string(), "{method} {path} is not documented");
        }
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

    #[test]
    fn the_version_is_that_of_the_server() {
        assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
