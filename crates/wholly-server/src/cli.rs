//! The command line: the commands, each in a file of its own, and the exit code that answers.

pub mod advised;
mod ask;
mod backup;
mod by_hand;
mod choreographies;
mod completions;
mod events;
pub mod exit;
mod get;
mod last_answer;
mod list;
mod log;
mod participants;
mod record;
mod sagas;
pub mod screen;
pub mod secret;
pub mod serve;
mod submit;
pub mod time;
mod watch;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};
use wholly_client::State;
#[cfg(feature = "demo")]
use wholly_demo::{
    bench::Bench,
    choreography::EventService,
    compare::{Compare, Reader},
    demo::Demo,
    service::Service,
};
use wholly_terminal::one_line;
use wholly_terminal::stream::{StandardStream, report_painted, write_painted};

use crate::check::Check;
use crate::choose::Choose;
use crate::config::check::ConfigCommand;
use crate::config::logs::Logs;
use crate::conformance::Conformance;
use crate::diagram::Diagram;
use crate::file_size;
use crate::logs;
use crate::token::Token;
use backup::Backup;
use by_hand::{Abort, End, Resolve, Retry};
use completions::Completions;
use events::EventsCommand;
pub use exit::failed;
use get::Get;
use list::List;
use log::LogCommand;
use participants::Participants;
use sagas::{Define, Sagas};
use serve::Serve;
use submit::Submit;
use watch::Watch;

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
    Submit(Submit),
    Get(Get),
    List(List),
    Watch(Watch),
    Abort(Abort),
    Retry(Retry),
    End(End),
    Resolve(Resolve),
    Participants(Participants),
    Sagas(Sagas),
    Define(Define),
    Completions(Completions),
    Backup(Backup),
    Log(LogCommand),
    Events(EventsCommand),
    Config(ConfigCommand),
    Token(Token),
    Check(Check),
    Choose(Choose),
    Diagram(Diagram),
    Conformance(Conformance),
    #[cfg(feature = "demo")]
    Demo(Demo),
    #[cfg(feature = "demo")]
    Compare(Compare),
    #[cfg(feature = "demo")]
    Bench(Bench),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    ShopService(Service),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    ShopByEvents(EventService),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    CompareReader(Reader),
}

/// Runs the program `wholly`: does what the command line asks.
pub fn run() -> ExitCode {
    // The server's configuration gives the form of its log messages.
    let Cli { command } = match parse(|cli: &Cli| matches!(cli.command, Command::Serve(_))) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Submit(submit) => submit.run(),
        Command::Get(get) => get.run(),
        Command::List(list) => list.run(),
        Command::Watch(watch) => watch.run(),
        Command::Abort(abort) => abort.run(),
        Command::Retry(retry) => retry.run(),
        Command::End(end) => end.run(),
        Command::Resolve(resolve) => resolve.run(),
        Command::Participants(participants) => participants.run(),
        Command::Sagas(sagas) => sagas.run(),
        Command::Define(define) => define.run(),
        Command::Completions(completions) => completions.run(),
        Command::Backup(backup) => backup.run(),
        Command::Log(log) => log.run(),
        Command::Events(events) => events.run(),
        Command::Config(config) => config.run(),
        Command::Token(token) => token.run(),
        Command::Check(check) => check.run(),
        Command::Choose(choose) => choose.run(),
        Command::Diagram(diagram) => diagram.run(),
        Command::Conformance(conformance) => conformance.run(),
        #[cfg(feature = "demo")]
        Command::Demo(demo) => demo.run(),
        #[cfg(feature = "demo")]
        Command::Compare(compare) => compare.run(),
        #[cfg(feature = "demo")]
        Command::Bench(bench) => bench.run(),
        #[cfg(feature = "demo")]
        Command::ShopService(service) => service.run(),
        #[cfg(feature = "demo")]
        Command::ShopByEvents(service) => service.run(),
        #[cfg(feature = "demo")]
        Command::CompareReader(reader) => reader.run(),
    }
}

/// Parses the command line of a program, makes a write beyond the limit on the size of files an
/// error of that write, and shows log messages, except of a command that shows its own.
///
/// # Errors
/// The exit code of a program that ends here: it showed its help, or an error.
pub fn parse<P: Parser>(shows_its_own: impl FnOnce(&P) -> bool) -> Result<P, ExitCode> {
    let parsed = P::try_parse().map_err(told)?;
    file_size::refuse_writes_beyond_the_limit().map_err(|error| {
        failed(exit::FAILED, &format_args!("the system denies signals: {error}"))
    })?;
    if !shows_its_own(&parsed) {
        logs::show(Logs::default()).map_err(|error| failed(exit::USAGE, &error))?;
    }
    Ok(parsed)
}

/// The help that was asked for, or the error in the command line.
fn told(mut said: clap::Error) -> ExitCode {
    // Arguments may come from elsewhere, too.
    let typed =
        [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand];
    for kind in typed {
        if let Some(ContextValue::String(text)) = said.get(kind) {
            let text = one_line(text);
            said.insert(kind, ContextValue::String(text));
        }
    }
    let stream = if said.use_stderr() { StandardStream::Error } else { StandardStream::Output };
    let is_coloured = screen::takes_colour(stream);
    let text = match is_coloured {
        true => said.render().ansi().to_string(),
        false => said.render().to_string(),
    };
    let colour = screen::colour(is_coloured);
    let code = ExitCode::from(if said.use_stderr() { exit::USAGE } else { 0 });
    match stream {
        StandardStream::Output => exit::wrote(write_painted(colour, text), code),
        StandardStream::Error => {
            report_painted(colour, text);
            code
        }
    }
}

/// A state, and what it does not say by itself.
fn standing(state: &State, settled: bool, stuck: bool) -> String {
    let over =
        matches!(state, State::Committed | State::Aborted | State::Completed | State::Compensated);
    match () {
        () if stuck => format!("{state}, stuck"),
        () if over && !settled => format!("{state}, unsettled"),
        () => state.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_fits_a_terminal_of_80_columns() {
        let mut commands = vec![Cli::command().term_width(80)];
        while let Some(mut command) = commands.pop() {
            let mut helps = vec![command.render_help(), command.render_long_help()];
            // Before it is wrapped: examples are to be copied.
            helps.extend(command.get_after_help().cloned());
            for help in helps {
                let help = help.to_string();
                let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
                assert!(long.is_empty(), "{}: {long:#?}", command.get_name());
            }
            commands.extend(command.get_subcommands().cloned().map(|sub| sub.term_width(80)));
        }
    }
}
