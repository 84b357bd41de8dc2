//! A case in a file of TOML.

use std::io;
use std::path::{Path, PathBuf};

use super::case::PartialAnswers;
use crate::config::explain::explained;
use crate::definition::{FileLabel, read_text};
use crate::line_column::LineColumn;

/// The lesson's question: several services, a database each.
const LESSON: &str = include_str!("lesson.toml");

/// The reason why a file gives no answers.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: cannot be read: {why}", FileLabel(.file))]
    Unreadable { file: PathBuf, why: io::Error },
    #[error("{}:{place}: {why}", FileLabel(.file))]
    Invalid { file: PathBuf, place: LineColumn, why: String },
}

/// The answers of a file; `-` is the standard input.
pub fn read(file: &Path) -> Result<PartialAnswers, FileError> {
    let text =
        read_text(file).map_err(|why| FileError::Unreadable { file: file.to_owned(), why })?;
    parse(file, &text)
}

/// The answers of the lesson.
pub fn lesson() -> Result<PartialAnswers, FileError> {
    parse(Path::new("lesson.toml"), LESSON)
}

fn parse(file: &Path, text: &str) -> Result<PartialAnswers, FileError> {
    toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let message = error.message().trim().replace('\n', ", ");
        let said = text.get(span.clone()).unwrap_or_default();
        let place = LineColumn::of(text, span.start);
        let why = match message.as_str() {
            "duplicate key" => format!("`{}` is answered twice; answer it once", said.trim()),
            _ => explained(&message, said),
        };
        FileError::Invalid { file: file.to_owned(), place, why }
    })
}

#[cfg(test)]
mod tests {
    use super::super::case::{Answer, Readers};
    use super::super::considered::Considered;
    use super::*;

    fn wrong(text: &str) -> String {
        parse(Path::new("case.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_answers_what_it_answers() {
        let text = "readers = 'strict'\nundo = 'unknown'\nconsidered = ['distributed-lock']\n";
        let given = parse(Path::new("case.toml"), text).unwrap();
        assert_eq!(given.readers, Some(Answer::Known(Readers::Strict)));
        assert_eq!(given.undo, Some(Answer::Unknown));
        assert_eq!(given.prepare, None);
        assert_eq!(given.considered, Some(vec![Considered::DistributedLock]));
        lesson().unwrap();
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_and_what_was_meant() {
        for (text, says) in [
            (
                "reader = 'strict'",
                "case.toml:1:1: there is no key `reader` here; did you mean `readers`?",
            ),
            ("\nzzz = 1", "case.toml:2:1: there is no key `zzz` here; there are `participants`, "),
            ("readers = 'strickt'", ":1:11: `strickt` is no answer here; did you mean `strict`?"),
            ("readers = 'x'", "there are `tolerant`, `strict`, `unknown`"),
            ("readers = 3", "one of `tolerant`, `strict`, `unknown`"),
            ("considered = ['sagas']", "did you mean `saga`?"),
            ("considered = 'saga'", "case.toml:1:14: "),
            (
                "readers = 'strict'\nreaders = 'strict'",
                "case.toml:2:1: `readers` is answered twice; answer it once",
            ),
            ("readers = ", "case.toml:1:"),
        ] {
            let said = wrong(text);
            assert!(said.contains(says), "{text}: {said}");
        }
    }
}
