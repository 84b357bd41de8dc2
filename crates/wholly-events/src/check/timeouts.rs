//! Findings about time-outs whose events their service does not see, or that cannot occur.

use std::collections::HashSet;

use super::Finding;
use crate::declaration::{Declaration, Timeout};
use crate::names::EventType;

pub(super) fn check(declarations: &[Declaration]) -> Vec<Finding> {
    let emitted: HashSet<&EventType> = declarations.iter().flat_map(Declaration::emitted).collect();
    let mut findings = Vec::new();
    for declaration in declarations {
        let reactions = declaration.reactions.iter();
        let heard: HashSet<&EventType> = reactions.map(|reaction| &reaction.on).collect();
        let own = declaration.emitted();
        for Timeout { after, awaits, emits, .. } in &declaration.timeouts {
            let (service, emits) = (&declaration.service, emits.clone());
            if !heard.contains(after) && !own.contains(&after) {
                findings.push(Finding::TimeoutAfterUnknown {
                    service: service.clone(),
                    emits: emits.clone(),
                    after: after.clone(),
                });
            }
            // An awaited event with a reaction is checked with the reaction.
            for awaited in awaits.iter().filter(|awaited| !heard.contains(awaited)) {
                let (service, emits, awaited) = (service.clone(), emits.clone(), awaited.clone());
                findings.push(match emitted.contains(&awaited) {
                    true => Finding::TimeoutAwaitsUnknown { service, emits, awaited },
                    false => Finding::AwaitedNotEmitted { service, emits, awaited },
                });
            }
        }
    }
    findings
}
