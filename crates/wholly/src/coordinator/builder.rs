//! The start of a coordinator.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use wholly_core::saga::{Definition, Graph};
use wholly_core::{ParticipantName, Target};

use super::command::Registered;
use super::driver::{self, Driver};
use super::incarnation::PersistentState;
use super::stuck::StuckRegister;
use super::{Coordinator, Health, Parts};
use crate::Settings;
use crate::clock::Clock;
use crate::clock::jumps::{self, Disagreement, LogTimes};
use crate::error::{SagaError, StartError};
use crate::in_code::{Home, Saga, SagaHandle};
use crate::log::{Log, ReadError};
use crate::memory::default_in_flight_limit_bytes;
use crate::meter::{Meter, OnSettled, SettledTransaction};
use crate::participant::{Endpoint, Slots};
use crate::reader::Reader;
use crate::workers::{Lost, Workers};

/// The most commands that wait for the loop.
const COMMANDS: usize = 4_096;
/// The numbers of threads that read the log, and that look keys up.
const READS: usize = 4;
const LOOK_UPS: usize = 2;

/// A coordinator before it starts.
#[must_use = "a coordinator exists once it is started"]
pub struct Builder {
    log: Arc<dyn Log>,
    settings: Settings,
    clock: Clock,
    seed: Option<u64>,
    participants: Vec<(String, Registered)>,
    /// The code of each saga, as a [`Target`].
    sagas: BTreeMap<Target, Registered>,
    home: Home,
    on_settled: Option<OnSettled>,
}

impl Builder {
    pub(super) fn new(log: Arc<dyn Log>) -> Self {
        Self {
            log,
            settings: Settings::default(),
            clock: Clock::system(),
            seed: None,
            participants: Vec::new(),
            sagas: BTreeMap::new(),
            home: Home::default(),
            on_settled: None,
        }
    }

    /// A participant of any kind, by the name that branches call it, with the slots of its
    /// [`Endpoint`].
    pub fn participant(self, name: &str, participant: impl Endpoint) -> Self {
        let slots = participant.slots();
        self.participant_with(name, participant, slots)
    }

    /// Registers a participant with these slots.
    pub fn participant_with(
        mut self,
        name: &str,
        participant: impl Endpoint,
        slots: Slots,
    ) -> Self {
        let endpoint: Arc<dyn Endpoint> = Arc::new(participant);
        self.participants.push((name.to_owned(), Registered { endpoint, slots }));
        self
    }

    /// Registers a saga in this program's code. Sagas of its name and version in the log go on with
    /// it; sagas in the log whose code is not registered await it.
    ///
    /// ```
    /// # use wholly::{Coordinator, MemoryLog, Saga, SagaHandle, SagaOutcome, Step, StepError, step};
    /// async fn greet(cx: Step<String>) -> Result<usize, StepError> {
    ///     println!("hello, {}", cx.input);
    ///     Ok(cx.input.len())
    /// }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut builder = Coordinator::builder(MemoryLog::default());
    /// let greet = Saga::new("greet", 1).step(step("greet", greet).needs_no_undo());
    /// let greet: SagaHandle<String> = builder.saga(greet)?;
    /// let _coordinator = builder.start().await?;
    /// match greet.start(&"world".to_owned()).execute().await? {
    ///     SagaOutcome::Completed(done) => assert_eq!(done.output("greet"), Some(5)),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the saga makes no sense, or one with its name and version is registered already.
    pub fn saga<I>(&mut self, saga: Saga<I>) -> Result<SagaHandle<I>, SagaError> {
        self.saga_with(saga, Slots::default())
    }

    /// Registers a saga with these slots: undoing has those that are reserved for the second phase.
    ///
    /// # Errors
    /// When the saga makes no sense, or one with its name and version is registered already.
    pub fn saga_with<I>(
        &mut self,
        saga: Saga<I>,
        slots: Slots,
    ) -> Result<SagaHandle<I>, SagaError> {
        let (graph, code) = saga.check()?;
        self.code(&graph, Arc::new(code), slots)?;
        Ok(SagaHandle::new(Arc::new(graph), self.home.clone()))
    }

    /// Registers the endpoint that does the steps of this saga.
    pub(crate) fn code(
        &mut self,
        graph: &Graph,
        endpoint: Arc<dyn Endpoint>,
        slots: Slots,
    ) -> Result<(), SagaError> {
        let Definition { name, version, .. } = graph.definition();
        let (name, version) = (name.clone(), *version);
        match self.sagas.entry(Target::Code { saga: name.clone(), version }) {
            Entry::Vacant(entry) => entry.insert(Registered { endpoint, slots }),
            Entry::Occupied(_) => return Err(SagaError::Twice { name, version }),
        };
        Ok(())
    }

