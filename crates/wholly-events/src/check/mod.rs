//! A static check of a choreography, from the declarations of its services.

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

/// Checks services as one choreography; returns no findings for a correct one.
///
/// A reaction that may refuse or that makes a call is assumed to change something, unless it is
/// declared read-only.
///
/// A time-out may lead from a refusal to an undo if none of its awaited events can occur any more.
/// A time-out counts as a refusal itself if it leads to no end of the success, but to an undo or to
/// an end of another refusal.
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
    // Services with the same name may have the same finding.
    let mut told = HashSet::new();
    findings.retain(|finding| told.insert(finding.clone()));
    findings
}

/// Findings about duplicate names, and about the names in `undoes`.
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

/// The values that occur more than once.
fn twice<T: Eq + Hash + Copy>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    all.filter(|one| !seen.insert(*one)).collect()
}

#[cfg(test)]
mod tests;
