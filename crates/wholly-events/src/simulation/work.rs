//! Transactions that a service begins and that end later, and what follows each.

use std::time::Duration;

use super::database::{Fate, Work};
use super::handlers::Fails;
use super::service::{CallOut, Flight, Then};
use super::shop::{ORDER, Order};
use super::world::{Story, World};
use super::wrong::{Check, Wrong, ensure};
use crate::choreography::handler::{HandlerError, call_key};
use crate::choreography::job::{JobOutput, StoreJob};
use crate::choreography::plan::ReactionIndex;
use crate::choreography::react::Disposition;
use crate::choreography::timeout::PendingTimeout;
use crate::event::{Event, NewEvent};
use crate::names::Correlation;
use crate::store::StoreError;

impl World {
    /// The next event of a feed is begun with.
    pub(super) fn deal(&mut self, service: usize) -> Result<(), Wrong> {
        let life = self.services[service].life.as_ref();
        let feeds = life.map_or(0, |life| life.feeds.len());
        let nth = self.chance.index(feeds);
        if feeds == 0 {
            return Ok(());
        }
        let feed = self.feed(service, nth);
        let source = feed.source;
        let Some((lane, item)) = feed.reader.begin() else { return Ok(()) };
        let (lane, item) = (lane.clone(), item.clone());
        let Some((lane, event)) = self.deal_with(service, source, lane, item) else {
            return Ok(());
        };
        self.react(service, Then::Deal { source, lane, event, nth: 0 });
        Ok(())
    }

    /// Begins with this reaction to the event, or ends with it, where there is none.
    fn react(&mut self, service: usize, then: Then) {
        let Then::Deal { source, lane, event, nth } = &then else { return };
        let index = self.services[service].plan.reactions_to(&event.kind).nth(*nth);
        let (source, lane, event) = (*source, lane.clone(), event.clone());
        match index {
            Some(index) => {
                let stamp = self.stamp();
                let (correlation, job) =
                    (event.correlation.clone(), StoreJob::Receive(index, event, stamp));
                self.begin(service, Work::Job(job), then, correlation);
            }
            None => {
                let Some(nth) = self.one_feed(service, |feed| feed.source == source) else {
                    return;
                };
                self.feed(service, nth).reader.done(&lane);
                self.passed(service, nth);
            }
        }
    }

    /// A client's order, as an event of this type says.
    pub(super) fn place_order(&mut self, order: &Order, kind: &str) {
        let data = self.data_of(order, kind);
        let stamp = self.stamp();
        // The program may have made it long ago, or by a clock that is wrong.
        let time = match self.story == Story::Forgetful && self.fault(10) {
            true => self.ago(self.retention.outbox + Duration::from_secs(60)),
            false => stamp.now,
        };
        let event = NewEvent {
            id: crate::EventId::mint(stamp.now, stamp.random),
            kind: crate::EventType::new(kind).unwrap(),
            time,
            correlation: Correlation::new(&order.order).unwrap(),
            causation: None,
            traceparent: None,
            data,
        };
        let correlation = event.correlation.clone();
        self.begin(ORDER, Work::Place(event, stamp.now), Then::Placed, correlation);
    }

    /// Begins a transaction. It may take the lock of its correlation now, and with it the sequence
    /// of what it publishes; others of the correlation then wait for its end.
    pub(super) fn begin(
        &mut self,
        service: usize,
        work: Work,
        then: Then,
        correlation: Correlation,
    ) {
        let early = self.chance.percent(60);
        let one = &mut self.services[service];
        let Some(life) = &mut one.life else { return };
        let is_locked = life.flights.iter().any(|flight| flight.locks(&correlation));
        let drawn = (one.database.sequenced && early && !is_locked).then(|| {
            // Room for all that one transaction publishes.
            one.database.next_sequence += 2;
            one.database.next_sequence - 2
        });
        life.flights.push(Flight { work, then, correlation, drawn });
    }

