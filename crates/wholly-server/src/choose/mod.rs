//! `wholly choose`: which approach suits a case, and why.
//!
//! | module | what it is |
//! |---|---|
//! | `case` | the questions and their answers |
//! | `approach`, `rules` | what there is to choose from, and the one table that decides |
//! | `advice` | what the rules say of a case, and what would turn it |
//! | `care` | what to watch for, and the countermeasures |
//! | `considered` | the options that somebody considered |
//! | `works` | the literature that all of it rests on |
//! | `file`, `questions` | how the answers come in |
//! | `show`, `document`, `figures` | how the advice looks: for people, for programs, with what was measured |
//!
//! Everything but the last two lines is pure.

mod advice;
mod approach;
mod care;
mod case;
mod considered;
mod document;
mod figures;
mod file;
mod questions;
mod rules;
mod show;
#[cfg(test)]
mod tests;
mod works;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use wholly_terminal::stream::dialogue;

use self::advice::{Advice, Recommendation};
use self::case::{Answers, PartialAnswers, Question};
use self::considered::Considered;
use self::document::AdviceDocument;
use self::figures::Figures;
use self::file::FileError;
use self::show::AdvicePage;
use crate::cli::exit::{FAILED, Failed, USAGE, failed};
use crate::cli::screen::{Colour, Screen};

/// Choose between two-phase commit, TCC, sagas, and no distributed transaction.
///
/// The advice follows from nine answers: from flags, from a file, or to questions in the terminal.
/// "unknown" is an answer, too. The output has the advice and its reasons, what to watch for, and
/// the answers that would change it; the advice may be that nothing fits. The exit code is 0 with
/// any advice, and 2 if answers are invalid or missing.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly choose
  wholly choose --lesson
  wholly choose --lesson --readers strict --prepare all
  wholly choose --file case.toml --considered two-phase,distributed-lock
  wholly choose --file case.toml --json | jq .turns

Each line of the file is an answer, under the name of its flag:
  participants = \"few\"
  readers = \"unknown\"
  considered = [\"two-phase\", \"distributed-lock\"]
Flags take precedence. In a terminal, the command asks for the missing answers.")]
pub struct Choose {
    /// The file with the answers, in TOML. - is the standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Answer for the tutorial's example: several services, each with a database.
    #[arg(long, conflicts_with = "file")]
    lesson: bool,
    #[command(flatten)]
    given: PartialAnswers,
    /// Print JSON, for programs.
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// When to use colour.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, help_heading = "Output")]
    color: Colour,
}

/// The reason why there is no advice.
#[derive(Debug, thiserror::Error)]
enum ChooseError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "without an answer: {}. Give these flags, each of which may be `unknown`, or run it in a \
         terminal to be asked",
        flags(.0)
    )]
    Missing(Vec<Question>),
    #[error("the answers ended before the questions; nothing is advised")]
    Ended,
    #[error("the terminal cannot be used: {0}")]
    Terminal(io::Error),
    #[error(transparent)]
    Output(#[from] Failed),
}

impl ChooseError {
    fn exit(self) -> ExitCode {
        match self {
            Self::Output(why) => why.exit(),
            Self::File(_) | Self::Missing(_) => failed(USAGE, &self),
            Self::Ended | Self::Terminal(_) => failed(FAILED, &self),
        }
    }
}

fn flags(questions: &[Question]) -> String {
    let flags: Vec<String> = questions.iter().map(|question| question.flag()).collect();
    flags.join(", ")
}

/// The advice, with the parts shown beside it.
struct AdviceReport {
    advice: Advice,
    considered: Vec<Considered>,
    figures: Option<Figures>,
    /// The reason why there are no figures although there is a file.
    note: Option<String>,
}

impl Choose {
    pub fn run(self) -> ExitCode {
        match self.advise() {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => why.exit(),
        }
    }

    fn advise(self) -> Result<(), ChooseError> {
        let from_file = match (self.file, self.lesson) {
            (Some(file), _) => file::read(&file)?,
            (None, true) => file::lesson()?,
            (None, false) => PartialAnswers::default(),
        };
        let (given, answers) = complete(self.given.or(from_file))?;
        let report = AdviceReport::of(answers, given.considered.unwrap_or_default());
        let screen = Screen::new(self.json, self.color);
        if self.json {
            screen.document(&AdviceDocument::of(&report)).map_err(Failed::from)?;
        } else {
            screen.text(&AdvicePage::of(&report, &screen)).map_err(Failed::from)?;
        }
        Ok(())
    }
}

/// All answers: missing ones are asked for if there is a terminal.
fn complete(mut given: PartialAnswers) -> Result<(PartialAnswers, Answers), ChooseError> {
    if let Err(missing) = given.complete() {
        if !io::stdin().is_terminal() {
            return Err(ChooseError::Missing(missing));
        }
        // The answer may go to a file or a program.
        let (mut input, mut output) = (io::stdin().lock(), dialogue());
        let all = questions::ask(&missing, &mut given, &mut input, &mut output);
        if !all.map_err(ChooseError::Terminal)? {
            return Err(ChooseError::Ended);
        }
    }
    let answers = given.complete().map_err(ChooseError::Missing)?;
    Ok((given, answers))
}

impl AdviceReport {
    fn of(answers: Answers, considered: Vec<Considered>) -> Self {
        let advice = Advice::on(answers);
        let pair = match (advice.outcome, advice.alternative) {
            (Recommendation::Advised(advised), Some(other)) => Some([advised, other]),
            (Recommendation::Advised(_) | Recommendation::NothingFits, _) => None,
        };
        let read = pair.zip(figures::file()).map(|(pair, file)| Figures::read(&file, pair));
        let (figures, note) = match read {
            Some(Ok(figures)) => (figures, None),
            Some(Err(why)) => (None, Some(why.to_string())),
            None => (None, None),
        };
        Self { advice, considered, figures, note }
    }
}
