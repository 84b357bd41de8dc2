//! Planted mutations of the protocol. Each is caught, and by the check that is meant for it, or
//! the simulation proves nothing.
//!
//! None is in the engine: they change the calls, the answers, the records read back from the log,
//! the time at which they are said to be durable, and the calls that a participant accepts.

mod storage;

use wholly_core::saga::{Record, StepIndex};
use wholly_core::wire::{Answer, Call, Operation, compensation_payload};
use wholly_core::{BranchName, Payload, Record as AnyRecord, TransactionId, entry};

use super::definitions::needs_none;
use super::ledger::{Saga, StepTruth};
use super::world::World;
use super::wrong::{Check, Wrong};
use super::{run, seeds};
use crate::engine::Batch;
use crate::log::StoredTransaction;

/// A mutation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    EffectsBeforeTheSync,
    ReadOfWhatIsNotDurable,
    ReadsWithoutWaiting,
    TellsADecisionBeforeItIsDurable,
    TimeoutTakenForANoAfterTheDecision,
    PreparedAgainAfterRestart,
    CommitOnAllButOneYes,
    NoBelievedAfterALostAttempt,
    LatePrepareAcceptedAfterTheAbort,
    AppendLandsAfterAFailedOne,
    KeyForgotten,
    KeyOfTheUnloadedForgotten,
    // Of sagas.
    RunsAStepBeforeThoseThatItComesAfter,
    RunsAStepBeforeAnOutputIsDurable,
    CompensatesWhatWasRefusedAtFirst,
    ForgetsAnUnknownStep,
    ForgetsWhatMayHaveComeAfterAnUnknownStep,
    CompensatesInForwardOrder,
    LosesAnOutputOnRestart,
    RunsAStepAgainAfterItsCompensation,
    TurnsBackWhileThePivotIsUnanswered,
    CompensatesBeforeTurningBackIsDurable,
    RefusalBelievedAfterALostAttempt,
    RefusalBelievedAfterARestart,
    LateActionAcceptedAfterTheCompensation,
    // Of restored copies.
    CopyKeepsItsIdentity,
    CopyGoesOn,
    // Of jumping wall clocks.
    WaitsByTheWallClock,
    StartsByTheWallClock,
    ForgetsTheLastId,
    ExpiresByTheSteadyClock,
    SweepsByTheWallClock,
    SweepsAtOnceAfterAStart,
    // Of faults of the storage; these are the last.
    OlderCopyTakenUp,
    OtherLogTakenUp,
    NewLogTakenUp,
    DamagedEntryDropped,
    DamagedTransactionAborted,
    DamagedTransactionEnded,
    DamagedTransactionPresumedAborted,
    DamagedTransactionToldAborted,
    KeyOfTheDamagedForgotten,
}

/// The number of seeds that a mutation may survive.
const SEEDS: u64 = 3_000;

