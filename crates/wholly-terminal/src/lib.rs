//! The standard output and error of Wholly's programs.
//!
//! Names, keys, reasons and payloads come from elsewhere. On a terminal a control character in one of
//! them may move the cursor or set the title, and a bidirectional override may show a text as another
//! one. So every write passes this crate.
//!
//! | module | content |
//! |---|---|
//! | [`text`] | the characters that may not reach a terminal, and their replacements |
//! | [`stream`] | writes to the standard output and error |
//!
//! INVARIANT: of all control characters only line feeds reach a stream, and with colour on the escape
//! sequences of colours. No format character does: in JSON it is escaped, so that the value stays
//! equal; elsewhere U+FFFD replaces it.
//!
//! Clippy refuses all other writes (`print_stdout`, `print_stderr` and `disallowed_methods`) in the crates
//! with a command line.

pub mod stream;
pub mod text;

pub use stream::{Colour, is_terminal, report, write, write_json, write_json_pretty, write_line};
pub use text::one_line;
