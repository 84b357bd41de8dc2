//! The exit codes, which programs read.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use wholly_client::{InvalidSubmission, RequestError, State, SubmitError};

use crate::definition::FileError;

/// The command was not done: a server that ended with an error, a definition that is wrong.
pub const FAILED: u8 = 1;
/// The command line, a file that it names or the configuration is wrong, or what was asked for
/// cannot be done: trying again does not mend it.
pub const USAGE: u8 = 2;
/// The server could not be asked.
const COULD_NOT_ASK: u8 = 5;

/// The exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A transaction committed or completed, or the command was done.
    Done = 0,
    /// A transaction aborted or compensated.
    Undone = 1,
    /// A transaction has not settled.
    Unsettled = 3,
    /// A transaction is stuck, or is over with an unknown outcome.
    Stuck = 4,
}

impl Exit {
    /// The exit code for a transaction in this state.
    pub fn of(state: &State, settled: bool, stuck: bool) -> Self {
        match state {
            _ if stuck => Self::Stuck,
            _ if !settled => Self::Unsettled,
            State::Aborted | State::Compensated => Self::Undone,
            State::Committed | State::Completed => Self::Done,
            // Only an operator can find out how it ended.
            _ => Self::Stuck,
        }
    }
}

/// The error of a command that calls a server.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("{0}")]
    Usage(String),
    #[error("{}", said(.0))]
    Ask(#[from] RequestError),
    #[error("{}", match .0 { SubmitError::NotAccepted(why) => said(why), _ => .0.to_string() })]
    Submit(#[from] SubmitError),
    #[error("cannot write to the standard output: {0}")]
    Output(#[from] io::Error),
}

impl From<InvalidSubmission> for Failed {
    fn from(error: InvalidSubmission) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<FileError> for Failed {
    fn from(error: FileError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl Failed {
    pub fn exit(self) -> ExitCode {
        match self {
            // A reader of only the first lines is not told that there are more.
            Self::Output(why) if why.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            _ => failed(self.code(), &self),
        }
    }

    /// True if the request itself is wrong.
    pub fn is_usage(&self) -> bool {
        self.code() == USAGE
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Ask(why) | Self::Submit(SubmitError::NotAccepted(why)) => asked_wrong(why),
            _ => COULD_NOT_ASK,
        }
    }
}

/// True if the server refuses the request itself, and not its caller or its time.
fn asked_wrong(why: &RequestError) -> u8 {
    match why.problem() {
        Some(problem) if matches!(problem.kind(), "no-such-route" | "no-such-method") => {
            COULD_NOT_ASK
        }
        Some(problem) if matches!(problem.status, 401 | 403 | 408 | 429 | 500..) => COULD_NOT_ASK,
        Some(_) => USAGE,
        None => COULD_NOT_ASK,
    }
}

/// The error, and advice that the server cannot know.
fn said(error: &RequestError) -> String {
    let Some(problem) = error.problem() else { return error.to_string() };
    match problem.kind() {
        "unauthenticated" => {
            format!("{problem}; name a token with WHOLLY_TOKEN or --token-file")
        }
        "no-such-route" => format!("{problem}; the server is older than this command"),
        _ if problem.problems.len() > 1 => {
            let lines =
                problem.problems.iter().map(|wrong| format!("\n{}: {}", wrong.at, wrong.what));
            format!("the definition makes no sense:{}", lines.collect::<String>())
        }
        _ => problem.to_string(),
    }
}

/// Prints the error as one line on the standard error. Its text behind a line feed is indented, for
/// it may come from elsewhere.
pub fn failed(code: u8, error: &dyn Display) -> ExitCode {
    let error = error.to_string().replace('\n', "\n  ");
    wholly_terminal::report(format_args!("wholly: {error}"));
    ExitCode::from(code)
}

/// The exit code of a command that has written its answer, or could not.
pub fn wrote(written: io::Result<()>, code: ExitCode) -> ExitCode {
    match written {
        // A reader of only the first lines is not told that there are more.
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => failed(FAILED, &Failed::Output(why)),
        _ => code,
    }
}
