//! What leaves for one transaction: calls, replies, the next alarm.

use std::time::Duration;

use wholly_core::wire::Call;
use wholly_core::{Effect, Request, Timestamp, TransactionId};

use super::keys::KeyState;
use super::{Engine, Open, OpenState, Reply, Wait, Waiter};
use crate::outcome::AnyOutcome;
use crate::participant::Attempt;

impl<W> Engine<W> {
    /// Sends what is outstanding of a transaction and replies to who waits for it, as far as its
    /// gate lets through; sets its alarm; and lets it go once it has settled.
    pub(super) fn advance(&mut self, id: TransactionId, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return };
        // INVARIANT: no effect and no reply before the last forced record is durable.
        let may_leave = self.commit.may_leave(&open.entries);
        let settled = match &open.part {
            OpenState::Live(transaction) => transaction.is_settled(),
            OpenState::Unusable => false,
            OpenState::Ended => true,
        };
        let mut retry = None;
        if may_leave {
            retry = self.send_outstanding(id, now);
            self.reply_to_waiters(id, settled, now);
            if settled {
                return self.let_go(id, now);
            }
        }
        self.set_alarm(id, may_leave, retry);
    }

    /// Sends what may be sent now; returns when the next of the rest may be.
    fn send_outstanding(&mut self, id: TransactionId, now: Timestamp) -> Option<Timestamp> {
        let open = self.open.get_mut(&id)?;
        // INVARIANT: nothing leaves for what a restored copy holds until an operator says so.
        let Open { part: OpenState::Live(transaction), quarantined: false, .. } = open else {
            return None;
        };
        let mut retry: Option<Timestamp> = None;
        for effect @ Effect { branch, operation } in transaction.effects() {
            let attempts = &mut open.attempts[usize::from(branch)];
            if attempts.on_its_way.is_some() {
                continue;
            }
            if attempts.operation != Some(operation) {
                (attempts.operation, attempts.tries, attempts.unsent, attempts.not_before) =
                    (Some(operation), 0, 0, None);
            }
            if let Some(at) = attempts.not_before.filter(|at| *at > now) {
                retry = Some(retry.map_or(at, |other| other.min(at)));
                continue;
            }
            let Some(request) = transaction.request(effect) else { continue };
            // A transaction that awaits an unregistered participant raises no alarm.
            if !self.targets.is_here(attempts.who) {
                continue;
            }
            attempts.on_its_way = Some(operation);
            attempts.tries = attempts.tries.saturating_add(1);
            attempts.not_before = None;
            let timeout = timeout(&request, self.settings.call_timeout, now);
            let Request { target, branch: name, operation_name, payload, expires, .. } = request;
            let trace = transaction.view().trace.cloned();
            let call = Call::new(id, name, operation, payload);
            let call = Call { operation_name, expires, trace, ..call };
            let lane = self.outputs.calls.entry(target).or_default();
            lane.push(Attempt { call, branch, timeout });
        }
        retry
    }

    fn reply_to_waiters(&mut self, id: TransactionId, settled: bool, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let is_due = |waiter: &mut Waiter<W>| match waiter.wait {
            Wait::Accepted | Wait::Recorded => true,
            Wait::Settled { until } => settled || until <= now,
        };
        let due: Vec<_> = open.waiters.extract_if(.., is_due).collect();
        if due.is_empty() {
            return;
        }
        let outcome = match &open.part {
            OpenState::Live(transaction) => AnyOutcome::of(id, transaction),
            OpenState::Unusable | OpenState::Ended => AnyOutcome::Quarantined(id),
        };
        for Waiter { wait, to } in due {
            match wait {
                Wait::Accepted => self.reply(to, Reply::Accepted(id)),
                Wait::Recorded => self.tell(id, Reply::Done, to, now),
                Wait::Settled { .. } if settled => {
                    self.tell(id, Reply::Outcome(outcome.clone()), to, now);
                }
                Wait::Settled { .. } => self.reply(to, Reply::Outcome(outcome.clone())),
            }
        }
    }

    /// The loop forgets what has settled: the log has it.
    fn let_go(&mut self, id: TransactionId, now: Timestamp) {
        let Some(open) = self.open.remove(&id) else { return };
        self.room.give_back(open.permit);
        if open.quarantined {
            self.settled_in_quarantine(id);
        }
        if let OpenState::Live(transaction) = &open.part {
            self.meter.ended(id, transaction, now);
        }
        if let Some(at) = open.wake {
            self.timers.remove(&(at, id));
        }
        self.entries_end(&open.entries, open.key);
    }

    pub(super) fn is_looked_up(&self, key: &wholly_core::Key) -> bool {
        matches!(self.keys.get(key), Some(KeyState::LookingUp(_)))
    }

    fn set_alarm(&mut self, id: TransactionId, may_leave: bool, retry: Option<Timestamp>) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let at = if may_leave { open.next_alarm(retry) } else { open.deadline() };
        if at == open.wake {
            return;
        }
        if let Some(old) = open.wake {
            self.timers.remove(&(old, id));
        }
        if let Some(new) = at {
            self.timers.insert((new, id));
        }
        open.wake = at;
    }
}

