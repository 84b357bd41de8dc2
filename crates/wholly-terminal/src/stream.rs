//! Writes to the standard output and error.
#![allow(clippy::disallowed_methods, reason = "this is the one way to them")]

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::text;

/// The treatment of the colours that a text sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// They reach the stream.
    On,
    /// The text sets none.
    Off,
}

/// Writes a text to the standard output.
///
/// # Errors
/// When the standard output cannot be written.
pub fn write(text: impl Display) -> io::Result<()> {
    write_painted(Colour::Off, text)
}

/// Writes a line to the standard output.
///
/// # Errors
/// When the standard output cannot be written.
pub fn write_line(line: impl Display) -> io::Result<()> {
    write(format_args!("{line}\n"))
}

/// Writes a text to the standard output, with its colours if they are on.
///
/// # Errors
/// When the standard output cannot be written.
pub fn write_painted(colour: Colour, text: impl Display) -> io::Result<()> {
    to(&mut io::stdout().lock(), &shown(colour, &text.to_string()))
}

/// Writes a JSON document to the standard output, in one line.
///
/// # Errors
/// When the document has no form in JSON, or the standard output cannot be written.
pub fn write_json<T: Serialize + ?Sized>(document: &T) -> io::Result<()> {
    let document = serde_json::to_string(document)?;
    write_line(text::json(&document).replace('\n', " "))
}

/// Writes a JSON document to the standard output, indented for people.
///
/// # Errors
/// When the document has no form in JSON, or the standard output cannot be written.
pub fn write_json_pretty<T: Serialize + ?Sized>(document: &T) -> io::Result<()> {
    write_line(text::json(&serde_json::to_string_pretty(document)?))
}

/// Writes lines to the standard error, without the passwords of addresses. Its failures are ignored.
pub fn report(lines: impl Display) {
    report_painted(Colour::Off, format_args!("{lines}\n"));
}

/// Writes a text to the standard error, with its colours if they are on.
pub fn report_painted(colour: Colour, text: impl Display) {
    let text = text.to_string();
    let text = text::without_passwords(&text);
    let _ = to(&mut io::stderr().lock(), &shown(colour, &text));
}

/// Replaces the cursor's line on the standard error, which is a terminal.
pub fn replace_line(line: &str) {
    let _ = to(&mut io::stderr().lock(), &format!("\r\x1b[2K{}", text::one_line(line)));
}

/// The format of log messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// Lines for people.
    Text(Colour),
    /// A JSON document for each message.
    Json,
}

/// The standard error for log messages; each write is a whole message.
///
/// The lines of a message after the first are indented, so that none looks like another message.
pub fn messages(format: MessageFormat) -> impl Write + Send {
    Messages { to: io::stderr(), format }
}

/// The standard error for a dialogue: without colours, written piece by piece.
pub fn dialogue() -> impl Write {
    Dialogue(io::stderr())
}

/// True if the stream is a terminal.
#[must_use]
pub fn is_terminal(stream: StandardStream) -> bool {
    match stream {
        StandardStream::Output => io::stdout().is_terminal(),
        StandardStream::Error => io::stderr().is_terminal(),
    }
}

/// The standard output or error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardStream {
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
    // The standard output buffers the text behind the last line feed.
    stream.flush()
}

struct Messages<W> {
    to: W,
    format: MessageFormat,
}

impl<W: Write> Write for Messages<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let message = String::from_utf8_lossy(bytes);
        let message = text::without_passwords(&message);
        let shown = match self.format {
            MessageFormat::Json => text::json(&message).into_owned(),
            MessageFormat::Text(colour) => {
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

    fn message(format: MessageFormat, message: &str) -> String {
        let mut written = Messages { to: Vec::new(), format };
        written.write_all(message.as_bytes()).unwrap();
        String::from_utf8(written.to).unwrap()
    }

    #[test]
    fn a_message_cannot_be_taken_for_two() {
        let text = MessageFormat::Text(Colour::Off);
        assert_eq!(message(text, "one\n"), "one\n");
        assert_eq!(message(text, "no \u{202e}\x1b[1m\ntwo\n"), "no \u{fffd}\u{fffd}[1m\n  | two\n");
        let coloured =
            message(MessageFormat::Text(Colour::On), "\x1b[31mERROR\x1b[0m \x1b]0;x\x07\n");
        assert_eq!(coloured, "\x1b[31mERROR\x1b[0m \u{fffd}]0;x\u{fffd}\n");
        assert_eq!(message(MessageFormat::Json, "{\"m\":\"\u{9b}\"}\n"), "{\"m\":\"\\u009b\"}\n");
        assert_eq!(message(text, "at http://a:b@host/\n"), "at http://…@host/\n");
    }
}
