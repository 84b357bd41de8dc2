//! Runs the checker, and tells what it found.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path, Property};

use crate::scenario::Scenario;
use crate::world::{Action, World};

/// Asserts every law, and that the scenario's sights are seen.
pub fn holds(name: &str, scenario: Scenario) {
    let checker =
        scenario.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, {} deep",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
    );
    let found = checker.discoveries();
    for property in checker.model().properties() {
        match (&property.expectation, found.get(property.name)) {
            (Expectation::Sometimes, None) => panic!("{name}: never seen: {}", property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => {
                panic!(
                    "{name}: broken: {}\n{}",
                    property.name,
                    trace(checker.model(), &property, path)
                )
            }
        }
    }
}

/// Asserts that the checker finds this property broken.
pub fn is_caught(name: &str, property: &'static str, scenario: Scenario) {
    let when = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = scenario.checker().finish_when(when).spawn_bfs().join();
    let path = checker.discovery(property);
    let path = path.unwrap_or_else(|| panic!("{name}: not caught by {property:?}"));
    let broken = checker.model().property(property);
    println!("{name}: breaks {property:?}\n{}", trace(checker.model(), &broken, &path));
}

/// What happened, a step a line, each with what it led to, until the property is broken.
fn trace(scenario: &Scenario, property: &Property<Scenario>, path: &Path<World, Action>) -> String {
    let steps = path.clone().into_vec();
    let mut text = String::new();
    for ((_, action), (world, _)) in steps.iter().zip(steps.iter().skip(1)) {
        let Some(action) = action else { break };
        let holds: Vec<_> = world.participants.iter().map(|p| p.holds).collect();
        let strays: Vec<_> = world.strays.iter().map(|s| (s.branch, s.operation)).collect();
        let _ = writeln!(
            text,
            "  {action:?}\n    {}, settled: {}, shown: {:?}, {holds:?}, strays: {strays:?}{}",
            world.live.state().as_str(),
            world.live.is_settled(),
            world.shown,
            world.broken.map(|law| format!(", BROKEN: {law}")).unwrap_or_default(),
        );
        if !(property.condition)(scenario, world) {
            break;
        }
    }
    text
}
