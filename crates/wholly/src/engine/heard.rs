//! The last answer: kept where an answer ended nothing, told in the log once in a while, and said
//! where a deadline passed.
//!
//! Nothing is decided by it. A branch keeps it in memory until it is done, in some hundred bytes at
//! most; a restart forgets it, and hears anew.
//!
//! INVARIANT: what is recorded of it, with a deadline that passed, is in the record, so that a replay
//! says the same.

use std::time::Duration;

use rustc_hash::FxHashMap;
use wholly_core::wire::Answer;
use wholly_core::{BranchIndex, BranchName, Effect, LAST_ANSWERS_LIMIT, Timestamp, Transaction};

use super::open::{Attempts, Open, OpenState};
use super::targets::Who;
use super::{Answered, Engine};
use crate::last_answer::{CallAttempts, LastAnswer};

/// The time for which a cause that was told is counted only.
const INTERVAL: Duration = Duration::from_secs(60);
/// The number of causes that are told apart of one participant. All others count as one.
const CAUSES_LIMIT: usize = 16;

/// The causes for which each participant was asked again, and when they were told.
#[derive(Default)]
pub(super) struct Causes(FxHashMap<Who, Vec<(Cause, ToldCause)>>);

/// A cause: answers alike but for their numbers and details.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Like {
        answer: &'static str,
        status: Option<u16>,
        /// The first words of what was seen where there was no status.
        words: Box<str>,
    },
    Other,
}

struct ToldCause {
    at: Timestamp,
    /// How often it was not told since.
    untold: u64,
}

impl Cause {
    fn of(answer: &LastAnswer) -> Self {
        let words = match answer.status {
            Some(_) => String::new(),
            // Behind it come addresses, ids and what the system says.
            None => {
                answer.reason.chars().take_while(|c| *c != ':' && !c.is_ascii_digit()).collect()
            }
        };
        Self::Like { answer: answer.answer, status: answer.status, words: words.into() }
    }
}

impl Causes {
    /// Counts a cause; where it is to be told, how often it was not since it was told before.
    fn count(&mut self, who: Who, answer: &LastAnswer) -> Option<u64> {
        let causes = self.0.entry(who).or_default();
        let mut cause = Cause::of(answer);
        if causes.len() >= CAUSES_LIMIT && causes.iter().all(|(known, _)| *known != cause) {
            cause = Cause::Other;
        }
        let at = answer.at;
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            None => {
                causes.push((cause, ToldCause { at, untold: 0 }));
                Some(0)
            }
            Some((_, told)) if told.at.until(at) < INTERVAL => {
                told.untold += 1;
                None
            }
            Some((_, told)) => Some(std::mem::replace(told, ToldCause { at, untold: 0 }).untold),
        }
    }
}

impl<W> Engine<W> {
    /// Keeps what a call that left brought, and tells it where its cause was not told lately.
    pub(super) fn heard(&mut self, answered: &Answered, pause: Duration, now: Timestamp) {
        let Answered { transaction: id, branch, operation, answer, .. } = answered;
        let Some(open) = self.open.get_mut(id) else { return };
        let Some(attempts) = open.attempts.get_mut(usize::from(*branch)) else { return };
        let (who, tries) = (attempts.who, attempts.tries);
        let heard = LastAnswer::new(now, *operation, answer);
        if LastAnswer::is_done(answer) {
            attempts.last_answer = None;
            return self.targets.heard(who, heard, None);
        }
        // A refusal that may be obeyed ends the branch, and is recorded.
        let is_vote = matches!(answer, Answer::Refused { .. }) && operation.is_first_phase();
        if let OpenState::Live(transaction) = &open.part
            && !is_vote
            && let Some(untold) = self.causes.count(who, &heard)
        {
            let name = transaction.part(*branch).map(|part| part.name);
            tracing::info!(
                transaction = %id,
                participant = transaction.target(*branch).map(tracing::field::display),
                branch = name.as_ref().map(BranchName::as_str),
                operation = operation.as_str(),
                answer = heard.answer,
                status = heard.status,
                redirect = heard.redirect.as_deref(),
                tries,
                untold,
                "the call is repeated in {pause:?}; the last answer: {heard}"
            );
        }
        attempts.last_answer = Some(Box::new(heard.clone()));
        self.targets.heard(who, heard, Some(now + pause));
    }

