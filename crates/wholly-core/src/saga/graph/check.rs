//! Finds all that is wrong with a definition, and each step's place in its graph.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Graph, Node, Side, StepSet};
use crate::saga::StepIndex;
use crate::saga::definition::{Compensation, Definition, Retry, StepDefinition};
use crate::saga::problem::{Problems, at, meant};
use crate::saga::reference::{KnownNames, Template};
use crate::wire::Operation;
use crate::{OperationName, StepName};

/// 30 days: the longest that anything may take.
const LONGEST_MILLIS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How many references the payloads of all steps may have.
const REFERENCES_LIMIT: usize = 16 * 1_024;
/// How many bytes the payloads of all steps may have.
const PAYLOADS_LIMIT: usize = 1024 * 1024;
/// More tries than this are no limit.
const TRIES_LIMIT: u32 = 1_000_000;

/// Each step's place. They mean nothing where there is a problem.
pub(super) fn nodes(definition: &Definition, problems: &mut Problems) -> Vec<Node> {
    head(definition, problems);
    let steps = &definition.steps[..];
    if !(1..=Graph::STEP_LIMIT).contains(&steps.len()) {
        return Vec::new();
    }
    let before = problems.len();
    let by_name = by_name(steps, problems);
    let after: Vec<StepSet> =
        (0..steps.len()).map(|step| after(steps, step, &by_name, problems)).collect();
    let mut ancestors = ancestors(steps, &after, problems);
    let sound = problems.len() == before;
    if !sound {
        // What follows from a wrong order would only hide what is wrong with it.
        let all = (0..).take(steps.len()).fold(StepSet::default(), StepSet::with);
        ancestors.fill(all);
    }
    let sides = sides(steps, &ancestors, sound, problems);
    let mut nodes = Vec::new();
    for (index, step) in (0..).zip(steps) {
        let place = usize::from(index);
        checked(step, place, sides[place], problems);
        let known = KnownNames { steps, by_name: &by_name, ancestors: &ancestors, step: index };
        let at = at!("steps", place, "payload");
        nodes.push(Node {
            after: after[place],
            ancestors: ancestors[place],
            side: sides[place].unwrap_or(Side::Before),
            action: action(step),
            compensation: match &step.compensation {
                Some(Compensation::By(operation)) => Some(operation.clone()),
                Some(Compensation::NotNeeded) | None => None,
            },
            template: Template::parse(step.payload.as_ref(), &known, at, problems),
            output_is_forced: false,
        });
    }
    force_outputs(&mut nodes);
    totals(definition, &nodes, problems);
    nodes
}

/// Which outputs are forced: a later payload is made of them, or they say whether there is a way
/// back.
fn force_outputs(nodes: &mut [Node]) {
    let waited_for = nodes.iter().fold(StepSet::default(), |all, node| match node.side {
        Side::Pivot => all.or(node.template.outputs()).or(node.after),
        Side::Before | Side::After => all.or(node.template.outputs()),
    });
    for (index, node) in (0..).zip(nodes) {
        node.output_is_forced = node.side == Side::Pivot || waited_for.has(index);
    }
}

/// What all steps have together, because the loop fills payloads while others wait.
fn totals(definition: &Definition, nodes: &[Node], problems: &mut Problems) {
    let references: usize = nodes.iter().map(|node| node.template.references()).sum();
    if references > REFERENCES_LIMIT {
        problems.add(at!("steps"), || {
            format!("the payloads have {references} references; together they have at most {REFERENCES_LIMIT}")
        });
    }
    let payloads = definition.steps.iter().filter_map(|step| step.payload.as_ref());
    let bytes: usize = payloads.map(|payload| payload.as_str().len()).sum();
    if bytes > PAYLOADS_LIMIT {
        problems.add(at!("steps"), || {
            format!("the payloads are {bytes} bytes long together; the limit is {PAYLOADS_LIMIT}")
        });
    }
}

fn action(step: &StepDefinition) -> OperationName {
    step.action.clone().unwrap_or_else(|| step.name.clone().into())
}

/// What concerns no step.
fn head(definition: &Definition, problems: &mut Problems) {
    let Definition { version, deadline_millis, steps, .. } = definition;
    if !(1..=Graph::VERSION_LIMIT).contains(version) {
        problems.add(at!("version"), || {
            format!("version {version} is out of range; it is from 1 to {}", Graph::VERSION_LIMIT)
        });
    }
    duration(*deadline_millis, at!("deadline_millis"), problems);
    match steps.len() {
        0 => problems.add(at!("steps"), || "a saga has at least one step".into()),
        many if many > Graph::STEP_LIMIT => problems.add(at!("steps"), || {
            format!("there are {many} steps; a saga has at most {}", Graph::STEP_LIMIT)
        }),
        _ => {}
    }
}