    /// A transaction ends.
    pub(super) fn commit(&mut self, service: usize) -> Result<(), Wrong> {
        let flights = self.services[service].life.as_ref().map_or(0, |life| life.flights.len());
        if flights == 0 {
            return Ok(());
        }
        let nth = self.chance.index(flights);
        let life = self.services[service].life.as_mut().unwrap();
        let correlation = &life.flights[nth].correlation;
        let is_locked = life.flights.iter().any(|flight| flight.locks(correlation));
        if is_locked && life.flights[nth].drawn.is_none() {
            return Ok(());
        }
        let flight = life.flights.swap_remove(nth);
        let fails = self.fault(self.failing).then_some(Fails::Before);
        let fails = fails.filter(|_| self.chance.percent(50)).map_or(fails, |_| Some(Fails::After));
        self.services[service].handlers.fails.set(fails);
        let fate = self.fate();
        let ended = self.transact(service, &flight.work, flight.drawn, fate)?;
        self.services[service].handlers.fails.set(None);
        if flight
            .drawn
            .is_some_and(|drawn| drawn + 2 < self.services[service].database.next_sequence)
        {
            self.see("late commit");
        }
        match ended {
            Ok(Some(reply)) => self.follows(service, flight.then, reply),
            Ok(None) => {
                self.see("commit unheard");
                self.again(service, flight);
                Ok(())
            }
            Err(StoreError::Handler(failure)) => {
                self.see("failure");
                self.has_failed(service, flight.then, failure);
                Ok(())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A transaction of which it is not known how it ended is made again, by who must.
    fn again(&mut self, service: usize, mut flight: Flight) {
        let stamp = self.stamp();
        match &mut flight.work {
            Work::Job(StoreJob::Receive(_, _, at) | StoreJob::Retry(_, _, _, at)) => *at = stamp,
            Work::Job(StoreJob::Failed(_, _, _, at)) => *at = stamp.now,
            _ => {}
        }
        match flight.then {
            Then::Retried { .. } | Then::Fired(_) | Then::Abandoned | Then::Placed => {}
            then => self.begin(service, flight.work, then, flight.correlation),
        }
    }

    fn follows(&mut self, service: usize, then: Then, reply: JobOutput) -> Result<(), Wrong> {
        match (then, reply) {
            (Then::Deal { source, lane, event, nth }, JobOutput::Disposed(disposition)) => {
                let index = self.services[service].plan.reactions_to(&event.kind).nth(nth);
                self.disposed(service, &disposition, index, &event);
                self.react(service, Then::Deal { source, lane, event, nth: nth + 1 });
            }
            (Then::DealFailed { source, lane, event, nth }, _) => {
                self.react(service, Then::Deal { source, lane, event, nth: nth + 1 });
            }
            (Then::Retried { index, event }, JobOutput::Disposed(disposition)) => {
                self.disposed(service, &disposition, Some(index), &event);
            }
            (Then::Recorded { sequence, .. } | Then::Failed { sequence }, _) => {
                let life = self.services[service].life.as_mut().unwrap();
                life.busy.remove(&sequence);
            }
            (Then::SetAside { source, lane }, _) => self.is_set_aside(service, source, &lane),
            (Then::Fired(fired), JobOutput::Changed(true)) => self.fired(service, &fired)?,
            (Then::Placed, _) => self.placed = self.heard_of(),
            _ => {}
        }
        Ok(())
    }

    fn heard_of(&self) -> std::collections::BTreeSet<String> {
        let events = self.services[ORDER].ledger.published.iter();
        let created = events.filter(|event| event.kind == "OrderCreated");
        created.map(|event| event.correlation.clone()).chain(self.placed.iter().cloned()).collect()
    }

    fn disposed(
        &mut self,
        service: usize,
        disposition: &Disposition,
        index: Option<ReactionIndex>,
        event: &Event,
    ) {
        self.see(match disposition {
            Disposition::Ended(..) => "ended",
            Disposition::Again => "again",
            Disposition::Parked => "parked behind another",
            Disposition::Call(..) => "call",
        });
        let (Disposition::Call(sequence, _), Some(index)) = (disposition, index) else {
            return;
        };
        let one = &mut self.services[service];
        let Some(reaction) = one.plan.reaction(index) else { return };
        let key = call_key(&one.name, &reaction.name, event);
        let Some(life) = &mut one.life else { return };
        if life.busy.insert(*sequence) {
            let (sequence, event) = (*sequence, event.clone());
            life.calls.push(CallOut { sequence, index, event, key, answer: None });
        }
    }

    fn has_failed(&mut self, service: usize, then: Then, failure: HandlerError) {
        match then {
            Then::Deal { source, lane, event, nth } => {
                let index = self.services[service].plan.reactions_to(&event.kind).nth(nth).unwrap();
                let then = Then::DealFailed { source, lane, event: event.clone(), nth };
                self.record_failure(service, index, event, failure, then);
            }
            Then::Retried { index, event } => {
                let then = Then::Failed { sequence: 0 };
                self.record_failure(service, index, event, failure, then);
            }
            Then::Recorded { sequence, index, event } => {
                let then = Then::Failed { sequence };
                self.record_failure(service, index, event, failure, then);
            }
            _ => {}
        }
    }

    pub(super) fn record_failure(
        &mut self,
        service: usize,
        index: ReactionIndex,
        event: Event,
        failure: HandlerError,
        then: Then,
    ) {
        let name = self.services[service].plan.reaction(index).unwrap().name.clone();
        let correlation = event.correlation.clone();
        let job = StoreJob::Failed(name, event, failure, self.now);
        self.begin(service, Work::Job(job), then, correlation);
    }

    /// A time-out was fired: no event that it awaits was there when it fell due.
    fn fired(&mut self, service: usize, fired: &PendingTimeout) -> Result<(), Wrong> {
        self.see("time-out");
        let timeouts = &self.services[service].plan.declaration.timeouts;
        let awaits =
            timeouts.iter().filter(|one| one.emits == fired.emits).flat_map(|one| &one.awaits);
        let awaits: Vec<_> = awaits.map(|kind| kind.as_str()).collect();
        let published = self.services.iter().flat_map(|one| &one.ledger.published);
        let mut of_order =
            published.filter(|event| event.correlation == fired.correlation.as_str());
        let early = of_order.find(|one| {
            let is_missed = self.missed.contains(&(service, one.id.clone()));
            awaits.contains(&&*one.kind) && one.at <= fired.due && !is_missed
        });
        ensure(early.is_none(), Check::TimedOut, || {
            format!("{} of {}, although there was {early:?}", fired.emits, fired.correlation)
        })
    }

    pub(super) fn sequence_now(&mut self, service: usize) -> Result<(), Wrong> {
        let fate = self.fate();
        self.sequence(service, fate).map(drop)
    }

    /// Positions are given; returns whether that is heard of.
    pub(super) fn sequence(&mut self, service: usize, fate: Fate) -> Result<bool, Wrong> {
        let Some(JobOutput::Sequenced(end)) = self.job(service, StoreJob::Sequence(None), fate)?
        else {
            return Ok(false);
        };
        if let Some(life) = &mut self.services[service].life {
            life.head = life.head.max(end.head.position);
        }
        Ok(true)
    }
}

impl Flight {
    pub(super) fn locks(&self, correlation: &Correlation) -> bool {
        self.drawn.is_some() && self.correlation == *correlation
    }
}
