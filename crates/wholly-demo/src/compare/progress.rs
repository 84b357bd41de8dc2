//! Progress of the measurement: one live line on a terminal, a line for each part elsewhere.

use std::io::{IsTerminal, Write};

pub(super) struct Progress {
    is_live: bool,
}

impl Progress {
    pub(super) fn to_stderr() -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { is_live: std::io::stderr().is_terminal() && !is_dumb }
    }

    /// Says that a part begins.
    pub(super) fn part(&self, text: &str) {
        match self.is_live {
            true => self.live(text),
            false => eprintln!("{text}"),
        }
    }

    /// Says how far a part is, where somebody looks at a terminal.
    pub(super) fn live(&self, text: &str) {
        if self.is_live {
            write(&format!("\r\x1b[2K{text}"));
        }
    }

    /// Makes room for what is not progress.
    pub(super) fn clear(&self) {
        self.live("");
    }
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Who does not look any more does not stop the measurement.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
