//! Open transactions of a service, and the next step after each.

use std::time::Duration;

use super::database::{TransactionEnd, TransactionWork};
use super::handlers::FailurePoint;
use super::service::{Next, OpenTransaction, PendingCall};
use super::shop::{ORDER, Order};
use super::violation::{Checked, Property, ensure};
use super::world::{Disruption, World};
use crate::choreography::handler::{HandlerError, call_key};
use crate::choreography::job::{JobOutput, StoreJob};
use crate::choreography::plan::ReactionIndex;
use crate::choreography::react::Disposition;
use crate::choreography::timeout::PendingTimeout;
use crate::event::{Event, NewEvent};
use crate::names::Correlation;
use crate::store::StoreError;

impl World {
    /// A service begins to handle the next event of a feed.
    pub(super) fn deal(&mut self, service: usize) -> Checked {
        let process = self.services[service].process.as_ref();
        let feeds = process.map_or(0, |process| process.feeds.len());
        let nth = self.random.index(feeds);
        if feeds == 0 {
            return Ok(());
        }
        let feed = self.feed(service, nth);
        let source = feed.source;
        let Some((lane, item)) = feed.reader.take_ready() else { return Ok(()) };
        let (lane, item) = (lane.clone(), item.clone());
        let Some((lane, event)) = self.deal_with(service, source, lane, item) else {
            return Ok(());
        };
        self.react(service, Next::Deal { source, lane, event, nth: 0 });
        Ok(())
    }

