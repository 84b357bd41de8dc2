//! The inputs of `wholly check` and `wholly diagram`: the definition of a saga, the submission of a
//! two-phase transaction, or a service's declaration of its part in a choreography.
//!
//! Each kind of document is recognised by members that the others lack.

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

/// The document in a file, or at an address.
pub enum InputDocument {
    /// The definition of a saga.
    Saga(Graph),
    /// A valid two-phase transaction.
    TwoPhase(two_phase::Proposal),
    /// A service's declaration.
    Declaration(Declaration),
}

/// Reads a file, or asks an address for it; `-` is the standard input.
///
/// # Errors
/// When there is nothing to read, or when the document is none of these.
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
                       transaction, which has `branches`, nor a service's declaration, which has a \
                       `service`";

/// The document in a text, if it is one.
enum DocumentKind {
    /// Also any text that is not an object, whose problems the definition's parser reports.
    Definition,
    Submission,
    Declaration,
    /// An object without a distinguishing member.
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

/// The transaction of a valid submission.
fn two_phase_proposal(written: &TransactionFile) -> Result<two_phase::Proposal, FileError> {
    let refused = |why: &dyn std::fmt::Display| {
        written.refused(&format!("the two-phase transaction is invalid: {why}"))
    };
    let document: SubmissionDocument =
        serde_json::from_str(written.json()).map_err(|error| refused(&error))?;
    if document.pattern == Pattern::Saga {
        let why = "this submits a saga; give the saga's definition, which has `steps`, instead";
        return Err(written.refused(why));
    }
    document.two_phase().map_err(|error| refused(&error))
}