    /// The settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Registers a function that is called for each transaction that has settled. The loop waits
    /// for it, so it must not block, and a panic in it ends the loop. A transaction that settles
    /// about when the process dies may be told twice, or not at all.
    pub fn on_settled(mut self, told: impl Fn(SettledTransaction) + Send + Sync + 'static) -> Self {
        self.on_settled = Some(Box::new(told));
        self
    }

    /// Takes the time from tokio, which a test can pause, and random numbers from a seed.
    #[cfg(feature = "test")]
    pub(crate) fn simulated(mut self, clock: Clock, seed: u64) -> Self {
        (self.clock, self.seed) = (clock, Some(seed));
        self
    }

    /// Opens the log and starts. Recovery begins: undecided transactions in the log are aborted,
    /// decisions are carried out, sagas go on where they were; a transaction waits for its
    /// unregistered participants or saga in code. Needs a tokio runtime with time enabled.
    ///
    /// # Errors
    /// When the log cannot be opened, or a participant has a name that it cannot have.
    pub async fn start(self) -> Result<Coordinator, StartError> {
        let (coordinator, _) = self.start_abortable().await?;
        Ok(coordinator)
    }

    /// Starts, and tells how to make the loop vanish as in a crash.
    pub(crate) async fn start_abortable(self) -> Result<(Coordinator, AbortHandle), StartError> {
        let mut targets = self.sagas;
        for (name, registered) in self.participants {
            let name = ParticipantName::new(name.as_str())
                .map_err(|why| StartError::Participant { name, why })?;
            match targets.entry(Target::Participant(name.clone())) {
                Entry::Vacant(entry) => entry.insert(registered),
                Entry::Occupied(_) => return Err(StartError::ParticipantTwice { name }),
            };
        }
        let denied = |why: std::io::Error| ReadError::Storage { why: why.to_string() };
        let reads = Workers::start("wholly-read", READS, &self.clock).map_err(denied)?;
        let look_ups = Workers::start("wholly-key", LOOK_UPS, &self.clock).map_err(denied)?;
        let reads = Arc::new(reads);
        let opened = driver::open(&self.log, None, &reads).await?;
        let youngest = jumps::youngest(opened.log.last_ordinal);
        let clock = self.clock.not_before(youngest.unwrap_or_default());
        let at = clock.read();
        let (reader, last_ordinal) = (opened.log.reader.clone(), opened.log.last_ordinal);
        let reading = move || LogTimes::read(&*reader, last_ordinal, at.steady);
        let lost = |error: Lost| ReadError::Storage { why: error.to_string() };
        let log = reads.run(reading).await.map_err(lost)??;
        let (jumps, found) = jumps::at_start(at, log, self.settings.retention);
        if let Some(found) = found {
            warn_of_the_clock(found);
        }
        let mut settings = self.settings;
        settings.in_flight_limit_bytes.get_or_insert_with(default_in_flight_limit_bytes);
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let meter = Arc::new(Meter::new(clock.clone(), settings.measured, self.on_settled));
        let (publisher, reader) =
            Reader::new(opened.log.reader.clone(), opened.log.head, reads.clone());
        let (health, healthy) = watch::channel(Health::Ready);
        let (stuck, shut_down) = (StuckRegister::default(), Arc::new(AtomicBool::new(false)));
        let parts = Arc::new(Parts {
            settings: settings.clone(),
            clock: clock.clone(),
            reader,
            health: healthy,
            shut_down: shut_down.clone(),
            meter: meter.clone(),
            stuck: stuck.clone(),
            damage: opened.log.damage.clone(),
        });
        let seed = self.seed.unwrap_or_else(driver::random_seed);
        let persistent = PersistentState {
            settings,
            clock,
            meter,
            publisher,
            health,
            stuck,
            look_ups,
            commands: receiver,
            targets,
            seed,
            jumps,
        };
        let driver = Driver { log: self.log, reads, shut_down, persistent };
        let looping = tokio::spawn(driver.run(opened));
        let coordinator = Coordinator { parts, commands };
        self.home.is_at(coordinator.clone());
        Ok((coordinator, looping.abort_handle()))
    }
}

fn warn_of_the_clock(found: Disagreement) {
    const SO: &str = "retention removes nothing for an hour; check the clock";
    match found {
        Disagreement::Behind(by) => tracing::warn!(
            "the wall clock is {by:?} behind the log's youngest transaction: deadlines count from \
             the time of that transaction, and {SO}"
        ),
        Disagreement::StoodStill(by) => tracing::warn!(
            "by the wall clock, no transaction began for up to {by:?}, until less than an hour ago: \
             {SO}"
        ),
    }
}