    /// The attempts at each branch or step of which something is outstanding.
    pub(super) fn attempts_at(
        &self,
        open: &Open<W>,
        transaction: &Transaction,
    ) -> Vec<(BranchIndex, CallAttempts)> {
        let shown = transaction.effects().filter_map(|Effect { branch, operation }| {
            let attempts = open.attempts.get(usize::from(branch))?;
            let Attempts { tries, not_before, on_its_way, .. } = *attempts;
            let last_answer = attempts.last_answer.as_deref().cloned();
            let waits = on_its_way.is_none() && self.targets.is_here(attempts.who);
            let (tries, not_before) = match attempts.operation == Some(operation) {
                true => (tries, not_before),
                false => (0, None),
            };
            let next_at = not_before.filter(|_| waits);
            let is_asked = tries > 0 || last_answer.is_some();
            is_asked.then_some((branch, CallAttempts { operation, tries, next_at, last_answer }))
        });
        shown.collect()
    }
}

impl<W> Open<W> {
    /// The last answers of those from whom one is outstanding, if the deadline has passed: in words,
    /// as they are recorded.
    pub(super) fn last_answers(&self, now: Timestamp) -> String {
        let mut text = String::new();
        let OpenState::Live(transaction) = &self.part else { return text };
        if transaction.turns_back_at().is_none_or(|at| now < at) {
            return text;
        }
        for effect in transaction.effects() {
            let Some(said) = self.last_answer_in_words(transaction, effect) else { continue };
            if text.len() > LAST_ANSWERS_LIMIT {
                break;
            }
            text.push_str(if text.is_empty() { "" } else { "; " });
            text.push_str(&said);
        }
        text
    }

    fn last_answer_in_words(&self, transaction: &Transaction, effect: Effect) -> Option<String> {
        let attempts = self.attempts.get(usize::from(effect.branch))?;
        let name = transaction.part(effect.branch)?.name;
        let operation = effect.operation.as_str();
        let tries = match attempts.operation == Some(effect.operation) {
            true => attempts.tries,
            false => 0,
        };
        let asked = match tries {
            0 => return Some(format!("{name} ({operation}) was not asked")),
            1 => "asked once".to_owned(),
            tries => format!("asked {tries} times"),
        };
        Some(match &attempts.last_answer {
            Some(last) => format!("{name} ({operation}, {asked}): {last}"),
            None => format!("{name} ({operation}, {asked}) has not answered"),
        })
    }
}

#[cfg(test)]
mod tests {
    use wholly_core::wire::Operation;

    use super::super::targets::Targets;
    use super::*;

    #[test]
    fn a_cause_is_told_once_an_interval_with_what_was_not_told() {
        let mut targets = Targets::default();
        let mut who =
            |name: &str| targets.who(wholly_core::Target::Participant(name.parse().unwrap()));
        let (one, other) = (who("one"), who("other"));
        let mut causes = Causes::default();
        let mut said = |who, at_secs: u64, answer: Answer| {
            let at = Timestamp::from_millis(at_secs * 1_000);
            causes.count(who, &LastAnswer::new(at, Operation::Commit, &answer))
        };
        let status = |status: u16| Answer::unknown("…").with_http(status, None);
        let late = |port: u16| Answer::unknown(format!("cannot connect to http://x:{port}"));
        assert_eq!(said(one, 0, status(503)), Some(0));
        assert_eq!(said(one, 1, status(503)), None);
        assert_eq!(said(one, 2, status(500)), Some(0));
        assert_eq!(said(one, 2, Answer::pending(None).with_http(202, None)), Some(0));
        assert_eq!(said(one, 3, late(1)), Some(0));
        assert_eq!(said(one, 4, late(2)), None);
        assert_eq!(said(other, 5, status(503)), Some(0));
        assert_eq!(said(one, 59, status(503)), None);
        assert_eq!(said(one, 60, status(503)), Some(2));
        assert_eq!(said(one, 61, status(503)), None);
        assert_eq!(said(one, 600, status(503)), Some(1));
        // However many causes a participant makes up, those that are kept are few.
        let made_up = |n: u8| Answer::unknown(format!("{} is wrong", char::from(b'a' + n)));
        let told = (0..26).filter_map(|n| said(one, 601, made_up(n))).count();
        assert_eq!(told, CAUSES_LIMIT - 4 + 1);
        assert_eq!(said(one, 700, made_up(25)), Some(26 - told as u64));
    }
}
