//! The checks after the faults have stopped and all work is done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ledger::CommittedEvent;
use super::shop::{INVENTORY, NAMES, ORDER, PAYMENT, STOCK, ShopKind};
use super::violation::{Checked, Property, ensure};
use super::world::{Disruption, World};
use crate::inbox::ReactionOutcome;

impl World {
    pub(super) fn check(&mut self) -> Checked {
        for service in 0..NAMES.len() {
            self.check_effects(service)?;
            self.check_order(service)?;
            self.check_dropped(service)?;
            for source in self.services[service].follows.clone() {
                self.check_delivered(service, source)?;
                self.check_set_aside(service, source)?;
            }
        }
        self.check_orders()?;
        self.check_stock()?;
        match self.story {
            Disruption::Forgetful => self.check_forgotten(),
            Disruption::Plain | Disruption::Restored => Ok(()),
        }
    }

    /// Every successful reaction has had its effect once.
    fn check_effects(&self, service: usize) -> Checked {
        let one = &self.services[service];
        for mark in &one.ledger.marks {
            let sql = "SELECT count(*) FROM effect WHERE reaction = ? AND source = ? AND id = ?";
            let effects = one.database.number(sql, &[&mark.reaction, &mark.source, &mark.id]);
            let expected = u64::from(mark.outcome == ReactionOutcome::Done);
            ensure(effects == expected, Property::Once, || {
                format!("in {} there are {effects} effects of {mark:?}", NAMES[service])
            })?;
        }
        Ok(())
    }

    /// Events of one publisher and one correlation were handled in the order of their commits.
    fn check_order(&self, service: usize) -> Checked {
        let mut last: BTreeMap<(&str, &str), (usize, &CommittedEvent)> = BTreeMap::new();
        for mark in &self.services[service].ledger.marks {
            if !matches!(mark.outcome, ReactionOutcome::Done | ReactionOutcome::Refused) {
                continue;
            }
            let source = NAMES.iter().position(|name| *name == mark.source).unwrap();
            let published = &self.services[source].ledger.published;
            let Some(nth) = published.iter().position(|event| event.id == mark.id) else {
                continue;
            };
            let event = &published[nth];
            let before = last.insert((&mark.source, &event.correlation), (nth, event));
            ensure(before.is_none_or(|(before, _)| before <= nth), Property::Ordered, || {
                format!("{} handled {before:?} before {event:?}", NAMES[service])
            })?;
        }
        Ok(())
    }

    fn check_delivered(&self, service: usize, source: usize) -> Checked {
        let one = &self.services[service];
        for event in &self.services[source].ledger.published {
            let all = one.plan.declaration.reactions.iter();
            for reaction in all.filter(|one| one.on.as_str() == event.kind) {
                let name = reaction.name.as_str();
                let is_dealt_with = one.ledger.has_dealt_with(name, NAMES[source], &event.id)
                    || self.missed.contains(&(service, event.id.clone()));
                ensure(is_dealt_with, Property::Delivered, || {
                    format!("{} has not dealt with {event:?}", NAMES[service])
                })?;
            }
        }
        Ok(())
    }

    fn check_orders(&self) -> Checked {
        for order in &self.orders {
            let id = &*order.order;
            if self.spoilt.contains(id) {
                continue;
            }
            let count = |service: usize, sql: &str| {
                self.services[service].database.number(&format!("SELECT {sql} WHERE id = ?"), &[id])
            };
            let made = count(ORDER, "count(*) FROM orders");
            ensure(made == 1, Property::Ends, || format!("{id} was made {made} times"))?;
            let paid = count(ORDER, "paid FROM orders");
            let reserved = count(ORDER, "reserved FROM orders");
            let is_cancelled = count(ORDER, "cancelled FROM orders") > 0;
            let is_whole = paid == 1 && (reserved == 1 || self.shop == ShopKind::Sequential);
            ensure(is_cancelled || is_whole, Property::Ends, || {
                format!("{id} has no end: paid {paid}, reserved {reserved}")
            })?;
            let goods = count(INVENTORY, "count(*) FROM reservation");
            let money = count(PAYMENT, "count(*) FROM payment");
            let outside = self.gateway.charged.get(id).copied().unwrap_or_default();
            let outside = if self.shop == ShopKind::Gateway { outside } else { money };
            let each = u64::from(!is_cancelled);
            ensure([goods, money, outside] == [each; 3], Property::Whole, || {
                format!(
                    "{id}: cancelled: {is_cancelled}; {goods} goods, {money} and {outside} money"
                )
            })?;
        }
        Ok(())
    }

    fn check_stock(&self) -> Checked {
        let sql = "SELECT count + (SELECT coalesce(sum(quantity), 0) FROM reservation) FROM stock";
        let stock = self.services[INVENTORY].database.number(sql, &[]);
        ensure(stock == u64::from(STOCK), Property::Whole, || format!("of {STOCK} goods: {stock}"))
    }

    /// All tables are empty after the retention has passed without events.
    fn check_forgotten(&mut self) -> Checked {
        self.pass(self.retention.inbox + Duration::from_secs(1));
        // A service deletes inbox rows only after it has read its feeds.
        for _ in 0..12 {
            self.pass(Duration::from_secs(3));
            self.rounds()?;
        }
        for (service, name) in NAMES.iter().enumerate() {
            self.trim(service)?;
            let rows = self.services[service].database.rows();
            let kept: u64 = rows.values().sum();
            ensure(kept == 0, Property::Trimmed, || format!("{name} keeps {rows:?}"))?;
        }
        Ok(())
    }
}
