//! How a coordinator starts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, RwLock};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use wholly_core::{Callee, ParticipantName};

use super::driver::{self, Driver, Registered};
use super::{Coordinator, Health, Shared};
use crate::Settings;
use crate::clock::Clock;
use crate::error::StartError;
use crate::log::Log;
use crate::participant::slots::Slots;
use crate::participant::{Endpoint, Participant};

/// How many commands may wait for the loop.
const COMMANDS: usize = 4_096;

/// A coordinator before it starts.
#[must_use = "a coordinator exists once it is started"]
pub struct Builder {
    log: Arc<dyn Log>,
    settings: Settings,
    clock: Clock,
    seed: Option<u64>,
    participants: Vec<(String, Registered)>,
}

impl Builder {
    pub(super) fn new(log: Arc<dyn Log>) -> Self {
        Self {
            log,
            settings: Settings::default(),
            clock: Clock::System,
            seed: None,
            participants: Vec::new(),
        }
    }

    /// A participant, by the name that branches call it.
    pub fn participant(self, name: &str, participant: impl Participant) -> Self {
        self.participant_with(name, participant, Slots::default())
    }

    /// A participant with as many calls at once as `slots` says.
    pub fn participant_with(
        mut self,
        name: &str,
        participant: impl Participant,
        slots: Slots,
    ) -> Self {
        let endpoint: Arc<dyn Endpoint> = Arc::new(participant);
        self.participants.push((name.to_owned(), Registered { endpoint, slots }));
        self
    }

    /// The settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Time as tokio tells it, which a test can pause, and a seed for what is random.
    #[cfg(feature = "test")]
    pub(crate) fn simulated(mut self, clock: Clock, seed: u64) -> Self {
        (self.clock, self.seed) = (clock, Some(seed));
        self
    }

    /// Opens the log and starts. Recovery begins: what the log holds undecided is aborted, what
    /// is decided is carried out; what names a participant that is not registered is held until
    /// it is. Needs a tokio runtime with time enabled.
    ///
    /// # Errors
    /// When the log cannot be opened, or a participant has a name that it cannot have.
    pub async fn start(self) -> Result<Coordinator, StartError> {
        let (coordinator, _) = self.start_abortable().await?;
        Ok(coordinator)
    }

    /// Starts, and tells how to make the loop vanish as in a crash.
    pub(crate) async fn start_abortable(self) -> Result<(Coordinator, AbortHandle), StartError> {
        let mut callees = BTreeMap::new();
        for (name, registered) in self.participants {
            let name = ParticipantName::new(name.as_str())
                .map_err(|why| StartError::Participant { name, why })?;
            match callees.entry(Callee::Participant(name.clone())) {
                Entry::Vacant(entry) => entry.insert(registered),
                Entry::Occupied(_) => return Err(StartError::ParticipantTwice { name }),
            };
        }
        let opened = driver::open(&self.log, &self.clock).await?;
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let shared = Arc::new(Shared {
            settings: self.settings,
            clock: self.clock,
            reader: RwLock::new(opened.log.reader.clone()),
            health: RwLock::new(Health::Ready),
        });
        let seed = self.seed.unwrap_or_else(driver::random_seed);
        let driver =
            Driver { log: self.log, shared: shared.clone(), commands: receiver, callees, seed };
        let looping = tokio::spawn(driver.run(opened));
        Ok((Coordinator { shared, commands }, looping.abort_handle()))
    }
}
