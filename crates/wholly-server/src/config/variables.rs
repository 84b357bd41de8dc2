//! Every key of the configuration as an environment variable.
//!
//! The rule is mechanical: `WHOLLY_`, the section, the key, in capitals: `in_flight_limit` of
//! `[settings]` is `WHOLLY_SETTINGS_IN_FLIGHT_LIMIT`, and `url` of `[participants.order-service]`
//! `WHOLLY_PARTICIPANTS_ORDER_SERVICE_URL` (so for `[feeds.NAME]`). A section of one kind has the
//! variables of every kind. A value is written as in the file; a text needs no quotes. One that is
//! empty counts as not set.
//!
//! A variable takes the place of its key in the file before either is read as a value, so that there
//! is one parser and one set of errors.

use std::ffi::OsString;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor, value};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{AlertsSection, FeedSection, File, Logs, MetricsSection};
use super::{
    ConfigError, RetentionSection, SettingsSection, ShutdownSection, TracesSection, Wrong, limits,
    log, participants, tls,
};

const PREFIX: &str = "WHOLLY_";

/// Variables with the prefix that are no keys: `WHOLLY_LOG` and the like.
const OTHERS: [&str; 5] = ["CONFIG", "SAGAS", "LOG", "TOKEN", "SERVER"];

/// The least likeness of an unknown variable to a known one, to be taken for a mistake: others may have
/// variables of this prefix, too.
const MISTAKE: f64 = 0.75;

/// The environment's variables that may be keys: their names without the prefix, and their values.
#[derive(Clone, Default)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// The variables of this process.
    pub fn of_environment() -> Result<Self, ConfigError> {
        Self::of(std::env::vars_os())
    }

    pub(super) fn of(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let mut variables = Vec::new();
        for (name, value) in all {
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            match value.into_string() {
                Ok(value) if value.is_empty() || OTHERS.contains(&name) => {}
                Ok(value) => variables.push((name.to_owned(), value)),
                Err(_) => return Err(ConfigError::variable(name, "is no UTF-8".to_owned())),
            }
        }
        // Sorted, so that of two mistakes always the same one is reported.
        variables.sort();
        Ok(Self(variables))
    }

    /// Puts them in the place of the file's values. A place behind the `text` of the file is a
    /// variable, which [`Variables::at`] names.
    pub(super) fn replace<'v>(
        &'v self,
        text: &str,
        file: &mut Spanned<DeTable<'v>>,
    ) -> Result<(), Wrong> {
        let keys = keys(file.get_ref());
        for (nth, (name, value)) in self.0.iter().enumerate() {
            // It is a secret that the file names, whatever its name.
            if text.contains(&format!("env:{PREFIX}{name}")) {
                continue;
            }
            let at = text.len() + 1 + nth;
            let mut found = keys.iter().filter(|key| key.variable == *name);
            match (found.next(), found.next()) {
                (Some(key), None) => set(file.get_mut(), &key.path, placed(parsed(value), at)),
                (Some(_), Some(_)) => {
                    let why = "two sections have this variable: say it in the file".to_owned();
                    return Err(Wrong { at, why });
                }
                (None, _) => {
                    unknown(name, &keys).map_or(Ok(()), |why| Err(Wrong { at, why }))?;
                }
            }
        }
        Ok(())
    }

    /// The variable at a place behind the text of the file.
    pub(super) fn at(&self, text: &str, at: usize) -> Option<&str> {
        let nth = at.checked_sub(text.len() + 1)?;
        self.0.get(nth).map(|(name, _)| name.as_str())
    }
}

impl ConfigError {
    pub(super) fn variable(name: &str, why: String) -> Self {
        Self::Variable { name: format!("{PREFIX}{name}"), why }
    }
}

/// A key, and its variable without the prefix.
struct Key {
    path: Vec<String>,
    variable: String,
}

/// Every key, with those of the participants and feeds that the file names.
fn keys(file: &DeTable<'_>) -> Vec<Key> {
    let sections = sections();
    let own = fields::<File>()
        .iter()
        .filter(|key| !NAMED.contains(key) && sections.iter().all(|(section, _)| section != *key));
    let key = |path: &[&str]| Key {
        path: path.iter().map(|part| (*part).to_owned()).collect(),
        variable: in_capitals(path),
    };
    let own = own.map(|own| key(&[own]));
    let in_sections = sections
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(move |name| key(&[section, name])));
    let of_participants = participants::KINDS.keys::<participants::CommonSection>();
    let of_named = [of_participants, fields::<FeedSection>().to_vec()];
    let of_named = NAMED.into_iter().zip(of_named).flat_map(|(section, keys)| {
        let named = file.get(section).and_then(|section| section.get_ref().as_table());
        let named = named.into_iter().flat_map(|section| section.keys());
        let named =
            named.flat_map(|name| keys.iter().map(|own| key(&[section, name.get_ref(), own])));
        named.collect::<Vec<_>>()
    });
    own.chain(in_sections).chain(of_named).collect()
}

