//! `wholly diagram`: a saga, a two-phase transaction or a choreography as pictures, of its success
//! and of each way of failing.
//!
//! The pictures of a choreography are made by `wholly-events`. Here are the others: `saga` and
//! `two_phase` say which pictures there are and how they speak of the states, `picture` lets the
//! state machine run.

mod picture;
mod saga;
mod two_phase;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::exit::{self, failed};
use crate::given::{self, InputDocument};

/// Draw a saga, a two-phase transaction or a choreography: how it succeeds, and how it fails.
///
/// Prints a Markdown document with Mermaid sequence diagrams. All given services form one
/// choreography. The exit code is 0 without errors, 1 if an input is invalid, and 2 if one cannot be
/// read.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly diagram sagas/create-order.toml > create-order.md
  wholly diagram place-order.json > place-order.md
  wholly diagram order.json inventory.json payment.json > shop.md")]
pub struct Diagram {
    /// The definition of a saga or the submission of a two-phase transaction, in TOML or JSON, or
    /// declarations of services, in JSON. - is the standard input. An address with http:// or
    /// https:// is a running service, which is asked for its declaration.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Diagram {
    pub fn run(self) -> ExitCode {
        let (mut documents, mut declarations) = (Vec::new(), Vec::new());
        let mut code = 0;
        for file in self.files {
            let document = match given::read(&file) {
                Ok(InputDocument::Saga(graph)) => saga::document(&graph),
                Ok(InputDocument::TwoPhase(transaction)) => two_phase::document(&transaction),
                Ok(InputDocument::Declaration(declaration)) => {
                    declarations.push(declaration);
                    continue;
                }
                Err(wrong) => {
                    wholly_terminal::report(&wrong);
                    code = code.max(wrong.code());
                    continue;
                }
            };
            match document {
                Ok(document) => documents.push(document),
                Err(broken) => {
                    failed(exit::FAILED, &broken);
                    code = code.max(exit::FAILED);
                }
            }
        }
        if code == 0 {
            if !declarations.is_empty() {
                documents.push(wholly_events::diagram(&declarations));
            }
            let written = wholly_terminal::write(documents.join("\n"));
            return exit::wrote(written, ExitCode::SUCCESS);
        }
        ExitCode::from(code)
    }
}
