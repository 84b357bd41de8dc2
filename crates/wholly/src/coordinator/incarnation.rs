//! One incarnation of the loop, and its I/O: the engine takes all inputs, and its outputs are
//! carried out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant as Moment, sleep_until};
use wholly_core::{Key, Target, Timestamp};

use super::command::{Command, QueuedCommand, Registered};
use super::log_thread::{Answers, Appended, LogThread};
use super::retention::{Removed, Sweeps};
use super::stuck::StuckRegister;
use super::{Caller, Health};
use crate::Settings;
use crate::clock::jumps::{Jump, Jumps};
use crate::clock::{Clock, Reading};
use crate::engine::{Engine, Input, Load, Lookup, Outputs, Random};
use crate::log::{LogReader, OpenLog, ReadError, StoredTransaction};
use crate::meter::{self, Meter};
use crate::participant::{Answered, Lane};
use crate::reader::Publisher;
use crate::replay::FoldedTransaction;
use crate::workers::Workers;

/// The most commands that are taken before the outputs that follow from them are sent.
const COMMANDS_AT_ONCE: usize = 4_096;

/// The time for which the loop stays awake for the batch of a transaction that is alone.
const AWAKE_FOR: Duration = Duration::from_micros(400);

/// The state that outlasts an incarnation.
pub(super) struct PersistentState {
    pub settings: Settings,
    pub clock: Clock,
    pub meter: Arc<Meter>,
    pub publisher: Publisher,
    pub health: watch::Sender<Health>,
    pub stuck: StuckRegister,
    /// The threads that look keys up and load transactions: a long list delays no submission.
    pub look_ups: Workers,
    pub commands: mpsc::Receiver<QueuedCommand>,
    pub targets: BTreeMap<Target, Registered>,
    pub seed: u64,
    pub jumps: Jumps,
}

/// A log that was just opened, and the ordinals of its transactions that have not ended.
pub(super) struct Opened {
    pub log: OpenLog,
    pub unsettled: Vec<u64>,
}

/// An incarnation that has begun.
pub(super) struct Incarnation {
    engine: Engine<Caller>,
    log: LogThread,
    reader: Arc<dyn LogReader>,
    lanes: BTreeMap<Target, Lane>,
    answers: mpsc::UnboundedSender<Vec<Answered>>,
    lookups: mpsc::UnboundedSender<Found>,
    loads: mpsc::UnboundedSender<Loaded>,
    sweeps: Sweeps,
    inbox: Inbox,
    /// The time until which transactions in flight may settle, and the callers that await the end.
    stopping: Option<(Timestamp, Vec<oneshot::Sender<()>>)>,
    /// True if every handle is gone: the queue of commands would say so again and again.
    handles_dropped: bool,
}

/// The end of an incarnation.
pub(super) enum End {
    Stopped,
    LogFailed(String),
}

type Found = (Key, Result<Option<FoldedTransaction>, ReadError>);
type Loaded = Result<Vec<Option<FoldedTransaction>>, ReadError>;

/// The inputs beside the commands. The outputs of the engine bound their number.
struct Inbox {
    answered: mpsc::UnboundedReceiver<Vec<Answered>>,
    appended: mpsc::UnboundedReceiver<Appended>,
    removed: mpsc::UnboundedReceiver<Removed>,
    found: mpsc::UnboundedReceiver<Found>,
    loaded: mpsc::UnboundedReceiver<Loaded>,
}

