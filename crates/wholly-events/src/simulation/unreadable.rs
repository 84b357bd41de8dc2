//! Invalid entries, which are set aside, and parked events that an operator drops.

use super::database::{TransactionEnd, TransactionWork};
use super::planted::Bug;
use super::service::Next;
use super::shop::{NAMES, Order};
use super::violation::{Checked, Property, ensure};
use super::world::{Disruption, World};
use crate::choreography::DropError;
use crate::choreography::feed_reader::Item;
use crate::choreography::job::{DropRequest, JobOutput, StoreJob};
use crate::choreography::parked::{ParkedEvent, ParkedState};
use crate::feed::SetAside;
use crate::inbox::ReactionOutcome;
use crate::names::Correlation;

/// The type of an invalid outbox row: its data is not JSON.
pub(super) const NO_EVENT: &str = "NoEvent";

/// The data of an event that no handler reads.
pub(super) const UNFIT: &str = "\"unfit\"";

/// An event that an operator dropped: service, reaction, source and id.
pub(super) type DroppedEvent = (usize, String, String, String);

impl World {
    /// Returns the event to handle next. An invalid entry is set aside.
    pub(super) fn deal_with(
        &mut self,
        service: usize,
        source: usize,
        lane: Correlation,
        item: Item,
    ) -> Option<(Correlation, crate::Event)> {
        match item {
            Item::Event(event) => Some((lane, event)),
            Item::NoEvent(what) => {
                self.set_aside(service, source, lane, what);
                None
            }
        }
    }

    fn set_aside(&mut self, service: usize, source: usize, lane: Correlation, what: SetAside) {
        let then = Next::SetAside { source, lane: lane.clone() };
        if self.bug == Some(Bug::NoEventIsPassedOver) {
            return self.is_set_aside(service, source, &lane);
        }
        self.see("set aside");
        let job = StoreJob::SetAside(self.services[source].name.clone(), what, self.now);
        self.begin(service, TransactionWork::Job(job), then, lane);
    }

    /// Continues behind an invalid entry after it was stored.
    pub(super) fn is_set_aside(&mut self, service: usize, source: usize, lane: &Correlation) {
        let Some(nth) = self.one_feed(service, |feed| feed.source == source) else { return };
        self.feed(service, nth).reader.done(lane);
        self.passed(service, nth);
    }

    /// An operator drops a parked event: one that cannot be read in silence, another one sometimes,
    /// with the refusal that its reaction declares.
    pub(super) fn drop_some_parked(&mut self, service: usize) -> Checked {
        let job = StoreJob::Parked(0, u64::MAX >> 1);
        let Some(JobOutput::Parked(parked, _)) = self.job(service, job, TransactionEnd::Commits)?
        else {
            return Ok(());
        };
        let transactions = self.services[service]
            .process
            .as_ref()
            .map_or(&[][..], |process| &process.transactions);
        let is_free = |one: &ParkedEvent| {
            !transactions.iter().any(|transaction| transaction.locks(&one.event.correlation))
        };
        let free: Vec<ParkedEvent> = parked.into_iter().filter(is_free).collect();
        for parked in free {
            let reaction = self.services[service].plan.by_name(&parked.reaction).unwrap();
            let refuses = &self.services[service].plan.reaction(reaction).unwrap().refuses;
            let refusal = refuses.clone().map(|kind| (kind, parked.event.data.clone()));
            match parked.state {
                ParkedState::Unreadable => self.drop_parked(service, &parked, None)?,
                ParkedState::Failing | ParkedState::Calling if refusal.is_some() => {
                    if self.fault(20) {
                        self.drop_parked(service, &parked, refusal)?;
                    }
                }
                ParkedState::Failing | ParkedState::Calling | ParkedState::Waiting => {}
            }
        }
        Ok(())
    }

