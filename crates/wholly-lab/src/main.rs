//! Wholly's laboratory: what tortures it, and measures what its own binary does not.
//!
//! It starts the same shop as the demo does. Its processes are those of the binary `wholly`, but for
//! the ones that are to do something wrong: a process that kills itself at an exact point, or a
//! service with a planted fault, is one of this program, which has the same code as a library.
//!
//! | module | contents |
//! |---|---|
//! | `torture` | SIGKILL at every point and at random, and the books afterwards |
//! | `bench` | workloads that take a server, a large log or many clients |
//! | `staged` | server and services that do something wrong on purpose |
//! | `kill` | a process that kills itself at an exact point |
//! | `faulty` | a service with a planted fault |

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod faulty;
mod kill;
mod staged;
mod torture;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench::Bench;
use staged::{StagedEventService, StagedServe, StagedService};
use torture::Torture;

/// Torture Wholly, and measure what its own binary does not.
#[derive(Parser)]
#[command(name = "wholly-lab", version, arg_required_else_help = true)]
struct Lab {
    #[command(subcommand)]
    command: Command,
    /// The binary of Wholly, instead of the one beside this program.
    #[arg(long, value_name = "PATH", global = true)]
    wholly: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    Torture(Torture),
    Bench(Bench),
    #[command(hide = true)]
    Serve(StagedServe),
    #[command(hide = true)]
    ShopService(StagedService),
    #[command(hide = true)]
    ShopByEvents(StagedEventService),
}

fn main() -> ExitCode {
    let is_server = |lab: &Lab| matches!(lab.command, Command::Serve(_));
    let Lab { command, wholly } = match wholly_server::parse(is_server) {
        Ok(lab) => lab,
        Err(exit) => return exit,
    };
    match command {
        Command::Torture(torture) => with_wholly(wholly, |wholly| torture.run(&wholly)),
        // Its processes that answer calls need no other program.
        Command::Bench(bench) if bench.is_process() => bench.run(&PathBuf::new()),
        Command::Bench(bench) => with_wholly(wholly, |wholly| bench.run(&wholly)),
        Command::Serve(serve) => serve.run(),
        Command::ShopService(service) => service.run(),
        Command::ShopByEvents(service) => service.run(),
    }
}

/// Runs a command with the binary of Wholly, which has to be there.
fn with_wholly(named: Option<PathBuf>, command: impl FnOnce(PathBuf) -> ExitCode) -> ExitCode {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("wholly"));
    let wholly = named.or_else(beside).unwrap_or_default();
    if wholly.is_file() {
        return command(wholly);
    }
    wholly_terminal::report(format_args!(
        "wholly-lab: there is no binary {}; build it with `cargo build`, in the profile of this \
         program, or name one with --wholly",
        wholly.display()
    ));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Lab;

    #[test]
    fn the_command_line_is_sound() {
        Lab::command().debug_assert();
    }
}
