//! The world in which a test puts a coordinator.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use wholly_core::saga::Graph;
use wholly_core::{State, Timestamp, TransactionId};

use super::all_or_nothing::wrong_at;
use super::incarnation::{CrashPoint, Gone, Incarnation};
use super::scripted::{Scripted, lock};
use super::stand_in::StandIn;
use crate::clock::Clock;
use crate::engine::Random;
use crate::in_code::Home;
use crate::log::memory::{MemoryLog, Unsynced};
use crate::participant::Endpoint;
use crate::{
    Coordinator, Filter, Saga, SagaError, SagaHandle, Settings, Slots, Snapshot, StartError,
};

/// The patience of [`Harness::settle`], on virtual time.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A coordinator in memory, on virtual time, with participants that can be scripted: what is
/// durable survives its crashes.
///
/// Time is tokio's: with `#[tokio::test(start_paused = true)]` it leaps to the next thing that
/// happens, so that a deadline of a day costs nothing. Everything else that varies comes from one
/// seed: a fresh one, unless the environment's `WHOLLY_SEED` says otherwise. A test that panics
/// prints it. A seed replays as long as the test itself is deterministic: the runtime of the
/// current thread, paused time, no sockets and no threads.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use wholly::Operation::Commit;
/// use wholly::test::{Act, Harness, Standing};
///
/// let mut harness = Harness::new();
/// let orders = harness.stand_in("orders");
/// let payments = harness.stand_in("payments");
/// payments.nth(Commit, 0, Act::LoseRequest);
///
/// let coordinator = harness.start().await?;
/// let place = coordinator.two_phase("place order").branch("orders", &1)?.branch("payments", &2)?;
/// let id = place.execute().await?.id();
///
/// assert_eq!(payments.standing(id), Some(Standing::Committed));
/// harness.assert_all_or_nothing(id).await;
/// # Ok(())
/// # }
/// ```
pub struct Harness {
    seed: u64,
    random: Arc<Mutex<Random>>,
    clock: Clock,
    log: MemoryLog,
    settings: Settings,
    cast: Vec<Cast>,
    sagas: Vec<(Arc<Graph>, Arc<dyn Endpoint>)>,
    home: Home,
    running: Option<Running>,
    /// The crash that is planned for the next incarnation.
    plan: Option<CrashPoint>,
    /// The planned crashes, for the message of a failure.
    planned: Vec<CrashPoint>,
}

/// A participant, and whether the next start registers it.
struct Cast {
    name: String,
    scripted: Scripted,
    slots: Slots,
    registered: bool,
}

struct Running {
    coordinator: Coordinator,
    incarnation: Arc<Incarnation>,
    gone: Gone,
}

impl Harness {
    /// A harness with an empty log, nobody who takes part, and nothing that runs. Its seed is
    /// fresh, or the one that `WHOLLY_SEED` names.
    ///
    /// # Panics
    /// When `WHOLLY_SEED` is no number.
    #[expect(clippy::new_without_default, reason = "a default that is random surprises")]
    pub fn new() -> Self {
        Self::seeded(seed())
    }

