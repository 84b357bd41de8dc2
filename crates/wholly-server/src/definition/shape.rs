//! The schema of a definition: its members and their types. Every violation is reported.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use wholly_core::nearest;
use wholly_core::saga::{Compensation, Factor, Problem, Segment};
use wholly_core::{Name, OperationName, ParticipantName, Payload, StepName};

use super::json::{elements, members, without_place};

/// The schema of a value.
enum Shape {
    /// A value that this function can read.
    Value(fn(&str) -> Result<(), serde_json::Error>),
    /// A list of these.
    List(&'static Shape),
    /// An object with these members and no other.
    Object(&'static [Field]),
}

struct Field {
    name: &'static str,
    required: bool,
    shape: Shape,
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, required: true, shape }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, required: false, shape }
}

const fn a<T: DeserializeOwned>() -> Shape {
    Shape::Value(|text| serde_json::from_str::<T>(text).map(drop))
}

/// A payload, none of whose objects repeats a member.
fn payload(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<Payload>(text)?.check_members().map_err(serde::de::Error::custom)
}

static DEFINITION: Shape = Shape::Object(&[
    required("name", a::<Name>()),
    required("version", a::<u32>()),
    optional("deadline_millis", a::<u64>()),
    required("steps", Shape::List(&STEP)),
]);

static STEP: Shape = Shape::Object(&[
    required("name", a::<StepName>()),
    // In a program's own saga it may be missing, and in no other.
    required("participant", a::<ParticipantName>()),
    optional("action", a::<OperationName>()),
    optional("compensation", a::<Compensation>()),
    optional("payload", Shape::Value(payload)),
    optional("after", Shape::List(&NAME)),
    optional("pivot", a::<bool>()),
    optional("timeout_millis", a::<u64>()),
    optional("retry", RETRY),
]);

static NAME: Shape = a::<StepName>();

const RETRY: Shape = Shape::Object(&[
    optional("first_millis", a::<u64>()),
    optional("factor", a::<Factor>()),
    optional("cap_millis", a::<u64>()),
    optional("tries", a::<u32>()),
]);

/// A problem, and the part of the text that it is in.
pub struct Violation<'a> {
    pub part: &'a RawValue,
    pub problem: Problem,
    pub kind: ViolationKind,
}

/// The violation of the schema in a part.
#[derive(Clone, Copy)]
pub enum ViolationKind {
    /// It is a value that cannot be read.
    Value,
    /// It is the name of a member that nothing knows.
    Unknown,
    /// It is the name of a member that was there before.
    Twice,
    /// It is an object without this member.
    Missing(&'static str),
}

/// All members that are missing, unknown, there twice or of a wrong type.
pub fn problems(definition: &RawValue) -> Vec<Violation<'_>> {
    let mut check = ShapeChecker { at: Vec::new(), found: Vec::new() };
    check.value(definition, &DEFINITION);
    check.found
}

struct ShapeChecker<'a> {
    at: Vec<Segment>,
    found: Vec<Violation<'a>>,
}

impl<'a> ShapeChecker<'a> {
    /// The most problems: nobody reads more.
    const LIMIT: usize = 100;

    fn value(&mut self, value: &'a RawValue, shape: &'static Shape) {
        match shape {
            Shape::Value(read) => {
                if let Err(error) = read(value.get()) {
                    self.problem(value, ViolationKind::Value, || without_place(&error));
                }
            }
            Shape::List(of) => match elements(value) {
                None => self.problem(value, ViolationKind::Value, || "this must be a list".into()),
                Some(elements) => {
                    for (index, element) in elements.into_iter().enumerate() {
                        self.under(index.into(), |check| check.value(element, of));
                    }
                }
            },
            Shape::Object(fields) => self.object(value, fields),
        }
    }

    fn object(&mut self, object: &'a RawValue, fields: &'static [Field]) {
        let Some(members) = members(object) else {
            return self.problem(object, ViolationKind::Value, || "this must be an object".into());
        };
        let mut seen: Vec<&str> = Vec::new();
        for member in members {
            let field = fields.iter().find(|field| field.name == member.name);
            self.under(member.name.as_str().into(), |check| match field {
                None => check
                    .problem(member.key, ViolationKind::Unknown, || unknown(&member.name, fields)),
                Some(field) if seen.contains(&field.name) => {
                    check.problem(member.key, ViolationKind::Twice, || {
                        format!("`{}` is there twice", field.name)
                    });
                }
                Some(field) => {
                    seen.push(field.name);
                    check.value(member.value, &field.shape);
                }
            });
        }
        for Field { name, .. } in
            fields.iter().filter(|field| field.required && !seen.contains(&field.name))
        {
            self.problem(object, ViolationKind::Missing(name), || format!("`{name}` is missing"));
        }
    }

    fn under(&mut self, segment: Segment, then: impl FnOnce(&mut Self)) {
        self.at.push(segment);
        then(self);
        self.at.pop();
    }

    fn problem(&mut self, part: &'a RawValue, kind: ViolationKind, what: impl FnOnce() -> String) {
        if self.found.len() < Self::LIMIT {
            let problem = Problem { at: self.at.clone(), what: what() };
            self.found.push(Violation { part, problem, kind });
        }
    }
}

fn unknown(name: &str, fields: &[Field]) -> String {
    let names = fields.iter().map(|field| field.name);
    match nearest(name, names.clone()) {
        Some((_, near)) => format!("there is no `{name}` here; did you mean `{near}`?"),
        None => {
            let known: Vec<String> = names.map(|name| format!("`{name}`")).collect();
            format!("there is no `{name}` here; there may be {}", known.join(", "))
        }
    }
}