#[test]
fn every_planted_bug_is_caught() {
    use Check::*;
    let mut latest = (0, None);
    for (bug, checks, words) in [
        (Bug::EffectsBeforeTheSync, &[Orphan, Keys][..], ""),
        (Bug::EffectsBeforeTheSync, &[Stuck], ""),
        (Bug::ReadOfWhatIsNotDurable, &[Told], "History("),
        (Bug::ReadsWithoutWaiting, &[Read], "the end"),
        (Bug::ReadsWithoutWaiting, &[Told], "Decision(Aborted) was told"),
        (Bug::TellsADecisionBeforeItIsDurable, &[Told], "no durable decision"),
        (Bug::TimeoutTakenForANoAfterTheDecision, &[Agreement], ""),
        (Bug::PreparedAgainAfterRestart, &[Agreement], ""),
        (Bug::CommitOnAllButOneYes, &[Agreement], ""),
        (Bug::NoBelievedAfterALostAttempt, &[Agreement], ""),
        (Bug::LatePrepareAcceptedAfterTheAbort, &[Agreement], ""),
        (Bug::AppendLandsAfterAFailedOne, &[Log, Durable], ""),
        (Bug::KeyForgotten, &[Keys], ""),
        (Bug::KeyOfTheUnloadedForgotten, &[Keys], ""),
        (Bug::RunsAStepBeforeThoseThatItComesAfter, &[After], ""),
        (Bug::RunsAStepBeforeAnOutputIsDurable, &[Durable], "durable that the step"),
        (Bug::CompensatesWhatWasRefusedAtFirst, &[NoOther], ""),
        (Bug::ForgetsAnUnknownStep, &[Recorded], ""),
        (Bug::ForgetsWhatMayHaveComeAfterAnUnknownStep, &[Recorded], ""),
        (Bug::CompensatesInForwardOrder, &[Reverse], ""),
        (Bug::LosesAnOutputOnRestart, &[Given], ""),
        (Bug::RunsAStepAgainAfterItsCompensation, &[NotAgain], ""),
        (Bug::TurnsBackWhileThePivotIsUnanswered, &[Pivot], ""),
        (Bug::CompensatesBeforeTurningBackIsDurable, &[Durable], "before turning back was durable"),
        (Bug::RefusalBelievedAfterALostAttempt, &[Reverse, Whole], ""),
        (Bug::RefusalBelievedAfterARestart, &[Reverse, Whole], ""),
        (Bug::LateActionAcceptedAfterTheCompensation, &[Reverse, Once, Whole], ""),
        (Bug::CopyKeepsItsIdentity, &[Restored], "restored copy holds it"),
        (Bug::CopyGoesOn, &[Agreement, Ends, Reverse, Whole], ""),
        (Bug::WaitsByTheWallClock, &[Waits], ""),
        (Bug::StartsByTheWallClock, &[Waits], ""),
        (Bug::ForgetsTheLastId, &[Ascends], ""),
        (Bug::ExpiresByTheSteadyClock, &[Expires], ""),
        (Bug::SweepsByTheWallClock, &[Young], ""),
        (Bug::SweepsAtOnceAfterAStart, &[Young], ""),
        // Each of these is caught at once, and by its consequences if those are left to happen.
        (Bug::OlderCopyTakenUp, &[Reopened], ""),
        (Bug::OlderCopyTakenUp, &[Keys, Told, Orphan], ""),
        (Bug::OtherLogTakenUp, &[Reopened], ""),
        (Bug::OtherLogTakenUp, &[Ends], ""),
        (Bug::NewLogTakenUp, &[Reopened], ""),
        (Bug::NewLogTakenUp, &[Keys, Told, Orphan], ""),
        (Bug::DamagedEntryDropped, &[Damaged], "not quarantined"),
        (Bug::DamagedEntryDropped, &[Agreement], ""),
        (Bug::DamagedTransactionAborted, &[Damaged], "left"),
        (Bug::DamagedTransactionAborted, &[Agreement], ""),
        (Bug::DamagedTransactionEnded, &[Damaged], "something is recorded"),
        (Bug::DamagedTransactionPresumedAborted, &[Damaged], "in doubt"),
        (Bug::DamagedTransactionPresumedAborted, &[Agreement], ""),
        (Bug::DamagedTransactionToldAborted, &[Damaged], "its outcome is told"),
        (Bug::DamagedTransactionToldAborted, &[Told], ""),
        (Bug::KeyOfTheDamagedForgotten, &[Keys], ""),
    ] {
        // A violation found first by another check does not count.
        let is_its_check =
            |wrong: &Wrong| checks.contains(&wrong.check) && wrong.what.contains(words);
        let by_its_check = |seed| run(seed, Some(bug)).err().filter(is_its_check);
        let found = seeds(SEEDS).zip(1..).find_map(|(seed, nth)| Some((nth, by_its_check(seed)?)));
        let Some((nth, wrong)) = found else {
            panic!("{bug:?} survived {SEEDS} seeds, or others than {checks:?} caught it")
        };
        println!("{bug:?}: caught by seed {nth}: {wrong}");
        latest = latest.max((nth, Some(bug)));
    }
    println!("the latest: {latest:?}");
}

