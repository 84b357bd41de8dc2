//! Writing to the standard output and error.
#![allow(clippy::disallowed_methods, reason = "this is the one way to them")]

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::text;

/// True if the colours that a text sets are to reach the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// They are.
    On,
    /// They are not: the text sets none.
    Off,
}

/// Writes a text to the standard output.
///
/// # Errors
/// When the standard output takes none.
pub fn write(text: impl Display) -> io::Result<()> {
    write_painted(Colour::Off, text)
}

/// Writes a line to the standard output.
///
/// # Errors
/// When the standard output takes none.
pub fn write_line(line: impl Display) -> io::Result<()> {
    write(format_args!("{line}\n"))
}

/// Writes a text, with its colours where they are on, to the standard output.
///
/// # Errors
/// When the standard output takes none.
pub fn write_painted(colour: Colour, text: impl Display) -> io::Result<()> {
    to(&mut io::stdout().lock(), &shown(colour, &text.to_string()))
}

/// Writes a JSON document in a line of its own to the standard output.
///
/// # Errors
/// When it is none, or the standard output takes none.
pub fn write_json<T: Serialize + ?Sized>(document: &T) -> io::Result<()> {
    let document = serde_json::to_string(document)?;
    write_line(text::json(&document).replace('\n', " "))
}

/// Writes a JSON document, in lines that people can read, to the standard output.
///
/// # Errors
/// When it is none, or the standard output takes none.
pub fn write_json_pretty<T: Serialize + ?Sized>(document: &T) -> io::Result<()> {
    write_line(text::json(&serde_json::to_string_pretty(document)?))
}

/// Writes lines to the standard error, without the passwords of addresses.
///
/// Nobody is there to be told where it cannot be written.
pub fn report(lines: impl Display) {
    report_painted(Colour::Off, format_args!("{lines}\n"));
}

/// Writes a text, with its colours where they are on, to the standard error.
pub fn report_painted(colour: Colour, text: impl Display) {
    let text = text.to_string();
    let text = text::without_passwords(&text);
    let _ = to(&mut io::stderr().lock(), &shown(colour, &text));
}

/// Replaces the line of the standard error, which is a terminal, on which the cursor is.
pub fn replace_line(line: &str) {
    let _ = to(&mut io::stderr().lock(), &format!("\r\x1b[2K{}", text::one_line(line)));
}

/// The form of log messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In lines for people.
    Text(Colour),
    /// A JSON document each.
    Json,
}

/// The standard error for log messages, of which each write is a whole one.
///
/// Text behind a line feed in a message is indented, so that it does not look like another
/// message.
pub fn messages(form: Form) -> impl Write + Send {
    Messages { to: io::stderr(), form }
}

/// The standard error for what asks a question and waits: without colours, piece by piece.
pub fn dialogue() -> impl Write {
    Dialogue(io::stderr())
}

/// True if somebody looks at this stream.
#[must_use]
pub fn is_terminal(stream: Stream) -> bool {
    match stream {
        Stream::Output => io::stdout().is_terminal(),
        Stream::Error => io::stderr().is_terminal(),
    }
}

/// A stream that a process has for its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The standard output.
    Output,
    /// The standard error.
    Error,
}

fn shown(colour: Colour, text: &str) -> Cow<'_, str> {
    match colour {
        Colour::On => text::painted(text),
        Colour::Off => text::lines(text),
    }
}

fn to(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    // The standard output keeps what is behind the last line feed.
    stream.flush()
}

struct Messages<W> {
    to: W,
    form: Form,
}

impl<W: Write> Write for Messages<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let message = String::from_utf8_lossy(bytes);
        let message = text::without_passwords(&message);
        let shown = match self.form {
            Form::Json => text::json(&message).into_owned(),
            Form::Text(colour) => {
                let lines = shown(colour, message.strip_suffix('\n').unwrap_or(&message));
                lines.replace('\n', "\n  | ") + "\n"
            }
        };
        self.to.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

struct Dialogue<W>(W);

impl<W: Write> Write for Dialogue<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(text::lines(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(form: Form, message: &str) -> String {
        let mut written = Messages { to: Vec::new(), form };
        written.write_all(message.as_bytes()).unwrap();
        String::from_utf8(written.to).unwrap()
    }

    #[test]
    fn a_message_cannot_be_taken_for_two() {
        let text = Form::Text(Colour::Off);
        assert_eq!(message(text, "one\n"), "one\n");
        assert_eq!(message(text, "no \u{202e}\x1b[1m\ntwo\n"), "no \u{fffd}\u{fffd}[1m\n  | two\n");
        let coloured = message(Form::Text(Colour::On), "\x1b[31mERROR\x1b[0m \x1b]0;x\x07\n");
        assert_eq!(coloured, "\x1b[31mERROR\x1b[0m \u{fffd}]0;x\u{fffd}\n");
        assert_eq!(message(Form::Json, "{\"m\":\"\u{9b}\"}\n"), "{\"m\":\"\\u009b\"}\n");
        assert_eq!(message(text, "at http://a:b@host/\n"), "at http://…@host/\n");
    }
}
