//! The participant's half of the protocol, as one step sees it.

use wholly_core::Payload;
use wholly_core::saga::StepIndex;
use wholly_core::wire::{Answer, Operation};

/// The memory that a participant has of its step. All of it is durable: a participant that crashes
/// loses its answer and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// A barrier (design.md 15): the first answer is repeated, a compensation that comes first wins.
    Barrier,
    /// Only that a step was done or taken back. A refusal leaves no trace, so that the next attempt
    /// may be answered otherwise: the reason why the coordinator does not believe it while another
    /// attempt is unanswered.
    Forgetful,
    /// Nothing: every call has its effect. Its runs show what the coordinator alone keeps.
    Nothing,
    /// Planted bug: a barrier that lets a late action in after its compensation.
    NoSuspension,
}

/// A participant's answer to an action, where it is free to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Says {
    Yes,
    No,
}

/// The content of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    None,
    Done,
    Refused,
    /// The compensation came, and there was nothing to take back.
    Fenced,
    Undone,
}

/// One participant, with its one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    pub row: Row,
    /// The number of times that its action had its effect, counted up to 2.
    pub ran: u8,
    /// The number of times that its compensation had its effect.
    pub undone: u8,
}

impl Participant {
    pub const NEW: Self = Self { row: Row::None, ran: 0, undone: 0 };

    /// True if the step's effect is there.
    pub fn stands(&self) -> bool {
        self.ran > self.undone
    }

    /// True if an action that comes now would be answered as the participant likes, and could have
    /// its effect.
    pub fn is_free(&self, memory: Memory) -> bool {
        match memory {
            Memory::Nothing => true,
            Memory::NoSuspension => matches!(self.row, Row::None | Row::Fenced | Row::Undone),
            Memory::Barrier | Memory::Forgetful => self.row == Row::None,
        }
    }

    /// True if a call that comes now or later may still change something.
    pub fn may_change(&self, operation: Operation, memory: Memory) -> bool {
        match operation {
            Operation::Action => self.is_free(memory),
            _ => memory == Memory::Nothing || matches!(self.row, Row::None | Row::Done),
        }
    }

    /// Takes one call; `says` is its answer where it is free.
    pub fn handle(
        &mut self,
        step: StepIndex,
        operation: Operation,
        says: Says,
        memory: Memory,
    ) -> Answer {
        match operation {
            Operation::Action if !self.is_free(memory) => self.repeat(step),
            Operation::Action => self.act(step, says, memory),
            _ => self.take_back(memory),
        }
    }

    fn act(&mut self, step: StepIndex, says: Says, memory: Memory) -> Answer {
        match says {
            Says::Yes => {
                self.row = Row::Done;
                self.ran = 2.min(self.ran + 1);
                done(step)
            }
            Says::No => {
                if matches!(memory, Memory::Barrier | Memory::NoSuspension) {
                    self.row = Row::Refused;
                }
                refused()
            }
        }
    }

    fn repeat(&self, step: StepIndex) -> Answer {
        match self.row {
            Row::Done => done(step),
            Row::None | Row::Refused | Row::Fenced | Row::Undone => refused(),
        }
    }

    fn take_back(&mut self, memory: Memory) -> Answer {
        match self.row {
            Row::Done => {
                self.row = Row::Undone;
                self.undone = 2.min(self.undone + 1);
            }
            _ if memory == Memory::Nothing => self.undone = 2.min(self.undone + 1),
            Row::None => self.row = Row::Fenced,
            Row::Refused | Row::Fenced | Row::Undone => {}
        }
        Answer::Done
    }
}

/// The output of a step.
pub fn output(step: StepIndex) -> Payload {
    Payload::of(&(step + 10)).expect("a number")
}

fn done(step: StepIndex) -> Answer {
    Answer::DoneWith { output: output(step) }
}

pub fn refused() -> Answer {
    Answer::refused("no")
}