    /// Begins the next reaction to the event. After the last one, the event is done.
    fn react(&mut self, service: usize, then: Next) {
        let Next::Deal { source, lane, event, nth } = &then else { return };
        let index = self.services[service].plan.reactions_to(&event.kind).nth(*nth);
        let (source, lane, event) = (*source, lane.clone(), event.clone());
        match index {
            Some(index) => {
                let stamp = self.stamp();
                let (correlation, job) =
                    (event.correlation.clone(), StoreJob::Receive(index, event, stamp));
                self.begin(service, TransactionWork::Job(job), then, correlation);
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

    /// A client places or changes an order, by an event of this type.
    pub(super) fn place_order(&mut self, order: &Order, kind: &str) {
        let data = self.data_of(order, kind);
        let stamp = self.stamp();
        // The program may have made the event long ago, or with a wrong clock.
        let time = match self.story == Disruption::Forgetful && self.fault(10) {
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
        self.begin(ORDER, TransactionWork::Place(event, stamp.now), Next::Placed, correlation);
    }

    /// Begins a transaction. It may lock its correlation now and take the sequences of its events.
    /// Other transactions of the correlation then wait for its end.
    pub(super) fn begin(
        &mut self,
        service: usize,
        work: TransactionWork,
        then: Next,
        correlation: Correlation,
    ) {
        let early = self.random.percent(60);
        let one = &mut self.services[service];
        let Some(process) = &mut one.process else { return };
        let is_locked =
            process.transactions.iter().any(|transaction| transaction.locks(&correlation));
        let drawn = (one.database.sequenced && early && !is_locked).then(|| {
            // Room for all that one transaction publishes.
            one.database.next_sequence += 2;
            one.database.next_sequence - 2
        });
        process.transactions.push(OpenTransaction { work, then, correlation, drawn });
    }

    /// A transaction ends.
    pub(super) fn commit(&mut self, service: usize) -> Checked {
        let transactions =
            self.services[service].process.as_ref().map_or(0, |process| process.transactions.len());
        if transactions == 0 {
            return Ok(());
        }
        let nth = self.random.index(transactions);
        let process = self.process(service);
        let correlation = &process.transactions[nth].correlation;
        let is_locked =
            process.transactions.iter().any(|transaction| transaction.locks(correlation));
        if is_locked && process.transactions[nth].drawn.is_none() {
            return Ok(());
        }
        let transaction = process.transactions.swap_remove(nth);
        let fails = self.fault(self.failing).then_some(FailurePoint::Before);
        let fails =
            fails.filter(|_| self.random.percent(50)).map_or(fails, |_| Some(FailurePoint::After));
        self.services[service].handlers.fails.set(fails);
        let fate = self.fate();
        let ended = self.transact(service, &transaction.work, transaction.drawn, fate)?;
        self.services[service].handlers.fails.set(None);
        if transaction
            .drawn
            .is_some_and(|drawn| drawn + 2 < self.services[service].database.next_sequence)
        {
            self.see("late commit");
        }
        match ended {
            Ok(Some(reply)) => self.follows(service, transaction.then, reply),
            Ok(None) => {
                self.see("commit unheard");
                self.again(service, transaction);
                Ok(())
            }
            Err(StoreError::Handler(failure)) => {
                self.see("failure");
                self.has_failed(service, transaction.then, failure);
                Ok(())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Repeats a transaction whose end is unknown, if the product repeats it.
    fn again(&mut self, service: usize, mut transaction: OpenTransaction) {
        let stamp = self.stamp();
        match &mut transaction.work {
            TransactionWork::Job(StoreJob::Receive(_, _, at) | StoreJob::Retry(_, _, _, at)) => {
                *at = stamp
            }
            TransactionWork::Job(StoreJob::Failed(_, _, _, at)) => *at = stamp.now,
            _ => {}
        }
        match transaction.then {
            Next::Retried { .. } | Next::Fired(_) | Next::Abandoned | Next::Placed => {}
            then => self.begin(service, transaction.work, then, transaction.correlation),
        }
    }

    fn follows(&mut self, service: usize, then: Next, reply: JobOutput) -> Checked {
        match (then, reply) {
            (Next::Deal { source, lane, event, nth }, JobOutput::Disposed(disposition)) => {
                let index = self.services[service].plan.reactions_to(&event.kind).nth(nth);
                self.disposed(service, &disposition, index, &event);
                self.react(service, Next::Deal { source, lane, event, nth: nth + 1 });
            }
            (Next::DealFailed { source, lane, event, nth }, _) => {
                self.react(service, Next::Deal { source, lane, event, nth: nth + 1 });
            }
            (Next::Retried { index, event }, JobOutput::Disposed(disposition)) => {
                self.disposed(service, &disposition, Some(index), &event);
            }
            (Next::Recorded { sequence, .. } | Next::Failed { sequence }, _) => {
                let process = self.process(service);
                process.busy.remove(&sequence);
            }
            (Next::SetAside { source, lane }, _) => self.is_set_aside(service, source, &lane),
            (Next::Fired(fired), JobOutput::Changed(true)) => self.fired(service, &fired)?,
            (Next::Placed, _) => self.placed = self.heard_of(),
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
        let Some(process) = &mut one.process else { return };
        if process.busy.insert(*sequence) {
            let (sequence, event) = (*sequence, event.clone());
            process.calls.push(PendingCall { sequence, index, event, key, answer: None });
        }
    }

    fn has_failed(&mut self, service: usize, then: Next, failure: HandlerError) {
        match then {
            Next::Deal { source, lane, event, nth } => {
                let index = self.services[service].plan.reactions_to(&event.kind).nth(nth).unwrap();
                let then = Next::DealFailed { source, lane, event: event.clone(), nth };
                self.record_failure(service, index, event, failure, then);
            }
            Next::Retried { index, event } => {
                let then = Next::Failed { sequence: 0 };
                self.record_failure(service, index, event, failure, then);
            }
            Next::Recorded { sequence, index, event } => {
                let then = Next::Failed { sequence };
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
        then: Next,
    ) {
        let name = self.services[service].plan.reaction(index).unwrap().name.clone();
        let correlation = event.correlation.clone();
        let job = StoreJob::Failed(name, event, failure, self.now);
        self.begin(service, TransactionWork::Job(job), then, correlation);
    }

    /// Checks a fired time-out: no awaited event was published before the due time.
    fn fired(&mut self, service: usize, fired: &PendingTimeout) -> Checked {
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
        ensure(early.is_none(), Property::TimedOut, || {
            format!("{} of {}, although there was {early:?}", fired.emits, fired.correlation)
        })
    }

    pub(super) fn sequence_now(&mut self, service: usize) -> Checked {
        let fate = self.fate();
        self.sequence(service, fate).map(drop)
    }

    /// Assigns positions; returns false if the commit had no answer.
    pub(super) fn sequence(&mut self, service: usize, fate: TransactionEnd) -> Checked<bool> {
        let Some(JobOutput::Sequenced(end)) = self.job(service, StoreJob::Sequence(None), fate)?
        else {
            return Ok(false);
        };
        if let Some(process) = &mut self.services[service].process {
            process.head = process.head.max(end.head.position);
        }
        Ok(true)
    }
}

impl OpenTransaction {
    pub(super) fn locks(&self, correlation: &Correlation) -> bool {
        self.drawn.is_some() && self.correlation == *correlation
    }
}
