//! A transaction in a file, and where in the file something is wrong.

use std::path::PathBuf;

use serde_json::value::RawValue;

use wholly_core::saga::Problem;

use crate::definition::{FileError, Format, Located, Transcript, json, read_text};
use crate::line_column::LineColumn;

/// A transaction in a file.
pub struct Written {
    file: PathBuf,
    text: String,
    /// Of one that is in TOML.
    transcript: Option<Transcript>,
}

impl Written {
    /// Reads a file; `-` is the standard input. That it makes sense is for the server to say.
    ///
    /// # Errors
    /// Where it cannot be read, or is neither JSON nor TOML.
    pub fn read(file: PathBuf) -> Result<Self, FileError> {
        match read_text(&file) {
            Ok(text) => Self::of(file, text),
            Err(why) => Err(FileError::Unreadable { file, why }),
        }
    }

    /// The transaction in a file with this text.
    ///
    /// # Errors
    /// Where it is neither JSON nor TOML.
    pub fn of(file: PathBuf, text: String) -> Result<Self, FileError> {
        let transcript = match Format::of_file(&file).unwrap_or_else(|| Format::of_text(&text)) {
            Format::Json => match serde_json::from_str::<&RawValue>(&text) {
                Ok(_) => Ok(None),
                Err(error) => Err(vec![json::malformed(&text, &error)]),
            },
            Format::Toml => match Transcript::of(&text) {
                Ok(transcript) if transcript.formless.is_empty() => Ok(Some(transcript)),
                Ok(transcript) => Err(transcript.formless),
                Err(errors) => Err(errors),
            },
        };
        match transcript {
            Ok(transcript) => Ok(Self { file, text, transcript }),
            Err(wrong) => {
                let problems = wrong.into_iter().map(|(at, what)| located(&text, at, what));
                Err(FileError::Invalid { problems: problems.collect(), file })
            }
        }
    }

    /// The request to the server.
    pub fn json(&self) -> &str {
        self.transcript.as_ref().map_or(self.text.trim(), |transcript| &transcript.json)
    }

    /// Says in which file it is what makes no sense, and where, if that is said: by the line and
    /// column in what the server is sent.
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

    /// Where in the file is what is sent at this byte.
    fn source(&self, at: usize) -> usize {
        match &self.transcript {
            Some(transcript) => transcript.source(at),
            None => self.text.len() - self.text.trim_start().len() + at,
        }
    }
}

fn located(text: &str, at: usize, what: String) -> Located {
    Located { place: LineColumn::of(text, at), problem: Problem { at: Vec::new(), what } }
}
