//! A check of JSON against the part of JSON Schema that the server's document uses. A keyword that
//! it does not know fails the test: nothing goes unchecked in silence.

use serde_json::{Map, Value};

/// What is wrong with `value`, if anything. `strict`: a member that the schema does not name is
/// wrong, also where it would be let through; so an answer that has come to say more is noticed.
pub fn wrong(document: &Value, schema: &Value, value: &Value, strict: bool) -> Option<String> {
    let schema = resolve(document, schema);
    let members = schema.as_object().unwrap();
    let no = |what: &str| Some(format!("{value} {what} of {schema}"));
    for (keyword, rule) in members {
        let holds = match keyword.as_str() {
            "description" | "title" | "format" | "default" | "example" => true,
            "type" => match rule {
                Value::String(name) => is(name, value),
                names => names.as_array().unwrap().iter().any(|n| is(n.as_str().unwrap(), value)),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "minLength" => value.as_str().is_none_or(|s| s.len() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|s| s.len() as u64 <= rule.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|a| a.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|a| a.len() as u64 <= rule.as_u64().unwrap()),
            "required" => value.as_object().is_none_or(|object| {
                rule.as_array().unwrap().iter().all(|n| object.contains_key(n.as_str().unwrap()))
            }),
            "properties" | "additionalProperties" => continue,
            "items" => {
                let elements = value.as_array().into_iter().flatten();
                let found = elements.filter_map(|v| wrong(document, rule, v, strict)).next();
                if found.is_some() {
                    return found;
                }
                true
            }
            "oneOf" => {
                let fits = |rule: &&Value| wrong(document, rule, value, strict).is_none();
                rule.as_array().unwrap().iter().filter(fits).count() == 1
            }
            // The first is the whole, and the others narrow it.
            "allOf" => {
                for (nth, rule) in rule.as_array().unwrap().iter().enumerate() {
                    let found = wrong(document, rule, value, strict && nth == 0);
                    if found.is_some() {
                        return found;
                    }
                }
                true
            }
            other => panic!("the keyword {other} is not known here"),
        };
        if !holds {
            return no(keyword);
        }
    }
    wrong_member(document, members, value, strict)
}

fn wrong_member(
    document: &Value,
    schema: &Map<String, Value>,
    value: &Value,
    strict: bool,
) -> Option<String> {
    let named = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    let closed = others == Some(&Value::Bool(false));
    for (name, value) in value.as_object()? {
        match named.and_then(|named| named.get(name)) {
            Some(rule) => {
                let found = wrong(document, rule, value, strict);
                if found.is_some() {
                    return found;
                }
            }
            None if closed || (strict && named.is_some()) => {
                return Some(format!("there is no member {name}"));
            }
            None => {}
        }
    }
    None
}

/// What a reference leads to.
pub fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(at) => document.pointer(at.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known here"),
    }
}
