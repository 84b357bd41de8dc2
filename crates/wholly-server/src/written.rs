//! A transaction in a file, and the places of its problems in the file.

use std::path::PathBuf;

use serde_json::value::RawValue;

use wholly_core::saga::Problem;

use crate::definition::{FileError, Format, Located, TomlAsJson, json, read_text};
use crate::line_column::LineColumn;

/// A transaction in a file.
pub struct TransactionFile {
    file: PathBuf,
    text: String,
    /// Of one that is in TOML.
    converted: Option<TomlAsJson>,
}

impl TransactionFile {
    /// Reads a file; `-` is the standard input. The server checks its meaning.
    ///
    /// # Errors
    /// When it cannot be read, or is neither JSON nor TOML.
    pub fn read(file: PathBuf) -> Result<Self, FileError> {
        match read_text(&file) {
            Ok(text) => Self::of(file, text),
            Err(why) => Err(FileError::Unreadable { file, why }),
        }
    }

    /// The transaction in a file with this text.
    ///
    /// # Errors
    /// When it is neither JSON nor TOML.
    pub fn of(file: PathBuf, text: String) -> Result<Self, FileError> {
        let converted = match Format::of_file(&file).unwrap_or_else(|| Format::of_text(&text)) {
            Format::Json => match serde_json::from_str::<&RawValue>(&text) {
                Ok(_) => Ok(None),
                Err(error) => Err(vec![json::malformed(&text, &error)]),
            },
            Format::Toml => match TomlAsJson::of(&text) {
                Ok(converted) if converted.unrepresentable.is_empty() => Ok(Some(converted)),
                Ok(converted) => Err(converted.unrepresentable),
                Err(errors) => Err(errors),
            },
        };
        match converted {
            Ok(converted) => Ok(Self { file, text, converted }),
            Err(wrong) => {
                let problems = wrong.into_iter().map(|(at, what)| located(&text, at, what));
                Err(FileError::Invalid { problems: problems.collect(), file })
            }
        }
    }

    /// The request to the server.
    pub fn json(&self) -> &str {
        self.converted.as_ref().map_or(self.text.trim(), |converted| &converted.json)
    }

    /// Adds the file to a problem, and its place there, if the problem has one: a line and column
    /// in the text sent to the server.
    pub fn refused(&self, said: &str) -> FileError {
        let file = self.file.clone();
        match json::placed(said) {
            Some((what, line, column)) => {
                let at = self.source(json::byte(self.json(), line, column));
                FileError::Invalid {
                    file,
                    problems: vec![located(&self.text, at, what.to_owned())],
                }
            }
            None => FileError::Refused { file, why: said.to_owned() },
        }
    }

    /// The place in the file of this byte of the submission.
    fn source(&self, at: usize) -> usize {
        match &self.converted {
            Some(converted) => converted.source(at),
            None => self.text.len() - self.text.trim_start().len() + at,
        }
    }
}

fn located(text: &str, at: usize, what: String) -> Located {
    Located { place: LineColumn::of(text, at), problem: Problem { at: Vec::new(), what } }
}