/// The sections that have a section below them for each name.
const NAMED: [&str; 2] = ["participants", "feeds"];

fn sections() -> [(&'static str, Vec<&'static str>); 10] {
    [
        ("log", log::KINDS.keys::<log::CommonSection>()),
        ("tls", fields::<tls::TlsSection>().to_vec()),
        ("limits", fields::<limits::LimitsSection>().to_vec()),
        ("shutdown", fields::<ShutdownSection>().to_vec()),
        ("logs", fields::<Logs>().to_vec()),
        ("metrics", fields::<MetricsSection>().to_vec()),
        ("alerts", fields::<AlertsSection>().to_vec()),
        ("traces", fields::<TracesSection>().to_vec()),
        ("retention", fields::<RetentionSection>().to_vec()),
        ("settings", fields::<SettingsSection>().to_vec()),
    ]
}

fn in_capitals(path: &[&str]) -> String {
    path.join("_").replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_uppercase()
}

/// A value as the file would have it; a text that is no value there is one without its quotes.
fn parsed(text: &str) -> DeValue<'_> {
    match DeValue::parse(text) {
        Ok(value) => value.into_inner(),
        Err(_) => DeValue::String(text.into()),
    }
}

/// The value, all of it at one place.
fn placed(value: DeValue<'_>, at: usize) -> Spanned<DeValue<'_>> {
    let value = match value {
        DeValue::Array(mut values) => {
            for value in values.iter_mut() {
                let inner = std::mem::replace(value.get_mut(), DeValue::Boolean(false));
                *value = placed(inner, at);
            }
            DeValue::Array(values)
        }
        DeValue::Table(members) => {
            let members = members.into_iter().map(|(key, value)| {
                (Spanned::new(at..at, key.into_inner()), placed(value.into_inner(), at))
            });
            DeValue::Table(members.collect())
        }
        other => other,
    };
    Spanned::new(at..at, value)
}

fn set<'v>(table: &mut DeTable<'v>, path: &[String], value: Spanned<DeValue<'v>>) {
    let Some((first, rest)) = path.split_first() else { return };
    let span = value.span();
    if rest.is_empty() {
        // The key's own place would stay that of the file.
        table.remove(first.as_str());
        table.insert(Spanned::new(span, first.clone().into()), value);
        return;
    }
    let empty = || Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
    let section = table.entry(Spanned::new(span.clone(), first.clone().into()));
    // Another value there instead of a section is reported when the file is read.
    if let DeValue::Table(section) = section.or_insert_with(empty).get_mut() {
        set(section, rest, value);
    }
}

/// The message about a variable that no key has, if it was meant to be one.
fn unknown(name: &str, keys: &[Key]) -> Option<String> {
    // Set in Kubernetes where there is a service of such a name.
    let of_service = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"].iter().any(|p| name.contains(p));
    if of_service || name.ends_with("_PORT") {
        return None;
    }
    let sections = sections().into_iter().map(|(section, _)| section).chain(NAMED);
    let in_section = sections.map(|section| in_capitals(&[section])).any(|section| {
        name.strip_prefix(section.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    });
    let known = keys.iter().map(|key| key.variable.as_str());
    let without_section = known.clone().find(|known| known.ends_with(&format!("_{name}")));
    let (alike, right) = wholly_core::nearest(name, known).unzip();
    if !in_section && without_section.is_none() && alike.is_none_or(|alike| alike < MISTAKE) {
        return None;
    }
    Some(match without_section.or(right) {
        Some(right) => {
            format!("there is no such variable; did you mean {PREFIX}{right}?")
        }
        None => format!(
            "there is no such variable; a key's is {PREFIX}SECTION_KEY, and \
             {PREFIX}PARTICIPANTS_NAME_KEY for a participant that the file names, as \
             {PREFIX}FEEDS_NAME_KEY for a feed"
        ),
    })
}

/// The keys of a section, as its type has them.
pub(super) fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &[&str] = &[];
    // It stops where it has them.
    let _ = T::deserialize(Fields(&mut fields));
    fields
}

struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(value::Error::custom("these are the fields"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(value::Error::custom("this has no fields"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