    fn drop_parked(
        &mut self,
        service: usize,
        parked: &ParkedEvent,
        refusal: Option<(crate::EventType, String)>,
    ) -> Checked {
        let (sequence, reason) = (parked.sequence, "an operator said so".to_owned());
        let may_have_happened = self.call_may_have_happened(service, parked);
        let call_did_not_happen = !may_have_happened || self.bug == Some(Bug::DropsACallThatIsOut);
        let key = (
            service,
            parked.reaction.to_string(),
            parked.event.source.to_string(),
            parked.event.id.to_string(),
        );
        let ending = refusal.as_ref().map(|(kind, _)| kind.to_string());
        self.note(service, || format!("an operator drops {key:?}: {ending:?}"));
        self.dropped.insert(key, ending.clone());
        let request = DropRequest { sequence, reason, refusal, call_did_not_happen };
        let (job, fate) = (StoreJob::Drop(request, self.stamp()), self.fate());
        match self.job(service, job, fate)? {
            Some(JobOutput::Refused(DropError::CallIsOut)) => self.see("not dropped"),
            Some(JobOutput::Done) if ending.is_some() => self.see("dropped with its refusal"),
            Some(JobOutput::Done) => self.see("dropped"),
            Some(reply) => panic!("{reply:?}"),
            None => {}
        }
        Ok(())
    }

    /// True if an operator finds the call at the gateway, or out in the service.
    fn call_may_have_happened(&self, service: usize, parked: &ParkedEvent) -> bool {
        let event = &parked.event;
        let key = crate::choreography::handler::call_key(
            &self.services[service].name,
            &parked.reaction,
            event,
        );
        let process = self.services[service].process.as_ref();
        parked.state == ParkedState::Calling
            && (self.gateway.answers.contains_key(&key)
                || self.gateway.late.iter().any(|(late, _)| *late == key)
                || process.is_some_and(|process| process.busy.contains(&parked.sequence)))
    }

    /// Checks that each follower has stored the invalid entries, and nothing else.
    pub(super) fn check_set_aside(&self, service: usize, source: usize) -> Checked {
        let ledger = &self.services[source].ledger;
        let is_none = |id: &String| {
            ledger.published.iter().any(|event| event.id == *id && event.kind == NO_EVENT)
        };
        let mut all = 0;
        for (position, id) in ledger.positions.iter().filter(|(_, id)| is_none(id)) {
            let kept = self.keeps(service, source, *position);
            all += u64::from(kept);
            let is_missed = self.missed.contains(&(service, id.clone()));
            ensure(kept || is_missed, Property::Kept, || {
                format!("{} has not kept {id} of {}", NAMES[service], NAMES[source])
            })?;
        }
        // A restored publisher assigns its positions again, to other events.
        let sql = "SELECT count(*) FROM wholly_set_aside WHERE source = ?";
        let kept = self.services[service].database.number(sql, &[NAMES[source]]);
        ensure(kept == all || self.story == Disruption::Restored, Property::Kept, || {
            format!("{} keeps {kept} of {}, and not {all}", NAMES[service], NAMES[source])
        })
    }

    pub(super) fn keeps(&self, service: usize, source: usize, position: u64) -> bool {
        let sql = "SELECT count(*) FROM wholly_set_aside WHERE source = ? AND position = ?";
        let values = [NAMES[source], &position.to_string()];
        self.services[service].database.number(sql, &values) > 0
    }

    /// A dropped event has emitted the operator's refusal, and nothing else.
    pub(super) fn check_dropped(&self, service: usize) -> Checked {
        let one = &self.services[service];
        for mark in one.ledger.marks.iter().filter(|mark| mark.outcome == ReactionOutcome::Dropped)
        {
            let all = one.plan.declaration.reactions.iter();
            let declared: Vec<_> = all
                .filter(|one| one.name.as_str() == mark.reaction)
                .flat_map(|one| one.emits.iter().chain(&one.refuses))
                .collect();
            let caused = one.ledger.published.iter().filter(|event| event.causation == mark.id);
            let emitted: Vec<_> = caused
                .map(|event| &event.kind)
                .filter(|kind| declared.iter().any(|one| one.as_str() == *kind))
                .collect();
            let (reaction, source) = (mark.reaction.clone(), mark.source.clone());
            let ending = self.dropped.get(&(service, reaction, source, mark.id.clone()));
            let said = ending.is_some_and(|ending| emitted == ending.iter().collect::<Vec<_>>());
            ensure(said, Property::Dropped, || {
                format!("{} emitted {emitted:?} for {mark:?}, not {ending:?}", NAMES[service])
            })?;
        }
        Ok(())
    }

    /// The order's data, written by a client that makes mistakes.
    pub(super) fn data_of(&mut self, order: &Order, kind: &str) -> String {
        match kind {
            NO_EVENT => "no JSON".to_owned(),
            "OrderNoted" if self.fault(10) => UNFIT.to_owned(),
            _ => serde_json::to_string(order).unwrap(),
        }
    }
}
