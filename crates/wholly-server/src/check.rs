//! `wholly check`: what is wrong with definitions of sagas, or what they say.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use wholly_core::saga::{Compensation, Graph, Node, Side, StepDefinition};

use crate::definition::{FileError, Named, read_file};

/// Check definitions of sagas.
///
/// Says on the standard output what each definition was understood to be, and on the standard
/// error, as FILE:LINE:COLUMN: MESSAGE, all that is wrong. The exit code is 0 where all is well, 1
/// where a definition is wrong, 2 where a file cannot be read.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly check sagas/*.toml
  wholly check - < create-order.json")]
pub struct Check {
    /// Definitions, in TOML or JSON. - is the standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub fn run(self) -> ExitCode {
        let mut code = 0;
        for file in self.files {
            let wrong = match read_file(&file) {
                Ok(graph) => {
                    println!("{}: {}", Named(&file), Understood(&graph));
                    continue;
                }
                Err(error) => error,
            };
            eprintln!("{wrong}");
            code = code.max(match wrong {
                FileError::Invalid { .. } => 1,
                FileError::Unreadable { .. } => 2,
            });
        }
        ExitCode::from(code)
    }
}

/// A definition in words.
pub struct Understood<'a>(pub &'a Graph);

impl fmt::Display for Understood<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let definition = self.0.definition();
        write!(f, "{}, version {}", definition.name, definition.version)?;
        for (nth, (step, node)) in self.0.steps().enumerate() {
            let participant = step.participant.as_ref().map_or("?", |name| name.as_str());
            write!(f, "\n  {}. {}: {participant}/{}", nth + 1, step.name, node.action)?;
            if let Some(after) = &step.after {
                let names: Vec<&str> = after.iter().map(|name| name.as_str()).collect();
                match names.is_empty() {
                    true => write!(f, ", at once")?,
                    false => write!(f, ", after {}", names.join(" and "))?,
                }
            }
            write!(f, ", {}", way_back(step, node))?;
        }
        Ok(())
    }
}

fn way_back(step: &StepDefinition, node: &Node) -> String {
    let back = match &step.compensation {
        Some(Compensation::By(operation)) => format!("taken back by {operation}"),
        Some(Compensation::NotNeeded) | None => "nothing to take back".to_owned(),
    };
    match node.side {
        Side::Before => back,
        Side::Pivot => format!("{back}; the pivot"),
        Side::After => "tried until it is done".to_owned(),
    }
}
