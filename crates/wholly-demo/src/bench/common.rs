//! The options of every workload: the transactions' shape, and the place of their log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use clap::ValueEnum;
use tempfile::TempDir;
use wholly::{Coordinator, Key, Outcome, Payload};

use super::bare_participant::BareParticipant;
use super::error::BenchError;
use super::load::Work;
use crate::random::Random;

/// The options of every workload with transactions of its own.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// The number of participants of a transaction.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub participants: u16,
    /// The length of a branch's payload, or of a saga's input.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=65_536))]
    pub payload_bytes: u32,
    /// Give every transaction a client's key, random like a UUID.
    #[arg(long)]
    pub keys: bool,
    /// The log and the report.
    #[command(flatten)]
    pub output: Output,
}

/// The options for the files and the report of every workload.
#[derive(clap::Args, Clone, Debug)]
pub struct Output {
    /// The directory in which a new one for the logs is made, and deleted afterwards. By default
    /// ./target if there is one, else the current directory.
    #[arg(long, value_name = "DIRECTORY")]
    log: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// The place of the participants.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In this process: they do nothing.
    InProcess,
    /// Processes of their own: they answer at once.
    Http,
}

impl Transport {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InProcess => "in process",
            Self::Http => "over HTTP",
        }
    }

    /// The processes of the participants, where they are no part of this one.
    pub(super) async fn start(
        self,
        names: &[String],
        directory: &Path,
    ) -> Result<Vec<BareParticipant>, BenchError> {
        match self {
            Self::InProcess => Ok(Vec::new()),
            Self::Http => BareParticipant::start_all(names, directory).await,
        }
    }
}

impl Common {
    /// The names of the participants.
    pub fn names(&self) -> Vec<String> {
        (1..=self.participants).map(|n| format!("participant-{n}")).collect()
    }

    /// A JSON string that is as long as was asked for.
    pub fn payload(&self) -> Result<Payload, BenchError> {
        let text = "x".repeat(self.payload_bytes.saturating_sub(2) as usize);
        Ok(Payload::of(&text)?)
    }

    /// A new directory for the logs.
    pub fn directory(&self) -> Result<TempDir, BenchError> {
        self.output.directory()
    }
}

impl Output {
    /// A new directory for the logs.
    pub fn directory(&self) -> Result<TempDir, BenchError> {
        let target = Path::new("target");
        let parent = match &self.log {
            Some(named) => named.as_path(),
            None if target.is_dir() => target,
            None => Path::new("."),
        };
        if is_in_memory(parent) {
            wholly_terminal::report(format_args!(
                "warning: {} is in memory, where nothing is durable and a sync costs nothing; \
                 name a directory on a disk with --log",
                parent.display()
            ));
        }
        Ok(tempfile::Builder::new().prefix("wholly-bench-").tempdir_in(parent)?)
    }
}

#[cfg(target_os = "linux")]
fn is_in_memory(directory: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    rustix::fs::statfs(directory)
        .is_ok_and(|fs| [TMPFS, RAMFS].contains(&fs.f_type.cast_unsigned()))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &Path) -> bool {
    false
}

/// The memory that this process holds, in bytes, where the system tells.
pub fn resident_bytes() -> Option<u64> {
    crate::process::resident_bytes("self")
}

/// The time for which the processors have worked for this process so far.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The random number that belongs to a number.
pub fn random(number: u64) -> u64 {
    Random::seeded(number).next()
}

/// The `n`th client's key: as long as a UUID without hyphens, and in no order.
pub fn key(n: u64) -> Result<Key, BenchError> {
    Ok(Key::new(format!("{:016x}{:016x}", random(n), random(!n)))?)
}

/// The work of one client: a transaction that must commit.
pub struct Transactions {
    /// The coordinator that runs them.
    pub coordinator: Coordinator,
    names: Vec<String>,
    payload: Payload,
    keys: bool,
    begun: AtomicU64,
}

impl Transactions {
    /// Transactions of this shape.
    ///
    /// # Errors
    /// When the payload is not valid.
    pub fn new(coordinator: Coordinator, common: &Common) -> Result<Self, BenchError> {
        Ok(Self {
            coordinator,
            names: common.names(),
            payload: common.payload()?,
            keys: common.keys,
            begun: AtomicU64::new(0),
        })
    }

    /// Starts no key that is in a log that was made before.
    pub fn keys_from(self, first: u64) -> Self {
        self.begun.store(first, Relaxed);
        self
    }
}

impl Work for Transactions {
    async fn once(&self) -> Result<(), BenchError> {
        let mut transaction = self.coordinator.two_phase("bench");
        if self.keys {
            transaction = transaction.key(key(self.begun.fetch_add(1, Relaxed))?);
        }
        for name in &self.names {
            transaction = transaction.branch(name, &self.payload)?;
        }
        match transaction.execute().await? {
            Outcome::Committed(_) => Ok(()),
            other => Err(BenchError::WrongEnd { id: other.id(), what: format!("{other:?}") }),
        }
    }
}
