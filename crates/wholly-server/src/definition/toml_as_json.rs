//! A TOML text written out as JSON, with the place in the TOML of each of its values.

use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

/// The deepest nesting of values.
const LEVEL_LIMIT: usize = 100;

/// The JSON of a TOML text.
#[derive(Default)]
pub struct TomlAsJson {
    pub json: String,
    /// The first byte of each value, in the JSON (ascending) and in the TOML.
    places: Vec<(usize, usize)>,
    /// Values that JSON cannot represent, each with its byte in the TOML. `null` is in their place.
    pub unrepresentable: Vec<(usize, String)>,
}

impl TomlAsJson {
    /// Writes a TOML text out as JSON.
    ///
    /// # Errors
    /// Every error in the syntax, each with its byte.
    pub fn of(text: &str) -> Result<Self, Vec<(usize, String)>> {
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let said = |error: &toml::de::Error| {
                let at = error.span().map_or(0, |span| span.start);
                (at, error.message().trim().replace('\n', ", "))
            };
            return Err(errors.iter().map(said).collect());
        }
        let mut converted = Self::default();
        converted.places.push((0, 0));
        converted.table(document.get_ref(), 0);
        Ok(converted)
    }

    /// The byte of the TOML for the value that begins at this byte of the JSON.
    pub fn source(&self, at: usize) -> usize {
        let nth = self.places.partition_point(|&(json, _)| json <= at);
        nth.checked_sub(1).and_then(|nth| self.places.get(nth)).map_or(0, |&(_, toml)| toml)
    }

    fn table(&mut self, table: &DeTable<'_>, level: usize) {
        // In the order of the text.
        let mut members: Vec<(&Spanned<DeString<'_>>, _)> = table.iter().collect();
        members.sort_by_key(|(key, _)| key.span().start);
        self.json.push('{');
        for (nth, (key, value)) in members.into_iter().enumerate() {
            if nth > 0 {
                self.json.push(',');
            }
            self.places.push((self.json.len(), key.span().start));
            self.text(key.get_ref());
            self.json.push(':');
            self.value(value, level + 1);
        }
        self.json.push('}');
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, level: usize) {
        let at = value.span().start;
        self.places.push((self.json.len(), at));
        if level > LEVEL_LIMIT {
            return self
                .unrepresentable(at, format!("values nest at most {LEVEL_LIMIT} levels deep"));
        }
        match value.get_ref() {
            DeValue::String(text) => self.text(text),
            DeValue::Boolean(boolean) => self.json += if *boolean { "true" } else { "false" },
            DeValue::Integer(integer) => match decimal(integer) {
                Some(decimal) => self.json += &decimal,
                None => self.unrepresentable(at, format!("{integer} is too large")),
            },
            // Floats that JSON cannot represent have letters other than an exponent's.
            DeValue::Float(float) if float.as_str().contains(['n', 'i']) => {
                self.unrepresentable(at, format!("JSON has no {float}"));
            }
            DeValue::Float(float) => self.json += float.as_str().trim_start_matches('+'),
            DeValue::Datetime(date) => {
                self.unrepresentable(at, format!("JSON has no dates; write \"{date}\""))
            }
            DeValue::Array(elements) => {
                self.json.push('[');
                for (nth, element) in elements.iter().enumerate() {
                    if nth > 0 {
                        self.json.push(',');
                    }
                    self.value(element, level + 1);
                }
                self.json.push(']');
            }
            DeValue::Table(table) => self.table(table, level),
        }
    }

    fn unrepresentable(&mut self, at: usize, why: String) {
        self.json += "null";
        self.unrepresentable.push((at, why));
    }

    fn text(&mut self, text: &str) {
        self.json += &serde_json::Value::from(text).to_string();
    }
}

/// An integer as JSON writes it. In base 10 it keeps every digit.
fn decimal(integer: &DeInteger<'_>) -> Option<String> {
    match integer.radix() {
        10 => Some(integer.as_str().trim_start_matches('+').to_owned()),
        radix => u128::from_str_radix(integer.as_str(), radix).ok().map(|n| n.to_string()),
    }
}
