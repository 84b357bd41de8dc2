//! A definition's text with something sound in place of what cannot be read, so that the rest of
//! it can be checked, too.

use serde_json::value::RawValue;
use wholly_core::saga::{Problem, Segment};

use super::json::{members, offset};
use super::shape::{Found, Wrong};

/// What a text says apart from what is wrong with its shape.
pub struct Mended {
    pub text: String,
    /// Where it says what its author did not.
    doubtful: Vec<Vec<Segment>>,
}

impl Mended {
    /// Mends what was found in a text.
    pub fn of(text: &str, found: &[Found<'_>]) -> Self {
        let mut mended = Self { text: String::new(), doubtful: Vec::new() };
        let mut edits: Vec<Edit> =
            found.iter().filter_map(|found| mended.edit(text, found)).collect();
        edits.sort();
        // Of an object without members, all that is missing is mended by one stand-in.
        edits.dedup();
        let mut done = 0;
        for Edit { from, to, instead } in edits {
            mended.text += text.get(done..from).unwrap_or_default();
            mended.text += &instead;
            done = to;
        }
        mended.text += text.get(done..).unwrap_or_default();
        mended
    }

    /// Whether a problem of the mended text may come from a stand-in alone.
    pub fn may_have_caused(&self, problem: &Problem) -> bool {
        self.doubtful.iter().any(|doubtful| {
            problem.at.starts_with(doubtful)
                || match of_step(doubtful).as_deref() {
                    Some([]) => is_of_names(&problem.at) || is_of_sides(&problem.at),
                    Some(["name"]) => is_of_names(&problem.at),
                    Some(["pivot"]) => is_of_sides(&problem.at),
                    _ => false,
                }
        })
    }

    fn edit(&mut self, text: &str, found: &Found<'_>) -> Option<Edit> {
        let from = offset(text, found.part);
        let to = from + found.part.get().len();
        let mut at = found.problem.at.clone();
        let edit = match found.wrong {
            // It is not looked at.
            Wrong::Unknown => return None,
            Wrong::Value => Edit { from, to, instead: stand_in(&at, from) },
            Wrong::Twice => Edit { from, to, instead: "\"\"".to_owned() },
            Wrong::Missing(_) if is_empty(found.part) => {
                Edit { from, to, instead: stand_in(&at, from) }
            }
            Wrong::Missing(name) => {
                at.push(name.into());
                let instead = format!("{name:?}:{},", stand_in(&at, from));
                Edit { from: from + 1, to: from + 1, instead }
            }
        };
        self.doubtful.push(at);
        Some(edit)
    }
}

/// What stands where the text said something else.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Edit {
    from: usize,
    to: usize,
    instead: String,
}

fn is_empty(object: &RawValue) -> bool {
    members(object).is_some_and(|members| members.is_empty())
}

/// Something sound for this place of a definition. No two have the same name.
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

/// Whether a problem there may be that a step is not found by its name.
fn is_of_names(at: &[Segment]) -> bool {
    matches!(of_step(at).as_deref(), Some(["after" | "payload", ..]))
}

/// Whether a problem there may be of where a step is from the pivot.
fn is_of_sides(at: &[Segment]) -> bool {
    matches!(of_step(at).as_deref(), Some([] | ["compensation" | "pivot"] | ["retry", "tries"]))
}
