//! The mistakes of a choreography before it runs, told from the declarations of its services.

mod events;
mod finding;
mod timeouts;
mod undo;

use std::collections::HashSet;
use std::hash::Hash;

use crate::declaration::Declaration;
use crate::graph::{EventGraph, LIMIT};
use crate::names::ReactionName;

pub use finding::{Finding, Refusal, Severity};

/// Checks services as one choreography. It finds nothing where all is well.
///
/// A reaction that may refuse, or that calls something, is taken to change something unless it is
/// declared read-only.
///
/// A time-out is a way back from a refusal where none of the events that it awaits may come any more.
/// A refusal itself is one that leads to no end of the success, but to an undo, or to an end of
/// another refusal.
pub fn check(declarations: &[Declaration]) -> Vec<Finding> {
    let Some(graph) = EventGraph::new(declarations) else {
        return vec![Finding::TooLarge { limit: LIMIT }];
    };
    let mut findings = names(declarations);
    findings.extend(events::check(declarations));
    findings.extend(timeouts::check(declarations));
    findings.extend(undo::check(&graph));
    findings.extend(graph.cycles().into_iter().map(|cycle| Finding::Cycle {
        events: cycle.into_iter().map(|event| graph.events[event].clone()).collect(),
    }));
    // Of several with one name, the same may be found.
    let mut told = HashSet::new();
    findings.retain(|finding| told.insert(finding.clone()));
    findings
}

/// Names that are given twice, and the names in `undoes`.
fn names(declarations: &[Declaration]) -> Vec<Finding> {
    let services = twice(declarations.iter().map(|declaration| &declaration.service));
    let mut findings: Vec<Finding> = services
        .into_iter()
        .map(|service| Finding::SameService { service: service.clone() })
        .collect();
    for Declaration { service, reactions, .. } in declarations {
        let same = twice(reactions.iter().map(|reaction| &reaction.name));
        findings.extend(same.into_iter().map(|reaction| Finding::SameReaction {
            service: service.clone(),
            reaction: reaction.clone(),
        }));
        for reaction in reactions {
            let is_known = |name: &ReactionName| reactions.iter().any(|other| other.name == *name);
            let unknown =
                reaction.undoes.iter().filter(|name| **name == reaction.name || !is_known(name));
            findings.extend(unknown.map(|undone| Finding::UndoesNothing {
                service: service.clone(),
                reaction: reaction.name.clone(),
                undone: undone.clone(),
            }));
        }
    }
    findings
}

/// The values that there are more than once.
fn twice<T: Eq + Hash + Copy>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    all.filter(|one| !seen.insert(*one)).collect()
}

#[cfg(test)]
mod tests;
