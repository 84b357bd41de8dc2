//! Findings about events: emitters, reactions, beginnings and ends.

use std::collections::{HashMap, HashSet};

use super::Finding;
use crate::declaration::{Declaration, Reaction};
use crate::names::{EventType, ServiceName};

pub(super) fn check(declarations: &[Declaration]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if declarations.iter().all(|declaration| declaration.begins.is_empty()) {
        findings.push(Finding::NoBegin);
    }
    if declarations.iter().all(|declaration| declaration.ends.is_empty()) {
        findings.push(Finding::NoEnd);
    }
    findings.extend(two_emitters(declarations));
    let reactions = || declarations.iter().flat_map(|declaration| &declaration.reactions);
    let heard: HashSet<&EventType> = reactions().map(|reaction| &reaction.on).collect();
    let emitted: HashSet<&EventType> = declarations.iter().flat_map(Declaration::emitted).collect();
    for declaration in declarations {
        not_handled(declaration, &heard, &mut findings);
        let awaiting = declaration.reactions.iter();
        let in_vain = awaiting.filter(|reaction| !emitted.contains(&reaction.on));
        findings.extend(in_vain.map(|reaction| not_emitted(&declaration.service, reaction)));
        let own: HashSet<&EventType> = declaration.emitted().into_iter().collect();
        let ends = declaration.ends.iter().filter(|event| !own.contains(event));
        findings.extend(ends.map(|event| Finding::EndNotEmitted {
            service: declaration.service.clone(),
            event: event.clone(),
        }));
    }
    findings
}

fn two_emitters(declarations: &[Declaration]) -> Vec<Finding> {
    let mut emitters: HashMap<&EventType, &ServiceName> = HashMap::new();
    let mut told = HashSet::new();
    let mut findings = Vec::new();
    for declaration in declarations {
        let second = &declaration.service;
        for event in declaration.emitted() {
            let first = *emitters.entry(event).or_insert(second);
            // Two services of one name are another finding.
            if first != second && told.insert(event) {
                let (event, first, second) = (event.clone(), first.clone(), second.clone());
                findings.push(Finding::TwoEmitters { event, first, second });
            }
        }
    }
    findings
}

fn not_handled(
    declaration: &Declaration,
    heard: &HashSet<&EventType>,
    findings: &mut Vec<Finding>,
) {
    let ends: HashSet<&EventType> = declaration.ends.iter().collect();
    let emitted = declaration.emitted().into_iter();
    for event in emitted.filter(|event| !heard.contains(event) && !ends.contains(event)) {
        let (service, event) = (declaration.service.clone(), event.clone());
        let refuses = |reaction: &&Reaction| reaction.refuses.as_ref() == Some(&event);
        let refusing = declaration.reactions.iter().find(refuses);
        findings.push(match refusing.map(|reaction| reaction.name.clone()) {
            Some(reaction) => Finding::RefusalNotHandled { service, reaction, event },
            None => Finding::NotHandled { service, event },
        });
    }
}

fn not_emitted(service: &ServiceName, reaction: &Reaction) -> Finding {
    let (service, event) = (service.clone(), reaction.on.clone());
    let (name, undone) = (reaction.name.clone(), reaction.undoes.first().cloned());
    match undone {
        Some(undone) => Finding::UndoNotTriggered { service, reaction: name, undone, event },
        None => Finding::NotEmitted { service, reaction: name, event },
    }
}
