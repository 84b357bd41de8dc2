//! What was meant by a key that nobody knows.

/// How alike two keys have to be for one to be named in the place of the other: letters that changed
/// places are one mistake.
pub const ALIKE: f64 = 0.5;

/// The message of the deserializer, in words that say what to do.
pub fn explained(message: &str, said: &str) -> String {
    if message.contains("duplicate key") {
        let said = said.trim();
        return format!(
            "`{said}` is there twice in the same section; name it once, and a second participant \
             by another name"
        );
    }
    let Some((key, known)) =
        message.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, expected "))
    else {
        return message.to_owned();
    };
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    match nearest(key, known.iter().copied()).filter(|(alike, _)| *alike >= ALIKE) {
        Some((_, right)) => format!("there is no key `{key}` here; did you mean `{right}`?"),
        None => format!("there is no key `{key}` here; there are `{}`", known.join("`, `")),
    }
}

/// The word that is most alike, and how much: 1 is the same.
pub fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    let alike = words.map(|right| (strsim::normalized_damerau_levenshtein(word, right), right));
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b))
}
