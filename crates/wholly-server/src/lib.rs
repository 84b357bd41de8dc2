//! The coordinator as a server, for services in any language: the whole of the binary `wholly`.
//!
//! This crate translates: HTTP, the configuration file and the command line on one side, the
//! library [`wholly`] on the other. No decision of a protocol is made here.
//!
//! | module | what it is |
//! |---|---|
//! | `cli` | the commands |
//! | `config` | `wholly.toml` |
//! | `access`, `token` | who may do what, and how a token is made |
//! | `gate`, `accept`, `framing` | what the server lets in, its connections, and where a request ends |
//! | `audit` | what was done by hand, and by whom |
//! | `reload` | the configuration, read again |
//! | `definition` | a saga's definition as a text, and where it is wrong |
//! | `conformance` | whether a service keeps the participant's contract |
//! | `given` | what is checked and drawn: a saga's definition, a two-phase transaction, or what a service declares |
//! | `submission`, `written` | a transaction as a client describes it, and as it is in a file |
//! | `check`, `diagram`, `declared` | what they say, in words and as pictures |
//! | `choose` | which approach suits a case, by rules from the literature |
//! | `sagas` | the definitions that sagas are submitted by |
//! | `serve` | the server from start to end |
//! | `open_files`, `file_size` | the system's limits: enough open files, and a limit on their size that ends nothing |
//! | `observer` | the choreographies, as their feeds tell them |
//! | `metrics`, `logs`, `alerts`, `traces` | what an operator sees, and is told |
//! | `fetch` | a text that another server has, asked for once |
//! | `problem` | errors, as HTTP tells them |
//! | `api` | the routes, and how the library's answers look as HTTP |

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod accept;
mod access;
mod alerts;
mod api;
mod audit;
mod check;
mod choose;
mod cli;
mod config;
mod conformance;
#[cfg(test)]
mod damaged;
mod declared;
mod definition;
mod diagram;
mod fetch;
mod file_size;
mod framing;
#[cfg(test)]
mod fuzz;
mod gate;
mod given;
mod line_column;
mod logs;
mod metrics;
mod observer;
mod open_files;
mod problem;
mod reload;
mod sagas;
mod serve;
mod stopping;
mod submission;
mod token;
mod traces;
mod written;

pub use cli::serve::Serve;
pub use cli::{parse, run};
pub use serve::Decorators;
