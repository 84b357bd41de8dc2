//! Arguments that are secrets, or hold one: no error about them repeats them.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

use crate::config::secret::Secret;

/// A parser of an argument whose error does not repeat it.
#[derive(Clone)]
pub struct Unrepeated<T>(pub fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Unrepeated<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let parsed = match value.to_str() {
            Some(text) => (self.0)(text),
            None => Err("it is no UTF-8".to_owned()),
        };
        parsed.map_err(|why| {
            let named = argument.map(ToString::to_string).unwrap_or_default();
            clap::Error::raw(ErrorKind::ValueValidation, format!("{named}: {why}\n"))
                .with_cmd(command)
        })
    }
}

/// The place of a secret, as an argument says it.
pub fn secret(text: &str) -> Result<Secret, String> {
    Secret::try_from(text.to_owned())
}
