//! Runs the checker, and reports its findings.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::hash::Hash;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path, Property};

/// A model whose worlds can be told in a line.
pub trait Told: Model<State: State, Action: Clone + Debug + PartialEq> + Send + Sync {
    fn tell(world: &Self::State) -> String;
}

/// The traits that the checker needs of a world.
pub trait State: Clone + Debug + PartialEq + Hash + Send + Sync + 'static {}

impl<T: Clone + Debug + PartialEq + Hash + Send + Sync + 'static> State for T {}

/// Asserts every law, and that the scenario's sights are seen.
pub fn holds<M: Told + 'static>(name: &str, scenario: M) {
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
pub fn is_caught<M: Told + 'static>(name: &str, property: &'static str, scenario: M) {
    let when = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = scenario.checker().finish_when(when).spawn_bfs().join();
    let path = checker.discovery(property);
    let path = path.unwrap_or_else(|| panic!("{name}: not caught by {property:?}"));
    let broken = checker.model().property(property);
    println!("{name}: breaks {property:?}\n{}", trace(checker.model(), &broken, &path));
}

/// The events until the property is broken, a step a line, each with the world that it led to.
fn trace<M: Told>(
    scenario: &M,
    property: &Property<M>,
    path: &Path<M::State, M::Action>,
) -> String {
    let steps = path.clone().into_vec();
    let mut text = String::new();
    for ((_, action), (world, _)) in steps.iter().zip(steps.iter().skip(1)) {
        let Some(action) = action else { break };
        let _ = writeln!(text, "  {action:?}\n    {}", M::tell(world));
        if !(property.condition)(scenario, world) {
            break;
        }
    }
    text
}
