//! The world: the queue of events, the coordinator's incarnations, and the faults.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use wholly_core::saga::StepIndex;
use wholly_core::{Key, LogId, Target, Timestamp, TransactionId};

use super::clients::{self, Client};
use super::definitions::program;
use super::disk::texts;
use super::ledger::Ledger;
use super::network::Attempts;
use super::participants::Participant;
use super::planted::Bug;
use super::readers::Read;
use super::restored::ORIGINAL;
use super::seen::Seen;
use super::storage::Storage;
use super::time::{LifeTime, wait};
use super::wrong::{Check, Wrong, ensure};
use crate::engine::{
    Batch, Engine, Input, Load, Lookup, Outputs, Progress, Random, Reply, StuckChange, Terms,
};
use crate::log::memory::MemoryLog;
use crate::log::{Entry, KnownLog, LogReader, LogWriter, Position, first_unsettled};
use crate::participant::Answered;
use crate::replay::{Replayed, replay};
use crate::{Backoff, Settings};

/// A caller of the loop: which client, and which of its requests.
pub type Caller = (usize, u64);

pub enum WorldEvent {
    Client(usize),
    Deliver(u64),
    Reply(u64, wholly_core::wire::Answer),
    TimeOut(u64),
    Written {
        incarnation: u64,
        batch: Batch,
    },
    LookedUp {
        incarnation: u64,
        key: Key,
    },
    Loaded {
        incarnation: u64,
        load: Load,
    },
    Read {
        incarnation: u64,
        read: Read,
    },
    FlushWanted {
        incarnation: u64,
        position: Position,
    },
    Wake {
        incarnation: u64,
    },
    CrashCoordinator,
    StartCoordinator,
    ParticipantDown(usize, bool),
    Partition(usize, bool),
    /// The participant's name does not resolve.
    NameFails(usize, bool),
    /// The participant is at another address, and the old one is still believed.
    Moved(usize, bool),
    Backup,
    Lost,
    Operator,
    Copy,
    Repair,
    WallJumps,
}

/// The coordinator while it runs.
pub struct Incarnation {
    pub engine: Engine<Caller>,
    pub writer: Box<dyn LogWriter>,
    pub reader: Arc<dyn LogReader>,
    wake: Option<u64>,
    pub time: LifeTime,
    /// Entries that are with the log and not durable yet.
    pub unsynced: Vec<Entry>,
    /// The progress that readers see.
    pub published: Progress,
    /// The reads that wait.
    pub reads: Vec<Read>,
    /// The transactions whose end was told.
    pub told: HashSet<TransactionId>,
}

pub struct World {
    pub random: Random,
    pub bug: Option<Bug>,
    pub now: u64,
    /// The lead of the wall clock over the time that really passes.
    pub wall_ahead: i64,
    queue: BTreeMap<(u64, u64), WorldEvent>,
    sequence: u64,
    pub log: MemoryLog,
    /// The identity that the log has, or should have.
    pub identity: LogId,
    pub storage: Storage,
    pub backup: Option<MemoryLog>,
    pub incarnation: Option<Incarnation>,
    pub incarnations: u64,
    pub attempts: Attempts,
    pub participants: Vec<Participant>,
    pub clients: Vec<Client>,
    pub ledger: Ledger,
    pub told: HashMap<TransactionId, Vec<clients::Told>>,
    pub keys: HashMap<Key, TransactionId>,
    pub faults_until: u64,
    last_write: u64,
    /// A transaction whose last records were with the log when the coordinator lost it.
    pub lost_on_the_way: Option<TransactionId>,
    /// For a mutation: whose calls timed out.
    pub timed_out: HashSet<(TransactionId, u16)>,
    /// For a mutation: it is not to be caught at once, but by its consequences.
    pub by_consequences: bool,
    pub wrong: Option<Wrong>,
    /// Batches that a mutation took for durable before they were.
    pub early: HashSet<Position>,
    pub trace: Vec<String>,
    pub seen: Seen,
    /// The coordinator's memory for transactions in flight, if it is to be scarce.
    room_bytes: Option<usize>,
}

