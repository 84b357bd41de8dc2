//! The command line: the commands, each in a file of its own, and the exit code that answers.

mod exit;
mod serve;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
#[cfg(feature = "demo")]
use wholly_demo::{bench::Bench, demo::Demo, service::Service, torture::Torture};

use crate::check::Check;
use crate::diagram::Diagram;
use exit::failed;
use serve::Serve;

/// Changes that span several services, made wholly or not at all.
#[derive(Parser)]
#[command(name = "wholly", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Serve),
    Check(Check),
    Diagram(Diagram),
    #[cfg(feature = "demo")]
    Demo(Demo),
    #[cfg(feature = "demo")]
    Torture(Torture),
    #[cfg(feature = "demo")]
    Bench(Bench),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    ShopService(Service),
}

/// Does what the command line asks.
pub fn run() -> ExitCode {
    let Cli { command } = Cli::parse();
    if let Err(error) = log_to_stderr() {
        return failed(exit::USAGE, &error);
    }
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Diagram(diagram) => diagram.run(),
        #[cfg(feature = "demo")]
        Command::Demo(demo) => demo.run(),
        #[cfg(feature = "demo")]
        Command::Torture(torture) => torture.run(),
        #[cfg(feature = "demo")]
        Command::Bench(bench) => bench.run(),
        #[cfg(feature = "demo")]
        Command::ShopService(service) => service.run(),
    }
}

fn log_to_stderr() -> Result<(), String> {
    let filter = match std::env::var("WHOLLY_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|why| format!("WHOLLY_LOG={filter:?} is no filter of log messages: {why}"))?,
        Err(_) => EnvFilter::new("info"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
