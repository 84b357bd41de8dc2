//! `bench` as a program, until the one binary has it.

use clap::Parser;

#[derive(Parser)]
enum Cli {
    Bench(wholly_demo::bench::Args),
}

fn main() -> std::process::ExitCode {
    let Cli::Bench(args) = Cli::parse();
    wholly_demo::bench::run(args)
}
