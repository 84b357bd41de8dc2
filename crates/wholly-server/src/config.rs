//! `wholly.toml`: the participants, the log and the settings.
//!
//! Everything is parsed here, once, into types that cannot be wrong. A message names the file, the
//! line and the column; a key that nobody knows is an error, because a setting that does nothing
//! is worse than one that is missing.
//!
//! A flag counts before its environment variable ([`variables`]), and that before the file.

mod access;
pub mod alerts;
pub mod check;
mod credentials;
pub mod explain;
mod feeds;
mod key_scope;
mod kind;
mod limits;
mod listen;
pub mod log;
pub mod logs;
mod metrics;
mod participants;
mod retention;
pub mod secret;
mod shutdown;
mod tls;
pub mod traces;
mod value;
mod variables;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};
use wholly::log::maintenance::Maintenance;
use wholly::{KeyScope, ParticipantName, Settings};
use wholly_events::ServiceName;

use self::alerts::{Alerts, AlertsSection};
pub use self::feeds::ConfiguredFeed;
use self::feeds::FeedSection;
use self::kind::{Context, ReadByKind};
pub use self::limits::{BODY_LIMIT, Limits};
pub use self::listen::Listen;
use self::logs::Logs;
use self::metrics::MetricsSection;
pub use self::participants::ConfiguredParticipant;
use self::traces::{Traces, TracesSection};
use crate::access::Access;
use crate::line_column::LineColumn;
use retention::RetentionSection;
pub use shutdown::Shutdown;
use shutdown::ShutdownSection;
pub use value::PositiveDuration;
pub use variables::Variables;

/// A server's configuration.
pub struct Config {
    /// The address that it listens on.
    pub listen: Listen,
    /// The log.
    pub log: Arc<dyn Maintenance>,
    /// The log messages.
    pub logs: Logs,
    /// The webhook that is told of transactions that need an operator.
    pub alerts: Option<Alerts>,
    /// The collector of spans.
    pub traces: Option<Traces>,
    /// The file of the audit.
    pub audit: PathBuf,
    /// The callers and their roles.
    pub access: Access,
    /// TLS, if it is encrypted.
    pub tls: Option<Arc<ServerConfig>>,
    /// The limits on requests and connections.
    pub limits: Limits,
    /// The scope of clients' keys.
    pub key_scope: KeyScope,
    /// The time that it takes to stop.
    pub shutdown: Shutdown,
    /// The coordinator's settings.
    pub settings: Settings,
    /// The feeds that the observer follows.
    pub feeds: Vec<ConfiguredFeed>,
    /// The observer's file.
    pub choreographies: PathBuf,
    /// The time for which the observer keeps a choreography after its last event.
    pub choreographies_kept: Duration,
    /// The participants, by name.
    pub participants: BTreeMap<ParticipantName, ConfiguredParticipant>,
    /// The file and the variables as they are written, which tells what a reload changes.
    pub written: toml::Table,
}

/// The source of a configuration.
#[derive(Clone)]
pub struct Source {
    pub file: PathBuf,
    pub overrides: Overrides,
}

/// Flags and variables, which count before the file.
#[derive(Clone, Default)]
pub struct Overrides {
    pub listen: Option<Listen>,
    pub log: Option<PathBuf>,
    pub audit: Option<PathBuf>,
    pub variables: Variables,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error("there is no configuration {}; write one, or name it with --config", .file.display())]
    Missing { file: PathBuf },
    /// The file cannot be read.
    #[error("the configuration {} cannot be read: {why}", .file.display())]
    Unreadable { file: PathBuf, why: io::Error },
    /// A key of the file has no right value, or is unknown.
    #[error("{}:{place}: {why}", .file.display())]
    Invalid { file: PathBuf, place: LineColumn, why: String },
    /// A variable has no right value, or is unknown.
    #[error("{name}: {why}")]
    Variable { name: String, why: String },
    /// The configuration cannot be taken up without a restart.
    #[error("the configuration cannot be taken up: {why}")]
    Unfit { why: String },
}

