//! What `wholly check` and `wholly diagram` are given: the definition of a saga, or what a service
//! declares of its part in a choreography.

use std::path::Path;

use serde_json::value::RawValue;
use wholly_core::saga::{Graph, Problem};
use wholly_events::Declaration;

use crate::definition::{FileError, Format, Located, json, parse, read_text};
use crate::fetch::fetch;
use crate::place::Place;

/// What a file or an address gives.
pub enum Given {
    /// The definition of a saga.
    Saga(Graph),
    /// What a service declares.
    Declaration(Declaration),
}

/// Reads a file, or asks an address for it; `-` is the standard input.
///
/// # Errors
/// When there is nothing to read, or when it is neither.
pub fn read(from: &Path) -> Result<Given, FileError> {
    let text = match from.to_str() {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => fetch(url),
        _ => read_text(from),
    };
    let text = text.map_err(|why| FileError::Unreadable { file: from.to_owned(), why })?;
    if !is_declaration(&text) {
        return parse(from, &text).map(Given::Saga);
    }
    serde_json::from_str(&text).map(Given::Declaration).map_err(|error| {
        let (at, what) = json::malformed(&text, &error);
        let problem = Problem { at: Vec::new(), what };
        let problems = vec![Located { place: Place::of(&text, at), problem }];
        FileError::Invalid { file: from.to_owned(), problems }
    })
}

/// True for a JSON object with a service; a saga has none.
fn is_declaration(text: &str) -> bool {
    let members = || json::members(serde_json::from_str::<&RawValue>(text).ok()?);
    Format::of_text(text) == Format::Json
        && members().is_some_and(|members| members.iter().any(|member| member.name == "service"))
}
