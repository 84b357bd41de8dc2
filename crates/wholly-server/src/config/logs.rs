//! `[logs]`: the form and the detail of the server's log messages.

use serde::Deserialize;

/// The form and the detail of the log messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// For people or for programs.
    pub format: Format,
    /// The least important ones that are shown; WHOLLY_LOG takes its place.
    pub level: Level,
}

/// The form of a log message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// A line of JSON.
    Json,
}

/// The importance of a log message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl Level {
    /// As a filter of log messages names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
