//! From records to the value: the fold that recovery repeats.
//!
//! The laws are asserted here, where every record passes, just decided or read back.

use super::graph::Side;
use super::record::{Reason, Record, Resolution, StepIndex};
use super::reference::Unresolved;
use super::{Progress, Step, Transaction};
use crate::Payload;
use crate::protocol::{BrokenInvariant, broken, ensure};

impl Transaction {
    /// [`Protocol::apply`](crate::Protocol::apply).
    pub(super) fn fold(&mut self, record: &Record) -> Result<(), BrokenInvariant> {
        // INVARIANT: once settled, nothing follows.
        ensure(!self.settled, "nothing follows once a saga is settled")?;
        match record {
            Record::Started(_) => broken("a saga starts once"),
            Record::Lost(step) => self.apply_lost(*step),
            Record::Completed(step, output) => self.apply_completed(*step, output),
            Record::Refused(step, reason) => {
                let step = self.begun(*step)?;
                let payload = step.payload().cloned().unwrap_or_else(Payload::null);
                step.progress = Progress::Refused { payload, reason: reason.clone() };
                step.stuck = None;
                Ok(())
            }
            Record::TurnedBack(reason) => self.apply_turned_back(reason),
            Record::Compensated(step) => self.apply_compensated(*step),
            Record::Stuck(step, reason) => {
                self.own(*step)?.stuck = Some(reason.clone());
                Ok(())
            }
            Record::Resolved(step, Resolution::Completed(output), _) => {
                // INVARIANT: what turned back never goes forward.
                ensure(self.turned_back.is_none(), "what turned back completes no step by hand")?;
                self.apply_completed(*step, output)
            }
            Record::Resolved(step, Resolution::Compensated, _) => self.apply_resolved_away(*step),
            Record::Released(log, _) => {
                self.released = Some(*log);
                Ok(())
            }
            Record::Settled => {
                // INVARIANT: settled only when every step is done, or taken back.
                let done = match self.turned_back {
                    None => self.all_completed(),
                    Some(_) => self.all_over(),
                };
                ensure(done, "a saga is settled when every step is done or taken back")?;
                self.settled = true;
                Ok(())
            }
        }
    }

    fn apply_lost(&mut self, index: StepIndex) -> Result<(), BrokenInvariant> {
        if self.own(index)?.progress == Progress::Waiting {
            // INVARIANT: ahead of what it comes after is only what an earlier incarnation may have asked.
            let unknown = |step: &StepIndex| self.known_output(*step).is_none();
            let mut earlier = self.node(index).ancestors.iter().filter(unknown);
            let unforced = earlier.all(|step| !self.node(step).output_is_forced);
            let law = "only what may have been asked is lost";
            ensure(unforced && self.turned_back.is_none(), law)?;
            self.own(index)?.lost = true;
        } else {
            self.begun(index)?.lost = true;
        }
        Ok(())
    }

    fn apply_completed(
        &mut self,
        index: StepIndex,
        output: &Payload,
    ) -> Result<(), BrokenInvariant> {
        // INVARIANT: only a step that may have been asked is done; its predecessors are.
        let step = self.turn_of(index)?;
        let payload = step.payload().cloned().unwrap_or_else(Payload::null);
        step.progress = Progress::Completed { payload, output: output.clone() };
        step.stuck = None;
        // INVARIANT: what turned back begins no step.
        if self.turned_back.is_none() {
            self.begin_ready();
        }
        Ok(())
    }

    fn apply_turned_back(&mut self, reason: &Reason) -> Result<(), BrokenInvariant> {
        // INVARIANT: once the pivot may have left, only its own answer turns the saga back.
        ensure(
            self.may_turn_back(),
            "a saga turns back once, and not while its pivot is unanswered or done",
        )?;
        self.turned_back = Some(reason.clone());
        // A step that an earlier incarnation may have asked is taken back like one that has begun.
        for index in (0..).take(self.steps.len()) {
            let step = &self.steps[usize::from(index)];
            if step.lost && step.progress == Progress::Waiting {
                let law = "what may have been asked had a payload";
                let payload = self.fill(index).map_err(|_| BrokenInvariant { law })?;
                self.own(index)?.progress = Progress::Begun { payload };
            }
        }
        // An obstacle to an action does not matter any more.
        self.steps.iter_mut().for_each(|step| step.stuck = None);
        Ok(())
    }

    fn apply_compensated(&mut self, index: StepIndex) -> Result<(), BrokenInvariant> {
        ensure(self.turned_back.is_some(), "no step is taken back before the saga turned back")?;
        self.own(index)?;
        ensure(!self.is_over(index), "only what is to be taken back is")?;
        // INVARIANT: a step is compensated only when every step after it is over.
        ensure(self.has_its_turn_back(index), "steps are taken back in reverse order")?;
        self.take_away(index)
    }

    fn apply_resolved_away(&mut self, index: StepIndex) -> Result<(), BrokenInvariant> {
        match self.turned_back {
            Some(_) => {
                self.own(index)?;
                ensure(!self.is_over(index), "nothing happens to a step that is over")?;
            }
            None => {
                self.turn_of(index)?;
                // INVARIANT: after the pivot there is no way back.
                ensure(self.node(index).side != Side::After, "nothing after the pivot is undone")?;
            }
        }
        self.take_away(index)
    }

    fn take_away(&mut self, index: StepIndex) -> Result<(), BrokenInvariant> {
        let step = self.own(index)?;
        step.progress = Progress::Compensated;
        step.stuck = None;
        Ok(())
    }

    /// Begins every step whose predecessors are done. Its payload is fixed here, from what it
    /// comes after, so that every attempt and the compensation are given the same.
    pub(super) fn begin_ready(&mut self) {
        for index in (0..).take(self.steps.len()) {
            let waits = self.steps[usize::from(index)].progress == Progress::Waiting;
            let done = |step: StepIndex| self.known_output(step).is_some();
            if !waits || !self.node(index).after.iter().all(done) {
                continue;
            }
            let progress = match self.fill(index) {
                Ok(payload) => Progress::Begun { payload },
                Err(unresolved) => Progress::Unresolved { reason: unresolved.to_string() },
            };
            self.steps[usize::from(index)].progress = progress;
        }
    }

    /// The payload of a step, from the input and the outputs that are known.
    pub(super) fn fill(&self, index: StepIndex) -> Result<Payload, Unresolved> {
        let limit = self.definition().steps[usize::from(index)].payload_limit();
        self.node(index).template.fill(limit, &self.input, |step| self.known_output(step))
    }

    /// A step that was asked, and that has not answered.
    fn begun(&mut self, index: StepIndex) -> Result<&mut Step, BrokenInvariant> {
        let step = self.own(index)?;
        let is_begun = matches!(step.progress, Progress::Begun { .. });
        ensure(is_begun, "only a step that is asked answers")?;
        Ok(step)
    }

    /// A step whose predecessors are done, and that has not answered.
    fn turn_of(&mut self, index: StepIndex) -> Result<&mut Step, BrokenInvariant> {
        let step = self.own(index)?;
        let has_its_turn =
            matches!(step.progress, Progress::Begun { .. } | Progress::Unresolved { .. });
        ensure(has_its_turn, "a step is done once, and after all that it comes after")?;
        Ok(step)
    }

    fn own(&mut self, index: StepIndex) -> Result<&mut Step, BrokenInvariant> {
        let found = self.steps.get_mut(usize::from(index));
        found.ok_or(BrokenInvariant { law: "a record names a step that the saga has" })
    }
}
