//! `[log]`: the log, of one of several kinds.

mod sqlite;

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wholly::log::maintenance::Maintenance;

use super::Wrong;
use super::kind::{Context, Kind, Kinds, table};

/// The kinds of logs. To add one: its file, and its line here.
pub(super) const KINDS: Kinds<Arc<dyn Maintenance>> =
    Kinds { default: "sqlite", all: &[Kind::of::<sqlite::SqliteSection>()] };

/// The keys that every kind of log has.
#[derive(Deserialize)]
pub(super) struct CommonSection {}

/// The log in a file that the command line names.
pub fn in_file(file: &Path, create_if_missing: bool) -> Arc<dyn Maintenance> {
    sqlite::log(file, create_if_missing)
}

/// Spells `log = "FILE"` out, which is short for a log of the default kind in that file.
pub(super) fn spell_out(file: &mut DeTable<'_>) {
    let Some(log) = file.get_mut("log") else { return };
    let span = log.span();
    if matches!(log.get_ref(), DeValue::String(_)) {
        let key = Spanned::new(span.clone(), "file".into());
        let named = std::mem::replace(log, Spanned::new(span, DeValue::Table(DeTable::new())));
        if let DeValue::Table(section) = log.get_mut() {
            section.insert(key, named);
        }
    }
}

pub(super) fn configured(
    section: Option<Spanned<DeValue<'_>>>,
    context: &Context<'_>,
) -> Result<Arc<dyn Maintenance>, Wrong> {
    let section = section.unwrap_or_else(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
    let (_, CommonSection {}, log) = KINDS.read(table(section)?, context)?;
    Ok(log)
}
