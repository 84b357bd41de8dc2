//! Findings about refusals: each must lead to the undo of every reaction that may have succeeded
//! before or beside it.
//!
//! The reactions beside a refusal follow from the choreography's first event without the success of
//! the refusing reaction, but with everything that the refusal depends on. So reactions that need
//! that success, or that the refusal excludes, need no undo.
//!
//! A time-out that turns the choreography back is a refusal, too. Its awaited events may still
//! occur after it fires, and may then lead to an undo.

use std::collections::HashSet;

use super::Finding;
use super::finding::Refusal;
use crate::graph::{
    EventCause, EventGraph, EventIndex, Joins, NodeIndex, Reach, ReactionOf, TimeoutOf,
};

pub(super) fn check(graph: &EventGraph<'_>) -> Vec<Finding> {
    let undos: Vec<Vec<NodeIndex>> =
        (0..graph.nodes.len()).map(|node| undos(graph, node)).collect();
    let mut told = HashSet::new();
    let mut findings = Vec::new();
    for begin in begins(graph) {
        let consequences = Consequences::new(graph, begin);
        for (turn, event) in consequences.turns() {
            let beside = consequences.beside(turn);
            let back = consequences.back(turn, event, &beside);
            let may_be_done =
                |done: &NodeIndex| beside.runs[*done] && !graph.nodes[*done].reaction.read_only;
            for done in (0..graph.nodes.len()).filter(may_be_done) {
                let undos = &undos[done];
                let (finding, of) = match undos.first() {
                    Some(_) if undos.iter().any(|undo| back[*undo]) => continue,
                    Some(undo) => (not_reached(graph, done, *undo, turn), Some(event)),
                    None if consequences.may_change(done) => (no_undo(graph, done, turn), None),
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

/// The events that begin a choreography, and those without an emitter, so that this finding hides
/// no other.
fn begins(graph: &EventGraph<'_>) -> Vec<EventIndex> {
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

/// The cause that turns a choreography back.
#[derive(Clone, Copy)]
enum TurningPoint<'a> {
    Reaction(NodeIndex),
    TimeOut(&'a TimeoutOf<'a>),
}

/// The consequences of one beginning.
struct Consequences<'a> {
    graph: &'a EventGraph<'a>,
    begin: EventIndex,
    joins: Joins,
    /// The events and reactions if all reactions succeed.
    success: Reach,
    /// The events and reactions that are possible if no time-out fires.
    in_time: Reach,
    /// For each reaction: the possible events and reactions without its success or its refusal.
    without: Vec<Without>,
}

/// The possible events and reactions if one reaction does not succeed, or does not refuse.
struct Without {
    success: Reach,
    refusal: Reach,
}

impl<'a> Consequences<'a> {
    fn new(graph: &'a EventGraph<'a>, begin: EventIndex) -> Self {
        let joins = Joins::new(graph, begin);
        let reach = |without| graph.reach(begin, &joins, |cause| cause != without);
        let without = (0..graph.nodes.len()).map(|node| Without {
            success: reach(EventCause::Success(node)),
            refusal: reach(EventCause::Refusal(node)),
        });
        let without = without.collect();
        let in_time = graph.reach(begin, &joins, |cause| cause != EventCause::TimeOut);
        Self { graph, begin, success: graph.successes(begin), in_time, joins, without }
    }

    /// The causes that may turn it back, each with its event.
    fn turns(&self) -> impl Iterator<Item = (TurningPoint<'a>, EventIndex)> {
        let Reach { runs, occurs } = self.graph.reach(self.begin, &self.joins, |_| true);
        let nodes = self.graph.nodes.iter().enumerate().filter(move |(node, _)| runs[*node]);
        let reactions =
            nodes.filter_map(|(node, one)| Some((TurningPoint::Reaction(node), one.refuses?)));
        let timeouts = self.graph.timeouts.iter().filter(move |one| occurs[one.after]);
        let timeouts = timeouts.filter(|one| self.turns_back(one.emits));
        reactions.chain(timeouts.map(|one| (TurningPoint::TimeOut(one), one.emits)))
    }

    /// True for a time-out's event that leads to no end of the success, but to an undo or to an end
    /// of a refusal. Other time-outs remind, report a delay, or take another path.
    fn turns_back(&self, event: EventIndex) -> bool {
        let Reach { runs, occurs } = self.graph.successes(event);
        let leads_to = |among: &Reach| {
            (0..occurs.len()).any(|one| occurs[one] && among.occurs[one] && self.graph.is_end(one))
        };
        if leads_to(&self.success) {
            return false;
        }
        let mut nodes = self.graph.nodes.iter().zip(runs);
        nodes.any(|(one, runs)| runs && !one.reaction.undoes.is_empty()) || leads_to(&self.in_time)
    }

    /// The reactions that may succeed before or beside the turning point, with their events.
    fn beside(&self, turn: TurningPoint<'_>) -> Reach {
        // A success and a refusal on which the turning point does not depend.
        let refuses = |without: &Without| match turn {
            TurningPoint::Reaction(node) => without.success.runs[node],
            TurningPoint::TimeOut(timeout) => without.success.occurs[timeout.after],
        };
        let succeeds = |without: &Without| match turn {
            TurningPoint::Reaction(node) => without.refusal.runs[node],
            TurningPoint::TimeOut(timeout) => without.refusal.occurs[timeout.after],
        };
        let is_out = |node: NodeIndex, event: Option<EventIndex>| match turn {
            TurningPoint::Reaction(refusing) => node == refusing,
            TurningPoint::TimeOut(timeout) => {
                event.is_some_and(|event| timeout.awaits.contains(&event))
            }
        };
        let nodes = &self.graph.nodes;
        let may = |cause| match cause {
            EventCause::Success(node) => {
                !is_out(node, nodes[node].emits) && succeeds(&self.without[node])
            }
            EventCause::Refusal(node) => {
                !is_out(node, nodes[node].refuses) && refuses(&self.without[node])
            }
            EventCause::TimeOut => matches!(turn, TurningPoint::Reaction(_)),
        };
        let mut beside = self.graph.reach(self.begin, &self.joins, may);
        // Reactions that need a refusal to run did not succeed, nor did the refusing reaction.
        beside.runs.iter_mut().enumerate().for_each(|(node, runs)| {
            let is_who = matches!(turn, TurningPoint::Reaction(refusing) if refusing == node);
            *runs &= !is_who && succeeds(&self.without[node]);
        });
        beside
    }

    /// The reactions that follow from the turning point's event: by events, or by time-outs whose
    /// awaited events can no longer occur.
    fn back(&self, turn: TurningPoint<'_>, event: EventIndex, beside: &Reach) -> Vec<bool> {
        let Reach { mut runs, mut occurs } = self.graph.successes(event);
        if let TurningPoint::TimeOut(timeout) = turn {
            let late = self.late(timeout);
            runs.iter_mut().zip(late).for_each(|(one, late)| *one |= late);
        }
        loop {
            let may_come = |event: EventIndex| occurs[event] || beside.occurs[event];
            let fires = |one: &&TimeoutOf<'_>| {
                !occurs[one.emits]
                    && may_come(one.after)
                    && !one.awaits.iter().any(|awaited| may_come(*awaited))
            };
            let Some(fired) = self.graph.timeouts.iter().find(fires) else { return runs };
            let more = self.graph.successes(fired.emits);
            for (all, more) in [(&mut runs, more.runs), (&mut occurs, more.occurs)] {
                all.iter_mut().zip(more).for_each(|(one, more)| *one |= more);
            }
        }
    }

    /// The reactions that follow from every awaited event of the success that occurs too late.
    fn late(&self, timeout: &TimeoutOf<'_>) -> Vec<bool> {
        let awaited = timeout.awaits.iter().filter(|event| self.success.occurs[**event]);
        let all = awaited.map(|event| self.graph.reach(*event, &Joins::default(), |_| true).runs);
        let both = |one: Vec<bool>, other: Vec<bool>| {
            one.into_iter().zip(other).map(|(one, other)| one && other).collect()
        };
        all.reduce(both).unwrap_or_default()
    }

    /// True for a reaction of the success that is assumed to change something.
    fn may_change(&self, node: NodeIndex) -> bool {
        let reaction = self.graph.nodes[node].reaction;
        self.success.runs[node]
            && reaction.undoes.is_empty()
            && (reaction.refuses.is_some() || reaction.calls)
    }
}

/// The reactions that undo one.
fn undos(graph: &EventGraph<'_>, done: NodeIndex) -> Vec<NodeIndex> {
    let ReactionOf { service, reaction, .. } = &graph.nodes[done];
    let nodes = graph.nodes.iter().enumerate();
    let own = nodes.filter(|(node, one)| one.service == *service && *node != done);
    own.filter(|(_, one)| one.reaction.undoes.contains(&reaction.name))
        .map(|(node, _)| node)
        .collect()
}

fn not_reached(
    graph: &EventGraph<'_>,
    done: NodeIndex,
    undo: NodeIndex,
    turn: TurningPoint<'_>,
) -> Finding {
    Finding::UndoNotReached {
        service: graph.declaration(done).service.clone(),
        reaction: graph.nodes[done].reaction.name.clone(),
        undo: graph.nodes[undo].reaction.name.clone(),
        refusal: refusal(graph, turn),
    }
}

fn no_undo(graph: &EventGraph<'_>, done: NodeIndex, turn: TurningPoint<'_>) -> Finding {
    Finding::NoUndo {
        service: graph.declaration(done).service.clone(),
        reaction: graph.nodes[done].reaction.name.clone(),
        refusal: refusal(graph, turn),
    }
}

fn refusal(graph: &EventGraph<'_>, turn: TurningPoint<'_>) -> Refusal {
    match turn {
        TurningPoint::Reaction(node) => {
            let ReactionOf { reaction, refuses, .. } = &graph.nodes[node];
            let (service, name) = (graph.declaration(node).service.clone(), reaction.name.clone());
            let event = refuses.map_or(&reaction.on, |event| graph.events[event]).clone();
            Refusal::Reaction { service, reaction: name, event }
        }
        TurningPoint::TimeOut(timeout) => {
            let service = graph.declarations[timeout.service].service.clone();
            Refusal::TimeOut { service, event: graph.events[timeout.emits].clone() }
        }
    }
}
