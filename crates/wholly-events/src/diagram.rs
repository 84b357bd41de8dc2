//! Sequence diagrams of a choreography, one of its success and one of each refusal, made from the
//! declarations of its services.
//!
//! An event occurs once in a diagram, so each diagram is finite. If several reactions of a service
//! emit the same event, the last of them emits it.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use crate::declaration::Declaration;
use crate::graph::{
    EventCause, EventGraph, EventIndex, Joins, LIMIT, NodeIndex, ReactionOf, TimeoutOf,
};
use crate::names::ReactionName;

/// Draws a choreography: a Markdown document with Mermaid sequence diagrams.
pub fn diagram(declarations: &[Declaration]) -> String {
    let services: Vec<&str> = declarations.iter().map(|one| one.service.as_str()).collect();
    let title = format!("# A choreography of {}\n", services.join(", "));
    let Some(graph) = EventGraph::new(declarations) else {
        return format!(
            "{title}\nIt is not drawn: there are more than {LIMIT} reactions, time-outs and \
             beginnings.\n"
        );
    };
    let mut pictures = graph.begins.iter().flat_map(|&(service, begin)| {
        let success = ("every reaction succeeds".to_owned(), HashSet::new());
        let refusals = refusals(&graph, begin).into_iter().map(|(refusing, all)| {
            let service = &graph.declaration(refusing).service;
            let name = &graph.nodes[refusing].reaction.name;
            (format!("{name} of {service} refuses"), all)
        });
        std::iter::once(success).chain(refusals).map(move |picture| (service, begin, picture))
    });
    let mut document = title;
    for (service, begin, (title, refusing)) in pictures.by_ref().take(PICTURES) {
        let event = graph.events[begin];
        let picture = SequenceDiagram::of(&graph, service, begin, &refusing);
        document += &format!("\n## {event}: {title}\n\n```mermaid\n{picture}```\n");
    }
    if pictures.next().is_some() {
        document += &format!("\nNo more than {PICTURES} pictures are drawn.\n");
    }
    document
}

/// The largest number of diagrams of one choreography.
const PICTURES: usize = 1_000;

/// Each reaction that may refuse, with all reactions that must refuse for it to run.
fn refusals(graph: &EventGraph<'_>, begin: EventIndex) -> Vec<(NodeIndex, HashSet<NodeIndex>)> {
    let of = |(node, one): (NodeIndex, &ReactionOf<'_>)| {
        one.refuses?;
        let success = |cause| matches!(cause, EventCause::Success(_));
        let any = |cause| match cause {
            EventCause::Success(_) | EventCause::Refusal(_) => true,
            EventCause::TimeOut => false,
        };
        let way = graph
            .shortest_path(begin, one.on, success)
            .or_else(|| graph.shortest_path(begin, one.on, any))?;
        let before = way.into_iter().filter_map(|(cause, _)| match cause {
            EventCause::Refusal(node) => Some(node),
            EventCause::Success(_) | EventCause::TimeOut => None,
        });
        Some((node, before.chain([node]).collect()))
    };
    graph.nodes.iter().enumerate().filter_map(of).collect()
}

/// A sequence diagram in the making.
struct SequenceDiagram<'a> {
    graph: &'a EventGraph<'a>,
    joins: Joins,
    refusing: &'a HashSet<NodeIndex>,
    /// The reactions that run sooner or later.
    runs: Vec<bool>,
    came: Vec<bool>,
    succeeded: Vec<bool>,
    /// Events on their way, each with the service that emitted it.
    emitted: VecDeque<(usize, EventIndex)>,
    /// The services in the order of their appearance.
    participants: Vec<usize>,
    lines: Vec<String>,
}

impl<'a> SequenceDiagram<'a> {
    fn of(
        graph: &'a EventGraph<'a>,
        service: usize,
        begin: EventIndex,
        refusing: &'a HashSet<NodeIndex>,
    ) -> Self {
        let joins = Joins::new(graph, begin);
        let happens = |cause| match cause {
            EventCause::Success(node) => !refusing.contains(&node),
            EventCause::Refusal(node) => refusing.contains(&node),
            EventCause::TimeOut => false,
        };
        let mut picture = Self {
            graph,
            refusing,
            runs: graph.reach(begin, &joins, happens).runs,
            joins,
            came: vec![false; graph.events.len()],
            succeeded: vec![false; graph.nodes.len()],
            emitted: VecDeque::from([(service, begin)]),
            participants: Vec::new(),
            lines: Vec::new(),
        };
        picture.play();
        picture
    }

