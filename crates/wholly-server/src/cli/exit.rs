//! The exit codes, which programs read.

use std::fmt::Display;
use std::process::ExitCode;

/// The command was not done: a server that ended with an error, a definition that is wrong.
pub const FAILED: u8 = 1;
/// The command line, a file that it names or the configuration is wrong: trying again does not
/// mend it.
pub const USAGE: u8 = 2;

/// One line on the standard error that says what is wrong.
pub fn failed(code: u8, error: &dyn Display) -> ExitCode {
    eprintln!("wholly: {error}");
    ExitCode::from(code)
}
