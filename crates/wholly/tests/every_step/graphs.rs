//! The graphs, and what must come of them: worked out here from the graph alone, as plainly as can
//! be, and with nothing of the engine's.

use std::sync::Arc;

use serde_json::{Value, json};
use wholly::Graph;

use crate::ways::{Failure, Way};

/// A saga to be failed.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: &'static str,
    pub steps: Vec<Step>,
    /// Each step is given the outputs of those that it directly comes after, which are then forced.
    pub reads: bool,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub name: String,
    pub after: Vec<usize>,
    pub pivot: bool,
    /// It needs no compensation.
    pub may_stay: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    Pivot,
    After,
}

/// A list, a diamond, a wide and a deep graph, each without a pivot and with one; and some in which
/// nobody is given an output.
pub fn plans() -> Vec<Plan> {
    let list = || vec![vec![], vec![0], vec![1], vec![2]];
    let diamond = || vec![vec![], vec![0], vec![0], vec![1, 2], vec![3]];
    let wide = || {
        let middle = (0..6).map(|_| vec![0]);
        [vec![]].into_iter().chain(middle).chain([(1..=6).collect()]).collect()
    };
    let deep = || (0..8_usize).map(|step| step.checked_sub(1).into_iter().collect()).collect();
    vec![
        Plan::new("list", list(), None, Some(1)),
        Plan::new("list with a pivot", list(), Some(2), Some(0)),
        Plan::new("diamond", diamond(), None, None),
        Plan::new("diamond with a pivot", diamond(), Some(3), Some(1)),
        Plan::new("wide", wide(), None, Some(2)),
        Plan::new("wide with a pivot first", wide(), Some(0), None),
        Plan::new("wide with a pivot last", wide(), Some(7), None),
        Plan::new("deep", deep(), None, None),
        Plan::new("deep with a pivot", deep(), Some(4), Some(2)),
        Plan::new("list, unread", list(), None, Some(1)).unread(),
        Plan::new("list with a pivot, unread", list(), Some(2), Some(0)).unread(),
        Plan::new("diamond, unread", diamond(), None, None).unread(),
        Plan::new("deep with a pivot, unread", deep(), Some(6), Some(2)).unread(),
    ]
}

pub fn plan(name: &str) -> Plan {
    plans().into_iter().find(|plan| plan.name == name).unwrap()
}

/// What a step gives.
pub fn output(step: &str) -> Value {
    let n: u32 = step[1..].parse().unwrap();
    json!({"n": 100 + n, "by": step})
}

/// What the saga is given.
pub fn input() -> Value {
    json!({"order": 7})
}

impl Plan {
    fn new(
        name: &'static str,
        after: Vec<Vec<usize>>,
        pivot: Option<usize>,
        may_stay: Option<usize>,
    ) -> Self {
        let step = |(nth, after)| Step {
            name: format!("s{nth}"),
            after,
            pivot: pivot == Some(nth),
            may_stay: may_stay == Some(nth),
        };
        Self { name, steps: after.into_iter().enumerate().map(step).collect(), reads: true }
    }

    fn unread(self) -> Self {
        Self { reads: false, ..self }
    }

    /// The steps whose outputs a step is given.
    fn read_by(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        self.steps[step].after.iter().copied().filter(|_| self.reads)
    }

    /// As the engine takes it. Some steps are tried only so often.
    pub fn graph(&self, tries: &[(usize, u32)]) -> Arc<Graph> {
        let steps: Vec<Value> = (0..self.steps.len()).map(|step| self.json(step, tries)).collect();
        let definition = json!({"name": self.name, "version": 1, "steps": steps});
        Arc::new(Graph::new(serde_json::from_value(definition).unwrap()).unwrap())
    }

    fn json(&self, nth: usize, tries: &[(usize, u32)]) -> Value {
        let step = &self.steps[nth];
        let name = |step: &usize| self.steps[*step].name.clone();
        let from: Vec<Value> = self
            .read_by(nth)
            .map(|earlier| json!({"$from": format!("/steps/{}/n", name(&earlier))}))
            .collect();
        let mut json = json!({
            "name": step.name,
            "participant": "p",
            "action": format!("do-{}", step.name),
            "after": step.after.iter().map(name).collect::<Vec<_>>(),
            "payload": {"step": step.name, "order": {"$from": "/input/order"}, "from": from},
        });
        match self.side(nth) {
            Side::After => {}
            _ if step.may_stay => json["compensation"] = false.into(),
            _ => json["compensation"] = format!("undo-{}", step.name).into(),
        }
        if step.pivot {
            json["pivot"] = true.into();
        }
        if let Some((_, tries)) = tries.iter().find(|(step, _)| *step == nth) {
            json["retry"] = json!({"tries": tries});
        }
        json
    }

    /// Whether a step comes after another, directly or not.
    pub fn follows(&self, later: usize, earlier: usize) -> bool {
        self.steps[later].after.iter().any(|&way| way == earlier || self.follows(way, earlier))
    }

    pub fn side(&self, step: usize) -> Side {
        match self.steps.iter().position(|step| step.pivot) {
            Some(pivot) if pivot == step => Side::Pivot,
            Some(pivot) if self.follows(step, pivot) => Side::After,
            _ => Side::Before,
        }
    }

    pub fn can_be_undone(&self, step: usize) -> bool {
        self.side(step) != Side::After && !self.steps[step].may_stay
    }

    /// What a step's action must be given.
    pub fn payload(&self, step: usize) -> Value {
        let from: Vec<usize> = self.read_by(step).map(|earlier| 100 + earlier).collect();
        json!({"step": self.steps[step].name, "order": 7, "from": from})
    }
}

/// What must come of a saga.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Empty: it completes. Else it turns back for one of these.
    pub turned_by: Vec<(usize, Turn)>,
    pub fates: Vec<Fate>,
}

/// What turns a saga back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Refused,
    Deadline,
    Exhausted,
}

/// What must become of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its effect is there for good.
    Done,
    /// It was done, and is taken back.
    Undone,
    /// It may have been done, and is taken back.
    UndoneUnknown,
    /// It was refused at its only attempt, and left alone.
    Refused,
    /// It was never begun.
    Never,
}

impl Plan {
    pub fn expect(&self, failures: &[Failure]) -> Expected {
        let turning: Vec<(usize, Turn)> = failures
            .iter()
            .filter_map(|f| Some((f.step, f.way.turns_back(self.side(f.step))?)))
            .collect();
        // What comes after one that turns the saga back does not even begin.
        let begins = |step: usize| !turning.iter().any(|&(other, _)| self.follows(step, other));
        let fate = |step: usize| match failures.iter().find(|f| f.step == step) {
            _ if turning.is_empty() => Fate::Done,
            _ if !begins(step) => Fate::Never,
            Some(f) if turning.iter().any(|&(other, _)| other == step) => match f.way {
                Way::Refused => Fate::Refused,
                _ => Fate::UndoneUnknown,
            },
            _ => Fate::Undone,
        };
        let fates = (0..self.steps.len()).map(fate).collect();
        let turned_by = turning.iter().copied().filter(|&(step, _)| begins(step)).collect();
        Expected { turned_by, fates }
    }
}
