//! A saga's definition as a text, in TOML or JSON: its meaning, and the places of its problems.
//!
//! TOML is written out as JSON first, with the place of each value, so that there is one way to
//! read a definition. All problems are found at once: unknown members and wrong types from the
//! [`shape`], everything else from the graph of the [repaired](repair) text. Only what may follow from
//! another problem waits until that one is repaired by its author.

mod file;
pub mod json;
mod repair;
mod shape;
mod toml_as_json;

use std::fmt;
use std::path::Path;

use serde_json::value::RawValue;
use wholly_core::saga::{Definition, Graph, InvalidDefinition, Problem};
use wholly_terminal::one_line;

use crate::line_column::LineColumn;
pub use file::{FileError, FileLabel, parse, read_file, read_text};
use repair::RepairedText;
pub use toml_as_json::TomlAsJson;

/// The format of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Toml,
    Json,
}

impl Format {
    /// The format that a file's extension names, if it names one.
    pub fn of_file(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The format that a text looks like.
    pub fn of_text(text: &str) -> Self {
        match text.trim_start().starts_with('{') {
            true => Self::Json,
            false => Self::Toml,
        }
    }
}

/// A problem and where it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Located {
    pub place: LineColumn,
    pub problem: Problem,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name in it may have a line feed, and each problem is a line.
        write!(f, "{}: {}", self.place, one_line(&self.problem.what))
    }
}

/// The definition that a text has.
///
/// # Errors
/// All that is wrong with it, in the text's order: at least one problem.
pub fn read(text: &str, format: Format) -> Result<Graph, Vec<Located>> {
    let found = match format {
        Format::Json => of_json(text),
        Format::Toml => of_toml(text),
    };
    found.map_err(|mut problems| {
        problems.sort_by_key(|(at, _)| *at);
        problems.dedup();
        let located = |(at, problem)| Located { place: LineColumn::of(text, at), problem };
        problems.into_iter().map(located).collect()
    })
}

/// A problem, and the byte of the text where it is.
type At = (usize, Problem);

fn somewhere((at, what): (usize, String)) -> At {
    (at, Problem { at: Vec::new(), what })
}

fn of_toml(text: &str) -> Result<Graph, Vec<At>> {
    let converted = TomlAsJson::of(text)
        .map_err(|errors| errors.into_iter().map(somewhere).collect::<Vec<_>>())?;
    let read = of_json(&converted.json);
    let unrepresentable = &converted.unrepresentable;
    match read {
        Ok(graph) if unrepresentable.is_empty() => Ok(graph),
        Ok(_) => Err(unrepresentable.iter().cloned().map(somewhere).collect()),
        Err(problems) => {
            let placed = problems.into_iter().map(|(at, what)| (converted.source(at), what));
            // Problems of a stand-in do not concern the author.
            let own = placed.filter(|(at, _)| unrepresentable.iter().all(|(other, _)| other != at));
            Err(unrepresentable.iter().cloned().map(somewhere).chain(own).collect())
        }
    }
}

fn of_json(text: &str) -> Result<Graph, Vec<At>> {
    let definition: &RawValue = serde_json::from_str(text)
        .map_err(|error| vec![somewhere(json::malformed(text, &error))])?;
    let found = shape::problems(definition);
    let repaired = RepairedText::of(text, &found);
    let mut problems: Vec<At> =
        found.into_iter().map(|found| (json::offset(text, found.part), found.problem)).collect();
    match serde_json::from_str::<Definition>(&repaired.text).map(Graph::new) {
        Ok(Ok(graph)) if problems.is_empty() => return Ok(graph),
        Ok(Ok(_)) => {}
        Ok(Err(InvalidDefinition { problems: more })) => {
            let own = more.into_iter().filter(|problem| !repaired.may_have_caused(problem));
            let place = |at: &_| json::offset(text, json::find(definition, at));
            problems.extend(own.map(|problem| (place(&problem.at), problem)));
        }
        // The shape says it better, if it says it.
        Err(error) if problems.is_empty() => problems.push(somewhere((0, error.to_string()))),
        Err(_) => {}
    }
    Err(problems)
}

#[cfg(test)]
mod tests;
