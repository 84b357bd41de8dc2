//! The definitions that a saga can be submitted by: those of a folder, by name and version.
//!
//! INVARIANT: a name and a version mean one definition, for ever. A changed one has a new version.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use wholly_core::Name;
use wholly_core::saga::Graph;

use crate::definition::{Format, read_file};

/// The most definitions that a folder is given by the API.
const LIMIT: usize = 10_000;

/// Definitions by name and version.
#[derive(Default)]
pub struct Sagas {
    /// The folder of the definitions; without one there are none.
    folder: Option<PathBuf>,
    known: RwLock<BTreeMap<Name, BTreeMap<u32, Arc<Graph>>>>,
    /// One is stored at a time.
    storing: Mutex<()>,
}

/// The error of a folder whose definitions cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder cannot be read.
    #[error("the sagas in {} cannot be read: {why}", .folder.display())]
    Unreadable { folder: PathBuf, why: io::Error },
    /// Files are not definitions, or two define the same name and version.
    #[error("the sagas in {} are invalid:\n{}", .folder.display(), .problems.join("\n"))]
    Wrong { folder: PathBuf, problems: Vec<String> },
}

/// The error of a definition that is not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("this server stores no definitions; start it with --sagas DIR")]
    NoFolder,
    #[error(
        "version {version} of {name:?} is stored with another definition; store this one as version \
         {next}"
    )]
    Differs { name: Name, version: u32, next: u32 },
    #[error("the folder has {LIMIT} definitions, which is the limit; remove old ones")]
    TooMany,
    #[error("the definition cannot be stored: {0}")]
    Storage(#[from] io::Error),
}

/// The result of storing a definition.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    New,
    /// It was there already.
    Same,
}

impl Sagas {
    /// Reads every `*.toml` and `*.json` of a folder but hidden ones.
    pub fn load(folder: PathBuf) -> Result<Self, LoadError> {
        let files =
            files(&folder).map_err(|why| LoadError::Unreadable { folder: folder.clone(), why })?;
        let mut known = BTreeMap::<Name, BTreeMap<u32, Arc<Graph>>>::new();
        let mut origins = BTreeMap::<(Name, u32), PathBuf>::new();
        let mut problems = Vec::new();
        for file in files {
            let graph = match read_file(&file) {
                Ok(graph) => Arc::new(graph),
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let definition = graph.definition();
            let (name, version) = (definition.name.clone(), definition.version);
            let other = origins.insert((name.clone(), version), file.clone());
            let before = known.entry(name).or_default().insert(version, Arc::clone(&graph));
            // A duplicate does no harm: one may have been stored while the other was put there.
            if let (Some(other), Some(before)) = (other, before)
                && !before.definition().same_as(definition)
            {
                let (file, other, name) = (file.display(), other.display(), &definition.name);
                problems.push(format!("{file}:1:1: {other} is version {version} of {name:?}, too"));
            }
        }
        match problems.is_empty() {
            true => Ok(Self { folder: Some(folder), known: known.into(), ..Self::default() }),
            false => Err(LoadError::Wrong { folder, problems }),
        }
    }

    /// A definition; without a version, the newest of that name.
    pub fn get(&self, name: &str, version: Option<u32>) -> Option<Arc<Graph>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let versions = known.get(name)?;
        match version {
            Some(version) => versions.get(&version).cloned(),
            None => versions.last_key_value().map(|(_, graph)| Arc::clone(graph)),
        }
    }

    /// All definitions, by name and version.
    pub fn all(&self) -> Vec<Arc<Graph>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Keeps a definition: when this returns, it is on disk.
    pub fn store(&self, graph: Graph) -> Result<Stored, StoreError> {
        let folder = self.folder.as_deref().ok_or(StoreError::NoFolder)?;
        let _alone = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, version) = (graph.definition().name.clone(), graph.definition().version);
        if let Some(there) = self.get(name.as_str(), Some(version)) {
            return match there.definition().same_as(graph.definition()) {
                true => Ok(Stored::Same),
                false => Err(self.differs(name, version)),
            };
        }
        let known = || self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known().values().map(BTreeMap::len).sum::<usize>() >= LIMIT {
            return Err(StoreError::TooMany);
        }
        write(folder, &graph)?;
        known().entry(name).or_default().insert(version, Arc::new(graph));
        Ok(Stored::New)
    }

    fn differs(&self, name: Name, version: u32) -> StoreError {
        let newest = self.get(name.as_str(), None);
        let newest = newest.map_or(version, |graph| graph.definition().version);
        StoreError::Differs { name, version, next: newest.saturating_add(1) }
    }
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
        if Format::of_file(&file).is_some() && !file.file_name().is_some_and(hidden) {
            files.push(file);
        }
    }
    // A folder has no order.
    files.sort();
    Ok(files)
}

/// Writes the definition to a file of its own, whole or not at all.
fn write(folder: &Path, graph: &Graph) -> io::Result<()> {
    let definition = graph.definition();
    let name = file_name(&definition.name);
    let free = |nth: &u32| {
        let again = if *nth == 1 { String::new() } else { format!("-{nth}") };
        let file = folder.join(format!("{name}-v{}{again}.json", definition.version));
        file.try_exists().map(|exists| (!exists).then_some(file)).transpose()
    };
    let file = (1..).find_map(|nth| free(&nth)).transpose()?;
    let file = file.ok_or(io::ErrorKind::AlreadyExists)?;
    // Hidden, so that a part left by a crash is not loaded.
    let unfinished = folder.join(format!(".{name}.unfinished"));
    let mut text = serde_json::to_vec_pretty(definition)?;
    text.push(b'\n');
    let mut writer = File::create(&unfinished)?;
    writer.write_all(&text)?;
    writer.sync_all()?;
    fs::rename(&unfinished, &file)?;
    File::open(folder)?.sync_all().inspect_err(|_| {
        // A client told that it is not stored may come with another.
        drop(fs::remove_file(&file));
    })
}

/// A text that is safe as a file name on every system, and still readable.
fn file_name(name: &Name) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.as_str().chars().map(safe).take(64).collect()
}

#[cfg(test)]
mod tests;
