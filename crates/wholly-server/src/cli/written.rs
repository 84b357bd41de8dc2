//! A transaction in a file, and where in the file something is wrong.

use std::path::PathBuf;

use serde_json::value::RawValue;

use super::exit::Failed;
use crate::definition::{Format, Named, Transcript, json, read_text};
use crate::place::Place;

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
    pub fn read(file: PathBuf) -> Result<Self, Failed> {
        let text = read_text(&file)
            .map_err(|why| Failed::Usage(format!("{}: cannot be read: {why}", Named(&file))))?;
        let wrong = |wrong: &[(usize, String)]| {
            let line = |(at, why): &_| format!("{}:{}: {why}", Named(&file), Place::of(&text, *at));
            Failed::Usage(wrong.iter().map(line).collect::<Vec<_>>().join("\n"))
        };
        let transcript = match Format::of_file(&file).unwrap_or_else(|| Format::of_text(&text)) {
            Format::Json => match serde_json::from_str::<&RawValue>(&text) {
                Ok(_) => None,
                Err(error) => return Err(wrong(&[json::malformed(&text, &error)])),
            },
            Format::Toml => match Transcript::of(&text) {
                Ok(transcript) if transcript.formless.is_empty() => Some(transcript),
                Ok(transcript) => return Err(wrong(&transcript.formless)),
                Err(errors) => return Err(wrong(&errors)),
            },
        };
        Ok(Self { file, text, transcript })
    }

    /// What the server is sent.
    pub fn json(&self) -> &str {
        self.transcript.as_ref().map_or(self.text.trim(), |transcript| &transcript.json)
    }

    /// Says in which file it is what makes no sense, and where, if that is said.
    pub fn refused(&self, why: impl Into<Failed>) -> Failed {
        let why = why.into();
        if !why.is_usage() {
            return why;
        }
        let (name, said) = (Named(&self.file), why.to_string());
        Failed::Usage(match json::placed(&said) {
            Some((what, line, column)) => {
                let at = self.source(json::byte(self.json(), line, column));
                format!("{name}:{}: {what}", Place::of(&self.text, at))
            }
            None => format!("{name}: {said}"),
        })
    }

    /// Where in the file is what is sent at this byte.
    fn source(&self, at: usize) -> usize {
        match &self.transcript {
            Some(transcript) => transcript.source(at),
            None => self.text.len() - self.text.trim_start().len() + at,
        }
    }
}
