//! Messages of the deserializer, reworded as advice.

/// The keys of sections that hold a secret.
const SECRETS: [&str; 5] = ["secret", "password", "token", "sha256", "key"];

/// The message, in other words.
///
/// INVARIANT: it repeats no value, which may be a secret in the wrong form or in the wrong place.
pub fn explained(message: &str, said: &str) -> String {
    if message.contains("duplicate key") {
        let said = said.trim();
        return format!(
            "`{said}` is there twice in the same section; name it once, and a second participant \
             by another name"
        );
    }
    if let Some((found, expected)) = after(message, &["invalid type: ", "invalid value: "]) {
        // The value follows in quotes.
        let kind = found.split(['"', '`']).next().unwrap_or_default().trim();
        let expected = match expected.split_once(' ') {
            // The name is the program's own.
            Some(("struct" | "enum", _)) => "a table",
            _ => expected,
        };
        return format!("invalid type: {kind}, expected {expected}");
    }
    if let Some((_, expected)) = after(message, &["unknown variant "]) {
        return format!("unknown variant, expected {expected}");
    }
    match after(message, &["unknown field "]) {
        Some((key, known)) => {
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            unknown(key.trim_matches('`'), &known)
        }
        None => message.to_owned(),
    }
}

/// The two parts of such a message: the value found, and the one expected.
fn after<'a>(message: &'a str, beginnings: &[&str]) -> Option<(&'a str, &'a str)> {
    let rest = beginnings.iter().find_map(|beginning| message.strip_prefix(beginning))?;
    rest.rsplit_once(", expected ")
}

/// The message about a key that is none of the known ones.
pub fn unknown(key: &str, known: &[&str]) -> String {
    let wrong = match known.iter().any(|known| SECRETS.contains(known)) {
        true => "this key is not known here".to_owned(),
        false => format!("there is no key `{key}` here"),
    };
    match wholly_core::nearest(key, known.iter().copied()) {
        Some((_, right)) => format!("{wrong}; did you mean `{right}`?"),
        None => format!("{wrong}; there are `{}`", known.join("`, `")),
    }
}