impl Incarnation {
    /// Begins with a log that was just opened.
    pub async fn begin(persistent: &mut PersistentState, opened: Opened) -> std::io::Result<Self> {
        let Opened { log, unsettled } = opened;
        let (answers, answered) = mpsc::unbounded_channel();
        let (appends, appended) = mpsc::unbounded_channel();
        let (removals, removed) = mpsc::unbounded_channel();
        let said = Answers { appended: appends, removed: removals };
        let (lookups, found) = mpsc::unbounded_channel();
        let (loads, loaded) = mpsc::unbounded_channel();
        persistent.seed = persistent.seed.wrapping_add(1);
        let targets = persistent.targets.iter().map(|(target, r)| (target.clone(), r.terms()));
        let mut engine = Engine::new(
            persistent.settings.clone(),
            log.identity,
            log.head,
            log.last_ordinal,
            targets,
            Random::seeded(persistent.seed),
            persistent.meter.clone(),
        );
        let clock = persistent.clock.clone();
        engine.restart(unsettled);
        while let Some(load) = engine.next_load(clock.now()) {
            let reader = log.reader.clone();
            let loaded = persistent.look_ups.run(move || read(&*reader, &load)).await;
            let loaded = loaded.map_err(std::io::Error::other)?;
            loaded.as_ref().map_err(|error| std::io::Error::other(error.to_string()))?;
            engine.handle(Input::Loaded(loaded), clock.now());
        }
        let now = clock.now();
        // At once: a follower must not take the stuck of the last incarnation for well.
        let stuck = engine.stuck_at_start();
        warn_of_what_waits(&engine, stuck.len());
        persistent.stuck.start_with(stuck);
        let mut sweeps = Sweeps::new(persistent.settings.retention, now);
        sweeps.not_before(persistent.jumps.distrusted_until());
        let lane = |(target, registered): (&Target, &Registered)| {
            (target.clone(), lane(persistent, target, registered, &answers))
        };
        let meter = persistent.meter.clone();
        Ok(Self {
            engine,
            log: LogThread::start(log.writer, said, &persistent.clock, meter)?,
            reader: log.reader,
            lanes: persistent.targets.iter().map(lane).collect(),
            answers,
            lookups,
            loads,
            sweeps,
            inbox: Inbox { answered, appended, removed, found, loaded },
            stopping: None,
            handles_dropped: false,
        })
    }

    /// Lives until the log fails or the coordinator is to stop.
    pub async fn live(mut self, persistent: &mut PersistentState) -> End {
        let clock = persistent.clock.clone();
        loop {
            let reading = clock.read();
            let now = reading.steady;
            self.look_at_the_clock(persistent, reading);
            self.engine.flush_for(persistent.publisher.wanted(), now);
            let outputs = self.engine.poll(now);
            self.send(persistent, outputs);
            if self.may_stop(now) {
                break;
            }
            if let Some(removal) = self.sweeps.next(reading) {
                self.log.remove(removal);
            }
            if let Some(appended) = self.appended_soon(&clock).await {
                match self.appended(appended, clock.now()) {
                    Some(why) => return self.fail(why).await,
                    None => continue,
                }
            }
            let wake = self.engine.next_wake(now);
            let wake = wake.into_iter().chain(self.stopping.as_ref().map(|s| s.0));
            let wake = wake.chain(self.sweeps.due()).min();
            let longest = clock.longest_sleep();
            let pause = wake.map_or(longest, |at| now.until(at)).min(longest);
            // At least a millisecond, which is the clock's resolution.
            let wake = Moment::now() + pause.max(Duration::from_millis(1));
            let alarm = sleep_until(wake);
            let meter = &persistent.meter;
            let failed = tokio::select! {
                // In this order, so that a seed repeats; what else is ready is drained below.
                biased;
                () = persistent.publisher.asked() => None,
                fed = persistent.commands.recv(), if !self.handles_dropped => {
                    if let Some(fed) = &fed {
                        meter.waited(fed.since);
                    }
                    self.command(persistent, fed.map(|fed| fed.command), clock.now());
                    None
                }
                Some(answered) = self.inbox.answered.recv() => {
                    self.answered(answered, clock.now());
                    None
                }
                Some(appended) = self.inbox.appended.recv() => {
                    self.appended(appended, clock.now())
                }
                Some((key, found)) = self.inbox.found.recv() => {
                    self.engine.handle(Input::Found { key, found }, clock.now());
                    None
                }
                Some(loaded) = self.inbox.loaded.recv() => {
                    self.engine.handle(Input::Loaded(loaded), clock.now());
                    None
                }
                Some(removed) = self.inbox.removed.recv() => self.removed(removed, clock.now()),
                () = alarm => {
                    meter.waited(wake);
                    None
                }
            };
            if let Some(why) = failed.or_else(|| self.drain(persistent, clock.now())) {
                return self.fail(why).await;
            }
        }
        // A caller who still waits is told that the transaction goes on, not that it was refused.
        for (to, reply) in self.engine.fail("the coordinator is shutting down") {
            let _ = to.send(reply);
        }
        self.log.close().await;
        for to in self.stopping.into_iter().flat_map(|(_, callers)| callers) {
            let _ = to.send(());
        }
        End::Stopped
    }

