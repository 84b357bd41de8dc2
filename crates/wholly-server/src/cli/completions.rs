//! `wholly completions`: the script with which a shell completes the commands.

use std::process::ExitCode;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::Cli;
use super::exit;

/// Print the completion script of a shell.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly completions bash > ~/.local/share/bash-completion/completions/wholly
  wholly completions zsh > \"${fpath[1]}/_wholly\"
  wholly completions fish > ~/.config/fish/completions/wholly.fish")]
pub struct Completions {
    shell: Supported,
}

#[derive(Clone, Copy, ValueEnum)]
enum Supported {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub fn run(self) -> ExitCode {
        let shell = match self.shell {
            Supported::Bash => Shell::Bash,
            Supported::Zsh => Shell::Zsh,
            Supported::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "wholly", &mut script);
        let script = String::from_utf8_lossy(&script);
        exit::wrote(wholly_terminal::write(script), ExitCode::SUCCESS)
    }
}
