//! The document at `/openapi.json` and the real server say the same: requests are made from the
//! document, as they should be and in every way wrong, and what comes back is what it says.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::schema::{resolve, wrong};
use common::{Little, Publisher, Said, Server, eventually, unreadable, within};
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
    _feed: Publisher,
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

/// Bodies, and whether the document allows them.
type Mutated = Vec<(Option<String>, bool)>;

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
        let feed = Publisher::start("order").await;
        feed.publishes("OrderCreated", "ORD001");
        let settings = format!("patience = '100ms'\ndeadline = '10m'\n{}", feed.section("order"));
        let nobody_reads_it = unreadable(directory.path(), "unreadable").to_string();
        let server = Server::start_with(directory.path(), &participants, &settings).await;
        let observed = async || {
            let reply = server.get("/v1/choreographies/ORD001").await;
            (reply.status == 200).then_some(())
        };
        eventually("the feed is read", observed).await;
        let document = server.get("/openapi.json").await.json();
        let stored = "/paths/~1v1~1sagas~1{name}~1{version}/put/requestBody/content/\
            application~1json/examples/definition/value";
        let stored = document.pointer(stored).unwrap().to_string();
        let json = [("content-type", "application/json")];
        server.send(Method::PUT, "/v1/sagas/create%20order/1", &json, &stored).await;
        let there = vec![("correlation", "ORD001".to_owned())];
        let mut api =
            Self { document, server, there, ended: 0, _directory: directory, _feed: feed };
        for body in [ORDER, SAGA] {
            api.submitted(&[], body).await;
        }
        payments.says("two", Said::Refused);
        api.submitted(&[], SAGA).await;
        payments.says("prepare", Said::Refused);
        api.submitted(&[], ORDER).await;
        payments.says("prepare", Said::Done);
        api.there.push(("branch", "unsettled".to_owned()));
        api.there.push(("id", nobody_reads_it));
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

    /// Sends it and checks the answer: its status, or what is not as the document says.
    async fn check(&self, method: &Method, operation: &Value, made: &Made) -> Result<u16, String> {
        let headers: Vec<_> =
            made.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = made.body.as_deref().unwrap_or_default();
        let answer = self.server.open(method.clone(), &made.path, &headers, body).await;
        let (head, body) = answer.into_parts();
        let status = head.status.as_u16();
        let documented = &operation["responses"][status.to_string()];
        if !documented.is_object() {
            return Err(format!("{status} is not documented"));
        }
        let documented = resolve(&self.document, documented);
        let Some(contents) = documented["content"].as_object() else {
            let body = within("the body ends", body.collect()).await.unwrap().to_bytes();
            return match body.is_empty() {
                true => Ok(status),
                false => Err(format!("{status} has a body: {body:?}")),
            };
        };
        let kind = head.headers["content-type"].to_str().unwrap().split(';').next().unwrap();
        let content = contents.get(kind);
        let content = content.ok_or_else(|| format!("{status} is {kind}, undocumented"))?;
        // A stream goes on.
        if kind.ends_with("json") {
            let body = within("the body ends", body.collect()).await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            if let Some(wrong) = wrong(&self.document, &content["schema"], &body, true) {
                return Err(format!("{status} {body}: {wrong}"));
            }
        }
        Ok(status)
    }

    /// The example's request, those with other values in its place, and those that are wrong.
    fn requests(&self, path: &str, operation: &Value) -> Vec<Made> {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let there = |parameter: &Value, from: usize| -> Vec<Value> {
            let there = self.there[from..].iter().filter(|(of, _)| parameter["name"] == **of);
            there.map(|(_, value)| Value::from(value.as_str())).collect()
        };
        // Every value that leads somewhere, and some that do not.
        let paths = paths(path, &parameters, |parameter| {
            let odd = vec![json!("none such"), json!("x".repeat(300)), json!(-1)];
            [vec![parameter["example"].clone()], there(parameter, 0), odd].concat()
        });
        // Those that lead to where most is possible.
        let furthest = self::paths(path, &parameters, |parameter| {
            let example = vec![parameter["example"].clone()];
            let values = [there(parameter, self.ended), there(parameter, 0), example];
            values.into_iter().find(|values| !values.is_empty()).unwrap()
        });
        let plain = |path: String| Made { path, headers: Vec::new(), body: None, allowed: true };
        let (mut examples, mut mutated) = (vec![None], Vec::new());
        if let Some(body) = operation["requestBody"]["content"]["application/json"].as_object() {
            (examples, mutated) = self.bodies(&body["schema"], &body["examples"]);
        }
        let with = |path: &String, body: &Option<String>, allowed: bool| {
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            Made { headers, body: body.clone(), allowed, ..plain(path.clone()) }
        };
        let mut made: Vec<Made> = Vec::new();
        for path in &paths {
            made.extend(examples.iter().map(|body| with(path, body, true)));
        }
        for path in &furthest {
            made.extend(mutated.iter().map(|(body, allowed)| with(path, body, *allowed)));
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
    fn bodies(&self, schema: &Value, examples: &Value) -> (Vec<Option<String>>, Mutated) {
        let (mut right, mut mutated) = (Vec::new(), Vec::new());
        for example in examples.as_object().unwrap().values() {
            let example = &example["value"];
            assert_eq!(wrong(&self.document, schema, example, false), None, "an example");
            right.push(Some(example.to_string()));
            mutated.extend(mutations(example).iter().map(|body| {
                let allowed = wrong(&self.document, schema, body, false).is_none();
                (Some(body.to_string()), allowed)
            }));
        }
        (right, mutated)
    }
}

/// The path with every value of its parameters.
fn paths(path: &str, parameters: &[Value], values: impl Fn(&Value) -> Vec<Value>) -> Vec<String> {
    let mut paths = vec![path.to_owned()];
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
        let hole = format!("{{{}}}", parameter["name"].as_str().unwrap());
        let values = values(parameter);
        let filled = |path: &String| -> Vec<String> {
            values.iter().map(|value| path.replace(&hole, &escaped(value))).collect()
        };
        paths = paths.iter().flat_map(filled).collect();
    }
    paths
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
    let (mut sent, mut disagreed) = (0, Vec::new());
    for (method, path, operation) in api.operations() {
        let id = operation["operationId"].as_str().unwrap();
        api.stand_still().await;
        let mut statuses = std::collections::BTreeSet::new();
        for made in api.requests(&path, &operation) {
            let wrong = match api.check(&method, &operation, &made).await {
                Ok(status) => {
                    statuses.insert(status);
                    let taken = !made.allowed && !(400..500).contains(&status);
                    taken.then(|| format!("{status}, and the document does not allow it"))
                }
                Err(wrong) => Some(wrong),
            };
            disagreed.extend(wrong.map(|wrong| {
                let wrong = format!("{method} {path} answers {wrong}, to {made:?}");
                wrong.chars().take(1_000).collect::<String>()
            }));
            sent += 1;
        }
        let done = statuses.iter().any(|status| (200..300).contains(status));
        assert!(done || !disagreed.is_empty(), "{id} never did what it is for: {statuses:?}");
    }
    assert!(disagreed.is_empty(), "{} answers disagree: {disagreed:#?}", disagreed.len());
    assert!(sent > 500, "only {sent} requests were made");
}