impl<W> Open<W> {
    /// When the transaction aborts or turns back by itself, if it does.
    fn deadline(&self) -> Option<Timestamp> {
        match &self.part {
            OpenState::Live(transaction) if !self.quarantined => transaction.turns_back_at(),
            OpenState::Live(_) | OpenState::Unusable | OpenState::Ended => None,
        }
    }

    fn next_alarm(&self, retry: Option<Timestamp>) -> Option<Timestamp> {
        let waiters = self.waiters.iter().filter_map(|waiter| match waiter.wait {
            Wait::Settled { until } => Some(until),
            Wait::Accepted | Wait::Recorded => None,
        });
        self.deadline().into_iter().chain(retry).chain(waiters).min()
    }
}

/// How long an attempt may take. Past its expiry an answer may be of no use.
fn timeout(request: &Request, usual: Duration, now: Timestamp) -> Duration {
    let timeout = request.timeout.unwrap_or(usual);
    match request.expires.filter(|_| request.useless_once_expired) {
        Some(at) => timeout.min(now.until(at)).max(Duration::from_millis(1)),
        None => timeout,
    }
}

#[cfg(test)]
mod tests {
    use wholly_core::two_phase::{Proposal, StartedBranch};
    use wholly_core::wire::Answer;
    use wholly_core::{LogId, ParticipantName, Payload, Target};

    use super::*;
    use crate::Settings;
    use crate::engine::{Input, NewTransaction, Random, Terms};
    use crate::log::Position;
    use crate::participant::Answered;

    #[test]
    fn what_finds_no_slot_in_time_comes_back_after_longer_and_longer_pauses() {
        let participant: ParticipantName = "hangs".parse().unwrap();
        let here = [(Target::Participant(participant.clone()), Terms::default())];
        let (log, random, head) = (LogId::from_bits(7), Random::seeded(7), Position::default());
        let settings = Settings::default();
        let mut engine = Engine::new(settings, log, head, 0, here, random, Default::default());
        let mut now = Timestamp::from_millis(1_700_000_000_000);
        let branches = vec![StartedBranch { participant, payload: Payload::null() }];
        let proposal = Proposal::new("x".parse().unwrap(), branches).unwrap();
        let submission = NewTransaction {
            key: None,
            other_key: None,
            trace: None,
            deadline: None,
            proposal: proposal.into(),
        };
        engine.handle(Input::Submit { submission, wait: Wait::Accepted, to: () }, now);
        let batch = engine.poll(now).append.unwrap();
        engine.handle(Input::Durable(batch.after.next()), now);
        for whole_millis in [50, 100, 200, 400, 800] {
            let mut left: Vec<_> = engine.poll(now).calls.into_values().flatten().collect();
            let Attempt { call: Call { transaction, operation, .. }, branch, .. } =
                left.pop().unwrap();
            let answer = Answer::unknown("no slot");
            let answered = Answered { transaction, branch, operation, answer, sent: false };
            engine.handle(Input::Answered(answered), now);
            let again = engine.next_wake(now).unwrap();
            let pause = now.until(again).as_millis();
            assert!(
                (whole_millis / 2..=whole_millis).contains(&pause),
                "{pause} of {whole_millis}"
            );
            now = again;
        }
    }
}
