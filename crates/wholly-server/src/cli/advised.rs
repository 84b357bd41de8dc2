//! Errors of logs, with the commands that do as they advise: the library names its functions, and
//! knows no command line.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use wholly::StartError;
use wholly::log::OpenError;
use wholly::log::maintenance::{CopyError, VerifyError};

use crate::serve::ServeError;

/// An error, followed by the commands that help, if it is a log's and some do.
pub struct Advised<'a>(pub &'a (dyn Error + 'static));

impl Display for Advised<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match of_log(self.0) {
            Some(OpenError::Missing { log }) => write!(f, ": wholly log init {log}"),
            Some(OpenError::Lost { .. } | OpenError::Copied { .. } | OpenError::Behind { .. }) => {
                f.write_str(": wholly serve --restored")
            }
            Some(OpenError::Moved { .. }) => {
                f.write_str(": wholly serve --restored, or wholly serve --moved")
            }
            Some(OpenError::Damaged { log, .. }) => {
                write!(f, ": wholly log verify {log}, wholly serve --restored, wholly log salvage")
            }
            _ => Ok(()),
        }
    }
}

/// The log's error that this one is.
fn of_log<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a OpenError> {
    match (error.downcast_ref(), error.downcast_ref(), error.downcast_ref()) {
        (Some(ServeError::Start(StartError::Log(error))), _, _)
        | (_, Some(CopyError::Log(error)), _)
        | (_, _, Some(VerifyError::Log(error))) => Some(error),
        _ => error.downcast_ref(),
    }
}
