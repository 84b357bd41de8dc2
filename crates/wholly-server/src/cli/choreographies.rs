//! Choreographed transactions for `wholly list`, `get` and `watch`, from the server's feeds.

use std::collections::HashSet;
use std::io;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use wholly_client::{
    Choreography, ChoreographySummary, Client, Pattern, PublishedEvent, Reaction, Timestamp,
    TransactionId,
};

use super::exit::{Exit, Failed};
use super::list::STATE;
use super::screen::{Paint, Screen};
use super::time;

/// Reads the pattern that an id belongs to.
pub fn pattern() -> impl TypedValueParser<Value = Pattern> {
    let words = wholly_core::Pattern::ALL.iter().map(|pattern| pattern.as_str());
    PossibleValuesParser::new(words.chain(["choreography"]))
        .map(|word| Pattern::from(word.as_str()))
}

/// The transaction or choreography that a command is about.
#[derive(Args)]
pub struct IdArguments {
    /// The transaction's id, or a choreography's correlation.
    #[arg(value_name = "ID")]
    pub id: String,
    /// The pattern, if the id is ambiguous.
    #[arg(long, value_parser = pattern())]
    pub pattern: Option<Pattern>,
}

/// A transaction of the coordinator, or one that is only observed.
pub enum Subject {
    Transaction(TransactionId),
    Choreography(UnparsedId),
}

/// A correlation, and why it is no transaction's id where nobody said that it is none.
pub struct UnparsedId {
    correlation: String,
    no_id: Option<String>,
}

impl IdArguments {
    pub fn subject(self) -> Subject {
        let Self { id: correlation, pattern } = self;
        if pattern == Some(Pattern::Choreography) {
            return Subject::Choreography(UnparsedId { correlation, no_id: None });
        }
        match correlation.parse::<TransactionId>() {
            Ok(id) => Subject::Transaction(id),
            Err(why) => {
                Subject::Choreography(UnparsedId { correlation, no_id: Some(why.to_string()) })
            }
        }
    }
}

impl UnparsedId {
    /// Adds to the error of no such choreography the reason for which it is no transaction either.
    fn failed(&self, why: impl Into<Failed>) -> Failed {
        match (why.into(), &self.no_id) {
            (Failed::Ask(why), Some(no_id))
                if why.problem().is_some_and(|one| one.kind() == "no-such-choreography") =>
            {
                let id = &self.correlation;
                Failed::Usage(format!(
                    "{id:?} is no transaction's id ({no_id}), and no choreography's correlation"
                ))
            }
            (why, _) => why,
        }
    }
}

pub async fn get(client: &Client, screen: &Screen, named: &UnparsedId) -> Result<Exit, Failed> {
    let got = client.choreography(&named.correlation).await.map_err(|why| named.failed(why))?;
    match screen.json() {
        true => screen.document(&got)?,
        false => show(&got, screen)?,
    }
    Ok(Exit::of(&got.state, got.settled, got.stuck))
}

pub async fn watch(client: &Client, screen: &Screen, named: &UnparsedId) -> Result<Exit, Failed> {
    let mut watched = client.watch_choreography(&named.correlation);
    let mut known = ShownBefore::default();
    let mut exit = Exit::Unsettled;
    while let Some(now) = watched.next().await.map_err(|why| named.failed(why))? {
        match screen.json() {
            true => screen.document(&now)?,
            false => known.show_new(&now, screen)?,
        }
        exit = Exit::of(&now.state, now.settled, now.stuck);
    }
    Ok(exit)
}

/// Room for a correlation like an id of any kind.
const CORRELATION: usize = 36;

pub fn show_row(row: &ChoreographySummary, first: bool, screen: &Screen) -> io::Result<()> {
    let line = |correlation: &str, state: &str, paint, age: &str| {
        let correlation = screen.cell(Paint::Plain, correlation, CORRELATION);
        screen.line(&format!("{correlation}  {}  {age:>4}", screen.cell(paint, state, STATE)))
    };
    if first {
        line("CORRELATION", "STATE", Paint::Plain, "AGE")?;
    }
    let ChoreographySummary { correlation, state, settled, stuck, started, .. } = row;
    let standing = super::standing(state, *settled, *stuck);
    line(correlation, &standing, Paint::of(state, *settled, *stuck), &time::age(*started))
}

