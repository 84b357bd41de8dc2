//! The next random step, and the remaining steps after the faults have stopped.

use std::time::Duration;

use super::shop::{NAMES, ORDER, PAYMENT, ShopKind};
use super::unreadable::NO_EVENT;
use super::violation::{Checked, Property, ensure};
use super::world::{Disruption, World};

/// The number of rounds within which everything must settle.
const ROUNDS: u64 = 600;

impl World {
    pub(super) fn step(&mut self) -> Checked {
        // Orders may time out, but no transaction lasts longer than the retention.
        let may_leap = self.shop == ShopKind::Gateway && self.story != Disruption::Forgetful;
        let time = match self.random.below(200) {
            0..2 if may_leap => 60_000 + self.random.below(540_000),
            0..4 => self.random.below(20_000),
            _ => self.random.below(40),
        };
        self.pass(Duration::from_millis(time));
        self.mishap()?;
        let service = self.random.index(NAMES.len());
        if !self.is_up(service) {
            if self.random.percent(10) {
                self.start(service)?;
            }
            return Ok(());
        }
        match self.random.below(100) {
            0..14 => self.ask(service),
            14..26 => self.serve(service),
            26..38 => self.take(service),
            38..52 => self.deal(service),
            52..72 => self.commit(service),
            72..75 => self.save(service),
            75..79 if self.random.percent(self.sequencing) => self.sequence_now(service),
            79..84 => self.retry(service),
            84..86 => self.time_out(service),
            86..93 if self.random.percent(self.gateway.haste) => self.gateway_step(),
            93..95 => self.trim(service),
            95..96 => self.operate(service),
            96..97 => self.drop_some_parked(service),
            97..100 => self.place(),
            _ => Ok(()),
        }
    }

    /// A crash, an outage or a restored database.
    fn mishap(&mut self) -> Checked {
        let service = self.random.index(NAMES.len());
        match self.random.below(1_000) {
            0..7 => self.crash(service),
            7..10 if self.story == Disruption::Forgetful => self.outage(),
            10..16 if self.story == Disruption::Restored => self.dump_or_restore(service),
            _ => Ok(()),
        }
    }

    /// Runs rounds without faults until everything has settled.
    pub(super) fn drain(&mut self) -> Checked {
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
        // The checks report orders without an end more precisely.
        self.check()?;
        ensure(false, Property::Ends, || format!("it did not settle: {}", self.unsettled()))
    }

    /// Runs one round of every service.
    pub(super) fn rounds(&mut self) -> Checked {
        (0..NAMES.len()).try_for_each(|service| self.round(service))
    }

    fn round(&mut self, service: usize) -> Checked {
        if !self.is_up(service) {
            self.start(service)?;
        }
        self.operate(service)?;
        self.drop_some_parked(service)?;
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
        let transactions =
            self.services[service].process.as_ref().map_or(0, |process| process.transactions.len());
        for _ in 0..2 * transactions {
            self.commit(service)?;
        }
        for _ in 0..3 {
            self.save(service)?;
        }
        Ok(())
    }

    fn gateway_is_called(&self) -> bool {
        let process = self.services[PAYMENT].process.as_ref();
        !self.gateway.late.is_empty() || process.is_some_and(|process| !process.calls.is_empty())
    }

    fn is_settled(&mut self) -> Checked<bool> {
        if !self.unplaced().is_empty() {
            return Ok(false);
        }
        Ok(self.unsettled().is_empty())
    }

    /// A description of all work that has not settled.
    fn unsettled(&self) -> String {
        let mut left = Vec::new();
        for (nth, service) in self.services.iter().enumerate() {
            let Some(process) = &service.process else {
                left.push(format!("{} is down", NAMES[nth]));
                continue;
            };
            let rows = service.database.rows();
            let waits = rows["wholly_parked"] + rows["wholly_timeout"];
            if waits > 0 || !process.transactions.is_empty() || !process.calls.is_empty() {
                left.push(format!("{} waits: {waits}, {}", NAMES[nth], process.transactions.len()));
            }
            for feed in &process.feeds {
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

    fn place(&mut self) -> Checked {
        if !self.is_up(ORDER) {
            return Ok(());
        }
        let open = self.unplaced();
        if !open.is_empty() {
            let order = open[self.random.index(open.len())].clone();
            self.place_order(&order, "OrderCreated");
        }
        if self.fault(10) {
            let order = self.orders[self.random.index(self.orders.len())].clone();
            self.place_order(&order, NO_EVENT);
        }
        if self.shop == ShopKind::Parallel && self.faulty {
            let order = self.orders[self.random.index(self.orders.len())].clone();
            let kind = if self.random.percent(70) { "OrderNoted" } else { "OrderWithdrawn" };
            self.place_order(&order, kind);
        }
        Ok(())
    }
}
