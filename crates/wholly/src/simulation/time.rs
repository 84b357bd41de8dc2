//! The clocks. Real time is [`World::now`]; the wall clock, which the coordinator and its
//! participants share, jumps both ways, by seconds and by years. The coordinator goes by its own
//! steady time, which begins anew with each of its incarnations.

use std::time::Duration;

use wholly_core::wire::Call;
use wholly_core::{Timestamp, TransactionId};

use super::planted::Bug;
use super::world::{World, WorldEvent};
use super::wrong::{Check, ensure};
use crate::clock::Reading;
use crate::clock::jumps::{self, Disagreement, Jumps, LogTimes, youngest};
use crate::coordinator::retention::{Removal, Sweeps};
use crate::log::OpenLog;
use crate::settings::Retention;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR_MILLIS: u64 = 365 * 24 * 60 * 60 * 1_000;
/// The longest wait, a saga's deadline by its definition; and a millisecond, to which ids are ahead.
const LONGEST_WAIT: Duration = Duration::from_millis(15_001);
/// No call has its deadline further away than this.
const LONGEST_RUN: Duration = Duration::from_secs(500);

/// The coordinator's time in one incarnation.
pub struct LifeTime {
    /// The lead of steady time over the time that really passes.
    ahead: i64,
    jumps: Jumps,
    sweeps: Sweeps,
}

impl LifeTime {
    pub fn steady(&self, now: u64) -> Timestamp {
        Timestamp::from_millis(now.saturating_add_signed(self.ahead))
    }
}

/// The wait from one time to another, in milliseconds.
pub fn wait(from: Timestamp, to: Timestamp) -> u64 {
    to.as_millis().saturating_sub(from.as_millis())
}

fn retention() -> Retention {
    Retention { history: Some(30 * DAY), payloads: None }
}

impl World {
    /// The wall clock jumps now and then.
    pub fn plan_jumps(&mut self, faults_for: u64) {
        for _ in 0..self.below(5) {
            let after = self.below(faults_for);
            self.at(after, WorldEvent::WallJumps);
        }
    }

    pub fn wall_jumps(&mut self) {
        let (years, back) = (self.chance(50), self.chance(50));
        let by = match years {
            true => YEAR_MILLIS * (1 + self.below(5)),
            false => 1_000 + self.below(20_000),
        };
        *match (years, back) {
            (true, true) => &mut self.seen.set_back_by_years,
            (true, false) => &mut self.seen.leaps_of_years,
            (false, true) => &mut self.seen.set_back_by_seconds,
            (false, false) => &mut self.seen.leaps_of_seconds,
        } += 1;
        let by = if back { -by.cast_signed() } else { by.cast_signed() };
        self.note(|| format!("the wall clock jumps by {by} ms"));
        self.wall_ahead += by;
    }

