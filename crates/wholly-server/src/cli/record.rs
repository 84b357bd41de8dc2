//! A record in words.

use serde::Deserialize;
use serde_json::Value;
use wholly_client::{Record, Transaction};
use wholly_core::saga::Reason;
use wholly_core::two_phase::AbortReason;

use super::screen::Paint;

/// What a record says, with the names of the branches or steps that it calls by their places. One
/// that is not known is shown as it is.
pub fn told(record: &Record, transaction: &Transaction) -> (Paint, String) {
    let name = record.name();
    let paint = match name.as_str() {
        "committed" | "settled" => Paint::Good,
        "aborted" | "turned_back" => Paint::Undone,
        "stuck" | "heuristic" => Paint::Bad,
        _ => Paint::Plain,
    };
    let words = name.replace('_', " ");
    let Some(body) = record.body().and_then(|body| in_words(&name, &body, transaction)) else {
        return (paint, words);
    };
    (paint, format!("{words} {body}").trim_end().to_owned())
}

fn in_words(name: &str, body: &Value, transaction: &Transaction) -> Option<String> {
    match (name, body) {
        // What is in it is shown above.
        ("started", _) => None,
        ("aborted", body) => Some(match AbortReason::deserialize(body) {
            Ok(reason) => format!("because {reason}"),
            Err(_) => plain(body),
        }),
        ("turned_back", body) => Some(match Reason::deserialize(body) {
            Ok(reason) => format!("because {reason}"),
            Err(_) => plain(body),
        }),
        (_, Value::Number(place)) => Some(branch(transaction, place.as_u64())),
        (_, Value::Array(parts)) => {
            let (place, rest) = parts.split_first()?;
            let branch = branch(transaction, place.as_u64());
            // An output is no matter of the history.
            let rest = if name == "completed" { &[] } else { rest };
            let rest: Vec<_> = rest.iter().map(said).collect();
            Some(if rest.is_empty() { branch } else { format!("{branch}: {}", rest.join(", ")) })
        }
        (_, body) => Some(plain(body)),
    }
}

fn branch(transaction: &Transaction, place: Option<u64>) -> String {
    let name = place.and_then(|place| transaction.branch_name(place));
    name.map_or_else(|| "?".to_owned(), str::to_owned)
}

/// A vote, a reason, a person's word: `"yes"`, `{"no": "no stock"}`, `{"completed": …}`.
fn said(part: &Value) -> String {
    match part {
        Value::Object(members) if members.len() == 1 => {
            let (name, value) = members.iter().next().unzip();
            match (name, value) {
                (Some(name), Some(Value::String(why))) => format!("{name}, {why}"),
                (Some(name), _) => name.clone(),
                _ => plain(part),
            }
        }
        _ => plain(part),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
