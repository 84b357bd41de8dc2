//! The configuration, read again while the server runs.
//!
//! INVARIANT: a configuration that is wrong changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use serde::Serialize;
use tokio::sync::oneshot;
use wholly::{Coordinator, Endpoint};

use crate::access::Sha256;
use crate::config::secret::Secret;
use crate::config::{Config, ConfigError, ConfiguredParticipant, Listen, Source};
use crate::gate::{Gate, Rules};
use crate::open_files;
use crate::serve::Decorators;
use crate::traces::Traces;

/// The sections that are taken up without a restart, at least in part.
const TAKEN_UP: [&str; 5] = ["participants", "tokens", "clients", "limits", "tls"];

/// The result of a reload.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The participants that are new, or are called in another way than before.
    new_participants: Vec<String>,
    changed_participants: Vec<String>,
    /// The changed keys that take effect only after a restart.
    needs_restart: Vec<String>,
}

/// A caller that waits for the result of a reload.
pub type ReloadRequest = oneshot::Sender<Result<Reloaded, ConfigError>>;

/// The state of the reloader.
pub struct Reloader {
    source: Source,
    listen: Listen,
    /// The configuration as it was at the start.
    written: toml::Table,
    participants: BTreeMap<String, Sha256>,
    endpoints: BTreeMap<String, Arc<dyn Endpoint>>,
    gate: Arc<Gate>,
    coordinator: Coordinator,
    traces: Traces,
}

impl Reloader {
    pub fn new(
        source: Source,
        listen: Listen,
        written: toml::Table,
        endpoints: BTreeMap<String, Arc<dyn Endpoint>>,
        gate: Arc<Gate>,
        coordinator: Coordinator,
        traces: Traces,
    ) -> Self {
        let participants = participants(&written);
        Self { source, listen, written, participants, endpoints, gate, coordinator, traces }
    }

    /// Reads the configuration again and takes up the changes that it can.
    pub async fn reload(&mut self, decorators: &dyn Decorators) -> Result<Reloaded, ConfigError> {
        let source = self.source.clone();
        let unfit = |why: String| ConfigError::Unfit { why };
        // All files are read there: one that hangs stops nothing else.
        let loading = tokio::task::spawn_blocking(move || {
            let config = source.load()?;
            let fingerprints = self::participants(&config.written);
            Ok::<_, ConfigError>((config, fingerprints))
        });
        let loaded = loading.await.map_err(|why| unfit(why.to_string()))?;
        let (config, mut fingerprints) = loaded?;
        // The address stays the old one, whatever the file says now.
        if let Some(why) = self.listen.forbidden(&config.access) {
            return Err(unfit(why));
        }
        open_files::make_room(&config);
        let mut reloaded =
            Reloaded { needs_restart: self.needing_restart(&config), ..Reloaded::default() };
        let Config { access, limits, tls, participants, .. } = config;
        let before = self.gate.rules();
        let tls = if tls.is_some() == before.tls.is_some() { tls } else { before.tls.clone() };
        self.gate.set_rules(Rules { access, limits, tls });
        for (named, configured) in participants {
            let name = named.as_str();
            let Some(new) = fingerprints.remove(name) else { continue };
            match self.participants.insert(name.to_owned(), new) {
                // It may have moved all the same.
                Some(before) if before == new => {
                    if let Some(endpoint) = self.endpoints.get(name) {
                        endpoint.reconnect();
                    }
                    continue;
                }
                Some(_) => reloaded.changed_participants.push(name.to_owned()),
                None => reloaded.new_participants.push(name.to_owned()),
            }
            let ConfiguredParticipant { endpoint, slots, .. } = configured;
            let endpoint = self.traces.of_calls(&named, decorators.endpoint(endpoint));
            self.endpoints.insert(name.to_owned(), endpoint.clone());
            let registered = self.coordinator.register(name, endpoint, slots).await;
            registered.map_err(|why| unfit(why.to_string()))?;
        }
        Ok(reloaded)
    }

    fn needing_restart(&self, config: &Config) -> Vec<String> {
        let keys = self.written.keys().chain(config.written.keys());
        let mut changed: Vec<String> = keys
            .filter(|key| !TAKEN_UP.contains(&key.as_str()))
            .filter(|key| self.written.get(*key) != config.written.get(*key))
            .cloned()
            .collect();
        if config.tls.is_some() != self.gate.rules().tls.is_some() {
            changed.push("tls".to_owned());
        }
        let gone = self.participants.keys().filter(|name| {
            !config.participants.keys().any(|configured| configured.as_str() == name.as_str())
        });
        changed.extend(gone.map(|name| format!("participants.{name}")));
        changed.sort();
        changed.dedup();
        changed
    }
}

/// A hash of each participant's section with its secrets, which may have changed in their files.
fn participants(written: &toml::Table) -> BTreeMap<String, Sha256> {
    let sections = written.get("participants").and_then(toml::Value::as_table);
    let fingerprint = |section: &toml::Value| {
        let mut context = Context::new(&SHA256);
        context.update(section.to_string().as_bytes());
        add_secrets(section, &mut context);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Sha256(hash)
    };
    sections
        .into_iter()
        .flatten()
        .map(|(name, section)| (name.clone(), fingerprint(section)))
        .collect()
}

fn add_secrets(value: &toml::Value, context: &mut Context) {
    match value {
        toml::Value::String(text) => {
            if let Ok(secret) = Secret::try_from(text.clone()) {
                context.update(secret.expose().as_bytes());
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| add_secrets(value, context)),
        toml::Value::Table(table) => table.values().for_each(|value| add_secrets(value, context)),
        _ => {}
    }
}