    /// Reports a jump of the wall clock, after which nothing is removed for a while.
    fn look_at_the_clock(&mut self, persistent: &mut PersistentState, now: Reading) {
        let Some(Jump { by_millis }) = persistent.jumps.look(now) else { return };
        let by = Duration::from_millis(by_millis.unsigned_abs());
        let way = if by_millis < 0 { "back" } else { "forward" };
        tracing::warn!(
            "the wall clock jumped {way} by {by:?}: waits are not affected, and retention removes \
             nothing for an hour"
        );
        persistent.meter.clock_jumped();
        self.sweeps.not_before(persistent.jumps.distrusted_until());
    }

    /// Waits for the batch of a lone transaction without going to sleep: a wake-up takes about as
    /// long as half a sync, and no other transaction needs the time.
    async fn appended_soon(&mut self, clock: &Clock) -> Option<Appended> {
        if self.engine.in_flight() != 1 || !self.engine.is_writing() || clock.is_virtual() {
            return None;
        }
        let asleep_at = Instant::now() + AWAKE_FOR;
        while Instant::now() < asleep_at {
            if let Ok(appended) = self.inbox.appended.try_recv() {
                return Some(appended);
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// Takes all inputs that have arrived, so that one batch has their records.
    fn drain(&mut self, persistent: &mut PersistentState, now: Timestamp) -> Option<String> {
        if let Ok(appended) = self.inbox.appended.try_recv()
            && let Some(why) = self.appended(appended, now)
        {
            return Some(why);
        }
        while let Ok(answered) = self.inbox.answered.try_recv() {
            self.answered(answered, now);
        }
        while let Ok((key, found)) = self.inbox.found.try_recv() {
            self.engine.handle(Input::Found { key, found }, now);
        }
        // Clients that submit faster than this takes must not keep it from outstanding work.
        for _ in 0..COMMANDS_AT_ONCE {
            match persistent.commands.try_recv() {
                Ok(fed) => self.command(persistent, Some(fed.command), now),
                Err(_) => break,
            }
        }
        None
    }

    fn command(
        &mut self,
        persistent: &mut PersistentState,
        command: Option<Command>,
        now: Timestamp,
    ) {
        match command {
            Some(Command::Input(input)) => self.engine.handle(input, now),
            Some(Command::Register { target, endpoint, slots }) => {
                let registered = Registered { endpoint, slots };
                let terms = registered.terms();
                let lane = lane(persistent, &target, &registered, &self.answers);
                self.lanes.insert(target.clone(), lane);
                persistent.targets.insert(target.clone(), registered);
                self.engine.handle(Input::Register { target, terms }, now);
            }
            Some(Command::Shutdown { until, to }) => {
                self.engine.handle(Input::Drain, now);
                let (by, callers) = self.stopping.get_or_insert((until, Vec::new()));
                *by = until.min(*by);
                callers.push(to);
                persistent.health.send_replace(Health::Stopped);
            }
            // Every handle is gone: nobody can ask for more.
            None => {
                self.handles_dropped = true;
                self.engine.handle(Input::Drain, now);
                self.stopping.get_or_insert((now, Vec::new())).0 = now;
            }
        }
    }

    fn answered(&mut self, answered: Vec<Answered>, now: Timestamp) {
        for answered in answered {
            self.engine.handle(Input::Answered(answered), now);
        }
    }

    fn appended(&mut self, appended: Appended, now: Timestamp) -> Option<String> {
        match appended {
            Ok(position) => {
                self.engine.handle(Input::Durable(position), now);
                if let Some(next) = self.engine.next_batch() {
                    self.log.append(next);
                }
                None
            }
            Err(error) => Some(error.to_string()),
        }
    }

    fn removed(&mut self, removed: Removed, now: Timestamp) -> Option<String> {
        match removed {
            Ok(removed) => {
                self.sweeps.done(removed, now);
                None
            }
            Err(error) => Some(error.to_string()),
        }
    }

    fn send(&mut self, persistent: &PersistentState, outputs: Outputs<Caller>) {
        let Outputs { append, calls, lookups, load, replies, stuck, quarantined } = outputs;
        // Before any reply: its caller must read what it was told.
        persistent.publisher.publish(self.engine.progress(), quarantined);
        if let Some(batch) = append {
            self.log.append(batch);
        }
        for (target, attempts) in calls {
            // INVARIANT: the engine calls registered targets only.
            debug_assert!(self.lanes.contains_key(&target));
            if let Some(lane) = self.lanes.get(&target) {
                lane.send(attempts);
            }
        }
        for (to, reply) in replies {
            // A caller who dropped the future has detached.
            let _ = to.send(reply);
        }
        if !lookups.is_empty() {
            let (reader, found) = (self.reader.clone(), self.lookups.clone());
            let look_up_all = move || {
                for lookup in lookups {
                    let stored = look_up(&*reader, &lookup);
                    let _ = found
                        .send((lookup.key, stored.map(|stored| stored.as_ref().map(Into::into))));
                }
            };
            // It goes on by itself, and answers by the inbox.
            persistent.look_ups.begin(look_up_all);
        }
        if let Some(load) = load {
            let (reader, loads) = (self.reader.clone(), self.loads.clone());
            // It answers by the inbox.
            persistent.look_ups.begin(move || drop(loads.send(read(&*reader, &load))));
        }
        persistent.stuck.change(stuck);
    }

    /// True if the loop is to stop and everything is written.
    fn may_stop(&mut self, now: Timestamp) -> bool {
        let Some((until, _)) = &self.stopping else { return false };
        // A transaction that needs an operator would only keep the others waiting.
        if self.engine.may_settle() && now < *until {
            return false;
        }
        self.engine.flush(now);
        self.engine.is_flushed()
    }

    async fn fail(self, why: String) -> End {
        for (to, reply) in self.engine.fail(&why) {
            let _ = to.send(reply);
        }
        // Lanes and their calls end here; the log is let go before it is opened again.
        drop(self.lanes);
        self.log.close().await;
        match self.stopping {
            Some((_, callers)) => {
                for to in callers {
                    let _ = to.send(());
                }
                End::Stopped
            }
            None => End::LogFailed(why),
        }
    }
}

/// Reads a page that is to be loaded.
fn read(reader: &dyn LogReader, Load { ordinals, bytes }: &Load) -> Loaded {
    let stored = reader.transactions(ordinals, *bytes)?;
    Ok(stored.into_iter().map(|stored| stored.as_ref().map(Into::into)).collect())
}

/// Warns of transactions that wait. Those that await an unregistered participant are not stuck, and
/// nothing else would tell of them.
fn warn_of_what_waits(engine: &Engine<Caller>, stuck: usize) {
    if engine.unloaded() > 0 {
        tracing::warn!(
            "transactions in the log that wait for free memory, because \
             settings.in_flight_limit_bytes is reached: {}",
            engine.unloaded()
        );
    }
    if stuck > 0 {
        tracing::warn!("transactions in the log that are stuck and need an operator: {stuck}");
    }
    for (target, waiting) in engine.waited_for() {
        tracing::warn!(
            "transactions in the log that await {target}, which is not registered: {waiting}"
        );
    }
}

/// A new lane of a target.
fn lane(
    persistent: &PersistentState,
    target: &Target,
    registered: &Registered,
    answers: &mpsc::UnboundedSender<Vec<Answered>>,
) -> Lane {
    let Registered { endpoint, slots } = registered;
    let in_flight_limit = persistent.settings.share(slots.in_flight_limit());
    let address = endpoint.address();
    let shown = meter::Registered {
        address,
        slots: slots.total(),
        reserved_slots: slots.reserved_for_second_phase(),
        in_flight_limit,
    };
    let meter = persistent.meter.target(target, shown);
    Lane::start(endpoint.clone(), *slots, answers.clone(), meter, persistent.clock.clone())
}

fn look_up(
    reader: &dyn LogReader,
    Lookup { key, or }: &Lookup,
) -> Result<Option<StoredTransaction>, ReadError> {
    for key in std::iter::once(key).chain(or) {
        if let Some(id) = reader.by_key(key)? {
            return reader.history(id);
        }
    }
    Ok(None)
}
