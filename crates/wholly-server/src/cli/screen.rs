//! The output of commands: for people, with colour on a terminal, or as JSON for programs.
//!
//! INVARIANT: what comes from elsewhere is shown in its place, for a participant's reason must not
//! begin a line that looks like the command's own. That no control character reaches the terminal,
//! `wholly_terminal` sees to, for all that is written.

use std::io;

use clap::ValueEnum;
use serde::Serialize;
use wholly_client::State;
use wholly_terminal::stream::{self, StandardStream, is_terminal, write_painted};
use wholly_terminal::{one_line, write_json};

/// True if colour is to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// The colour of a text, by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Title,
    Quiet,
    Good,
    Undone,
    Under,
    Bad,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Title => "1",
            Self::Quiet => "2",
            Self::Good => "32",
            Self::Undone => "33",
            Self::Under => "36",
            Self::Bad => "1;31",
        }
    }

    /// The colour of a state.
    pub fn of(state: &State, settled: bool, stuck: bool) -> Self {
        match state {
            _ if stuck => Self::Bad,
            _ if !settled => Self::Under,
            State::Aborted | State::Compensated => Self::Undone,
            State::Committed | State::Completed => Self::Good,
            _ => Self::Bad,
        }
    }
}

/// The output of a command.
pub struct Screen {
    json: bool,
    colour: bool,
    width: Option<usize>,
}

impl Screen {
    pub fn new(json: bool, colour: Colour) -> Self {
        let terminal = is_terminal(StandardStream::Output);
        let colour = match colour {
            Colour::Auto => takes_colour(StandardStream::Output),
            Colour::Always => true,
            Colour::Never => false,
        };
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok();
        let width = size.map(|size| usize::from(size.ws_col)).filter(|&width| width > 0);
        Self { json, colour, width: width.filter(|_| terminal) }
    }

    /// True if the output is JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// The columns of the terminal, if there is one.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// A text in its paint, and in one line.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let text = one_line(text);
        match self.colour && paint != Paint::Plain && !text.is_empty() {
            true => format!("\x1b[{}m{text}\x1b[0m", paint.code()),
            false => text,
        }
    }

    /// The same, filled up to a width with spaces.
    pub fn cell(&self, paint: Paint, text: &str, width: usize) -> String {
        let missing = width.saturating_sub(text.chars().count());
        self.paint(paint, text) + &" ".repeat(missing)
    }

    /// A line of painted parts.
    pub fn line(&self, line: &str) -> io::Result<()> {
        self.text(&format!("{}\n", line.trim_end()))
    }

    /// A text of painted lines.
    pub fn text(&self, text: &str) -> io::Result<()> {
        write_painted(colour(self.colour), text)
    }

    /// A painted text behind a head of `indent` columns, that goes on under itself.
    pub fn hanging(&self, head: &str, indent: usize, paint: Paint, text: &str) -> io::Result<()> {
        let room = self.width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
        let mut head = head.to_owned();
        for part in wrapped(text, room) {
            self.line(&format!("{head}{}", self.paint(paint, &part)))?;
            head = " ".repeat(indent);
        }
        Ok(())
    }

    /// A JSON document in a line of its own.
    pub fn document<T: Serialize>(&self, document: &T) -> io::Result<()> {
        write_json(document)
    }

    /// A note for people, beside the output.
    pub fn hint(&self, hint: &str) {
        if self.width.is_some() && !self.json {
            let hint = self.paint(Paint::Quiet, hint);
            stream::report_painted(colour(self.colour), format_args!("{hint}\n"));
        }
    }
}

/// True if somebody looks at the stream, and wants colour.
pub fn takes_colour(stream: StandardStream) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    is_terminal(stream)
        && set("NO_COLOR").is_none()
        && set("TERM").is_some_and(|term| term != "dumb")
}

pub fn colour(is_on: bool) -> stream::Colour {
    if is_on { stream::Colour::On } else { stream::Colour::Off }
}

/// The text in lines of at most `room` columns, broken at spaces where there are any.
pub fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > room {
            lines.push(String::new());
            used = 0;
        }
        while word.len() > room {
            lines.extend([word.drain(..room).collect(), String::new()]);
        }
        let Some(line) = lines.last_mut() else { break };
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        used += word.len();
        line.extend(word);
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_at_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one", 20), ["one"]);
        assert_eq!(wrapped("a abcdefgh i", 3), ["a", "abc", "def", "gh", "i"]);
        assert_eq!(wrapped("", 20), [""; 0]);
    }

    #[test]
    fn a_text_from_elsewhere_cannot_move_the_cursor() {
        let screen = Screen { json: false, colour: true, width: None };
        assert_eq!(
            screen.paint(Paint::Plain, "no\x1b[2J\r\nstock"),
            "no\u{fffd}[2J\u{fffd}\u{fffd}stock"
        );
        assert_eq!(screen.paint(Paint::Good, "yes"), "\x1b[32myes\x1b[0m");
        let plain = Screen { colour: false, ..screen };
        assert_eq!(plain.cell(Paint::Good, "yes", 5), "yes  ");
    }
}
