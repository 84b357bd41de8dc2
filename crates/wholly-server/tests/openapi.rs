//! The document at `/openapi.json` and the real server say the same: requests are made from the
//! document, as they should be and in every way wrong, and what comes back is what it says.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::schema::{resolve, wrong};
use common::{Little, Said, Server, within};
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const ORDER: &str = r#"{"name": "a", "branches": [
    {"participant": "orders", "payload": 1}, {"participant": "payments", "payload": {"a": 1}}]}"#;
const SAGA: &str = r#"{"pattern": "saga", "input": 7, "saga": {"name": "a", "version": 1, "steps": [
    {"name": "one", "participant": "orders", "compensation": "undo"},
    {"name": "two", "participant": "payments", "compensation": "undo"}]}}"#;

struct Api {
    document: Value,
    server: Server,
    /// Ids and other values for the path that lead somewhere.
    there: Vec<(&'static str, String)>,
    /// How many of these stay what they are.
    ended: usize,
    _directory: TempDir,
}

/// A request made from the document.
#[derive(Clone, Debug)]
struct Made {
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// Whether the document allows it.
    allowed: bool,
}

impl Api {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sagas")).unwrap();
        let (orders, payments) = (Little::start().await, Little::start().await);
        let (undecided, unsettled) = (Little::start().await, Little::start().await);
        undecided.says("prepare", Said::Broken);
        unsettled.says("commit", Said::Broken);
        let participants = [
            ("orders", &orders),
            ("payments", &payments),
            ("undecided", &undecided),
            ("unsettled", &unsettled),
        ];
        let settings = "patience = '100ms'\ndeadline = '10m'";
        let server = Server::start_with(directory.path(), &participants, settings).await;
        let document = server.get("/openapi.json").await.json();
        let stored = "/paths/~1v1~1sagas~1{name}~1{version}/put/requestBody/content/\
            application~1json/examples/definition/value";
        let stored = document.pointer(stored).unwrap().to_string();
        let json = [("content-type", "application/json")];
        server.send(Method::PUT, "/v1/sagas/create%20order/1", &json, &stored).await;
        let mut api = Self { document, server, there: Vec::new(), ended: 0, _directory: directory };
        for body in [ORDER, SAGA] {
            api.submitted(&[], body).await;
        }
        payments.says("two", Said::Refused);
        api.submitted(&[], SAGA).await;
        payments.says("prepare", Said::Refused);
        api.submitted(&[], ORDER).await;
        payments.says("prepare", Said::Done);
        api.there.push(("branch", "unsettled".to_owned()));
        api.ended = api.there.len();
        api
    }

    /// Two that stand still, before the decision and after it, in the place of those that an
    /// operation may have ended.
    async fn stand_still(&mut self) {
        self.there.truncate(self.ended);
        for participant in ["undecided", "unsettled"] {
            let order = ORDER.replace("payments", participant);
            self.submitted(&[("prefer", "respond-async")], &order).await;
        }
    }

    async fn submitted(&mut self, headers: &[(&str, &str)], body: &str) {
        let reply = self.server.submit(headers, body).await.json();
        self.there.push(("id", reply["id"].as_str().unwrap().to_owned()));
    }