fn duration(millis: Option<u64>, at: Vec<super::Segment>, problems: &mut Problems) {
    const RANGE: RangeInclusive<u64> = 1..=LONGEST_MILLIS;
    if let Some(millis) = millis.filter(|millis| !RANGE.contains(millis)) {
        problems.add(at, || {
            format!("{millis} ms is out of range; it is from 1 to {LONGEST_MILLIS} (30 days)")
        });
    }
}

fn by_name<'a>(
    steps: &'a [StepDefinition],
    problems: &mut Problems,
) -> BTreeMap<&'a str, StepIndex> {
    let mut by_name = BTreeMap::new();
    for (index, step) in (0..).zip(steps) {
        let first = *by_name.entry(step.name.as_str()).or_insert(index);
        if first != index {
            problems.add(at!("steps", usize::from(index), "name"), || {
                format!(
                    "step {} is called {:?} already; give this one a name of its own",
                    first + 1,
                    step.name
                )
            });
        }
    }
    by_name
}

/// What a step directly comes after.
fn after(
    steps: &[StepDefinition],
    step: usize,
    by_name: &BTreeMap<&str, StepIndex>,
    problems: &mut Problems,
) -> StepSet {
    let Some(said) = &steps[step].after else {
        // A plain list is the default.
        let previous = step.checked_sub(1).and_then(|previous| previous.try_into().ok());
        return previous.map_or(StepSet::default(), |previous| StepSet::default().with(previous));
    };
    if said.len() > Graph::STEP_LIMIT {
        problems.add(at!("steps", step, "after"), || {
            format!("a step comes after at most {} others", Graph::STEP_LIMIT - 1)
        });
        return StepSet::default();
    }
    let mut set = StepSet::default();
    for (nth, name) in said.iter().enumerate() {
        let at = at!("steps", step, "after", nth);
        match by_name.get(name.as_str()) {
            None => problems.add(at, || {
                let meant = meant(name.as_str(), by_name.keys().copied());
                format!("there is no step {name:?}{meant}")
            }),
            Some(_) if *name == steps[step].name => {
                problems.add(at, || format!("the step {name:?} cannot come after itself"));
            }
            Some(&other) if set.has(other) => {
                problems.add(at, || format!("{name:?} is named twice; once is enough"));
            }
            Some(&other) => set = set.with(other),
        }
    }
    set
}

/// All that each step comes after, directly or not. A cycle is named, and cut.
fn ancestors(steps: &[StepDefinition], after: &[StepSet], problems: &mut Problems) -> Vec<StepSet> {
    let mut ancestors = vec![StepSet::default(); steps.len()];
    let mut placed = StepSet::default();
    let mut left: Vec<StepIndex> = (0..).take(steps.len()).collect();
    while !left.is_empty() {
        let count = left.len();
        left.retain(|&step| {
            let place = usize::from(step);
            if !after[place].iter().all(|earlier| placed.has(earlier)) {
                return true;
            }
            ancestors[place] = after[place]
                .iter()
                .fold(after[place], |all, earlier| all.or(ancestors[usize::from(earlier)]));
            placed = placed.with(step);
            false
        });
        if left.len() == count {
            let cycle = cycle(left[0], after, placed);
            name_cycle(steps, &cycle, problems);
            placed = cycle.iter().fold(placed, |placed, &step| placed.with(step));
            left.retain(|step| !cycle.contains(step));
        }
    }
    ancestors
}

/// A cycle among the steps that are not placed: every one of them waits for another of them.
fn cycle(from: StepIndex, after: &[StepSet], placed: StepSet) -> Vec<StepIndex> {
    let mut way = vec![from];
    loop {
        let last = way[way.len() - 1];
        let next = after[usize::from(last)].iter().find(|&earlier| !placed.has(earlier));
        let Some(next) = next else { return way };
        if let Some(start) = way.iter().position(|&step| step == next) {
            return way.split_off(start);
        }
        way.push(next);
    }
}

fn name_cycle(steps: &[StepDefinition], cycle: &[StepIndex], problems: &mut Problems) {
    let name = |step: &StepIndex| &steps[usize::from(*step)].name;
    // It reads best from the step that is written first.
    let start = (0..cycle.len()).min_by_key(|&nth| cycle[nth]).unwrap_or_default();
    let names: Vec<&StepName> = cycle[start..].iter().chain(&cycle[..=start]).map(name).collect();
    problems.add(at!("steps", usize::from(cycle[start])), || {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        format!("steps wait for each other in a circle: {}", names.join(" comes after "))
    });
}

