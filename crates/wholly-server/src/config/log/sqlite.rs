//! `kind = "sqlite"`: the log in one file of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use wholly::SqliteLog;
use wholly::log::maintenance::Maintenance;

use super::super::Wrong;
use super::super::kind::{Context, Section};

#[derive(Deserialize)]
pub(in crate::config) struct SqliteSection {
    #[serde(default = "beside_the_configuration")]
    file: PathBuf,
}

impl Section for SqliteSection {
    const KIND: &'static str = "sqlite";
    type Configured = Arc<dyn Maintenance>;

    fn configured(self, context: &Context<'_>) -> Result<Arc<dyn Maintenance>, Wrong> {
        Ok(log(&context.directory.join(self.file), context.create_log))
    }
}

pub fn log(file: &Path, create_if_missing: bool) -> Arc<dyn Maintenance> {
    let log = SqliteLog::at(file);
    Arc::new(if create_if_missing { log.create_if_missing() } else { log })
}

fn beside_the_configuration() -> PathBuf {
    PathBuf::from("wholly.db")
}