impl World {
    /// Mutations of the calls.
    pub(super) fn planted_call(&mut self, call: &mut Call, who: &mut usize, branch: u16) {
        let id = call.transaction;
        match self.bug {
            Some(Bug::TimeoutTakenForANoAfterTheDecision)
                if call.operation == Operation::Commit
                    && self.timed_out.contains(&(id, branch)) =>
            {
                call.operation = Operation::Abort;
            }
            Some(Bug::CompensatesInForwardOrder) if call.operation == Operation::Compensation => {
                let saga = self.ledger.sagas.get(&id);
                if let Some((saga, other)) = saga.and_then(|s| Some((s, s.mirrored(branch)?))) {
                    *call = saga.compensation_of(id, other).unwrap_or_else(|| call.clone());
                    *who = self.who_does(id, other);
                }
            }
            Some(Bug::RunsAStepBeforeThoseThatItComesAfter)
                if call.operation == Operation::Action =>
            {
                let saga = &self.ledger.sagas[&id];
                let next = saga.behind(branch).next();
                let early = |next| saga.action_of(id, next, saga.input.clone());
                if let Some((next, call)) = next.and_then(|next| Some((next, early(next)?))) {
                    self.leave(self.who_does(id, next), call, None, 1_000);
                }
            }
            _ => {}
        }
    }

    /// True if a call is taken for done, and does not leave.
    pub(super) fn planted_silence(&self, call: &Call) -> bool {
        let is_unknown = || !call.payload.as_str().contains("\"output\":");
        let is_ahead = |saga: &Saga| {
            let step = saga.named(&call.branch).map(|index| &saga.steps[usize::from(index)]);
            step.is_some_and(|step| step.ahead)
        };
        let forgets = match self.bug {
            Some(Bug::ForgetsAnUnknownStep) => true,
            Some(Bug::ForgetsWhatMayHaveComeAfterAnUnknownStep) => {
                self.ledger.sagas.get(&call.transaction).is_some_and(is_ahead)
            }
            _ => false,
        };
        forgets && call.operation == Operation::Compensation && is_unknown()
    }

    /// Mutations of the answers, and of the report that an attempt has left.
    pub(super) fn planted_answer(
        &mut self,
        call: &Call,
        branch: u16,
        answer: Answer,
    ) -> (Answer, bool) {
        let (id, operation) = (call.transaction, call.operation);
        let lost = matches!(answer, Answer::Unknown { .. });
        match self.bug {
            Some(Bug::TimeoutTakenForANoAfterTheDecision) if lost => {
                self.timed_out.insert((id, branch));
            }
            // A lost vote counts as a yes.
            Some(Bug::CommitOnAllButOneYes) if lost && operation == Operation::Prepare => {
                return (Answer::Done, true);
            }
            // These claim that a lost call never left.
            Some(Bug::NoBelievedAfterALostAttempt) if lost && call.operation_name.is_none() => {
                return (answer, false);
            }
            Some(Bug::RefusalBelievedAfterALostAttempt)
                if lost && operation == Operation::Action =>
            {
                return (answer, false);
            }
            Some(Bug::CompensatesWhatWasRefusedAtFirst)
                if operation == Operation::Action
                    && self.ledger.sagas[&id].steps[usize::from(branch)].attempts == 1
                    && matches!(answer, Answer::Refused { .. }) =>
            {
                return (Answer::unknown("a refusal is an answer like another"), true);
            }
            Some(Bug::TurnsBackWhileThePivotIsUnanswered)
                if lost && operation == Operation::Action && self.is_pivot(id, branch) =>
            {
                return (Answer::refused("it took too long"), true);
            }
            Some(Bug::RunsAStepAgainAfterItsCompensation)
                if operation == Operation::Compensation && answer == Answer::Done =>
            {
                let saga = &self.ledger.sagas[&id];
                let given = saga.steps[usize::from(branch)].given.clone();
                if let Some(again) = given.and_then(|given| saga.action_of(id, branch, given)) {
                    self.leave(self.who_does(id, branch), again, None, 1_000);
                }
            }
            _ => {}
        }
        (answer, true)
    }

