//! `wholly`: the server and its command line, all of which is the library's.

fn main() -> std::process::ExitCode {
    wholly_server::run()
}
