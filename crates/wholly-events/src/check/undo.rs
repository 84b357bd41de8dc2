//! Refusals, and what they have to take back: all that may have succeeded before the refusal, or
//! beside it.
//!
//! What may run beside a refusal is what may come of the choreography's first event without the
//! success of who refuses, and with that on which the refusal itself depends. So nothing that
//! needs the success of who refuses has to be taken back, and nothing that the refusal excludes.

use std::collections::HashSet;

use super::Finding;
use crate::graph::{Cause, Event, Graph, Joins, Node, Reach, ReactionOf};

pub(super) fn check(graph: &Graph<'_>) -> Vec<Finding> {
    let undos: Vec<Vec<Node>> = (0..graph.nodes.len()).map(|node| undos(graph, node)).collect();
    let mut told = HashSet::new();
    let mut findings = Vec::new();
    for begin in begins(graph) {
        let choreography = Choreography::new(graph, begin);
        for (refusing, event) in choreography.refusals() {
            let beside = choreography.beside(refusing);
            // Directly, or by events that follow from it.
            let led = graph.successes(event).runs;
            for done in (0..graph.nodes.len()).filter(|done| beside[*done]) {
                let undos = &undos[done];
                let (finding, of) = match undos.first() {
                    Some(_) if undos.iter().any(|undo| led[*undo]) => continue,
                    Some(undo) => (not_reached(graph, done, *undo, refusing, event), Some(event)),
                    None if choreography.may_change(done) => {
                        (no_undo(graph, done, refusing, event), None)
                    }
                    None => continue,
                };
                if told.insert((done, of)) {
                    findings.push(finding);
                }
            }
        }
    }
    findings
}

/// The events with which a choreography begins, and those that nobody emits: that is a finding of
/// its own, and hides no other.
fn begins(graph: &Graph<'_>) -> Vec<Event> {
    let emitted = graph.emitted();
    let orphans = (0..graph.events.len()).filter(|event| !emitted[*event]);
    let mut seen = HashSet::new();
    graph
        .begins
        .iter()
        .map(|(_, event)| *event)
        .chain(orphans)
        .filter(|event| seen.insert(*event))
        .collect()
}

/// The choreography that one event begins.
struct Choreography<'a> {
    graph: &'a Graph<'a>,
    begin: Event,
    joins: Joins,
    /// The reactions that run where all succeed.
    success: Vec<bool>,
    /// What each outcome of a reaction is needed for: the rest of what may run.
    without: Vec<Without>,
}

/// The reactions that may run although a reaction does not succeed, or does not refuse.
struct Without {
    success: Vec<bool>,
    refusal: Vec<bool>,
}

impl<'a> Choreography<'a> {
    fn new(graph: &'a Graph<'a>, begin: Event) -> Self {
        let joins = Joins::new(graph, begin);
        let reach = |without| graph.reach(begin, &joins, |cause| cause != without).runs;
        let without = (0..graph.nodes.len()).map(|node| Without {
            success: reach(Cause::Success(node)),
            refusal: reach(Cause::Refusal(node)),
        });
        let without = without.collect();
        Self { graph, begin, success: graph.successes(begin).runs, joins, without }
    }

    /// The reactions that may run and refuse, and with which event.
    fn refusals(&self) -> impl Iterator<Item = (Node, Event)> {
        let Reach { runs, .. } = self.graph.reach(self.begin, &self.joins, |_| true);
        let nodes = self.graph.nodes.iter().enumerate().filter(move |(node, _)| runs[*node]);
        nodes.filter_map(|(node, one)| Some((node, one.refuses?)))
    }

    /// The reactions that may have succeeded when one refuses, or succeed beside it.
    fn beside(&self, refusing: Node) -> Vec<bool> {
        let may = |cause| match cause {
            Cause::Success(node) => node != refusing && self.without[node].refusal[refusing],
            Cause::Refusal(node) => node != refusing && self.without[node].success[refusing],
            Cause::TimeOut => true,
        };
        let mut beside = self.graph.reach(self.begin, &self.joins, may).runs;
        // What needs a refusal to come to its turn did not succeed, and nor did who refuses.
        beside.iter_mut().enumerate().for_each(|(node, runs)| {
            *runs &= node != refusing && self.without[node].refusal[refusing];
        });
        beside
    }

    /// True for a reaction of the success that changes something, as far as can be told.
    fn may_change(&self, node: Node) -> bool {
        let reaction = self.graph.nodes[node].reaction;
        self.success[node]
            && reaction.undoes.is_empty()
            && (reaction.refuses.is_some() || reaction.calls)
    }
}

/// The reactions that undo one.
fn undos(graph: &Graph<'_>, done: Node) -> Vec<Node> {
    let ReactionOf { service, reaction, .. } = &graph.nodes[done];
    let nodes = graph.nodes.iter().enumerate();
    let own = nodes.filter(|(node, one)| one.service == *service && *node != done);
    own.filter(|(_, one)| one.reaction.undoes.contains(&reaction.name))
        .map(|(node, _)| node)
        .collect()
}

fn not_reached(graph: &Graph<'_>, done: Node, undo: Node, refusing: Node, event: Event) -> Finding {
    Finding::UndoNotReached {
        service: graph.declaration(done).service.clone(),
        reaction: graph.nodes[done].reaction.name.clone(),
        undo: graph.nodes[undo].reaction.name.clone(),
        refused_by: graph.declaration(refusing).service.clone(),
        refusing: graph.nodes[refusing].reaction.name.clone(),
        event: graph.events[event].clone(),
    }
}

fn no_undo(graph: &Graph<'_>, done: Node, refusing: Node, event: Event) -> Finding {
    Finding::NoUndo {
        service: graph.declaration(done).service.clone(),
        reaction: graph.nodes[done].reaction.name.clone(),
        refused_by: graph.declaration(refusing).service.clone(),
        refusing: graph.nodes[refusing].reaction.name.clone(),
        event: graph.events[event].clone(),
    }
}
