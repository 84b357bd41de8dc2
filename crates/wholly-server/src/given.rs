//! What `wholly check` and `wholly diagram` are given: the definition of a saga, a two-phase
//! transaction as it is submitted, or what a service declares of its part in a choreography.
//!
//! Which of them a text is, is told by the members that no other has.

use std::path::Path;

use serde_json::value::RawValue;
use wholly_core::saga::{Graph, Problem};
use wholly_core::{Pattern, two_phase};
use wholly_events::Declaration;

use crate::definition::{FileError, Format, Located, TomlAsJson, json, parse, read_text};
use crate::fetch::fetch;
use crate::line_column::LineColumn;
use crate::submission::SubmissionDocument;
use crate::written::TransactionFile;

/// What a file or an address gives.
pub enum InputDocument {
    /// The definition of a saga.
    Saga(Graph),
    /// A transaction in two phases, which a coordinator could take.
    TwoPhase(two_phase::Proposal),
    /// What a service declares.
    Declaration(Declaration),
}

/// Reads a file, or asks an address for it; `-` is the standard input.
///
/// # Errors
/// When there is nothing to read, or when it is none of these.
pub fn read(from: &Path) -> Result<InputDocument, FileError> {
    let text = match from.to_str() {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => fetch(url),
        _ => read_text(from),
    };
    let text = text.map_err(|why| FileError::Unreadable { file: from.to_owned(), why })?;
    match DocumentKind::of(&text) {
        DocumentKind::Definition => parse(from, &text).map(InputDocument::Saga),
        DocumentKind::Submission => {
            two_phase_proposal(&TransactionFile::of(from.to_owned(), text)?)
                .map(InputDocument::TwoPhase)
        }
        DocumentKind::Declaration => {
            serde_json::from_str(&text).map(InputDocument::Declaration).map_err(|error| {
                let (at, what) = json::malformed(&text, &error);
                let problem = Problem { at: Vec::new(), what };
                let problems = vec![Located { place: LineColumn::of(&text, at), problem }];
                FileError::Invalid { file: from.to_owned(), problems }
            })
        }
        DocumentKind::Unknown => {
            Err(FileError::Refused { file: from.to_owned(), why: UNKNOWN.into() })
        }
    }
}

const UNKNOWN: &str = "this is neither a saga's definition, which has `steps`, nor a two-phase \
                       transaction, which has `branches`, nor what a service declares, which has \
                       a `service`";

/// The document in a text, if it is one.
enum DocumentKind {
    /// Also a text that is no object: what is wrong with it is said there.
    Definition,
    Submission,
    Declaration,
    /// An object with nothing by which it could be told.
    Unknown,
}

impl DocumentKind {
    fn of(text: &str) -> Self {
        let members = match Format::of_text(text) {
            Format::Json => names(text),
            Format::Toml => TomlAsJson::of(text).ok().and_then(|read| names(&read.json)),
        };
        let Some(members) = members else { return Self::Definition };
        let has = |names: &[&str]| members.iter().any(|member| names.contains(&&**member));
        match () {
            () if has(&["service"]) && Format::of_text(text) == Format::Json => Self::Declaration,
            () if has(&["steps", "version"]) => Self::Definition,
            () if has(&["branches", "pattern", "key", "saga", "input"]) => Self::Submission,
            () => Self::Unknown,
        }
    }
}

/// The names of an object's members.
fn names(text: &str) -> Option<Vec<String>> {
    let members = json::members(serde_json::from_str::<&RawValue>(text).ok()?)?;
    Some(members.into_iter().map(|member| member.name).collect())
}

/// The transaction that would be taken if it were submitted so.
fn two_phase_proposal(written: &TransactionFile) -> Result<two_phase::Proposal, FileError> {
    let refused = |why: &dyn std::fmt::Display| {
        written.refused(&format!("the two-phase transaction cannot be taken: {why}"))
    };
    let document: SubmissionDocument =
        serde_json::from_str(written.json()).map_err(|error| refused(&error))?;
    if document.pattern == Pattern::Saga {
        let why = "this submits a saga; give the saga's definition, which has `steps`, instead";
        return Err(written.refused(why));
    }
    document.two_phase().map_err(|error| refused(&error))
}
