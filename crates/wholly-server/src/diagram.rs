//! `wholly diagram`: a saga or a choreography as pictures, of its success and of each way of failing.
//! The pictures of a choreography are made by `wholly-events`; here are those of a saga.
//!
//! INVARIANT: what is drawn is what the state machine itself asks for, so that no picture can say
//! otherwise than the coordinator does. Made up are only the answers, and that all that is asked
//! at once is answered before anything else is asked.
//!
//! One step fails at a time. A payload that does not resolve has no picture: it is a refusal of
//! what was never asked.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use wholly_core::saga::{
    Definition, Graph, Node, Side, Started, State, StepDefinition, StepIndex, Transaction,
};
use wholly_core::wire::{Answer, Operation};
use wholly_core::{Answered, BrokenInvariant, Effect, Input, ParticipantName, Payload, Timestamp};

use crate::given::{self, Given};

/// Draw a saga or a choreography: how it succeeds, and each way in which it fails.
///
/// Prints a Markdown document with Mermaid sequence diagrams to the standard output. All services
/// that are given are one choreography. The exit code is 0 where all is well, 1 where something
/// that is given is wrong, 2 where it cannot be read.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly diagram sagas/create-order.toml > create-order.md
  wholly diagram order.json inventory.json payment.json > shop.md")]
pub struct Diagram {
    /// A definition of a saga, in TOML or JSON, or what services declare, in JSON. - is the
    /// standard input; a running service is asked by http:// or https://.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Diagram {
    pub fn run(self) -> ExitCode {
        let (mut documents, mut declarations) = (Vec::new(), Vec::new());
        let mut code = 0;
        for file in self.files {
            match given::read(&file) {
                Ok(Given::Saga(graph)) => match document(&graph) {
                    Ok(document) => documents.push(document),
                    Err(broken) => {
                        eprintln!("wholly: {broken}");
                        code = code.max(1);
                    }
                },
                Ok(Given::Declaration(declaration)) => declarations.push(declaration),
                Err(wrong) => {
                    eprintln!("{wrong}");
                    code = code.max(wrong.code());
                }
            }
        }
        if code == 0 {
            if !declarations.is_empty() {
                documents.push(wholly_events::diagram(&declarations));
            }
            print!("{}", documents.join("\n"));
        }
        ExitCode::from(code)
    }
}

const DEADLINE: Timestamp = Timestamp::from_millis(1);

/// All pictures of a saga.
pub fn document(graph: &Graph) -> Result<String, BrokenInvariant> {
    let Definition { name, version, .. } = graph.definition();
    let graph = Arc::new(without_payloads(graph));
    let mut document = format!("# {name}, version {version}\n");
    let mut add = |title: String, failure: Option<Failure>| {
        let picture = Picture::of(&graph, failure)?;
        document += &format!("\n## {title}\n\n```mermaid\n{picture}```\n");
        Ok(())
    };
    add("Every step is done".to_owned(), None)?;
    for (step, (definition, node)) in (0..).zip(graph.steps()) {
        let name = match node.side {
            Side::Before => definition.name.to_string(),
            Side::Pivot => format!("{}, the pivot,", definition.name),
            Side::After => format!("{}, after the pivot,", definition.name),
        };
        for (way, failed) in ways(definition, node) {
            add(format!("{name} {way}"), Some(Failure { step, failed }))?;
        }
    }
    Ok(document)
}

/// The ways in which a step fails, each as it reads after the step's name.
fn ways(step: &StepDefinition, node: &Node) -> Vec<(&'static str, Failed)> {
    let mut ways = vec![("is refused", Failed::Refused)];
    // After the pivot it would be the same picture.
    if node.side != Side::After {
        ways.push(("is not answered", Failed::Lost));
    }
    // Without a compensation, nothing tells it from a refusal at the first attempt.
    if node.compensation.is_some() {
        ways.push(("is not answered, then refused", Failed::LostThenRefused));
    }
    if let Some(tries) = step.retry.as_ref().and_then(|retry| retry.tries) {
        ways.push(("is not answered at any try", Failed::Exhausted(tries)));
    }
    ways
}

/// The same saga, with payloads that need no real input and no real outputs.
fn without_payloads(graph: &Graph) -> Graph {
    let mut definition = graph.definition().clone();
    for step in &mut definition.steps {
        step.payload = None;
    }
    // Only references were taken away, and nothing is wrong without one.
    Graph::new(definition).unwrap_or_else(|_| graph.clone())
}

/// What goes wrong.
#[derive(Clone, Copy)]
struct Failure {
    step: StepIndex,
    failed: Failed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Failed {
    Refused,
    Lost,
    LostThenRefused,
    /// Lost as often as it may be tried.
    Exhausted(u32),
}

/// A sequence diagram in the making.
struct Picture<'a> {
    graph: &'a Graph,
    saga: Transaction,
    /// Who is called, in the order of the steps.
    participants: Vec<&'a ParticipantName>,
    lines: Vec<String>,
}

impl<'a> Picture<'a> {
    fn of(graph: &'a Arc<Graph>, failure: Option<Failure>) -> Result<Self, BrokenInvariant> {
        let saga = Transaction::start(&Started {
            key: None,
            trace: None,
            deadline: DEADLINE,
            saga: Arc::clone(graph),
            input: Payload::null(),
        });
        let mut participants = Vec::new();
        for participant in graph.steps().filter_map(|(step, _)| step.participant.as_ref()) {
            if !participants.contains(&participant) {
                participants.push(participant);
            }
        }
        let mut picture = Self { graph, saga, participants, lines: Vec::new() };
        picture.play(failure)?;
        Ok(picture)
    }

