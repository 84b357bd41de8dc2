//! A definition's text with valid stand-ins for its unreadable parts, so that the rest of it can be
//! checked, too.

use serde_json::value::RawValue;
use wholly_core::saga::{Problem, Segment};

use super::json::{members, offset};
use super::shape::{Violation, ViolationKind};

/// A definition's text whose shape is valid.
pub struct RepairedText {
    pub text: String,
    /// The places of the stand-ins.
    stand_ins: Vec<Vec<Segment>>,
}

impl RepairedText {
    /// Puts a stand-in in place of each violation.
    pub fn of(text: &str, found: &[Violation<'_>]) -> Self {
        let mut repaired = Self { text: String::new(), stand_ins: Vec::new() };
        let mut edits: Vec<Edit> =
            found.iter().filter_map(|found| repaired.edit(text, found)).collect();
        edits.sort();
        // Of an object without members, one stand-in repairs all that is missing.
        edits.dedup();
        let mut done = 0;
        for Edit { from, to, instead } in edits {
            repaired.text += text.get(done..from).unwrap_or_default();
            repaired.text += &instead;
            done = to;
        }
        repaired.text += text.get(done..).unwrap_or_default();
        repaired
    }

    /// True if a problem of the repaired text may come from a stand-in alone.
    pub fn may_have_caused(&self, problem: &Problem) -> bool {
        self.stand_ins.iter().any(|stand_ins| {
            problem.at.starts_with(stand_ins)
                || match of_step(stand_ins).as_deref() {
                    Some([]) => is_of_names(&problem.at) || is_of_sides(&problem.at),
                    Some(["name"]) => is_of_names(&problem.at),
                    Some(["pivot"]) => is_of_sides(&problem.at),
                    _ => false,
                }
        })
    }

    fn edit(&mut self, text: &str, found: &Violation<'_>) -> Option<Edit> {
        let from = offset(text, found.part);
        let to = from + found.part.get().len();
        let mut at = found.problem.at.clone();
        let edit = match found.kind {
            // An unknown member is ignored.
            ViolationKind::Unknown => return None,
            ViolationKind::Value => Edit { from, to, instead: stand_in(&at, from) },
            ViolationKind::Twice => Edit { from, to, instead: "\"\"".to_owned() },
            ViolationKind::Missing(_) if is_empty(found.part) => {
                Edit { from, to, instead: stand_in(&at, from) }
            }
            ViolationKind::Missing(name) => {
                at.push(name.into());
                let instead = format!("{name:?}:{},", stand_in(&at, from));
                Edit { from: from + 1, to: from + 1, instead }
            }
        };
        self.stand_ins.push(at);
        Some(edit)
    }
}

/// The replacement of a part of the text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Edit {
    from: usize,
    to: usize,
    instead: String,
}

fn is_empty(object: &RawValue) -> bool {
    members(object).is_some_and(|members| members.is_empty())
}

/// A valid stand-in for this place of a definition. No two have the same name.
fn stand_in(at: &[Segment], byte: usize) -> String {
    let name = format!("\"stand-in-{byte}\"");
    match (at, of_step(at).as_deref()) {
        (_, Some([])) => format!(r#"{{"name":{name},"compensation":false}}"#),
        (_, Some(["after"])) => format!("[{name}]"),
        (_, Some(["name" | "participant" | "action"] | ["after", _])) => name,
        (_, Some(["pivot" | "compensation"])) => "false".to_owned(),
        ([Segment::Member(member)], _) if member == "name" => name,
        ([Segment::Member(member)], _) if member == "version" => "1".to_owned(),
        ([Segment::Member(member)], _) if member == "steps" => "[]".to_owned(),
        _ => "null".to_owned(),
    }
}

/// The way on from a step, if the place is in one.
fn of_step(at: &[Segment]) -> Option<Vec<&str>> {
    let [Segment::Member(steps), Segment::Index(_), rest @ ..] = at else { return None };
    (steps == "steps").then(|| rest.iter().map(member).collect())
}

fn member(segment: &Segment) -> &str {
    match segment {
        Segment::Member(name) => name,
        Segment::Index(_) => "",
    }
}

/// True if a problem there may be that a step is not found by its name.
fn is_of_names(at: &[Segment]) -> bool {
    matches!(of_step(at).as_deref(), Some(["after" | "payload", ..]))
}

/// True if a problem there may be the step's side of the pivot.
fn is_of_sides(at: &[Segment]) -> bool {
    matches!(of_step(at).as_deref(), Some([] | ["compensation" | "pivot"] | ["retry", "tries"]))
}
