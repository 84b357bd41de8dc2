//! The one way by which Wholly's programs write to their standard output and error.
//!
//! Names, keys, reasons and payloads come from elsewhere. On a terminal a control character in one of
//! them may move the cursor or set the title, and a bidirectional override may show a text as another
//! one. So whatever is written passes here.
//!
//! | module | what it is |
//! |---|---|
//! | [`text`] | the characters that may not reach a terminal, and what stands for them |
//! | [`stream`] | writing to the standard output and error |
//!
//! INVARIANT: of all control characters only line feeds reach a stream, and escape sequences that set
//! a colour where colour is on. No format character does: in JSON it is escaped, so that the value
//! stays equal; elsewhere U+FFFD stands for it.
//!
//! Clippy refuses every other way (`print_stdout`, `print_stderr` and `disallowed_methods`) in the crates
//! that have a command line.

pub mod stream;
pub mod text;

pub use stream::{Colour, is_terminal, report, write, write_json, write_json_pretty, write_line};
pub use text::one_line;