fn show(of: &Choreography, screen: &Screen) -> io::Result<()> {
    let fact = |what: &str, paint: Paint, text: &str| {
        screen.hanging(&screen.cell(Paint::Quiet, what, 14), 14, paint, text)
    };
    let Choreography { state, settled, stuck, started, .. } = of;
    fact("choreography", Paint::Title, &of.correlation)?;
    let standing = super::standing(state, *settled, *stuck);
    fact("state", Paint::of(state, *settled, *stuck), &standing)?;
    for why in &of.reasons {
        fact("stuck", Paint::Bad, why)?;
    }
    let age = time::age(*started);
    fact("started", Paint::Plain, &format!("{}, {age} ago", time::date(*started)))?;
    match (of.events.iter().find(|event| event.ends), of.deadline) {
        (Some(end), _) => fact("took", Paint::Plain, &time::how_long(started.until(end.at)))?,
        (None, Some(deadline)) => fact("deadline", Paint::Plain, &time::date(deadline))?,
        (None, None) => {}
    }
    if let Some(count) = of.left_out {
        fact(
            "left out",
            Paint::Quiet,
            &format!("{count} events: the server does not keep so many"),
        )?;
    }
    screen.line("")?;
    screen.line(&screen.paint(Paint::Title, "Events"))?;
    of.events.iter().try_for_each(|event| show_event(event, *started, screen))
}

fn show_event(event: &PublishedEvent, started: Timestamp, screen: &Screen) -> io::Result<()> {
    let after = format!("+{}", time::how_long(started.until(event.at)));
    let head = format!("  {}", screen.paint(Paint::Quiet, &format!("{after:<9} ")));
    screen.hanging(&head, 12, paint_of(event), &format!("{} by {}", event.r#type, event.source))?;
    for reaction in &event.reactions {
        let Reaction { service, outcome, stuck, tries, error, reason, .. } = reaction;
        let paint = match outcome.as_str() {
            _ if *stuck => Paint::Bad,
            "done" => Paint::Good,
            "refused" | "suppressed" | "dropped" => Paint::Undone,
            "not seen" => Paint::Quiet,
            _ => Paint::Under,
        };
        let mut said = format!("{service}: {outcome}");
        // A reaction is called as its event, unless it has another name.
        if let Some(name) = reaction.reaction.as_ref().filter(|name| **name != event.r#type) {
            said = format!("{service} ({name}): {outcome}");
        }
        if let Some(tries) = tries.filter(|tries| *tries > 0) {
            said += &format!(", tried {tries} times");
        }
        for why in error.iter().chain(reason) {
            said += &format!(", {why}");
        }
        screen.hanging(&" ".repeat(14), 14, paint, &said)?;
    }
    Ok(())
}

fn paint_of(event: &PublishedEvent) -> Paint {
    match (event.refusal, event.ends) {
        (true, _) => Paint::Undone,
        (false, true) => Paint::Good,
        (false, false) => Paint::Plain,
    }
}

/// The events and reasons of a choreography that were shown already.
#[derive(Default)]
struct ShownBefore {
    events: HashSet<(String, String)>,
    reasons: Vec<String>,
}

impl ShownBefore {
    /// A line for each event, and for each reason to look, that was not shown.
    fn show_new(&mut self, now: &Choreography, screen: &Screen) -> io::Result<()> {
        let paint = Paint::of(&now.state, now.settled, now.stuck);
        let state = screen.cell(paint, &now.state.to_string(), 12);
        let line = |at: &str, paint: Paint, text: &str| {
            let at = screen.cell(Paint::Quiet, at, 12);
            screen.hanging(&format!("{at}  {state}  "), 12 + 2 + 12 + 2, paint, text)
        };
        for event in &now.events {
            if self.events.insert((event.source.clone(), event.id.clone())) {
                let text = format!("{} by {}", event.r#type, event.source);
                line(&time::time_of_day(event.at), paint_of(event), &text)?;
            }
        }
        for why in now.reasons.iter().filter(|why| !self.reasons.contains(why)) {
            line("", Paint::Bad, &format!("stuck: {why}"))?;
        }
        self.reasons.clone_from(&now.reasons);
        Ok(())
    }
}