impl Source {
    /// Reads the configuration. Relative paths in it start at its folder.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let file = &self.file;
        let text = std::fs::read_to_string(file).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing { file: file.clone() },
            _ => ConfigError::Unreadable { file: file.clone(), why },
        })?;
        let directory = file.parent().unwrap_or(Path::new(""));
        Config::parse(&text, directory, &self.overrides).map_err(|Wrong { at, why }| {
            match self.overrides.variables.at(&text, at) {
                Some(name) => ConfigError::variable(name, why),
                None => ConfigError::Invalid {
                    file: file.clone(),
                    place: LineColumn::of(&text, at),
                    why,
                },
            }
        })
    }
}

impl Config {
    /// The configuration in this text, for tests that throw anything at it.
    #[cfg(test)]
    pub fn of(text: &str) -> Option<Self> {
        Self::parse(text, Path::new("/etc"), &Overrides::default()).ok()
    }

    fn parse(text: &str, directory: &Path, overrides: &Overrides) -> Result<Self, Wrong> {
        let wrong = |error: toml::de::Error| Wrong::of(&error, 0, text);
        let mut said = DeTable::parse(text).map_err(wrong)?;
        log::spell_out(said.get_mut());
        overrides.variables.replace(text, &mut said)?;
        let file = File::deserialize(Deserializer::from(said.clone())).map_err(wrong)?;
        let written = toml::Table::deserialize(Deserializer::from(said.clone())).map_err(wrong)?;
        let mut settings = file.settings.over_defaults()?;
        let choreographies_kept = file.retention.choreographies();
        settings.retention = file.retention.retention()?;
        settings.measured = file.metrics.enabled;
        let context = Context { directory, settings: &settings, create_log: file.create_log };
        let log = log::configured(said.get_mut().remove("log"), &context)?;
        let participants =
            participants::configured(said.get_mut().remove("participants"), &context)?;
        let feed = |(source, section): (_, FeedSection)| section.configured(source);
        let feeds = file.feeds.into_iter().map(feed).collect::<Result<_, Wrong>>()?;
        let by_certificate = file.tls.as_ref().is_some_and(tls::TlsSection::asks_clients);
        let access = access::access(file.tokens, file.clients, by_certificate)?;
        let tls = file.tls.map(|section| section.server(directory, access.has_tokens()));
        let listen = overrides.listen.unwrap_or(*file.listen.get_ref());
        if let Some(why) = listen.forbidden(&access) {
            return Err(Wrong::about(&file.listen, why));
        }
        let log = match &overrides.log {
            Some(named) => log::in_file(named, file.create_log),
            None => log,
        };
        let beside = log.file().map_or_else(|| directory.join("wholly"), Path::to_owned);
        let audit = file.audit.map(|audit| directory.join(audit));
        let audit = overrides.audit.clone().or(audit);
        let choreographies = file.choreographies.map(|file| directory.join(file));
        Ok(Self {
            listen,
            audit: audit.unwrap_or_else(|| beside.with_file_name("audit.jsonl")),
            choreographies: choreographies.unwrap_or_else(|| with(&beside, "-choreographies")),
            choreographies_kept,
            feeds,
            log,
            logs: file.logs,
            alerts: file.alerts.map(AlertsSection::configured).transpose()?,
            traces: file.traces.map(TracesSection::configured).transpose()?,
            access,
            tls: tls.transpose()?,
            limits: file.limits.limits()?,
            key_scope: file.key_scope.scope(),
            shutdown: file.shutdown.shutdown(),
            settings,
            participants,
            written,
        })
    }
}

/// The file with this one's name and `more`.
fn with(file: &Path, more: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(more);
    file.with_file_name(name)
}

/// A mistake, and the byte at which it stands.
#[derive(Debug)]
struct Wrong {
    at: usize,
    why: String,
}

impl Wrong {
    /// An error of the deserializer, which may have no place of its own.
    fn of(error: &toml::de::Error, at: usize, text: &str) -> Self {
        let span = error.span().unwrap_or(at..at);
        let message = error.message().trim().replace('\n', ", ");
        let said = text.get(span.clone()).unwrap_or_default();
        Self { at: span.start, why: explain::explained(&message, said) }
    }

