//! A record in words.

use serde::Deserialize;
use serde_json::Value;
use wholly_client::Record;
use wholly_core::saga::Reason;
use wholly_core::two_phase::AbortReason;

use super::screen::Paint;

/// A record in words, with the `names` of the branches or steps that it numbers.
/// One that is not known is shown as it is.
pub fn told<'a>(record: &Record, names: impl Fn(u64) -> Option<&'a str>) -> (Paint, String) {
    let name = record.name();
    let paint = match name.as_str() {
        "committed" | "settled" => Paint::Good,
        "aborted" | "turned_back" => Paint::Undone,
        "stuck" | "heuristic" => Paint::Bad,
        _ => Paint::Plain,
    };
    let words = name.replace('_', " ");
    match record.body().and_then(|body| in_words(&name, &body, names)) {
        Some(body) => (paint, format!("{words} {body}")),
        None => (paint, words),
    }
}

fn in_words<'a>(
    name: &str,
    body: &Value,
    names: impl Fn(u64) -> Option<&'a str>,
) -> Option<String> {
    let branch = |place: &Value| {
        let name = place.as_u64().and_then(&names);
        name.map_or_else(|| plain(place), str::to_owned)
    };
    match (name, body) {
        // The transaction itself shows what is in it.
        ("started", _) => None,
        ("aborted", body) => Some(because(AbortReason::deserialize(body), body)),
        ("ended", body) => Some(format!("by hand: {}", plain(body.get("reason")?))),
        ("turned_back", body) => Some(because(Reason::deserialize(body), body)),
        (_, Value::Number(_)) => Some(branch(body)),
        (_, Value::Array(parts)) => {
            let (place, rest) = parts.split_first()?;
            // An output is no matter of the history.
            let rest = if name == "completed" { &[] } else { rest };
            let rest: Vec<_> = rest.iter().map(said).collect();
            let colon = if rest.is_empty() { "" } else { ": " };
            Some(format!("{}{colon}{}", branch(place), rest.join(", ")))
        }
        (_, body) => Some(plain(body)),
    }
}

fn because<R: ToString, E>(reason: Result<R, E>, body: &Value) -> String {
    reason.map_or_else(|_| plain(body), |reason| format!("because {}", reason.to_string()))
}

/// A vote, a reason, an operator's word: `"yes"`, `{"no": "no stock"}`, `{"completed": …}`.
fn said(part: &Value) -> String {
    let members = part.as_object().filter(|members| members.len() == 1);
    match members.and_then(|members| members.iter().next()) {
        Some((name, Value::String(why))) => format!("{name}, {why}"),
        Some((name, _)) => name.clone(),
        None => plain(part),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_begins_with_a_text_and_no_place_is_told_as_it_is() {
        for (record, says) in [
            (json!({"decided": ["committed", "in the books"]}), "decided committed: in the books"),
            (json!({"released": ["00ff", "asked again"]}), "released 00ff: asked again"),
            (json!({"stuck": [1, "no answer"]}), "stuck payments: no answer"),
            (json!({"ended": {"reason": "refunded"}}), "ended by hand: refunded"),
            (json!({"stuck": [7, "no answer"]}), "stuck 7: no answer"),
        ] {
            let record: Record = serde_json::from_value(record).unwrap();
            assert_eq!(told(&record, |place| (place == 1).then_some("payments")).1, says);
        }
    }
}