    /// The time that the wall clock shows.
    pub fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.now.saturating_add_signed(self.wall_ahead))
    }

    /// The coordinator's time while it runs.
    pub fn time(&self) -> Timestamp {
        match &self.incarnation {
            Some(_) if self.bug == Some(Bug::WaitsByTheWallClock) => self.wall(),
            Some(incarnation) => incarnation.time.steady(self.now),
            None => self.wall(),
        }
    }

    /// Begins an incarnation's time: as a coordinator does that starts.
    pub fn begin_time(&mut self, open: &OpenLog) -> LifeTime {
        let (wall, youngest) = (self.wall(), youngest(open.last_ordinal));
        let by_the_wall = matches!(
            self.bug,
            Some(Bug::WaitsByTheWallClock | Bug::StartsByTheWallClock | Bug::ForgetsTheLastId)
        );
        let steady = if by_the_wall { wall } else { wall.max(youngest.unwrap_or_default()) };
        let ahead = steady.as_millis().cast_signed() - self.now.cast_signed();
        let reading = Reading { steady, wall_ahead_millis: self.wall_ahead - ahead };
        let log = LogTimes::read(&*open.reader, open.last_ordinal, steady);
        let log = log.expect("the log is readable");
        let (jumps, found) = jumps::at_start(reading, log, retention());
        match found {
            Some(Disagreement::Behind(_)) => self.seen.starts_behind_the_log += 1,
            Some(Disagreement::StoodStill(_)) => self.seen.starts_after_a_standstill += 1,
            None => {}
        }
        let mut sweeps = Sweeps::new(retention(), steady);
        if self.bug != Some(Bug::SweepsAtOnceAfterAStart) {
            sweeps.not_before(jumps.distrusted_until());
        }
        LifeTime { ahead, jumps, sweeps }
    }

    /// Sees jumps, and removes transactions that are due, as the driver does.
    pub fn look_at_the_clock(&mut self) {
        let steady = self.time();
        let by_the_wall = self.bug == Some(Bug::SweepsByTheWallClock);
        let Some(incarnation) = &mut self.incarnation else { return };
        let wall_ahead_millis = self.wall_ahead - incarnation.time.ahead;
        let mut reading = Reading { steady, wall_ahead_millis };
        if incarnation.time.jumps.look(reading).is_some() {
            self.seen.jumps_told += 1;
            incarnation.time.sweeps.not_before(incarnation.time.jumps.distrusted_until());
        }
        if by_the_wall {
            incarnation.time.sweeps = Sweeps::new(retention(), Timestamp::default());
            reading = Reading { steady: reading.wall(), wall_ahead_millis: 0 };
        }
        let Some(removal) = incarnation.time.sweeps.next(reading) else { return };
        debug_assert!(matches!(removal, Removal::Transactions { .. }));
        self.seen.sweeps += 1;
        let removed = removal.run(&mut *incarnation.writer);
        incarnation.time.sweeps.done(*removed.as_ref().unwrap_or(&0), reading.steady);
        self.note_wrong(ensure(matches!(removed, Ok(0)), Check::Young, || {
            format!("a sweep removed {removed:?}, and nothing is older than a run takes")
        }));
    }

    /// INVARIANT: nobody waits longer than the longest wait, whatever the wall clock does.
    pub fn check_wait(&mut self, now: Timestamp, next: Option<Timestamp>) {
        let waits = next.map_or(Duration::ZERO, |at| now.until(at));
        self.note_wrong(ensure(waits <= LONGEST_WAIT, Check::Waits, || {
            format!("the loop is to wait for {waits:?}")
        }));
    }

    /// INVARIANT: ids ascend, across restarts and jumps.
    pub fn check_ascends(&mut self, id: TransactionId, sequence: u32) {
        if sequence != 0 || id.log() != self.identity || self.incarnation.is_none() {
            return;
        }
        let durable = self.last_durable_ordinal();
        self.note_wrong(ensure(id.ordinal() > durable, Check::Ascends, || {
            format!("{id} was minted, and the log holds one with the ordinal {durable}")
        }));
    }

    fn last_durable_ordinal(&self) -> u64 {
        use crate::log::listing::Query;
        let listed = self
            .incarnation
            .as_ref()
            .and_then(|incarnation| incarnation.reader.list(&Query::newest(1)).ok());
        listed.and_then(|page| page.rows.first().map(|row| row.id.ordinal())).unwrap_or(0)
    }

    /// The last id that an incarnation knows.
    pub fn planted_last_ordinal(&self, last_ordinal: u64) -> u64 {
        if self.bug == Some(Bug::ForgetsTheLastId) { 0 } else { last_ordinal }
    }

    /// A call says by the wall clock when it expires: as a lane does when the call leaves.
    pub fn put_on_the_wall(&mut self, call: &mut Call) {
        let Some(at) = call.expires else { return };
        let (steady, wall) = (self.time(), self.wall());
        let ahead = wall.as_millis().cast_signed() - steady.as_millis().cast_signed();
        let reading = Reading { steady, wall_ahead_millis: ahead };
        let expires = match self.bug {
            Some(Bug::ExpiresByTheSteadyClock) => at,
            _ => reading.on_the_wall(at),
        };
        call.expires = Some(expires);
        // Past its deadline only a saga's pivot is asked on.
        let right = match at > steady {
            true => expires > wall && wall.until(expires) <= LONGEST_RUN,
            false => expires <= wall,
        };
        self.note_wrong(ensure(right, Check::Expires, || {
            format!(
                "{} of {} expires at {expires}, and the wall clock shows {wall}",
                call.branch, call.transaction
            )
        }));
    }
}
