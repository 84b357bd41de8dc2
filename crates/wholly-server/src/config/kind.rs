//! Kinds of logs and participants: the key `kind` of a section decides its other keys.
//!
//! To add a kind: a file whose type implements [`Section`], and its line in the list of kinds, which
//! is `log::KINDS` or `participants::KINDS`. Variables, `wholly config check` and the messages about
//! wrong keys follow from the list.

use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};
use wholly::Settings;

use super::variables::fields;
use super::{Wrong, explain};

const KIND: &str = "kind";

/// The keys that a section of one kind has beside those of every kind.
pub(super) trait Section: DeserializeOwned {
    /// The word that names the kind.
    const KIND: &'static str;

    /// The log or the endpoint that a section configures.
    type Configured;

    /// Makes the log or the endpoint.
    fn configured(self, context: &Context<'_>) -> Result<Self::Configured, Wrong>;
}

/// The rest of the configuration, as far as a section may depend on it.
pub(super) struct Context<'a> {
    /// The directory where relative paths start.
    pub directory: &'a Path,
    pub settings: &'a Settings,
    /// True if a log is created where there is none.
    pub create_log: bool,
}

/// All kinds of logs, or of participants.
pub(super) struct Kinds<T: 'static> {
    /// The kind of a section that names none.
    pub default: &'static str,
    pub all: &'static [Kind<T>],
}

/// A kind in its list.
pub(super) struct Kind<T> {
    word: &'static str,
    keys: fn() -> &'static [&'static str],
    configured: fn(Spanned<DeTable<'_>>, &Context<'_>) -> Result<T, Wrong>,
}

impl<T> Kind<T> {
    pub const fn of<S: Section<Configured = T>>() -> Self {
        Self {
            word: S::KIND,
            keys: fields::<'static, S>,
            configured: |section, context| deserialized::<S>(section)?.configured(context),
        }
    }
}

impl<T> Kinds<T> {
    /// The words that name the kinds.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|kind| kind.word)
    }

    /// Every key of a section, whatever its kind: those of every kind are `C`'s.
    pub fn keys<C: DeserializeOwned>(&self) -> Vec<&'static str> {
        let own = self.all.iter().flat_map(|kind| (kind.keys)());
        let mut keys: Vec<_> = [KIND].iter().chain(fields::<C>()).chain(own).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Reads a section: the word of its kind, the keys of every kind, and what its own make.
    pub fn read<C: DeserializeOwned>(
        &self,
        section: Spanned<DeTable<'_>>,
        context: &Context<'_>,
    ) -> Result<(&'static str, C, T), Wrong> {
        let span = section.span();
        let (mut common, mut own) = (DeTable::new(), section.into_inner());
        let kind = self.named(own.remove(KIND))?;
        let known = [&[KIND], fields::<C>(), (kind.keys)()].concat();
        for key in own.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                return Err(Wrong::about(key, explain::unknown(key.get_ref(), &known)));
            }
        }
        for key in fields::<C>() {
            common.extend(own.remove_entry(*key));
        }
        let common = deserialized(Spanned::new(span.clone(), common))?;
        Ok((kind.word, common, (kind.configured)(Spanned::new(span, own), context)?))
    }

    /// The kind with this word. The message repeats no value: see [`explain::explained`].
    fn named(&self, word: Option<Spanned<DeValue<'_>>>) -> Result<&'static Kind<T>, Wrong> {
        let word = word.unwrap_or_else(|| Spanned::new(0..0, DeValue::String(self.default.into())));
        let named = word.get_ref().as_str();
        let found = self.all.iter().find(|kind| named == Some(kind.word));
        found.ok_or_else(|| {
            let words: Vec<_> = self.words().collect();
            Wrong::about(
                &word,
                format!("there is no such kind; there are `{}`", words.join("`, `")),
            )
        })
    }
}

/// The table that a value is.
pub(super) fn table(value: Spanned<DeValue<'_>>) -> Result<Spanned<DeTable<'_>>, Wrong> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(span, table)),
        other => Err(Wrong {
            at: span.start,
            why: format!("invalid type: {}, expected a table", other.type_str()),
        }),
    }
}

fn deserialized<T: DeserializeOwned>(section: Spanned<DeTable<'_>>) -> Result<T, Wrong> {
    let at = section.span().start;
    T::deserialize(Deserializer::from(section)).map_err(|error| Wrong::of(&error, at, ""))
}

/// A key whose section is read by its kind.
pub(super) type ReadByKind = Option<IgnoredAny>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Near {
        path: String,
    }

    #[derive(Deserialize)]
    struct Far {
        url: String,
    }

    #[derive(Deserialize)]
    struct Common {
        limit: Option<u32>,
    }

    impl Section for Near {
        const KIND: &'static str = "near";
        type Configured = String;

        fn configured(self, _: &Context<'_>) -> Result<String, Wrong> {
            Ok(self.path)
        }
    }

    impl Section for Far {
        const KIND: &'static str = "far";
        type Configured = String;

        fn configured(self, _: &Context<'_>) -> Result<String, Wrong> {
            Ok(self.url)
        }
    }

    const KINDS: Kinds<String> =
        Kinds { default: "near", all: &[Kind::of::<Near>(), Kind::of::<Far>()] };

    fn read(text: &str) -> Result<(&'static str, Option<u32>, String), (usize, String)> {
        let settings = Settings::default();
        let context = Context { directory: Path::new("/"), settings: &settings, create_log: true };
        let section = DeTable::parse(text).unwrap();
        let (kind, Common { limit }, made) =
            KINDS.read(section, &context).map_err(|Wrong { at, why }| (at, why))?;
        Ok((kind, limit, made))
    }

    #[test]
    fn a_section_has_the_keys_of_its_kind() {
        assert_eq!(read("path = 'a'"), Ok(("near", None, "a".to_owned())));
        assert_eq!(
            read("limit = 3\nurl = 'b'\nkind = 'far'"),
            Ok(("far", Some(3), "b".to_owned()))
        );
        assert_eq!(KINDS.keys::<Common>(), ["kind", "limit", "path", "url"]);
    }

    #[test]
    fn the_keys_of_another_kind_are_refused_as_any_that_is_unknown() {
        for (text, at, says) in [
            ("url = 'b'", 0, "no key `url` here; there are `kind`, `limit`, `path`"),
            (
                "kind = 'far'\npath = 'a'",
                13,
                "no key `path` here; there are `kind`, `limit`, `url`",
            ),
            ("kind = 'far'\nurl = 'b'\nlimt = 1", 23, "did you mean `limit`?"),
            ("kind = 'farr'", 7, "there is no such kind; there are `near`, `far`"),
            ("kind = 'far'", 0, "missing field `url`"),
        ] {
            let (place, why) = read(text).unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
            assert_eq!(place, at, "{text}: {why}");
        }
    }
}