    /// Method, path and operation of all that there is.
    fn operations(&self) -> Vec<(Method, String, Value)> {
        let mut operations = Vec::new();
        for (path, methods) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let method = method.to_uppercase().parse().unwrap();
                operations.push((method, path.clone(), operation.clone()));
            }
        }
        operations
    }

    /// Sends it and checks the answer; its status.
    async fn check(&self, method: &Method, operation: &Value, made: &Made) -> u16 {
        let headers: Vec<_> =
            made.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = made.body.as_deref().unwrap_or_default();
        let answer = self.server.open(method.clone(), &made.path, &headers, body).await;
        let (head, body) = answer.into_parts();
        let status = head.status.as_u16();
        let documented = &operation["responses"][status.to_string()];
        assert!(documented.is_object(), "{method} {made:?} answers {status}, undocumented");
        let documented = resolve(&self.document, documented);
        let Some(contents) = documented["content"].as_object() else {
            let body = within("the body ends", body.collect()).await.unwrap().to_bytes();
            assert!(body.is_empty(), "{method} {made:?} answers {status} with a body: {body:?}");
            return status;
        };
        let kind = head.headers["content-type"].to_str().unwrap().split(';').next().unwrap();
        let content = contents.get(kind);
        let content = content.unwrap_or_else(|| panic!("{method} {made:?} answers {kind}"));
        // A stream goes on.
        if kind.ends_with("json") {
            let body = within("the body ends", body.collect()).await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            if let Some(wrong) = wrong(&self.document, &content["schema"], &body, true) {
                panic!("{method} {made:?} answers {status} {body}: {wrong}");
            }
        }
        status
    }

    /// The example's request, those with other values in its place, and those that are wrong.
    fn requests(&self, path: &str, operation: &Value) -> Vec<Made> {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        // Every path with every value that leads somewhere, and with some that do not.
        let mut paths = vec![path.to_owned()];
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
            let name = parameter["name"].as_str().unwrap();
            let there = self.there.iter().filter(|(of, _)| *of == name);
            let there = there.map(|(_, value)| Value::from(value.as_str()));
            let odd = [json!("none such"), json!("x".repeat(300)), json!(-1)];
            let values: Vec<_> =
                [parameter["example"].clone()].into_iter().chain(there).chain(odd).collect();
            let hole = format!("{{{name}}}");
            let filled = |path: &String| -> Vec<String> {
                values.iter().map(|value| path.replace(&hole, &escaped(value))).collect()
            };
            paths = paths.iter().flat_map(filled).collect();
        }
        let plain = |path: String| Made { path, headers: Vec::new(), body: None, allowed: true };
        let mut bodies = vec![(None, true)];
        if let Some(body) = operation["requestBody"]["content"]["application/json"].as_object() {
            bodies = self.bodies(&body["schema"], &body["examples"]);
        }
        let mut made: Vec<Made> = Vec::new();
        for path in &paths {
            for (body, allowed) in &bodies {
                let json = ("content-type".to_owned(), "application/json".to_owned());
                made.push(Made {
                    body: body.clone(),
                    allowed: *allowed,
                    headers: vec![json],
                    ..plain(path.clone())
                });
            }
        }
        let first = made[0].clone();
        for parameter in &parameters {
            let name = parameter["name"].as_str().unwrap();
            let schema = resolve(&self.document, &parameter["schema"]);
            let example = Some(parameter["example"].clone()).filter(|example| !example.is_null());
            let odd = [json!(""), json!("x y"), json!(-1), json!("x".repeat(300)), json!(1e30)];
            for value in example.into_iter().chain(odd) {
                let mut with = first.clone();
                match parameter["in"].as_str().unwrap() {
                    "query" => {
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        let typed = typed(schema, &text);
                        with.allowed = wrong(&self.document, schema, &typed, false).is_none();
                        with.path.push_str(&format!("?{name}={}", escaped(&value)));
                    }
                    "header" => {
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        with.headers.push((name.to_owned(), text));
                    }
                    _ => continue,
                }
                made.push(with);
            }
        }
        if operation["requestBody"].is_object() {
            // No type, another type, and no JSON.
            made.push(Made { headers: Vec::new(), allowed: false, ..first.clone() });
            for wrong in ["", "{", "nonsense", "[[[[[[", "\u{1}"] {
                let body = Some(wrong.to_owned());
                made.push(Made { body, allowed: false, ..first.clone() });
            }
        } else if parameters.iter().any(|parameter| parameter["in"] == "query") {
            let path = format!("{}?no_such_parameter=1", first.path);
            made.push(Made { path, allowed: false, ..first });
        }
        made
    }

    /// The examples, and each of them made wrong in every place; whether the schema allows it.
    fn bodies(&self, schema: &Value, examples: &Value) -> Vec<(Option<String>, bool)> {
        let mut bodies = Vec::new();
        for example in examples.as_object().unwrap().values() {
            let example = &example["value"];
            assert_eq!(wrong(&self.document, schema, example, false), None, "an example");
            bodies.push(example.clone());
            bodies.extend(mutations(example));
        }
        let allowed = |body: &Value| wrong(&self.document, schema, body, false).is_none();
        bodies.iter().map(|body| (Some(body.to_string()), allowed(body))).collect()
    }
}

/// The value with one thing changed: a member left out, one more, another type, too long, too much.
fn mutations(value: &Value) -> Vec<Value> {
    let mut mutations =
        vec![json!(null), json!(true), json!(-1), json!(1.5), json!(1e300), json!(""), json!([])];
    mutations.extend([json!({}), json!("x".repeat(1_000)), json!("\u{1}")]);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let mut without = members.clone();
                without.remove(name);
                mutations.push(without.into());
                for mutation in self::mutations(member) {
                    let mut with = members.clone();
                    with.insert(name.clone(), mutation);
                    mutations.push(with.into());
                }
            }
            let mut more = members.clone();
            more.insert("no_such_member".to_owned(), json!(1));
            mutations.push(more.into());
        }
        Value::Array(elements) => {
            mutations.push(elements.iter().cycle().take(200).cloned().collect());
            for (nth, element) in elements.iter().enumerate() {
                for mutation in self::mutations(element) {
                    let mut with = elements.clone();
                    with[nth] = mutation;
                    mutations.push(with.into());
                }
            }
        }
        _ => {}
    }
    mutations
}

/// A query's text as what its schema is about.
fn typed(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("string") => json!(text),
        _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

/// A value in a path or a query.
fn escaped(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[tokio::test]
async fn the_server_answers_as_the_document_says() {
    let mut api = Api::open().await;
    let (mut sent, mut taken) = (0, Vec::new());
    for (method, path, operation) in api.operations() {
        let id = operation["operationId"].as_str().unwrap();
        api.stand_still().await;
        let mut statuses = std::collections::BTreeSet::new();
        for made in api.requests(&path, &operation) {
            let status = api.check(&method, &operation, &made).await;
            statuses.insert(status);
            let refused = (400..500).contains(&status);
            if !made.allowed && !refused {
                let made = format!("{method} {made:?}");
                taken.push(format!("{status} {}", made.chars().take(500).collect::<String>()));
            }
            sent += 1;
        }
        let done = statuses.iter().any(|status| (200..300).contains(status));
        assert!(done, "{id} never did what it is for: {statuses:?}");
    }
    assert!(taken.is_empty(), "taken, and not allowed: {taken:#?}");
    assert!(sent > 500, "only {sent} requests were made");
}
