//! A definition in a file.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use wholly_core::saga::Graph;
use wholly_terminal::text::without_passwords;

use super::{Format, Located, read};

/// The error of a file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: cannot be read: {why}", FileLabel(.file))]
    Unreadable { file: PathBuf, why: io::Error },
    /// It makes no sense as a whole.
    #[error("{}: {why}", FileLabel(.file))]
    Refused { file: PathBuf, why: String },
    /// The content is invalid: one line for each problem.
    #[error("{}", Lines { file, problems })]
    Invalid { file: PathBuf, problems: Vec<Located> },
}

impl FileError {
    /// The exit code of a command that was given the file.
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Invalid { .. } => 1,
            Self::Unreadable { .. } => 2,
        }
    }
}

/// The definition in a file; `-` is the standard input.
pub fn read_file(file: &Path) -> Result<Graph, FileError> {
    let text =
        read_text(file).map_err(|why| FileError::Unreadable { file: file.to_owned(), why })?;
    parse(file, &text)
}

/// The definition in a file with this text.
pub fn parse(file: &Path, text: &str) -> Result<Graph, FileError> {
    let format = Format::of_file(file).unwrap_or_else(|| Format::of_text(text));
    read(text, format).map_err(|problems| FileError::Invalid { file: file.to_owned(), problems })
}

/// The text of a file; `-` is the standard input.
pub fn read_text(file: &Path) -> io::Result<String> {
    match file.to_str() {
        Some("-") => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        }
        _ => std::fs::read_to_string(file),
    }
}

/// The name of an input in messages, where `-` is the standard input.
pub struct FileLabel<'a>(pub &'a Path);

impl fmt::Display for FileLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_str() {
            Some("-") => f.write_str("the standard input"),
            // A running service's address may hold a password.
            Some(text) => without_passwords(text).fmt(f),
            None => self.0.display().fmt(f),
        }
    }
}

struct Lines<'a> {
    file: &'a Path,
    problems: &'a [Located],
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            let end = if nth == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{problem}", FileLabel(self.file))?;
        }
        Ok(())
    }
}