    fn is_pivot(&self, id: TransactionId, step: StepIndex) -> bool {
        self.ledger.sagas.get(&id).and_then(Saga::pivot).is_some_and(|(pivot, _)| pivot == step)
    }

    /// Mutations of the records read back from the log.
    pub(super) fn planted_history(&self, stored: StoredTransaction) -> Option<StoredTransaction> {
        let mut stored = self.planted_damage(stored)?;
        if self.bug == Some(Bug::LosesAnOutputOnRestart) {
            for stored in &mut stored.entries {
                let mut records = entry::decode(&stored.text).expect("the log is readable");
                for (_, record) in &mut records {
                    if let AnyRecord::Saga(Record::Completed(_, output)) = record {
                        *output = Payload::null();
                    }
                }
                stored.text = entry::encode(&records).expect("records have a text");
            }
        }
        Some(stored)
    }

    /// True if a restart says nothing to this transaction.
    pub(super) fn planted_restart(&self, stored: &StoredTransaction) -> bool {
        let is_saga = self.ledger.sagas.contains_key(&stored.id);
        match self.bug {
            Some(Bug::PreparedAgainAfterRestart) => !is_saga,
            Some(Bug::RefusalBelievedAfterARestart) => is_saga,
            _ => false,
        }
    }

    /// True if a batch is taken for durable as soon as the log has it.
    pub(super) fn planted_gate(&self, batch: &Batch) -> bool {
        let mut records = batch.entries.iter().flat_map(|entry| &entry.records);
        match self.bug {
            Some(Bug::EffectsBeforeTheSync) => true,
            Some(Bug::TellsADecisionBeforeItIsDurable) => records.any(|(_, r)| r.is_decision()),
            Some(Bug::CompensatesBeforeTurningBackIsDurable) => {
                records.any(|(_, r)| matches!(r, AnyRecord::Saga(Record::TurnedBack(_))))
            }
            Some(Bug::RunsAStepBeforeAnOutputIsDurable) => {
                records.any(|(_, r)| matches!(r, AnyRecord::Saga(Record::Completed(..))))
            }
            _ => false,
        }
    }
}

impl Saga {
    /// The step in the mirrored place among those that are taken back.
    fn mirrored(&self, step: StepIndex) -> Option<StepIndex> {
        let steps = (0..).zip(&self.steps);
        let is_taken_back = |(index, step): &(StepIndex, &StepTruth)| {
            step.begun && !needs_none(&self.graph, *index)
        };
        let taken_back: Vec<_> = steps.filter(is_taken_back).map(|(index, _)| index).collect();
        let nth = taken_back.iter().position(|&other| other == step)?;
        taken_back.iter().rev().nth(nth).copied()
    }

    fn compensation_of(&self, transaction: TransactionId, index: StepIndex) -> Option<Call> {
        let (definition, node) = self.graph.step(index)?;
        let step = &self.steps[usize::from(index)];
        let operation_name = Some(node.compensation.clone()?);
        let payload = compensation_payload(step.given.as_ref()?, step.output.as_ref());
        let branch = BranchName::from(definition.name.clone());
        let call = Call::new(transaction, branch, Operation::Compensation, payload);
        Some(Call { operation_name, ..call })
    }

    fn action_of(
        &self,
        transaction: TransactionId,
        index: StepIndex,
        payload: Payload,
    ) -> Option<Call> {
        let (definition, node) = self.graph.step(index)?;
        let branch = BranchName::from(definition.name.clone());
        let call = Call::new(transaction, branch, Operation::Action, payload);
        Some(Call { operation_name: Some(node.action.clone()), ..call })
    }
}
