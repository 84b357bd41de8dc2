//! How a story looks: plain lines, with colour where somebody looks at a terminal.

use std::io;

use serde_json::Value;
use wholly_terminal::one_line;
use wholly_terminal::stream::{Colour, StandardStream, is_terminal, write_painted};

use crate::choreography::ServiceReport;
use crate::fleet::{Books, ShownStep, Transaction};
use crate::service::{Answered, Said};
use crate::shop::ServiceKind;

pub(super) struct Teller {
    colour: bool,
    /// How wide the column is that says what somebody does.
    verb: usize,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

impl Teller {
    pub(super) fn new() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let colour = is_terminal(StandardStream::Output) && set("NO_COLOR").is_none() && !dumb;
        Self { colour, verb: "prepare  ".len() }
    }

    /// The same, with room for the names that a saga gives its operations.
    pub(super) fn of_sagas(&self) -> Self {
        Self { verb: "reserve-inventory ".len(), ..*self }
    }

    /// A part of the story.
    pub(super) fn title(&self, text: &str) -> io::Result<()> {
        self.line(&format!("\n{}", self.paint(BOLD, &format!("── {text} ──"))))
    }

    /// A scene of a part.
    pub(super) fn scene(&self, text: &str) -> io::Result<()> {
        self.line(&format!("\n{}", self.paint(BOLD, text)))
    }

    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        self.line(text)
    }

    /// Who does what, and what there is to say of it.
    pub(super) fn event(&self, who: &str, verb: &str, what: &str) -> io::Result<()> {
        self.line(&format!("  {who:<12} {verb:<width$} {what}", width = self.verb))
    }

    /// What happens without a coordinator.
    pub(super) fn alone(&self, who: &str, what: &str) -> io::Result<()> {
        self.line(&format!("  {who:<12} {what}"))
    }

    pub(super) fn killed(&self, who: &str, when: &str) -> io::Result<()> {
        let verb = self.paint(RED, &format!("{:<width$}", "SIGKILL", width = self.verb));
        self.event(who, &verb, when)
    }

    pub(super) fn answered(&self, kind: ServiceKind, answered: &Answered) -> io::Result<()> {
        let Answered { operation, said, reason } = answered;
        let said = match (operation.as_str(), said) {
            ("prepare", Said::Done) => self.paint(GREEN, "votes yes"),
            ("prepare", Said::Refused) => self.paint(YELLOW, "votes no"),
            ("commit", Said::Done) => self.paint(GREEN, "done"),
            (_, Said::Done) => "done".to_owned(),
            (_, other) => format!("{other:?}"),
        };
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.event(kind.as_str(), operation, &format!("{said}{reason}"))
    }

    /// What an operation made of its step.
    pub(super) fn stepped(
        &self,
        kind: ServiceKind,
        operation: &str,
        state: &str,
        reason: Option<&str>,
    ) -> io::Result<()> {
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let state = self.paint(colour_of(state), state);
        self.event(kind.as_str(), operation, &format!("{state}{reason}"))
    }

    /// What a service made of an event, and what it said then.
    pub(super) fn reacted(&self, kind: ServiceKind, told: &ServiceReport) -> io::Result<()> {
        let emitted = told.emitted.as_deref().map(|event| self.paint(BOLD, event));
        let reason = told.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let (Some(on), Some(outcome)) = (&told.on, &told.outcome) else {
            let event = format!("{}: {}", told.order, emitted.unwrap_or_default());
            return self.event(kind.as_str(), "emits", &event);
        };
        let outcome = self.paint(colour_of(outcome), outcome);
        let emitted = emitted.map(|event| format!(" → {event}")).unwrap_or_default();
        let order = &told.order;
        self.event(kind.as_str(), on, &format!("{order}: {outcome}{reason}{emitted}"))
    }

    pub(super) fn decided(&self, transaction: &Transaction) -> io::Result<()> {
        let state = self.paint(colour_of(&transaction.state), &transaction.state);
        let reason = transaction.reason.as_ref().map(|reason| format!(": {reason}"));
        self.event("coordinator", "decides", &format!("{state}{}", reason.unwrap_or_default()))
    }

    /// How a saga ended, and where that left its steps.
    pub(super) fn ended(&self, saga: &Transaction) -> io::Result<()> {
        self.event("coordinator", "ends", &self.paint(colour_of(&saga.state), &saga.state))?;
        let steps = saga.steps.iter().map(|ShownStep { name, state }| format!("{name} {state}"));
        self.list("steps", vec![steps.collect()])
    }

    /// The books.
    pub(super) fn books(&self, books: &Books) -> io::Result<()> {
        let list = |what: &str, of: ServiceKind, entries: Vec<String>| -> Vec<String> {
            // The books of a service that is down cannot be read.
            let is_down = !books.in_doubt.contains_key(of.as_str());
            let entries = match entries.is_empty() {
                true if is_down => vec!["unknown, its service is down".to_owned()],
                true => vec!["none".to_owned()],
                false => entries,
            };
            let mut named = entries.into_iter();
            let first = named.next().map(|first| format!("{what}: {first}"));
            first.into_iter().chain(named).collect()
        };
        let stock = books.stock.iter().map(|(item, line)| match line.reserved {
            0 => format!("{item} = {}", line.on_hand),
            held => format!("{item} = {} ({held} of it held)", line.on_hand),
        });
        let orders = books.orders.iter().map(|(order, taken)| {
            let status = taken.get("status").and_then(Value::as_str).unwrap_or_default();
            format!("{order} = {status}")
        });
        let paid = books.payments.iter().map(|(order, amount)| format!("{order} = {amount}"));
        let lists = vec![
            list("orders", ServiceKind::Order, orders.collect()),
            list("payments", ServiceKind::Payment, paid.collect()),
            list("stock", ServiceKind::Inventory, stock.collect()),
        ];
        self.list("books", lists)
    }

    /// What was asked for, on as many lines as it needs.
    fn list(&self, what: &str, lists: Vec<Vec<String>>) -> io::Result<()> {
        const WIDTH: usize = 100;
        let mut lines = vec![format!("  {what:<12} ")];
        let ended = lists.into_iter().flat_map(|mut list| {
            let last = list.pop().map(|last| last + "; ");
            list.into_iter().map(|part| part + ", ").chain(last)
        });
        let mut parts: Vec<_> = ended.collect();
        if let Some(last) = parts.last_mut() {
            last.truncate(last.len() - "; ".len());
        }
        for (index, part) in parts.into_iter().enumerate() {
            match lines.last_mut() {
                Some(line) if index == 0 || line.len() + part.len() <= WIDTH => {
                    line.push_str(&part)
                }
                _ => lines.push(format!("{:15}{part}", "")),
            }
        }
        lines.iter().try_for_each(|line| self.line(&self.paint(DIM, line.trim_end())))
    }

    /// What was checked, and is so.
    pub(super) fn right(&self, text: &str) -> io::Result<()> {
        self.line(&format!("  {} {text}", self.paint(GREEN, "✓")))
    }

    /// What the story shows to be wrong.
    pub(super) fn wrong(&self, text: &str) -> io::Result<()> {
        self.line(&format!("  {} {text}", self.paint(RED, "✗")))
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        let text = one_line(text);
        match self.colour {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text,
        }
    }

    fn line(&self, line: &str) -> io::Result<()> {
        let colour = if self.colour { Colour::On } else { Colour::Off };
        write_painted(colour, format_args!("{line}\n"))
    }
}

fn colour_of(state: &str) -> &'static str {
    match state {
        "committed" | "completed" | "done" => GREEN,
        _ => YELLOW,
    }
}
