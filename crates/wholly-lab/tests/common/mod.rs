//! The laboratory, and the binary `wholly` beside it.

use std::path::Path;
use std::process::Command;
use std::sync::Once;

/// The laboratory's program.
pub const LAB: &str = env!("CARGO_BIN_EXE_wholly-lab");

/// A command of the laboratory.
pub fn lab() -> Command {
    build_wholly();
    Command::new(LAB)
}

/// Builds the binary `wholly` where it is missing or older than its sources: Cargo builds no binary
/// of another package for a test.
pub fn build_wholly() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let profile = Path::new(LAB).parent().unwrap();
        if is_fresh(&profile.join("wholly")) {
            return;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "wholly-server", "--bin", "wholly"]);
        // These are about this test, and dependencies that look at them would be built anew.
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name);
            }
        }
        cargo.args(profile.ends_with("release").then_some("--release"));
        assert!(cargo.status().unwrap().success(), "the binary cannot be built");
    });
}

/// True if the binary is newer than all that Cargo says that it was made of.
fn is_fresh(binary: &Path) -> bool {
    let modified = |file: &Path| file.metadata()?.modified();
    let (Ok(sources), Ok(built)) =
        (std::fs::read_to_string(binary.with_extension("d")), modified(binary))
    else {
        return false;
    };
    let mut sources = sources.split_whitespace().skip(1);
    sources.all(|source| modified(Path::new(source)).is_ok_and(|changed| changed <= built))
}