    /// Processes events until no more follow.
    fn play(&mut self) {
        let mut waiting: Vec<&TimeoutOf<'_>> = self.graph.timeouts.iter().collect();
        loop {
            while let Some((service, event)) = self.emitted.pop_front() {
                self.come(service, event);
            }
            let is_over = |one: &&TimeoutOf<'_>| {
                self.came[one.after] && !one.awaits.iter().any(|event| self.came[*event])
            };
            let Some(place) = waiting.iter().position(is_over) else { break };
            let TimeoutOf { service, timeout, emits, .. } = waiting.remove(place);
            let within = timeout.within;
            self.note(*service, &format!("time-out, {within:?} after {}", timeout.after));
            self.emitted.push_back((*service, *emits));
        }
    }

    /// Delivers an event to its reactions.
    fn come(&mut self, service: usize, event: EventIndex) {
        let name = self.graph.events[event];
        if std::mem::replace(&mut self.came[event], true) {
            self.note(service, &format!("{name} once more: what follows is drawn above"));
            return;
        }
        let reactions_to = &self.graph.reactions_to[event];
        if self.graph.declarations[service].ends.contains(name) {
            self.note(service, &format!("{name}: the end"));
        } else if reactions_to.is_empty() {
            self.note(service, &format!("{name}: nobody reacts"));
        }
        // The reactions of one service are adjacent.
        let mut before = None;
        for &node in reactions_to {
            let to = self.graph.nodes[node].service;
            if before.replace(to) != Some(to) {
                let (from, to) = (self.participant(service), self.participant(to));
                self.lines.push(format!("{from}->>{to}: {name}"));
            }
            self.react(node);
        }
    }

    fn react(&mut self, node: NodeIndex) {
        let one = &self.graph.nodes[node];
        let name = &one.reaction.name;
        if self.refusing.contains(&node) {
            self.note(one.service, &format!("{name} refuses"));
            self.emitted.extend(one.refuses.map(|event| (one.service, event)));
            return;
        }
        self.succeeded[node] = true;
        let undone = match one.reaction.undoes.is_empty() {
            true => String::new(),
            false => self.undone(one.service, &one.reaction.undoes),
        };
        self.note(one.service, &format!("{name}{undone}"));
        if let Some(event) = one.emits.filter(|event| self.is_last(node, *event)) {
            self.emitted.push_back((one.service, event));
        }
    }

    /// The names of the undone reactions that had succeeded.
    fn undone(&self, service: usize, undoes: &[ReactionName]) -> String {
        let nodes = self.graph.nodes.iter().zip(&self.succeeded);
        let done = nodes.filter(|(one, succeeded)| **succeeded && one.service == service);
        let names: Vec<&str> = done
            .map(|(one, _)| &one.reaction.name)
            .filter(|name| undoes.contains(name))
            .map(ReactionName::as_str)
            .collect();
        match names.is_empty() {
            true => ": nothing to undo".to_owned(),
            false => format!(" undoes {}", names.join(", ")),
        }
    }

    /// True if no other reaction of the service that emits the same event is still to run.
    fn is_last(&self, node: NodeIndex, event: EventIndex) -> bool {
        if !self.joins.with(node).all(|other| self.succeeded[other]) {
            return false;
        }
        let mut nodes = self.graph.nodes.iter().enumerate();
        let after = self.graph.successes(event);
        !nodes.any(|(other, one)| {
            one.service == self.graph.nodes[node].service
                && one.emits == Some(event)
                && self.runs[other]
                && !self.refusing.contains(&other)
                && !self.succeeded[other]
                // It waits for this very event.
                && !after.runs[other]
        })
    }

    fn note(&mut self, service: usize, text: &str) {
        let participant = self.participant(service);
        self.lines.push(format!("Note over {participant}: {text}"));
    }

    /// The service's name in the diagram. The service appears in it from now on.
    fn participant(&mut self, service: usize) -> String {
        if !self.participants.contains(&service) {
            self.participants.push(service);
        }
        id(self.graph, service)
    }
}

impl fmt::Display for SequenceDiagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sequenceDiagram")?;
        for &service in &self.participants {
            let (id, name) = (id(self.graph, service), &self.graph.declarations[service].service);
            match id == name.as_str() {
                true => writeln!(f, "    participant {id}")?,
                false => writeln!(f, "    participant {id} as {name}")?,
            }
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// A service's name, or its number if Mermaid cannot read the name.
fn id(graph: &EventGraph<'_>, service: usize) -> String {
    let name = graph.declarations[service].service.as_str();
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // Two services with one name are two participants.
    let mut before = graph.declarations.iter().take(service);
    match is_plain
        && !KEYWORDS.split(' ').any(|word| word.eq_ignore_ascii_case(name))
        && before.all(|one| one.service.as_str() != name)
    {
        true => name.to_owned(),
        false => format!("_{}", service + 1),
    }
}

/// Words with which a line of a sequence diagram begins.
const KEYWORDS: &str = "acctitle accdescr activate actor alt and as autonumber box break create critical \
    deactivate destroy details else end left link links loop note off opt option over \
    par par_over participant properties rect right sequencediagram title";

#[cfg(test)]
mod tests;