/// What no request of those made from the document leads to.
#[tokio::test]
async fn what_happens_seldom_is_as_the_document_says() {
    let directory = tempfile::tempdir().unwrap();
    let orders = Little::start().await;
    let settings = "stuck_after_tries = 1\n[retention]\npayloads = '1ms'";
    let participants = [("orders", &orders), ("payments", &orders)];
    let server = Server::start_with(directory.path(), &participants, settings).await;
    let document = server.get("/openapi.json").await.json();
    let fits = |schema: &str, value: &Value| {
        let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
        assert_eq!(wrong(&document, &schema, value, true), None, "{value}");
    };
    orders.says("commit", Said::Broken);
    orders.says("two", Said::Refused);
    for body in [ORDER, SAGA] {
        let reply = server.submit(&[("prefer", "respond-async")], body).await;
        let location = reply.header("location").to_owned();
        let once = async |what: &str| {
            let is =
                async || Some(server.get(&location).await.json()).filter(|now| now[what] == true);
            eventually(what, is).await
        };
        if body == ORDER {
            fits("Snapshot", &once("stuck").await);
            orders.says("commit", Said::Done);
        }
        for event in server.listen(&format!("{location}/events"), None).await.rest().await {
            fits("Event", &event.data);
        }
        fits("Snapshot", &once("payloads_removed").await);
    }
    std::fs::write(directory.path().join("audit.jsonl"), "what a crash left\n").unwrap();
    let audit = server.get("/v1/audit").await.json();
    assert_eq!(audit["entries"][0]["unreadable"], "what a crash left");
    fits("Audit", &audit);
}
