//! What leaves for one transaction: calls, replies, the next alarm.

use std::time::Duration;

use wholly_core::two_phase::{Effect, Transaction};
use wholly_core::wire::Call;
use wholly_core::{Timestamp, TransactionId};

use super::keys::KeyState;
use super::{Engine, Open, Part, Reply, Wait, Waiter};
use crate::outcome::Outcome;
use crate::participant::slots::Attempt;

impl<W> Engine<W> {
    /// Sends what is outstanding of a transaction and replies to who waits for it, as far as its
    /// gate lets through; sets its alarm; and lets it go once it has settled.
    pub(super) fn advance(&mut self, id: TransactionId, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return };
        // INVARIANT: no effect and no reply before the last forced record is durable.
        let may_leave = open.gate <= self.durable;
        let settled = match &open.part {
            Part::Live(transaction) => transaction.is_settled(),
            Part::SetAside => false,
        };
        let mut retry = None;
        if may_leave {
            retry = self.send_outstanding(id, now);
            self.reply_to_waiters(id, now);
            if settled {
                return self.let_go(id);
            }
        }
        self.set_alarm(id, may_leave, retry);
    }

    /// Sends what may be sent now; returns when the next of the rest may be.
    fn send_outstanding(&mut self, id: TransactionId, now: Timestamp) -> Option<Timestamp> {
        let open = self.open.get_mut(&id)?;
        let Part::Live(transaction) = &open.part else { return None };
        let mut retry: Option<Timestamp> = None;
        for Effect { branch: number, operation } in transaction.effects() {
            let index = usize::from(number);
            let (branch, attempts) = (&transaction.branches()[index], &mut open.attempts[index]);
            if attempts.on_its_way.is_some() {
                continue;
            }
            if attempts.operation != Some(operation) {
                (attempts.operation, attempts.tries, attempts.not_before) =
                    (Some(operation), 0, None);
            }
            // What is held for a participant that is not here waits for it, and for no alarm.
            if !self.participants.contains_key(branch.participant()) {
                continue;
            }
            if let Some(at) = attempts.not_before.filter(|at| *at > now) {
                retry = Some(retry.map_or(at, |other| other.min(at)));
                continue;
            }
            attempts.on_its_way = Some(operation);
            attempts.tries = attempts.tries.saturating_add(1);
            attempts.not_before = None;
            let expires = operation.is_first_phase().then(|| transaction.deadline());
            let timeout = match expires {
                // Past its deadline a vote is of no use. In one phase there is no way but to ask.
                Some(at) if !transaction.is_one_phase() => {
                    self.settings.call_timeout.min(now.until(at)).max(Duration::from_millis(1))
                }
                _ => self.settings.call_timeout,
            };
            let call = Call {
                transaction: id,
                branch: branch.participant().clone().into(),
                operation,
                own_name: None,
                expires,
                payload: branch.payload().clone(),
            };
            let lane = self.outputs.calls.entry(branch.participant().clone()).or_default();
            lane.push(Attempt { call, branch: number, timeout });
        }
        retry
    }

    fn reply_to_waiters(&mut self, id: TransactionId, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let outcome = match &open.part {
            Part::Live(transaction) => Outcome::of(id, transaction),
            Part::SetAside => Outcome::Unsettled(id),
        };
        let settled = !matches!(outcome, Outcome::Unsettled(_));
        for Waiter { wait, to } in std::mem::take(&mut open.waiters) {
            let reply = match wait {
                Wait::Accepted => Reply::Accepted(id),
                Wait::Recorded => Reply::Done,
                Wait::Settled { until } if settled || until <= now => {
                    Reply::Outcome(outcome.clone())
                }
                Wait::Settled { .. } => {
                    open.waiters.push(Waiter { wait, to });
                    continue;
                }
            };
            self.outputs.replies.push((to, reply));
        }
    }

    /// The loop forgets what has settled: the log has it.
    fn let_go(&mut self, id: TransactionId) {
        let Some(open) = self.open.remove(&id) else { return };
        if let Some(at) = open.wake {
            self.timers.remove(&(at, id));
        }
        let Some(key) = open.key else { return };
        match open.place {
            _ if self.is_looked_up(&key) => {}
            Some(place) => self.ended_in(place, key),
            None => _ = self.keys.remove(&key),
        }
    }

    fn is_looked_up(&self, key: &wholly_core::Key) -> bool {
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
    /// When the transaction aborts by itself, if it does.
    fn deadline(&self) -> Option<Timestamp> {
        match &self.part {
            Part::Live(transaction) => undecided_until(transaction),
            Part::SetAside => None,
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

fn undecided_until(transaction: &Transaction) -> Option<Timestamp> {
    let decides_itself = transaction.decision().is_none() && !transaction.is_one_phase();
    decides_itself.then(|| transaction.deadline())
}
