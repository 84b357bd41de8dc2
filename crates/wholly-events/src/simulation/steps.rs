//! The next step, as chance has it; and, when the faults have stopped, all that is left.

use std::time::Duration;

use super::shop::{NAMES, ORDER, PAYMENT, Shop};
use super::unfit::NO_EVENT;
use super::world::{Story, World};
use super::wrong::{Check, Wrong, ensure};

/// Rounds until everything must have settled.
const ROUNDS: u64 = 600;

impl World {
    pub(super) fn step(&mut self) -> Result<(), Wrong> {
        // Orders may time out. But what a process has begun does not last longer than it remembers.
        let may_leap = self.shop == Shop::Gateway && self.story != Story::Forgetful;
        let time = match self.chance.below(200) {
            0..2 if may_leap => 60_000 + self.chance.below(540_000),
            0..4 => self.chance.below(20_000),
            _ => self.chance.below(40),
        };
        self.pass(Duration::from_millis(time));
        self.mishap()?;
        let service = self.chance.index(NAMES.len());
        if !self.is_up(service) {
            if self.chance.percent(10) {
                self.start(service)?;
            }
            return Ok(());
        }
        match self.chance.below(100) {
            0..14 => self.ask(service),
            14..26 => self.serve(service),
            26..38 => self.take(service),
            38..52 => self.deal(service),
            52..72 => self.commit(service),
            72..75 => self.save(service),
            75..79 if self.chance.percent(self.sequencing) => self.sequence_now(service),
            79..84 => self.retry(service),
            84..86 => self.time_out(service),
            86..93 if self.chance.percent(self.gateway.haste) => self.gateway_step(),
            93..95 => self.trim(service),
            95..96 => self.operate(service),
            96..97 => self.give_up(service),
            97..100 => self.place(),
            _ => Ok(()),
        }
    }

    /// Befalls a service, or all of them.
    fn mishap(&mut self) -> Result<(), Wrong> {
        let service = self.chance.index(NAMES.len());
        match self.chance.below(1_000) {
            0..7 => self.crash(service),
            7..10 if self.story == Story::Forgetful => self.outage(),
            10..16 if self.story == Story::Restored => self.dump_or_restore(service),
            _ => Ok(()),
        }
    }

    /// Everything that can happen without a fault, round for round, until nothing is left.
    pub(super) fn drain(&mut self) -> Result<(), Wrong> {
        for round in 0..ROUNDS {
            self.pass(Duration::from_millis(if round % 8 == 7 { 20_000 } else { 50 }));
            self.place()?;
            while self.gateway_is_called() {
                self.gateway_step()?;
            }
            self.rounds()?;
            if round % 8 == 0 && self.is_settled()? {
                return Ok(());
            }
        }
        // What did not come to its end is told by the check that is meant for it.
        self.check()?;
        ensure(false, Check::Ends, || format!("it did not settle: {}", self.unsettled()))
    }

    /// Every service does what it can.
    pub(super) fn rounds(&mut self) -> Result<(), Wrong> {
        (0..NAMES.len()).try_for_each(|service| self.round(service))
    }

    fn round(&mut self, service: usize) -> Result<(), Wrong> {
        if !self.is_up(service) {
            self.start(service)?;
        }
        self.operate(service)?;
        self.give_up(service)?;
        self.sequence_now(service)?;
        for _ in 0..3 {
            self.ask(service)?;
            for source in 0..NAMES.len() {
                self.serve(source)?;
            }
            self.take(service)?;
        }
        for _ in 0..4 {
            self.deal(service)?;
        }
        self.retry(service)?;
        self.time_out(service)?;
        let flights = self.services[service].life.as_ref().map_or(0, |life| life.flights.len());
        for _ in 0..2 * flights {
            self.commit(service)?;
        }
        for _ in 0..3 {
            self.save(service)?;
        }
        Ok(())
    }

    fn gateway_is_called(&self) -> bool {
        let life = self.services[PAYMENT].life.as_ref();
        !self.gateway.late.is_empty() || life.is_some_and(|life| !life.calls.is_empty())
    }

    fn is_settled(&mut self) -> Result<bool, Wrong> {
        if !self.unplaced().is_empty() {
            return Ok(false);
        }
        Ok(self.unsettled().is_empty())
    }

    /// Tells what is not at its end, of whom.
    fn unsettled(&self) -> String {
        let mut left = Vec::new();
        for (nth, service) in self.services.iter().enumerate() {
            let Some(life) = &service.life else {
                left.push(format!("{} is down", NAMES[nth]));
                continue;
            };
            let rows = service.database.rows();
            let waits = rows["wholly_parked"] + rows["wholly_timeout"];
            if waits > 0 || !life.flights.is_empty() || !life.calls.is_empty() {
                left.push(format!("{} waits: {waits}, {}", NAMES[nth], life.flights.len()));
            }
            for feed in &life.feeds {
                let head = self.services[feed.source].last_position();
                if feed.status.position != head || feed.refused {
                    let (who, source) = (NAMES[nth], NAMES[feed.source]);
                    let at = feed.status.position;
                    left.push(format!("{who} has read {source} to {at} of {head}"));
                }
            }
        }
        left.join("; ")
    }

    fn place(&mut self) -> Result<(), Wrong> {
        if !self.is_up(ORDER) {
            return Ok(());
        }
        let open = self.unplaced();
        if !open.is_empty() {
            let order = open[self.chance.index(open.len())].clone();
            self.place_order(&order, "OrderCreated");
        }
        if self.fault(10) {
            let order = self.orders[self.chance.index(self.orders.len())].clone();
            self.place_order(&order, NO_EVENT);
        }
        if self.shop == Shop::Parallel && self.faulty {
            let order = self.orders[self.chance.index(self.orders.len())].clone();
            let kind = if self.chance.percent(70) { "OrderNoted" } else { "OrderWithdrawn" };
            self.place_order(&order, kind);
        }
        Ok(())
    }
}