    fn about<T>(value: &Spanned<T>, why: String) -> Self {
        Self { at: value.span().start, why }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "on_loopback")]
    listen: Spanned<Listen>,
    #[serde(rename = "log")]
    _log: ReadByKind,
    #[serde(default = "where_there_is_none")]
    create_log: bool,
    audit: Option<PathBuf>,
    choreographies: Option<PathBuf>,
    #[serde(default)]
    key_scope: key_scope::KeyScopeWord,
    #[serde(default)]
    tokens: Vec<Spanned<access::TokenSection>>,
    #[serde(default)]
    clients: Vec<Spanned<access::ClientSection>>,
    tls: Option<tls::TlsSection>,
    #[serde(default)]
    limits: limits::LimitsSection,
    #[serde(default)]
    shutdown: ShutdownSection,
    #[serde(default)]
    logs: Logs,
    #[serde(default)]
    metrics: MetricsSection,
    alerts: Option<AlertsSection>,
    traces: Option<Spanned<TracesSection>>,
    #[serde(default)]
    settings: SettingsSection,
    #[serde(default)]
    retention: RetentionSection,
    #[serde(rename = "participants")]
    _participants: ReadByKind,
    #[serde(default)]
    feeds: BTreeMap<ServiceName, FeedSection>,
}

fn on_loopback() -> Spanned<Listen> {
    Spanned::new(0..0, Listen::default())
}

/// The default creates a log. A side file beside a log that is gone forbids that, whatever is said here.
fn where_there_is_none() -> bool {
    true
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SettingsSection {
    deadline: Option<Spanned<value::PositiveDuration>>,
    call_timeout: Option<value::PositiveDuration>,
    backoff_first: Option<value::PositiveDuration>,
    backoff_cap: Option<Spanned<value::PositiveDuration>>,
    stuck_after_tries: Option<value::Positive>,
    in_flight_limit: Option<value::Positive>,
    in_flight_limit_bytes: Option<value::MemoryBytes>,
    in_flight_limit_per_participant: Option<Spanned<value::Positive>>,
    patience: Option<value::PositiveDuration>,
}

impl SettingsSection {
    fn over_defaults(self) -> Result<Settings, Wrong> {
        let mut settings = Settings::default();
        if let Some(deadline) = self.deadline {
            settings.deadline = deadline.get_ref().0;
            if settings.deadline > Settings::LONGEST_DEADLINE {
                let longest = Settings::LONGEST_DEADLINE.as_secs() / (24 * 60 * 60);
                let why = format!("a deadline is at most {longest} days");
                return Err(Wrong::about(&deadline, why));
            }
        }
        let set = |to: &mut Duration, value: Option<value::PositiveDuration>| {
            *to = value.map_or(*to, |value| value.0);
        };
        set(&mut settings.call_timeout, self.call_timeout);
        set(&mut settings.patience, self.patience);
        set(&mut settings.backoff.first, self.backoff_first);
        if let Some(cap) = self.backoff_cap {
            settings.backoff.cap = cap.get_ref().0;
            if settings.backoff.cap < settings.backoff.first {
                let why = format!("backoff_cap is shorter than {:?}", settings.backoff.first);
                return Err(Wrong::about(&cap, format!("{why}, the first pause")));
            }
        }
        if let Some(value::Positive(tries)) = self.stuck_after_tries {
            settings.stuck_after_tries = tries;
        }
        if let Some(value::Positive(limit)) = self.in_flight_limit {
            settings.in_flight_limit = limit as usize;
        }
        settings.in_flight_limit_bytes = self.in_flight_limit_bytes.map(|limit| limit.0);
        if let Some(share) = self.in_flight_limit_per_participant {
            let share = share_of(settings.in_flight_limit, &share)?;
            settings.in_flight_limit_per_participant = Some(share);
        }
        Ok(settings)
    }
}

/// A participant's share of the transactions in flight: not more than all of them.
fn share_of(all: usize, share: &Spanned<value::Positive>) -> Result<usize, Wrong> {
    let limit = share.get_ref().0 as usize;
    match limit <= all {
        true => Ok(limit),
        false => {
            let why = format!("in_flight_limit, for all, is {all}: raise that one, too");
            Err(Wrong::about(share, why))
        }
    }
}

#[cfg(test)]
mod tests;