/// The participants of both patterns.
pub const PARTICIPANTS: [&str; 4] = ["inventory", "orders", "payments", "ledger"];
/// The program that runs the steps of sagas in code.
const PROGRAM: &str = "program";

/// The time of the beginning, and the duration of the faults.
const START: u64 = 1_700_000_000_000;
const FAULTS_FOR: u64 = 20_000;
/// The time within which everything must have settled after the faults have stopped.
const SETTLED_AFTER: u64 = 400_000;

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::seeded(seed);
        let names = PARTICIPANTS.into_iter().chain([PROGRAM]);
        let participants = names.map(|name| Participant::new(name, &mut random, bug)).collect();
        let clients = (0..4 + random.next() % 5).map(|_| Client::default()).collect::<Vec<_>>();
        let at_once = bug.is_none_or(|bug| !bug.is_of_storage());
        let by_consequences = !at_once && random.next().is_multiple_of(2);
        let log = MemoryLog::new(ORIGINAL);
        let mut world = Self {
            random,
            bug,
            now: START,
            wall_ahead: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            storage: Storage::of(&log),
            log,
            identity: ORIGINAL,
            backup: None,
            incarnation: None,
            incarnations: 0,
            attempts: Attempts::default(),
            participants,
            clients,
            ledger: Ledger::default(),
            told: HashMap::new(),
            keys: HashMap::new(),
            faults_until: START + FAULTS_FOR,
            last_write: START,
            lost_on_the_way: None,
            timed_out: HashSet::new(),
            by_consequences,
            wrong: None,
            early: HashSet::new(),
            trace: Vec::new(),
            seen: Seen::default(),
            room_bytes: None,
        };
        world.plan();
        if world.chance(50) {
            world.room_bytes = Some(20_000 + world.below(100_000) as usize);
        }
        world
    }

    /// Lets the clients begin and lays out the faults.
    fn plan(&mut self) {
        self.at(0, WorldEvent::StartCoordinator);
        for client in 0..self.clients.len() {
            let after = self.below(2_000);
            self.at(after, WorldEvent::Client(client));
        }
        for _ in 0..self.below(6) {
            let after = self.below(FAULTS_FOR);
            self.at(after, WorldEvent::CrashCoordinator);
        }
        for _ in 0..self.below(8) {
            let (after, length) = (self.below(FAULTS_FOR), self.below(3_000));
            let who = self.below(self.participants.len() as u64) as usize;
            let kind = self.below(4);
            let fault = |on| match kind {
                0 => WorldEvent::ParticipantDown(who, on),
                1 => WorldEvent::Partition(who, on),
                2 => WorldEvent::NameFails(who, on),
                _ => WorldEvent::Moved(who, on),
            };
            self.at(after, fault(true));
            self.at((after + length).min(FAULTS_FOR), fault(false));
        }
        self.plan_loss(FAULTS_FOR);
        self.plan_copies(FAULTS_FOR);
        self.plan_jumps(FAULTS_FOR);
    }

    pub fn run(&mut self) -> Result<(), Wrong> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.happen(event);
            self.pump();
            if let Some(wrong) = self.wrong.take() {
                let what = format!("at {} ms: {}", self.now - START, wrong.what);
                return Err(Wrong { what, ..wrong });
            }
            if self.is_over() {
                return self.check();
            }
            let in_time = self.now <= self.faults_until + SETTLED_AFTER;
            ensure(in_time, Check::Ends, || self.unsettled())?;
        }
        self.check()
    }

    fn is_over(&self) -> bool {
        self.now > self.faults_until
            && self.clients.iter().all(Client::is_done)
            && self.attempts.none_on_its_way()
            && self.storage.damaged.is_empty()
            && self
                .incarnation
                .as_ref()
                .is_some_and(|l| l.engine.in_flight() == 0 && l.engine.is_flushed())
    }

    fn unsettled(&self) -> String {
        let Some(incarnation) = &self.incarnation else {
            return "the coordinator is down".to_owned();
        };
        format!(
            "{:?}; clients {:?}",
            first_unsettled(&*incarnation.reader, 5),
            self.clients.iter().map(Client::is_done).collect::<Vec<_>>()
        )
    }

    fn happen(&mut self, event: WorldEvent) {
        match event {
            WorldEvent::Client(client) => self.client_acts(client),
            WorldEvent::Deliver(attempt) => self.deliver(attempt),
            WorldEvent::Reply(attempt, answer) => self.answer_arrives(attempt, answer),
            WorldEvent::TimeOut(attempt) => self.time_out(attempt),
            WorldEvent::Written { incarnation, batch } => self.written(incarnation, &batch),
            WorldEvent::LookedUp { incarnation, key } => self.looked_up(incarnation, key),
            WorldEvent::Loaded { incarnation, load } => self.loaded(incarnation, &load),
            WorldEvent::Read { incarnation, read } => self.read(incarnation, read),
            WorldEvent::FlushWanted { incarnation, position } => {
                self.flush_wanted(incarnation, position);
            }
            WorldEvent::Wake { incarnation } => {
                if let Some(running) = self.running(incarnation) {
                    running.wake = None;
                }
            }
            WorldEvent::CrashCoordinator => self.crash("killed"),
            WorldEvent::StartCoordinator => self.start(),
            WorldEvent::ParticipantDown(who, down) => self.participants[who].down = down,
            WorldEvent::Partition(who, cut) => self.participants[who].cut = cut,
            WorldEvent::NameFails(who, fails) => self.participants[who].name_fails = fails,
            WorldEvent::Moved(who, moved) => self.participants[who].moved = moved,
            WorldEvent::Backup => self.back_up(),
            WorldEvent::Lost => self.lose(),
            WorldEvent::Operator => self.operator_comes(),
            WorldEvent::Copy => self.copy_log(),
            WorldEvent::Repair => self.repair(),
            WorldEvent::WallJumps => self.wall_jumps(),
        }
    }

    /// The incarnation with this number, if it is the one that runs.
    pub fn running(&mut self, incarnation: u64) -> Option<&mut Incarnation> {
        self.incarnation.as_mut().filter(|_| self.incarnations == incarnation)
    }

    pub fn input(&mut self, input: Input<Caller>) {
        let now = self.time();
        if let Some(incarnation) = &mut self.incarnation {
            incarnation.engine.handle(input, now);
        }
    }

    /// Does what the loop says, until it says nothing.
    fn pump(&mut self) {
        self.look_at_the_clock();
        let now = self.time();
        let Some(incarnation) = &mut self.incarnation else { return };
        let outputs = incarnation.engine.poll(now);
        let progress = incarnation.engine.progress();
        let miscounted = incarnation.engine.miscounted();
        let next = incarnation.engine.next_wake(now);
        let wake = next.map(|at| self.now + wait(now, at).max(1));
        let earlier = wake.filter(|at| incarnation.wake.is_none_or(|set| *at < set));
        if let Some(at) = earlier {
            incarnation.wake = Some(at);
            let incarnation = self.incarnations;
            self.at(at - self.now, WorldEvent::Wake { incarnation });
        }
        self.check_wait(now, next);
        self.note_wrong(ensure(miscounted.is_empty(), Check::Owed, || miscounted.join("; ")));
        self.publish(progress);
        self.send(outputs);
    }

    fn send(&mut self, outputs: Outputs<Caller>) {
        let Outputs { append, calls, lookups, load, replies, stuck, quarantined: _ } = outputs;
        let incarnation = self.incarnations;
        self.check_stuck(stuck);
        for (target, attempts) in calls {
            for attempt in attempts {
                self.call(&target, attempt);
            }
        }
        for (to, reply) in replies {
            self.client_hears(to, reply);
        }
        for Lookup { key, or: _ } in lookups {
            let after = self.below(5);
            self.at(after, WorldEvent::LookedUp { incarnation, key });
        }
        if let Some(load) = load {
            let after = self.below(20);
            self.at(after, WorldEvent::Loaded { incarnation, load });
        }
        if let Some(batch) = append {
            self.note(|| format!("append {} entries", batch.entries.len()));
            let position = batch.after.next();
            let early = self.planted_gate(&batch);
            for entry in &batch.entries {
                self.ledger.handed_over(entry.transaction, &entry.records);
                self.must_be_whole(entry.transaction, "something is recorded of it");
                self.check_ascends(entry.transaction, entry.sequence);
            }
            let entries = texts(&batch);
            if let Some(incarnation) = &mut self.incarnation {
                incarnation.unsynced = entries;
            }
            let batch_of = batch.entries.first().map(|entry| entry.transaction);
            let slow = self.chance(5);
            let after = 1 + self.below(if slow { 500 } else { 10 });
            // In order, also where a mutation hands over a batch before the last one is written.
            self.last_write = (self.now + after).max(self.last_write + 1);
            self.at(self.last_write - self.now, WorldEvent::Written { incarnation, batch });
            if let Some(first) = batch_of {
                self.ask_for_decision(first);
            }
            if early {
                self.early.insert(position);
                self.input(Input::Durable(position));
            }
        }
    }

    /// INVARIANT: the transactions told to be stuck are stuck by the log.
    pub fn check_stuck(&mut self, changes: Vec<StuckChange>) {
        let latest: BTreeMap<_, _> = changes.into_iter().collect();
        for (id, since) in latest {
            let counter = match since {
                Some(_) => &mut self.seen.stuck,
                None => &mut self.seen.no_longer_stuck,
            };
            *counter += 1;
            let Some(incarnation) = &self.incarnation else { return };
            let stored = incarnation.reader.history(id).expect("the log is readable");
            let by_the_log = stored.is_some_and(|stored| match replay(&stored) {
                Ok(Replayed { transaction: t, .. }) => {
                    (t.is_stuck() || self.is_held(id)) && !t.is_settled()
                }
                Err(_) => true,
            });
            self.note_wrong(ensure(by_the_log == since.is_some(), Check::Stuck, || {
                format!("{id} was told to be stuck since {since:?}, and by the log {by_the_log}")
            }));
        }
    }

    pub fn crash(&mut self, how: &str) {
        let Some(incarnation) = self.incarnation.take() else { return };
        self.lost_on_the_way = incarnation.unsynced.first().map(|entry| entry.transaction);
        self.seen.crashes += 1;
        self.seen.crashes_in_mid_compensation += u64::from(self.ledger.any_is_turning_back());
        self.early.clear();
        self.note(|| how.to_owned());
        self.connections_break();
        let after = self.below(2_000);
        self.at(after, WorldEvent::StartCoordinator);
    }

    /// Opens the log and takes up its transactions, as the driver does.
    fn start(&mut self) {
        if self.incarnation.is_some() {
            return;
        }
        let Some(open) = self.open_log() else { return };
        // Whatever landed of a batch that failed is durable.
        self.storage.told = KnownLog { identity: open.identity, head: open.head };
        self.incarnations += 1;
        let time = self.begin_time(&open);
        let incarnation = self.incarnations;
        self.note(|| format!("incarnation {incarnation} begins at {:?}", open.head));
        let offers = self.offers();
        let seed = self.random.next();
        let settings = Settings { in_flight_limit_bytes: self.room_bytes, ..settings() };
        let mut engine = Engine::new(
            settings,
            open.identity,
            open.head,
            self.planted_last_ordinal(open.last_ordinal),
            offers,
            Random::seeded(seed),
            Arc::default(),
        );
        let now = time.steady(self.now);
        engine.restart(open.reader.unsettled(0, usize::MAX).expect("the log is readable"));
        while let Some(load) = engine.next_load(now) {
            self.load(&mut engine, &*open.reader, &load, now);
        }
        // A copy that is not told of its restart goes on where it was.
        let (target, terms) = self.offers().remove(0);
        engine.handle(Input::Register { target, terms }, now);
        let goes_on = self.bug == Some(Bug::CopyGoesOn);
        let held: Vec<_> = engine.quarantined_ids().filter(|_| goes_on).collect();
        self.incarnation = Some(Incarnation {
            published: engine.progress(),
            reads: Vec::new(),
            told: HashSet::new(),
            engine,
            writer: open.writer,
            reader: open.reader,
            wake: None,
            time,
            unsynced: Vec::new(),
        });
        held.into_iter().for_each(|id| self.let_go_on(id));
        self.check_set_aside();
        self.planted_start();
    }

    /// The targets that can be called, and their terms.
    fn offers(&self) -> Vec<(Target, Terms)> {
        let named = self.participants.iter().filter(|p| p.name.as_str() != PROGRAM);
        let terms = |one_phase| Terms { one_phase, ..Terms::default() };
        let named = named.map(|p| (Target::Participant(p.name.clone()), terms(p.one_phase)));
        named.chain(program().map(|program| (program, Terms::default()))).collect()
    }

    /// The index of that participant.
    pub fn who(&self, target: &Target) -> usize {
        self.called(match target {
            Target::Participant(name) => name.as_str(),
            Target::Code { .. } => PROGRAM,
        })
    }

    /// Returns the participant that does a saga's step.
    pub fn who_does(&self, id: TransactionId, step: StepIndex) -> usize {
        let (definition, _) = self.ledger.sagas[&id].graph.step(step).expect("it has this step");
        self.called(definition.participant.as_ref().map_or(PROGRAM, |name| name.as_str()))
    }

    pub fn called(&self, name: &str) -> usize {
        let who = self.participants.iter().position(|p| p.name.as_str() == name);
        who.expect("only these are offered")
    }

    fn looked_up(&mut self, incarnation: u64, key: Key) {
        let bug = self.bug;
        let Some(running) = self.running(incarnation) else { return };
        let found = match running.reader.by_key(&key) {
            Ok(Some(id)) if bug != Some(Bug::KeyForgotten) => running.reader.history(id),
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        let found = found.map(|stored| stored.filter(|stored| !self.planted_forgetting(stored)));
        self.seen.joined_by_key += u64::from(matches!(found, Ok(Some(_))));
        let of_damaged = matches!(&found, Ok(Some(stored)) if stored.damage.is_some());
        self.seen.joined_by_key_of_damaged += u64::from(of_damaged);
        if let (Ok(Some(stored)), Some(running)) = (&found, &self.incarnation) {
            self.seen.joined_by_key_unloaded += u64::from(running.engine.is_unloaded(stored.id));
        }
        let found = found.map(|stored| stored.as_ref().map(Into::into));
        self.input(Input::Found { key, found });
    }

    fn loaded(&mut self, incarnation: u64, load: &Load) {
        let now = self.time();
        if self.running(incarnation).is_none() {
            return;
        }
        if let Some(mut running) = self.incarnation.take() {
            self.seen.loaded_later += 1;
            self.load(&mut running.engine, &*running.reader, load, now);
            self.incarnation = Some(running);
        }
    }

    fn load(
        &self,
        engine: &mut Engine<Caller>,
        reader: &dyn LogReader,
        load: &Load,
        now: Timestamp,
    ) {
        let Load { ordinals, bytes } = load;
        let mut read = reader.transactions(ordinals, *bytes).expect("the log is readable");
        for (ordinal, stored) in ordinals.iter().zip(&mut read) {
            *stored = stored.take().and_then(|stored| self.planted_history(stored));
            if let Some(stored) = stored.as_ref().filter(|stored| self.planted_restart(stored)) {
                engine.load_as_if_it_ran(*ordinal, stored.into(), now);
            }
        }
        let read = read.iter().map(|stored| stored.as_ref().map(Into::into)).collect();
        engine.handle(Input::Loaded(Ok(read)), now);
    }

    pub fn answered(&mut self, answered: Answered) {
        self.input(Input::Answered(answered));
    }

    pub fn at(&mut self, after: u64, event: WorldEvent) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), event);
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.random.next() % limit.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        let line = line();
        self.trace.push(format!("{:>7} {line}", self.now - START));
    }
}

fn settings() -> Settings {
    Settings {
        deadline: Duration::from_secs(4),
        call_timeout: Duration::from_secs(1),
        backoff: Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(5) },
        stuck_after_tries: 4,
        // So few that clients run into it.
        in_flight_limit_per_participant: Some(4),
        ..Settings::default()
    }
}

/// The reply to a client's caller whose connection broke.
pub fn connection_broke() -> Reply {
    Reply::NotAccepted(crate::SubmitError::Unavailable { why: "the connection broke".to_owned() })
}