    /// Asks and answers until nothing is outstanding.
    fn play(&mut self, mut failure: Option<Failure>) -> Result<(), BrokenInvariant> {
        self.note("running");
        // Whose answer is waited for in vain.
        let mut silent: Option<StepIndex> = None;
        while !self.saga.is_settled() {
            let failing = failure.map(|failure| failure.step);
            let mut asked: Vec<Effect> =
                self.saga.effects().filter(|effect| Some(effect.branch) != silent).collect();
            if asked.is_empty() {
                // Nothing else is left to do, so that it is this step's turn again.
                let Some(step) = silent.take() else { break };
                match self.saga.turns_back_at() {
                    Some(_) if failure.is_none() => self.step(&Input::Time)?,
                    _ => self.ask_again(step),
                }
                continue;
            }
            // The others are answered before, so that what they did is taken back.
            asked.sort_by_key(|effect| Some(effect.branch) == failing);
            for &effect in &asked {
                self.line(effect, "->>", &self.label(effect));
            }
            for effect in asked {
                let failing = failure.take_if(|failure| failure.step == effect.branch);
                let Some(Failure { step, failed }) = failing else {
                    self.answer(effect, "done", Answer::Done, 1)?;
                    continue;
                };
                match failed {
                    Failed::Refused => {
                        self.answer(effect, "refused", Answer::refused("no"), 1)?;
                        silent = Some(step).filter(|_| self.saga.state() == State::Running);
                    }
                    Failed::Lost | Failed::LostThenRefused => {
                        self.no_answer(effect, 1)?;
                        silent = Some(step);
                        failure = (failed == Failed::LostThenRefused)
                            .then_some(Failure { step, failed: Failed::Refused });
                    }
                    Failed::Exhausted(tries) => self.no_answer(effect, tries)?,
                }
            }
        }
        Ok(())
    }

    /// What was not answered may have been done, and what is after the pivot has to be.
    fn ask_again(&mut self, step: StepIndex) {
        let Some((step, node)) = self.graph.step(step) else { return };
        let name = &step.name;
        self.note(&match node.side {
            Side::After => format!("no way back: {name} is asked until it is done"),
            Side::Pivot => format!("{name} may be done: it is asked until it answers"),
            Side::Before => format!("{name} may be done: it is asked again"),
        });
    }

    /// No answer came, to this try and those before it.
    fn no_answer(&mut self, effect: Effect, tries: u32) -> Result<(), BrokenInvariant> {
        let said = match tries {
            1 => "no answer".to_owned(),
            _ => format!("no answer, {tries} times"),
        };
        self.answer(effect, &said, Answer::unknown("no answer"), tries)
    }

    fn answer(
        &mut self,
        effect: Effect,
        said: &str,
        answer: Answer,
        tries: u32,
    ) -> Result<(), BrokenInvariant> {
        let Some(participant) = self.place(effect) else { return Ok(()) };
        let arrow = match answer {
            Answer::Unknown { .. } => "--x",
            _ => "-->>",
        };
        self.lines.push(format!("{participant}{arrow}C: {said}"));
        let Effect { branch, operation } = effect;
        self.step(&Input::Answered(Answered { branch, operation, answer, tries, exhausted: false }))
    }

    /// Gives the machine an input, and notes in which state it is then, if in another.
    fn step(&mut self, input: &Input) -> Result<(), BrokenInvariant> {
        let before = self.saga.state();
        let now = match input {
            Input::Time => DEADLINE,
            _ => Timestamp::from_millis(0),
        };
        self.saga.step(input, now)?;
        let state = self.saga.state();
        match (state != before, self.saga.reason()) {
            (true, Some(reason)) if before == State::Running => {
                self.note(&format!("{}: {reason}", State::Compensating.as_str()));
                if state != State::Compensating {
                    self.note(state.as_str());
                }
            }
            (true, _) => self.note(state.as_str()),
            (false, _) => {}
        }
        Ok(())
    }

    /// The operation, and of which step it is, if that does not go without saying.
    fn label(&self, Effect { branch, operation }: Effect) -> String {
        let Some((step, node)) = self.graph.step(branch) else { return String::new() };
        let own_name = match operation {
            Operation::Compensation => node.compensation.as_ref(),
            _ => Some(&node.action),
        };
        let own_name = own_name.map_or("", |name| name.as_str());
        match own_name == step.name.as_str() {
            true => own_name.to_owned(),
            false => format!("{own_name} ({})", step.name),
        }
    }

    /// The participant's name in the picture.
    fn place(&self, effect: Effect) -> Option<String> {
        let participant = self.graph.step(effect.branch)?.0.participant.as_ref()?;
        let place = self.participants.iter().position(|other| *other == participant)?;
        Some(format!("P{}", place + 1))
    }

    fn line(&mut self, effect: Effect, arrow: &str, said: &str) {
        if let Some(participant) = self.place(effect) {
            self.lines.push(format!("C{arrow}{participant}: {said}"));
        }
    }

    fn note(&mut self, text: &str) {
        self.lines.push(format!("Note over C,P{}: {text}", self.participants.len()));
    }
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sequenceDiagram\n    participant C as Coordinator")?;
        for (place, participant) in self.participants.iter().enumerate() {
            writeln!(f, "    participant P{} as {participant}", place + 1)?;
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
