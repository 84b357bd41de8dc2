//! `wholly`: the coordinator as a server, for services in any language.
//!
//! This crate translates: HTTP, the configuration file and the command line on one side, the
//! library [`wholly`] on the other. No decision of a protocol is made here.
//!
//! | module | what it is |
//! |---|---|
//! | `cli` | the commands |
//! | `config` | `wholly.toml` |
//! | `definition` | a saga's definition as a text, and where it is wrong |
//! | `check`, `diagram` | what a definition says, in words and as pictures |
//! | `sagas` | the definitions that sagas are submitted by |
//! | `serve` | the server from start to end |
//! | `api` | the routes, and how the library's answers look as HTTP |

mod api;
mod check;
mod cli;
mod config;
mod definition;
mod diagram;
#[cfg(test)]
mod fuzz;
mod place;
mod sagas;
mod serve;

fn main() -> std::process::ExitCode {
    cli::run()
}
