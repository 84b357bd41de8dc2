//! `wholly check`: the problems of definitions of sagas, two-phase transactions and a
//! choreography, or their meaning in words.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use wholly_core::saga::{Compensation, Graph, Node, Side, StepDefinition};
use wholly_core::two_phase;
use wholly_events::{Declaration, Severity};
use wholly_terminal::{report, write_line};

use crate::cli::exit;
use crate::declared::Declared;
use crate::definition::FileLabel;
use crate::given::{self, InputDocument};

/// Check definitions of sagas, two-phase transactions, and choreographies.
///
/// The standard output describes each definition as it was understood. Problems go to the standard
/// error: those of a file as FILE:LINE:COLUMN: MESSAGE, those of the choreography as error: MESSAGE
/// or warning: MESSAGE. All given services form one choreography, which is checked if every file
/// can be read. The exit code is 0 without errors, 1 with errors, and 2 if a file cannot be read.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly check sagas/*.toml
  wholly check - < create-order.json
  wholly check place-order.json
  wholly check order.json inventory.json http://payment:8080/choreography")]
pub struct Check {
    /// Definitions of sagas and submissions of two-phase transactions, in TOML or JSON, and
    /// declarations of services, in JSON. - is the standard input. An address with http:// or
    /// https:// is a running service, which is asked for its declaration.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub fn run(self) -> ExitCode {
        let mut code = 0;
        let mut declarations = Vec::new();
        for file in self.files {
            let named = FileLabel(&file);
            let told = match given::read(&file) {
                Ok(InputDocument::Saga(graph)) => {
                    write_line(format_args!("{named}: {}", Understood(&graph)))
                }
                Ok(InputDocument::TwoPhase(transaction)) => {
                    write_line(format_args!("{named}: {}", InTwoPhases(&transaction)))
                }
                Ok(InputDocument::Declaration(declaration)) => {
                    let told = write_line(format_args!("{named}: {}", Declared(&declaration)));
                    declarations.push(declaration);
                    told
                }
                Err(wrong) => {
                    report(&wrong);
                    code = code.max(wrong.code());
                    Ok(())
                }
            };
            if told.is_err() {
                return exit::wrote(told, ExitCode::from(code));
            }
        }
        // The others would be said to lack a declaration that cannot be read.
        if code == 0 && !declarations.is_empty() {
            code = choreography(&declarations);
        }
        ExitCode::from(code)
    }
}

/// Prints the problems of a choreography, and returns the exit code.
fn choreography(declarations: &[Declaration]) -> u8 {
    let mut code = 0;
    for finding in wholly_events::check(declarations) {
        report(format_args!("{}: {finding}", finding.severity()));
        code = code.max(match finding.severity() {
            Severity::Warning => 0,
            Severity::Error => 1,
        });
    }
    code
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

/// A two-phase transaction in words.
struct InTwoPhases<'a>(&'a two_phase::Proposal);

impl fmt::Display for InTwoPhases<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, a two-phase transaction", self.0.name())?;
        for (nth, branch) in self.0.branches().iter().enumerate() {
            write!(f, "\n  {}. {}", nth + 1, branch.participant)?;
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
