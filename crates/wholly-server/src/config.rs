//! `wholly.toml`: who takes part, where the log is, and what is set.
//!
//! Everything is parsed here, once, into types that cannot be wrong. A message names the file, the
//! line and the column; a key that nobody knows is an error, because a setting that does nothing
//! is worse than one that is missing.

mod value;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use wholly::{HttpParticipant, ParticipantName, Settings, Slots};

use crate::place::Place;

/// What the server is to do.
pub struct Config {
    /// Where it listens.
    pub listen: Loopback,
    /// The log's file.
    pub log: PathBuf,
    /// The coordinator's settings.
    pub settings: Settings,
    /// Who takes part, by name.
    pub participants: BTreeMap<ParticipantName, ConfiguredParticipant>,
}

/// A participant that the configuration names.
pub struct ConfiguredParticipant {
    /// How it is called.
    pub participant: HttpParticipant,
    /// How often at once.
    pub slots: Slots,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is none.
    #[error("there is no configuration {}; write one, or name it with --config", .file.display())]
    Missing { file: PathBuf },
    /// It cannot be read.
    #[error("the configuration {} cannot be read: {why}", .file.display())]
    Unreadable { file: PathBuf, why: io::Error },
    /// It says something that it cannot say.
    #[error("{}:{place}: {why}", .file.display())]
    Invalid { file: PathBuf, place: Place, why: String },
}

impl Config {
    /// Reads the configuration in `file`. A log that it names relatively lies beside it.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing { file: file.to_owned() },
            _ => ConfigError::Unreadable { file: file.to_owned(), why },
        })?;
        let parsed = Self::parse(&text).map_err(|Wrong { at, why }| ConfigError::Invalid {
            file: file.to_owned(),
            place: Place::of(&text, at),
            why,
        });
        parsed.map(|config| Self {
            log: file.parent().unwrap_or(Path::new("")).join(&config.log),
            ..config
        })
    }

    /// Whether this text is a configuration, for who throws anything at it.
    #[cfg(test)]
    pub fn takes(text: &str) -> bool {
        Self::parse(text).is_ok()
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let file: File = toml::from_str(text).map_err(|error| Wrong {
            at: error.span().map_or(0, |span| span.start),
            why: error.message().trim().replace('\n', ", "),
        })?;
        let settings = file.settings.over_defaults()?;
        let configured =
            |(name, section): (_, ParticipantSection)| Ok((name, section.configured(&settings)?));
        let participants =
            file.participants.into_iter().map(configured).collect::<Result<_, Wrong>>()?;
        Ok(Self { listen: file.listen, log: file.log, settings, participants })
    }
}

/// What is wrong, and the byte where.
#[derive(Debug)]
struct Wrong {
    at: usize,
    why: String,
}

impl Wrong {
    fn about<T>(value: &Spanned<T>, why: String) -> Self {
        Self { at: value.span().start, why }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    listen: Loopback,
    #[serde(default = "beside_the_configuration")]
    log: PathBuf,
    #[serde(default)]
    settings: SettingsSection,
    #[serde(default)]
    participants: BTreeMap<ParticipantName, ParticipantSection>,
}

fn beside_the_configuration() -> PathBuf {
    PathBuf::from("wholly.db")
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
        Ok(settings)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParticipantSection {
    #[serde(deserialize_with = "value::participant_at")]
    url: HttpParticipant,
    #[serde(default)]
    one_phase: bool,
    call_timeout: Option<Spanned<value::PositiveDuration>>,
    slots: Option<Spanned<SlotsSection>>,
    #[serde(default)]
    refused_statuses: Vec<value::ClientErrorStatus>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotsSection {
    total: usize,
    reserved_for_second_phase: usize,
}

impl ParticipantSection {
    fn configured(self, settings: &Settings) -> Result<ConfiguredParticipant, Wrong> {
        let slots = match self.slots {
            None => Slots::default(),
            Some(section) => {
                let SlotsSection { total, reserved_for_second_phase } = *section.get_ref();
                Slots::new(total, reserved_for_second_phase)
                    .map_err(|why| Wrong::about(&section, why.to_string()))?
            }
        };
        let refused_statuses: Vec<u16> =
            self.refused_statuses.into_iter().map(|status| status.0).collect();
        let mut participant =
            self.url.one_phase(self.one_phase).refused_statuses(&refused_statuses);
        if let Some(call_timeout) = self.call_timeout {
            if call_timeout.get_ref().0 > settings.call_timeout {
                let why = format!(
                    "this call_timeout is longer than that of [settings], {:?}, which bounds it: \
                     raise that one, too",
                    settings.call_timeout
                );
                return Err(Wrong::about(&call_timeout, why));
            }
            participant = participant.call_timeout(call_timeout.get_ref().0);
        }
        Ok(ConfiguredParticipant { participant, slots })
    }
}

/// An address that only programs of this machine reach.
///
/// INVARIANT: the server listens nowhere else while it has no authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// The address.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl Default for Loopback {
    fn default() -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], 7400)))
    }
}

impl FromStr for Loopback {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: SocketAddr = text
            .parse()
            .map_err(|_| format!("{text:?} is no address; write it like 127.0.0.1:7400"))?;
        match address.ip().is_loopback() {
            true => Ok(Self(address)),
            false => Err(format!(
                "{address} is reached from other machines, and this version has no authentication \
                 yet, which a later version brings; listen on 127.0.0.1 or [::1]"
            )),
        }
    }
}

impl TryFrom<String> for Loopback {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests;
