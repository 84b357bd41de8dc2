//! The document of a comparison: what `--json` prints, and what `wholly choose` reads later.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::measures::Measures;
use super::regime::Regime;
use super::timeline::Timeline;

/// The figures of all regimes that were measured. Names are added, never changed.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    version: u32,
    /// RFC 3339.
    pub(super) made_at: String,
    pub(super) seed: u64,
    pub(super) quick: bool,
    /// False where the comparison was interrupted.
    pub(super) complete: bool,
    pub(super) machine: Machine,
    pub(super) regimes: Vec<Compared>,
    /// Sentences that follow from the figures.
    pub(super) surprises: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) os: &'static str,
}

/// One regime in both weathers.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) regime: Regime,
    pub(super) fair: Measures,
    pub(super) bad: Measures,
    /// The timeline of the bad weather.
    pub(super) timeline: Timeline,
}

/// The reason that a document could not be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    #[error("cannot write to the standard output: {0}")]
    Output(#[from] std::io::Error),
    #[error("the figures cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the figures are not kept: neither XDG_STATE_HOME nor HOME names a directory")]
    Nowhere,
    #[error("the figures cannot be kept in {file}: {why}")]
    File { file: PathBuf, why: std::io::Error },
    #[error("the report cannot be written to {file}: {why}")]
    Report { file: PathBuf, why: std::io::Error },
}

impl Compared {
    pub(super) fn new(
        regime: Regime,
        (fair, _): (Measures, Timeline),
        (bad, timeline): (Measures, Timeline),
    ) -> Self {
        Self { regime, fair, bad, timeline }
    }
}

impl Document {
    pub(super) fn new(seed: u64, quick: bool) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            version: 1,
            made_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            seed,
            quick,
            complete: false,
            machine: Machine { cores, os: std::env::consts::OS },
            regimes: Vec::new(),
            surprises: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, compared: Compared) {
        self.regimes.push(compared);
        self.surprises = super::surprises::of(&self.regimes);
    }

    /// Keeps it where `wholly choose` looks for it, wholly or not at all; the file.
    pub(super) fn keep(&self) -> Result<PathBuf, KeepError> {
        let directory = state_directory().ok_or(KeepError::Nowhere)?.join("wholly");
        let file = directory.join("compare.json");
        let json = serde_json::to_string_pretty(self)?;
        match replace(&directory, &file, &json) {
            Ok(()) => Ok(file),
            Err(why) => Err(KeepError::File { file, why }),
        }
    }
}

/// As the XDG Base Directory Specification says: a relative path there is to be ignored.
fn state_directory() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let named = named.filter(|directory| directory.is_absolute());
    named.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".local/state")))
}

fn replace(directory: &Path, file: &Path, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_takes_the_place_of_the_last_one() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let file = state.join("compare.json");
        for text in ["first", "second"] {
            replace(&state, &file, text).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    }
}
