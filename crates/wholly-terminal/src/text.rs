//! The characters that may not reach a terminal, and their replacements.

use std::borrow::Cow;
use std::fmt::Write;

/// True for a control character, and for one that is invisible or changes the look of others: the
/// categories Cc, Zl and Zp of Unicode, and Cf without its printed signs.
///
/// ```
/// use wholly_terminal::text::is_harmful;
///
/// assert!(['\n', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}'].into_iter().all(is_harmful));
/// assert!(['a', 'é', '注', '🦀'].into_iter().all(|c| !is_harmful(c)));
/// ```
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The text in one line, without harmful characters.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The text, of one line or more, without harmful characters.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    match text.chars().any(|c| c != '\n' && is_harmful(c)) {
        true => text.split('\n').map(one_line).collect::<Vec<_>>().join("\n").into(),
        false => text.into(),
    }
}

/// The text, of one line or more, without harmful characters except the colours that it sets.
#[must_use]
pub fn painted(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return lines(text);
    }
    let mut parts = text.split('\x1b');
    let mut shown = lines(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let (colour, rest) = part.split_at(colour_bytes(part));
        shown.push(if colour.is_empty() { char::REPLACEMENT_CHARACTER } else { '\x1b' });
        shown.push_str(colour);
        shown.push_str(&lines(rest));
    }
    shown.into()
}

/// The length of `[`, numbers and `m` after an ESC that sets a colour; 0 for another sequence.
fn colour_bytes(text: &str) -> usize {
    let numbers = text.strip_prefix('[').and_then(|rest| rest.split_once('m'));
    match numbers {
        Some((numbers, _)) if numbers.bytes().all(|b| b.is_ascii_digit() || b == b';') => {
            numbers.len() + 2
        }
        _ => 0,
    }
}

/// A JSON document of the same value, with harmful characters as `\uXXXX`.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    if !document.chars().any(|c| c != '\n' && is_harmful(c)) {
        return document.into();
    }
    let mut escaped = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        match c {
            // In JSON a raw line feed stands only between values.
            '\n' => escaped.push(c),
            '\t' | '\r' => escaped.push(' '),
            c if is_harmful(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            c => escaped.push(c),
        }
    }
    escaped.into()
}

/// The text without the users and passwords of its addresses.
///
/// ```
/// use wholly_terminal::text::without_passwords;
///
/// let said = without_passwords("no route to postgres://shop:secret@host/db: timed out");
/// assert_eq!(said, "no route to postgres://…@host/db: timed out");
/// ```
#[must_use]
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return text.into();
    }
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A password may have any character, even if the address is then invalid.
        let end = part.find(|c: char| c.is_whitespace() || "\"'`".contains(c));
        let at = part[..end.unwrap_or(part.len())].rfind('@');
        shown.push_str("://");
        shown.push_str(if at.is_some() { "…" } else { "" });
        shown.push_str(&part[at.unwrap_or(0)..]);
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A character of each kind.
    const HARMFUL: [char; 12] = [
        '\0',
        '\t',
        '\r',
        '\x1b',
        '\x7f',
        '\u{85}',
        '\u{9b}',
        '\u{61c}',
        '\u{200f}',
        '\u{2028}',
        '\u{202e}',
        '\u{e0041}',
    ];

    #[test]
    fn nothing_harmful_is_left_in_a_text() {
        for c in HARMFUL {
            let text = format!("a{c}b\nc");
            assert_eq!(one_line(&text), "a\u{fffd}b\u{fffd}c", "{c:?}");
            assert_eq!(lines(&text), "a\u{fffd}b\nc", "{c:?}");
            assert_eq!(painted(&text), "a\u{fffd}b\nc", "{c:?}");
        }
        assert_eq!(lines("注文 🦀 é"), "注文 🦀 é");
    }

    #[test]
    fn of_escape_sequences_only_colours_are_left() {
        let colour = "\x1b[1;31mred\x1b[0m and \x1b[2mquiet\x1b[0m";
        assert_eq!(painted(colour), colour);
        for (text, shown) in [
            ("\x1b[2J", "\u{fffd}[2J"),
            ("\x1b]0;title\x07", "\u{fffd}]0;title\u{fffd}"),
            ("\x1b\x1b[1m\u{202e}", "\u{fffd}\x1b[1m\u{fffd}"),
            ("\x1b[1", "\u{fffd}[1"),
            ("\x1b[1;?m", "\u{fffd}[1;?m"),
        ] {
            assert_eq!(painted(text), shown, "{text:?}");
        }
        assert_eq!(lines(colour).find('\x1b'), None);
    }

    #[test]
    fn a_json_document_keeps_its_value() {
        let text: String = HARMFUL.into_iter().collect();
        let document = format!("{{\r\n\t\"name\": {}}}", serde_json::to_string(&text).unwrap());
        let escaped = json(&document);
        assert!(escaped.chars().all(|c| c == '\n' || !is_harmful(c)), "{escaped:?}");
        let values = [&document, &*escaped]
            .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap()["name"].clone());
        assert_eq!(values, [&*text, &*text]);
        assert_eq!(json("{\"a\": \"é\"}"), "{\"a\": \"é\"}");
    }

    #[test]
    fn a_password_in_an_address_is_left_out() {
        for (text, shown) in [
            ("http://a:b@c/d@host/x", "http://…@host/x"),
            ("a \"https://user@host\" b://c@d", "a \"https://…@host\" b://…@d"),
            (
                "{\"url\":\"http://host/\",\"to\":\"a@b\"}",
                "{\"url\":\"http://host/\",\"to\":\"a@b\"}",
            ),
            ("://", "://"),
            ("ada@example.test", "ada@example.test"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
