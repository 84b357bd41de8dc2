//! The tasks of a service beside its feeds: parked events, calls, time-outs, retention.

use super::database::TransactionWork;
use super::service::Next;
use super::shop::PAYMENT;
use super::violation::{Checked, Property, ensure};
use super::world::World;
use crate::choreography::handler::HandlerError;
use crate::choreography::job::{JobOutput, StoreJob};
use crate::choreography::read_horizon::{inbox_cutoff, read_horizon};

use super::database::TransactionEnd;

/// The time for which a feed must be away until it is not waited for: longer than a run takes.
const UNREACHABLE_AFTER: std::time::Duration = std::time::Duration::from_secs(100 * 24 * 60 * 60);

impl World {
    /// Parked events that are due are tried again.
    pub(super) fn retry(&mut self, service: usize) -> Checked {
        let Some(process) = &self.services[service].process else { return Ok(()) };
        let tries =
            |then: &Next| matches!(then, Next::Retried { .. } | Next::Failed { sequence: 0 });
        if process.transactions.iter().any(|transaction| tries(&transaction.then)) {
            return Ok(());
        }
        let job = StoreJob::Due(self.now);
        let Some(JobOutput::Parked(due, _)) = self.job(service, job, TransactionEnd::Commits)?
        else {
            return Ok(());
        };
        for parked in due {
            let one = &self.services[service];
            if one.process.as_ref().is_some_and(|process| process.busy.contains(&parked.sequence)) {
                continue;
            }
            self.see("retry");
            let index = self.services[service].plan.by_name(&parked.reaction).unwrap();
            let (event, correlation) = (parked.event.clone(), parked.event.correlation.clone());
            let stamp = self.stamp();
            let job = StoreJob::Retry(parked.sequence, correlation.clone(), None, stamp);
            self.begin(
                service,
                TransactionWork::Job(job),
                Next::Retried { index, event },
                correlation,
            );
        }
        Ok(())
    }

    /// Time-outs that are due fire, or wait until the feeds have been read.
    pub(super) fn time_out(&mut self, service: usize) -> Checked {
        let Some(process) = &self.services[service].process else { return Ok(()) };
        let is_firing = process
            .transactions
            .iter()
            .any(|transaction| matches!(transaction.then, Next::Fired(_)));
        if is_firing || self.services[service].plan.declaration.timeouts.is_empty() {
            return Ok(());
        }
        let job = StoreJob::TimeoutsDue(self.now);
        let Some(JobOutput::Timeouts(due, _)) = self.job(service, job, TransactionEnd::Commits)?
        else {
            return Ok(());
        };
        let feeds = &self.services[service].process.as_ref().unwrap().feeds;
        let statuses: Vec<_> = feeds.iter().map(|feed| feed.status.clone()).collect();
        let known = read_horizon(&statuses, self.now, UNREACHABLE_AFTER);
        let (ripe, unripe): (Vec<_>, Vec<_>) = due.into_iter().partition(|one| one.may_fire(known));
        self.note(service, || format!("known {known}: {ripe:?} {unripe:?}"));
        if !unripe.is_empty() {
            self.read_now(service);
        }
        if let Some(running) = ripe.into_iter().next() {
            let correlation = running.correlation.clone();
            let job = StoreJob::Fire(running.clone(), self.stamp());
            self.begin(service, TransactionWork::Job(job), Next::Fired(running), correlation);
        }
        Ok(())
    }

    /// A call arrives at the gateway, or its answer where it is waited for, or either is lost.
    pub(super) fn gateway_step(&mut self) -> Checked {
        if !self.gateway.late.is_empty() && self.random.percent(30) {
            let nth = self.random.index(self.gateway.late.len());
            let (key, call) = self.gateway.late.swap_remove(nth);
            self.see("late call");
            self.gateway.take(&key, &call);
            return Ok(());
        }
        let calls =
            self.services[PAYMENT].process.as_ref().map_or(0, |process| process.calls.len());
        if calls == 0 {
            return Ok(());
        }
        let nth = self.random.index(calls);
        let is_lost = self.fault(15);
        if is_lost {
            return self.call_fails(nth);
        }
        let Some(process) = &mut self.services[PAYMENT].process else { return Ok(()) };
        let call = &mut process.calls[nth];
        if call.answer.is_none() {
            let asked = self.gateway.call_of(&call.event);
            let answer = self.gateway.take(&call.key, &asked);
            call.answer = Some(answer.to_string());
            return Ok(());
        }
        let call = self.process(PAYMENT).calls.swap_remove(nth);
        let (sequence, index, event) = (call.sequence, call.index, call.event);
        let correlation = event.correlation.clone();
        let job = StoreJob::Retry(sequence, correlation.clone(), call.answer, self.stamp());
        let then = Next::Recorded { sequence, index, event };
        self.begin(PAYMENT, TransactionWork::Job(job), then, correlation);
        Ok(())
    }

    /// A call is not waited for any longer: it may still arrive, or has.
    fn call_fails(&mut self, nth: usize) -> Checked {
        self.see("call without a result");
        let call = self.process(PAYMENT).calls.swap_remove(nth);
        if call.answer.is_none() && self.random.percent(60) {
            self.gateway.late.push((call.key, self.gateway.call_of(&call.event)));
        }
        let then = Next::Failed { sequence: call.sequence };
        let failure = HandlerError::failed("the gateway gave no answer");
        self.record_failure(PAYMENT, call.index, call.event, failure, then);
        Ok(())
    }

    /// Deletes what is old, and nothing else.
    pub(super) fn trim(&mut self, service: usize) -> Checked {
        self.look_at_positions(service)?;
        let outbox = self.ago(self.retention.outbox);
        let Some(process) = &self.services[service].process else { return Ok(()) };
        let statuses: Vec<_> = process.feeds.iter().map(|feed| feed.status.clone()).collect();
        let inbox = inbox_cutoff(&statuses, self.now, UNREACHABLE_AFTER, self.retention.inbox);
        let trimmed = self.services[service].trimmed();
        let fate = self.fate();
        self.job(service, StoreJob::Trim(outbox, inbox), fate)?;
        let one = &self.services[service];
        let gone = one.ledger.positions.range(trimmed + 1..one.trimmed().max(trimmed) + 1);
        for (position, id) in gone {
            let event = one.ledger.published.iter().find(|event| event.id == *id);
            ensure(event.is_none_or(|event| event.time < outbox), Property::Trimmed, || {
                format!("{event:?} at {position} was trimmed before its time: {outbox}")
            })?;
        }
        if one.trimmed() > trimmed {
            self.see("trimmed");
        }
        Ok(())
    }
}