    /// A harness with this seed.
    pub fn seeded(seed: u64) -> Self {
        // The real time at the start: a participant may compare an expiry with its own clock.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = Clock::Tokio { base: Timestamp::default() + now, since: Instant::now() };
        Self {
            seed,
            random: Arc::new(Mutex::new(Random::seeded(seed))),
            clock,
            log: MemoryLog::default(),
            settings: Settings::default(),
            cast: Vec::new(),
            sagas: Vec::new(),
            home: Home::default(),
            running: None,
            plan: None,
            planned: Vec::new(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The log, which survives the coordinator and can be made to fail.
    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// From the next start on the coordinator lives on this log: a
    /// [restored copy](MemoryLog::restored), say. One that still runs is crashed first.
    pub async fn go_on_with(&mut self, log: MemoryLog) {
        self.crash(Unsynced::Kept).await;
        self.log = log;
    }

    /// The settings of the next start.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// A participant of the user's own, from the next start on. Give it in an [`Arc`] to go on
    /// looking at it. Its calls can be scripted like any other's.
    pub fn participant(&mut self, name: &str, participant: impl Endpoint) -> Scripted {
        let slots = participant.slots();
        self.participant_with(name, participant, slots)
    }

    /// A participant with as many calls at once as `slots` says.
    pub fn participant_with(
        &mut self,
        name: &str,
        participant: impl Endpoint,
        slots: Slots,
    ) -> Scripted {
        let scripted = Scripted::new(Arc::new(participant), self.random.clone());
        let (name, kept) = (name.to_owned(), scripted.clone());
        self.cast.push(Cast { name, scripted: kept, slots, registered: true });
        scripted
    }

    /// A participant that says yes to everything and keeps the rules of the protocol, from the
    /// next start on.
    pub fn stand_in(&mut self, name: &str) -> Scripted {
        let stand_in = StandIn::new(self.clock.clone(), false);
        self.participant(name, stand_in)
    }

    /// A [stand-in](Self::stand_in) that offers one-phase commit.
    pub fn stand_in_one_phase(&mut self, name: &str) -> Scripted {
        let stand_in = StandIn::new(self.clock.clone(), true);
        self.participant(name, stand_in)
    }

    /// A saga in code, from the next start on. One that has the name and version already is
    /// replaced, as by a new version of the program. The handle is that of whichever coordinator
    /// runs.
    ///
    /// # Errors
    /// When the saga makes no sense.
    pub fn saga<I>(&mut self, saga: Saga<I>) -> Result<SagaHandle<I>, SagaError> {
        let (graph, code) = saga.check()?;
        let graph = Arc::new(graph);
        self.code(graph.clone(), Arc::new(code));
        Ok(SagaHandle::new(graph, self.home.clone()))
    }

    pub(super) fn code(&mut self, saga: Arc<Graph>, endpoint: Arc<dyn Endpoint>) {
        let called = |saga: &Graph| (saga.definition().name.clone(), saga.definition().version);
        self.sagas.retain(|(other, _)| called(other) != called(&saga));
        self.sagas.push((saga, endpoint));
    }

    /// The next starts do not register this participant;
    /// [`Coordinator::register`] may do so later.
    pub fn leave_out(&mut self, name: &str) {
        self.cast.iter_mut().filter(|c| c.name == name).for_each(|c| c.registered = false);
    }

    /// Starts the coordinator, or starts it again. One that still runs is crashed first.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(&mut self) -> Result<Coordinator, StartError> {
        self.crash(Unsynced::Kept).await;
        let (incarnation, log, gone) = Incarnation::begin(self.log.clone(), self.plan.take());
        let seed = lock(&self.random).next();
        let mut builder = Coordinator::builder(log).settings(self.settings.clone());
        for cast in self.cast.iter().filter(|cast| cast.registered) {
            builder = builder.participant_with(&cast.name, cast.scripted.clone(), cast.slots);
        }
        for (saga, endpoint) in &self.sagas {
            // INVARIANT: no two of them have one name and version.
            let _ = builder.code(saga, endpoint.clone(), Slots::default());
        }
        let (coordinator, looping) =
            builder.simulated(self.clock.clone(), seed).start_abortable().await?;
        incarnation.is_lived_by(looping);
        self.home.is_at(coordinator.clone());
        self.running = Some(Running { coordinator: coordinator.clone(), incarnation, gone });
        Ok(coordinator)
    }

    /// Crashes the coordinator: it vanishes, and nothing that it would still do happens. An append
    /// that is under way is kept or lost. Calls that have left arrive all the same.
    pub async fn crash(&mut self, unsynced: Unsynced) {
        let Some(Running { coordinator, incarnation, mut gone }) = self.running.take() else {
            return;
        };
        match unsynced {
            Unsynced::Lost => incarnation.cut_off(),
            Unsynced::Kept => incarnation.stop_loop(),
        }
        drop(coordinator);
        // Nobody sends: this ends when the loop and its log are gone.
        let _ = gone.recv().await;
        incarnation.cut_off();
        self.log.crash(unsynced);
    }

    /// Crashes the coordinator and starts it again after a while.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<Coordinator, StartError> {
        self.crash(Unsynced::Kept).await;
        let down = lock(&self.random).next() % 100;
        tokio::time::sleep(Duration::from_millis(down)).await;
        self.start().await
    }

    /// The coordinator that runs.
    ///
    /// # Panics
    /// When none does.
    pub fn coordinator(&self) -> &Coordinator {
        match &self.running {
            Some(running) => &running.coordinator,
            None => panic!("no coordinator runs; start the harness first"),
        }
    }

    /// Waits until every transaction has settled, that is durable, and every call has arrived.
    ///
    /// # Panics
    /// When a transaction has not settled after an hour of virtual time.
    pub async fn settle(&self) {
        let until = Instant::now() + PATIENCE;
        for id in self.durable().await {
            self.settle_one(id, until).await;
        }
        for cast in &self.cast {
            cast.scripted.all_arrived().await;
        }
    }

    async fn settle_one(&self, id: TransactionId, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // After a failure of the log this returns at once: hence the pause.
            let _ = self.coordinator().outcome(id, left).await;
            let snapshot = self.snapshot(id).await;
            if snapshot.as_ref().is_none_or(|snapshot| snapshot.settled) {
                return;
            }
            let why = snapshot.as_ref().map(what_stands_in_its_way).unwrap_or_default();
            let in_time = Instant::now() < until;
            assert!(in_time, "not settled after {PATIENCE:?}: {why:?}; {snapshot:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asserts that a transaction which has settled happened at all of its participants or at
    /// none, as its decision says, and that nobody holds anything for it.
    ///
    /// Of a saga: that every step is completed; or that every step which was done is compensated,
    /// and no other, by the log and by the participants' own answers. A compensation that found
    /// nothing is right where it was not known whether the action had run, and of a step that
    /// needs no compensation all is right.
    ///
    /// # Panics
    /// When that is not so.
    pub async fn assert_all_or_nothing(&self, id: TransactionId) {
        let snapshot = self.snapshot(id).await;
        let snapshot = snapshot.as_ref();
        let settled = snapshot.is_none_or(|snapshot| snapshot.settled);
        assert!(settled, "{id} has not settled: {snapshot:#?}");
        let state =
            snapshot.map_or("not in the log", |of| of.state.map_or("unknown", State::as_str));
        for Cast { name, scripted, .. } in &self.cast {
            if let Some(wrong) = wrong_at(id, snapshot, name, scripted) {
                panic!("{id} is {state}, and {wrong}: {snapshot:#?}");
            }
        }
    }

    /// Asserts [all or nothing](Self::assert_all_or_nothing) of every transaction that the log
    /// holds or a participant did anything for.
    ///
    /// # Panics
    /// When that is not so of one.
    pub async fn assert_all_or_nothing_everywhere(&self) {
        let mut ids: BTreeSet<TransactionId> = self.durable().await.into_iter().collect();
        ids.extend(self.cast.iter().flat_map(|cast| cast.scripted.transactions()));
        for id in ids {
            self.assert_all_or_nothing(id).await;
        }
    }

    async fn durable(&self) -> Vec<TransactionId> {
        let all = self.coordinator().list(&Filter::default(), None, usize::MAX).await;
        all.unwrap_or_else(|why| panic!("{why}")).ids()
    }

    async fn snapshot(&self, id: TransactionId) -> Option<Snapshot> {
        self.coordinator().get(id).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Plans a crash for the next incarnation.
    pub(super) fn plan(&mut self, crash: CrashPoint) {
        self.plan = Some(crash);
        self.planned.push(crash);
    }

    /// Runs until it is done, or the planned crash comes; tells whether it came. One that has not
    /// come by then never does.
    pub(super) async fn crashes(&self, run: impl Future<Output = ()>) -> bool {
        let Some(running) = &self.running else { return false };
        tokio::select! {
            biased;
            () = running.incarnation.crashed() => true,
            () = run => {
                running.incarnation.disarm();
                false
            }
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, planned, .. } = self;
            eprintln!("seed {seed:#x}, crashes {planned:?}; replay: WHOLLY_SEED={seed:#x}");
        }
    }
}

/// Lists what a transaction waits for, as far as it says so.
fn what_stands_in_its_way(snapshot: &Snapshot) -> Vec<String> {
    let branches = snapshot.branches.iter().filter_map(|branch| branch.stuck.clone());
    let steps = snapshot.steps.iter().filter_map(|step| {
        step.stuck.as_ref().map(|why| format!("the step {} is stuck: {why}", step.name))
    });
    let held = snapshot.awaiting.iter().map(|target| format!("{target} is not registered"));
    branches.chain(steps).chain(held).chain(snapshot.quarantined.clone()).collect()
}

/// The seed that the environment names, or a fresh one.
pub(super) fn seed() -> u64 {
    let Ok(text) = std::env::var("WHOLLY_SEED") else {
        return getrandom::u64().unwrap_or_default();
    };
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    number.unwrap_or_else(|why| panic!("WHOLLY_SEED={text:?}: {why}"))
}
