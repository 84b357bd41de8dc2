//! A sequence diagram of what a transaction does, of either pattern.
//!
//! INVARIANT: each call drawn is one that the state machine itself asks for, so that no picture can
//! say otherwise than the coordinator does. Only the answers are made up, and their order: all
//! calls made at once are answered before any other is made.

use std::collections::VecDeque;
use std::fmt;

use wholly_core::wire::{Answer, Operation};
use wholly_core::{
    Answered, BrokenInvariant, Effect, Input, State, Target, Timestamp, Transaction, View,
};

/// The deadline in all pictures. Time stands at 0 until nothing else can happen.
pub const DEADLINE: Timestamp = Timestamp::from_millis(1);

/// A picture under its title, as a section of a Markdown document.
///
/// # Errors
/// When the state machine breaks a law.
pub fn section(
    title: &str,
    transaction: &Transaction,
    script: Option<Script>,
) -> Result<String, BrokenInvariant> {
    let picture = Picture::of(transaction.clone(), script)?;
    Ok(format!("\n## {title}\n\n```mermaid\n{picture}```\n"))
}

/// The answers of one branch or step before it answers that it is done.
pub struct Script {
    pub asked: Effect,
    /// The note of the reason for which it is asked again if nobody answered.
    pub again: String,
    pub answers: VecDeque<Made>,
}

/// An answer that is made up.
#[derive(Clone, Copy)]
pub enum Made {
    Refused,
    ReadOnly,
    /// No answer to this try and those before it: so many in all.
    Lost {
        tries: u32,
    },
}

/// A sequence diagram in the making.
struct Picture {
    transaction: Transaction,
    /// The targets, in the order of the branches or steps.
    targets: Vec<Target>,
    lines: Vec<String>,
}

impl Picture {
    fn of(transaction: Transaction, script: Option<Script>) -> Result<Self, BrokenInvariant> {
        let mut targets = Vec::new();
        for target in (0..).map_while(|branch| transaction.target(branch)) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        let mut picture = Self { transaction, targets, lines: Vec::new() };
        picture.play(script)?;
        Ok(picture)
    }

    /// Asks and answers until nothing is outstanding.
    fn play(&mut self, mut script: Option<Script>) -> Result<(), BrokenInvariant> {
        self.note(&in_words(&self.transaction.view(), None));
        // The call whose answer is waited for in vain.
        let mut silent: Option<Effect> = None;
        while !self.transaction.is_settled() {
            let mut asked: Vec<Effect> =
                self.transaction.effects().filter(|effect| Some(*effect) != silent).collect();
            if asked.is_empty() {
                // Nothing else is left to do, so this one is asked again.
                let Some(effect) = silent.take() else { break };
                match self.transaction.turns_back_at() {
                    Some(_) if !is_scripted(&script, effect) => {
                        self.step(&Input::Time, DEADLINE)?;
                    }
                    _ => self.note(script.as_ref().map_or("", |script| &script.again)),
                }
                continue;
            }
            for &effect in &asked {
                self.ask(effect);
            }
            // The others answer before, so that their work is taken back.
            asked.sort_by_key(|effect| is_scripted(&script, *effect));
            for effect in asked {
                let scripted = script.as_mut().filter(|script| script.asked == effect);
                let made = scripted.and_then(|script| script.answers.pop_front());
                self.answer(effect, made)?;
                if made.is_some() {
                    silent = self.transaction.effects().find(|still| *still == effect);
                }
            }
        }
        Ok(())
    }

    /// The operation, and its step if that is not obvious.
    fn ask(&mut self, effect: Effect) {
        let (Some(place), Some(request)) = (self.place(effect), self.transaction.request(effect))
        else {
            return;
        };
        let label = match request.operation_name {
            None => effect.operation.to_string(),
            Some(name) if name.as_str() == request.branch.as_str() => name.to_string(),
            Some(name) => format!("{name} ({})", request.branch),
        };
        self.lines.push(format!("C->>{place}: {label}"));
    }

    /// Gives an answer: done, if no other was made up.
    fn answer(&mut self, effect: Effect, made: Option<Made>) -> Result<(), BrokenInvariant> {
        let Some(place) = self.place(effect) else { return Ok(()) };
        let (answer, tries) = match made {
            None => (Answer::Done, 1),
            Some(Made::Refused) => (Answer::refused("no"), 1),
            Some(Made::ReadOnly) => (Answer::ReadOnly, 1),
            Some(Made::Lost { tries }) => (Answer::unknown("no answer"), tries),
        };
        let Effect { branch, operation } = effect;
        let arrow = if matches!(answer, Answer::Unknown { .. }) { "--x" } else { "-->>" };
        self.lines.push(format!("{place}{arrow}C: {}", said(operation, &answer, tries)));
        let answered = Answered { branch, operation, answer, tries, exhausted: false };
        self.step(&Input::Answered(answered), Timestamp::from_millis(0))
    }

    /// Gives the machine an input, and notes each state through which it goes.
    fn step(&mut self, input: &Input, now: Timestamp) -> Result<(), BrokenInvariant> {
        let mut passing = self.transaction.clone();
        let records = self.transaction.step(input, now)?;
        for record in &records {
            let before = passing.view();
            let (state, settled) = (before.state, before.settled);
            passing.apply(record)?;
            let after = passing.view();
            if (after.state, after.settled) != (state, settled) {
                self.note(&in_words(&after, Some(state)));
            }
        }
        Ok(())
    }

    /// The target's name in the picture.
    fn place(&self, effect: Effect) -> Option<String> {
        let target = self.transaction.target(effect.branch)?;
        let place = self.targets.iter().position(|other| *other == target)?;
        Some(format!("P{}", place + 1))
    }

    fn note(&mut self, text: &str) {
        self.lines.push(format!("Note over C,P{}: {text}", self.targets.len()));
    }
}

/// True if another answer to this is made up.
fn is_scripted(script: &Option<Script>, effect: Effect) -> bool {
    script.as_ref().is_some_and(|script| script.asked == effect && !script.answers.is_empty())
}

/// The name of an answer: to prepare it is a vote.
fn said(operation: Operation, answer: &Answer, tries: u32) -> String {
    match (operation, answer) {
        (_, Answer::Unknown { .. }) if tries == 1 => "no answer".to_owned(),
        (_, Answer::Unknown { .. }) => format!("no answer, {tries} times"),
        (Operation::Prepare, Answer::Done) => "yes".to_owned(),
        (Operation::Prepare, Answer::Refused { .. }) => "no".to_owned(),
        _ => answer.as_str().to_owned(),
    }
}

/// The state, and the reason of a transaction that aborts or turns back; or a note that it has
/// settled, if the state was noted before.
fn in_words(View { state, settled, reason, .. }: &View<'_>, before: Option<State>) -> String {
    match reason {
        _ if *settled && before == Some(*state) => "settled".to_owned(),
        Some(reason) if !settled => format!("{state}: {reason}"),
        Some(_) | None => state.to_string(),
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sequenceDiagram\n    participant C as Coordinator")?;
        for (place, target) in self.targets.iter().enumerate() {
            match target {
                Target::Participant(name) => {
                    writeln!(f, "    participant P{} as {name}", place + 1)?
                }
                Target::Code { saga, .. } => {
                    writeln!(f, "    participant P{} as {saga}", place + 1)?
                }
            }
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
