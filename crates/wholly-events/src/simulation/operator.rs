//! Outages and restored databases, and the operator's actions.

use std::collections::BTreeSet;
use std::time::Duration;

use super::database::TransactionEnd;
use super::service::SimulatedFollower;
use super::shop::{NAMES, PAYMENT};
use super::unreadable::NO_EVENT;
use super::violation::Checked;
use super::world::World;
use crate::choreography::job::{JobOutput, StoreJob};
use crate::feed::StartFrom;

impl World {
    /// All services are down for longer than the retention.
    pub(super) fn outage(&mut self) -> Checked {
        self.see("outage");
        for service in 0..NAMES.len() {
            self.crash(service)?;
        }
        self.pass(self.retention.inbox + Duration::from_secs(60));
        // Effects of orders that outlast the retention are deleted.
        let orders = self.services[0].ledger.published.iter();
        self.spoilt.extend(orders.map(|event| event.correlation.clone()));
        Ok(())
    }

    /// A dump is made, or a lost database is restored from its dump.
    pub(super) fn dump_or_restore(&mut self, service: usize) -> Checked {
        self.look_at_positions(service)?;
        let one = &mut self.services[service];
        if !one.database.has_dump() {
            one.database.dump(&one.ledger);
            return Ok(());
        }
        self.crash(service)?;
        let one = &mut self.services[service];
        let Some(before) = one.database.restore() else { return Ok(()) };
        let lost = std::mem::replace(&mut one.ledger, before);
        let kept: BTreeSet<_> = one.ledger.published.iter().map(|event| &event.id).collect();
        let gone = lost.published.iter().filter(|event| !kept.contains(&event.id));
        self.spoilt.extend(gone.map(|event| event.correlation.clone()));
        if service == PAYMENT {
            // No dump has what was called since: an operator compares the books with the gateway's.
            self.spoilt.extend(self.gateway.asked.iter().cloned());
            // Nor what was out when it was lost, and may still arrive.
            self.spoilt.extend(self.gateway.late.iter().map(|(_, call)| call.order().to_owned()));
        }
        self.missed.retain(|(follower, _)| *follower != service);
        self.note(service, || "is put back to its dump".to_owned());
        self.see("restored");
        Ok(())
    }

    /// An operator lets a feed that refused be read from its earliest event.
    pub(super) fn operate(&mut self, service: usize) -> Checked {
        let Some(nth) = self.one_feed(service, |feed| feed.refused) else {
            return Ok(());
        };
        let source = self.feed(service, nth).source;
        if !self.is_up(source) {
            return Ok(());
        }
        // It may be asked again before anybody looks, from the place that was saved.
        if self.fault(30) {
            let cursor = self.cursor(service, source)?;
            *self.feed(service, nth) = SimulatedFollower::new(source, cursor);
            return Ok(());
        }
        let job = StoreJob::Page(StartFrom::Earliest, 0, 0);
        let Some(JobOutput::Page(Ok(page))) = self.job(source, job, TransactionEnd::Commits)?
        else {
            return Ok(());
        };
        self.miss(service, source, page.cursor.position);
        let name = self.services[source].name.clone();
        let job = StoreJob::SetCursor(name, page.cursor, "it was refused".to_owned(), self.now);
        self.job(service, job, TransactionEnd::Commits)?;
        self.note(service, || format!("an operator sets the cursor of {}", NAMES[source]));
        let cursor = self.cursor(service, source)?;
        *self.feed(service, nth) = SimulatedFollower::new(source, cursor);
        Ok(())
    }

    /// Records events that were trimmed before they were read as missed: the operator knows of
    /// them.
    pub(super) fn miss(&mut self, service: usize, source: usize, trimmed: u64) {
        let reactions = &self.services[service].plan.declaration.reactions;
        let (dealt, published) = (&self.services[service].ledger, &self.services[source].ledger);
        let mut missed = Vec::new();
        let keeps = |(position, id): (&u64, &String)| {
            self.keeps(service, source, *position).then(|| id.clone())
        };
        let kept: BTreeSet<_> = published.positions.range(..=trimmed).filter_map(keeps).collect();
        for id in published.positions.range(..=trimmed).map(|(_, id)| id) {
            let Some(event) = published.published.iter().find(|event| event.id == *id) else {
                continue;
            };
            let mut reactions = reactions.iter().filter(|one| one.on.as_str() == event.kind);
            if event.kind == NO_EVENT && !kept.contains(id) {
                missed.push((service, id.clone()));
            }
            if reactions.any(|one| !dealt.has_dealt_with(one.name.as_str(), NAMES[source], id)) {
                missed.push((service, id.clone()));
                self.spoilt.insert(event.correlation.clone());
            }
        }
        self.missed.extend(missed);
    }
}
