//! How a story looks: plain lines, with colour where somebody looks at a terminal.

use std::io::{self, IsTerminal, Write};

use wholly_core::wire::Operation;

use crate::fleet::{Books, Transaction};
use crate::service::{Answered, Said};
use crate::shop::ServiceKind;

pub(super) struct Teller {
    colour: bool,
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
        Self { colour: io::stdout().is_terminal() && set("NO_COLOR").is_none() && !dumb }
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

    /// Who does what, or what happens to whom.
    pub(super) fn event(&self, who: &str, what: &str) -> io::Result<()> {
        self.line(&format!("  {who:<12} {what}"))
    }

    pub(super) fn killed(&self, who: &str, when: &str) -> io::Result<()> {
        self.event(who, &format!("{}   {when}", self.paint(RED, "SIGKILL")))
    }

    pub(super) fn answered(&self, kind: ServiceKind, answered: &Answered) -> io::Result<()> {
        let Answered { operation, said, reason } = answered;
        let said = match (operation, said) {
            (Operation::Prepare, Said::Done) => self.paint(GREEN, "votes yes"),
            (Operation::Prepare, Said::Refused) => self.paint(YELLOW, "votes no"),
            (Operation::Commit, Said::Done) => self.paint(GREEN, "done"),
            (_, Said::Done) => "done".to_owned(),
            (_, other) => format!("{other:?}"),
        };
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.event(kind.as_str(), &format!("{:<9} {said}{reason}", operation.as_str()))
    }

    pub(super) fn decided(&self, transaction: &Transaction) -> io::Result<()> {
        let colour = if transaction.state == "committed" { GREEN } else { YELLOW };
        let state = self.paint(colour, &transaction.state);
        let reason = transaction.reason.as_ref().map(|reason| format!(": {reason}"));
        self.event("coordinator", &format!("decides   {state}{}", reason.unwrap_or_default()))
    }

    /// What is in the books.
    pub(super) fn books(&self, books: &Books) -> io::Result<()> {
        let list = |entries: Vec<String>| match entries.is_empty() {
            true => "none".to_owned(),
            false => entries.join(", "),
        };
        let stock = books.stock.iter().map(|(item, line)| match line.reserved {
            0 => format!("{item} = {}", line.on_hand),
            held => format!("{item} = {} ({held} of it held)", line.on_hand),
        });
        let paid = books.payments.iter().map(|(order, amount)| format!("{order} = {amount}"));
        self.line(&self.paint(
            DIM,
            &format!(
                "  books        orders: {}; payments: {}; stock: {}",
                list(books.orders.keys().cloned().collect()),
                list(paid.collect()),
                list(stock.collect()),
            ),
        ))
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
        match self.colour {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn line(&self, line: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{line}")
    }
}