/// Where each step is from the pivot, as far as it can be said.
fn sides(
    steps: &[StepDefinition],
    ancestors: &[StepSet],
    sound: bool,
    problems: &mut Problems,
) -> Vec<Option<Side>> {
    let mut pivots = (0..).zip(steps).filter(|(_, step)| step.pivot);
    let Some((pivot, pivot_step)) = pivots.next() else {
        return vec![Some(Side::Before); steps.len()];
    };
    let mut one = true;
    for (other, _) in pivots {
        one = false;
        problems.add(at!("steps", other, "pivot"), || {
            format!("{:?} is the pivot already; a saga has at most one", pivot_step.name)
        });
    }
    let mut sides = vec![None; steps.len()];
    sides[pivot] = Some(Side::Pivot);
    if !(sound && one) {
        return sides;
    }
    for step in (0..steps.len()).filter(|&step| step != pivot) {
        let has =
            |of: usize, other: usize| other.try_into().is_ok_and(|other| ancestors[of].has(other));
        sides[step] = match (has(pivot, step), has(step, pivot)) {
            (true, _) => Some(Side::Before),
            (_, true) => Some(Side::After),
            _ => None,
        };
        if sides[step].is_none() {
            problems.add(at!("steps", step), || {
                let (step, pivot) = (&steps[step].name, &pivot_step.name);
                format!(
                    "{step:?} is neither before nor after the pivot {pivot:?}; name {step:?} in \
                     the `after` of {pivot:?}, or {pivot:?} in the `after` of {step:?}"
                )
            });
        }
    }
    sides
}

/// What concerns one step alone.
fn checked(step: &StepDefinition, place: usize, side: Option<Side>, problems: &mut Problems) {
    operations(step, place, side, problems);
    duration(step.timeout_millis, at!("steps", place, "timeout_millis"), problems);
    let Some(Retry { first_millis, cap_millis, tries, factor: _ }) = &step.retry else { return };
    duration(*first_millis, at!("steps", place, "retry", "first_millis"), problems);
    duration(*cap_millis, at!("steps", place, "retry", "cap_millis"), problems);
    if let (Some(first), Some(cap)) = (first_millis, cap_millis)
        && cap < first
    {
        problems.add(at!("steps", place, "retry", "cap_millis"), || {
            format!("the longest pause, {cap} ms, is shorter than the first, {first} ms")
        });
    }
    if let Some(tries) = tries {
        let at = at!("steps", place, "retry", "tries");
        if !(1..=TRIES_LIMIT).contains(tries) {
            problems.add(at, || format!("{tries} tries are out of range: from 1 to {TRIES_LIMIT}"));
        } else if matches!(side, Some(Side::Pivot | Side::After)) {
            problems.add(at, || {
                "from the pivot on there is no way back, and a step is tried until it answers; \
                 leave `tries` out"
                    .into()
            });
        }
    }
}

fn operations(step: &StepDefinition, place: usize, side: Option<Side>, problems: &mut Problems) {
    let action = action(step);
    let is_taken = |name: &OperationName| name.as_str().parse::<Operation>().is_ok();
    if is_taken(&action) {
        let member = if step.action.is_some() { "action" } else { "name" };
        problems.add(at!("steps", place, member), || {
            format!(
                "{action:?} is an operation of two-phase commit; give the step an `action` with \
                 another name"
            )
        });
    }
    match (&step.compensation, side) {
        (None, Some(Side::Before | Side::Pivot)) => problems.add(at!("steps", place), || {
            format!(
                "nothing says how {:?} is taken back; name an operation as its `compensation`, or \
                 say false where it needs none",
                step.name
            )
        }),
        (Some(_), Some(Side::After)) => problems.add(at!("steps", place, "compensation"), || {
            "what comes after the pivot is never taken back; leave the compensation out".into()
        }),
        (Some(Compensation::By(name)), _) if is_taken(name) => {
            problems.add(at!("steps", place, "compensation"), || {
                format!("{name:?} is an operation of two-phase commit; call it otherwise")
            });
        }
        (Some(Compensation::By(name)), _) if *name == action => {
            problems.add(at!("steps", place, "compensation"), || {
                format!("{name:?} is the action, too; what takes it back has another name")
            });
        }
        _ => {}
    }
}
