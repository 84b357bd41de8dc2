//! Progress of the measurement: one live line on a terminal, a line for each part elsewhere.

use wholly_terminal::stream::{StandardStream, is_terminal, replace_line};

pub(super) struct Progress {
    is_live: bool,
}

impl Progress {
    pub(super) fn to_stderr() -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { is_live: is_terminal(StandardStream::Error) && !is_dumb }
    }

    /// Says that a part begins.
    pub(super) fn part(&self, text: &str) {
        match self.is_live {
            true => self.live(text),
            false => wholly_terminal::report(text),
        }
    }

    /// Says how far a part is, where somebody looks at a terminal.
    pub(super) fn live(&self, text: &str) {
        if self.is_live {
            replace_line(text);
        }
    }

    /// Makes room for other output.
    pub(super) fn clear(&self) {
        self.live("");
    }
}
