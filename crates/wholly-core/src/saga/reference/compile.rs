//! From a payload as it is written to a template.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Form, Reference, Source, Template, TemplatePart, Token};
use crate::Payload;
use crate::saga::problem::{Problems, Segment, meant};
use crate::saga::{StepDefinition, StepIndex, StepSet};

/// The most references in one payload, so that filling it takes a bounded time.
const REFERENCE_LIMIT: usize = 128;
/// How deep a payload with references may nest, and how deep a reference may point: less than
/// what the JSON reader bears.
const LEVEL_LIMIT: usize = 100;

/// What a step's payload may refer to.
pub(in crate::saga) struct KnownNames<'a> {
    pub steps: &'a [StepDefinition],
    /// Each name's step.
    pub by_name: &'a BTreeMap<&'a str, StepIndex>,
    /// What each step comes after, directly or not.
    pub ancestors: &'a [StepSet],
    /// Whose payload it is.
    pub step: StepIndex,
}

impl Template {
    /// Compiles the payload that is written at `at`. Absent: the saga's input.
    pub(in crate::saga) fn parse(
        payload: Option<&Payload>,
        known: &KnownNames<'_>,
        at: Vec<Segment>,
        problems: &mut Problems,
    ) -> Self {
        let Some(payload) = payload else {
            return Self(Form::Parts(
                [TemplatePart::Reference(whole("/input", Source::Input))].into(),
            ));
        };
        // The member's name may be written with escapes.
        if !payload.as_str().contains(['$', '\\']) {
            return Self(Form::Literal(payload.clone()));
        }
        let text = payload.as_str();
        let mut compiler =
            Compiler { text, taken: 0, parts: Vec::new(), references: 0, known, at, problems };
        match serde_json::from_str(text) {
            Ok(value) => compiler.value(value, 0),
            Err(error) => compiler.problem(|| error.to_string()),
        }
        compiler.finish(payload)
    }
}

fn whole(pointer: &str, source: Source) -> Reference {
    Reference { pointer: pointer.into(), source, path: [].into() }
}

struct Compiler<'a> {
    text: &'a str,
    /// So much of the text is in the parts.
    taken: usize,
    parts: Vec<TemplatePart>,
    references: usize,
    known: &'a KnownNames<'a>,
    at: Vec<Segment>,
    problems: &'a mut Problems,
}

impl<'a> Compiler<'a> {
    fn value(&mut self, value: &'a RawValue, level: usize) {
        if !value.get().contains(['$', '\\']) {
            return;
        }
        let nested = value.get().starts_with(['{', '[']);
        if nested && level == LEVEL_LIMIT {
            return self.problem(|| {
                format!("a payload with references nests at most {LEVEL_LIMIT} levels deep")
            });
        }
        if let Ok(Members(members)) = serde_json::from_str(value.get()) {
            return self.object(value, &members, level);
        }
        let elements = nested.then(|| serde_json::from_str::<Vec<&RawValue>>(value.get()));
        for (index, element) in elements.into_iter().flatten().flatten().enumerate() {
            self.under(Segment::Index(index), |compiler| compiler.value(element, level + 1));
        }
    }

    fn object(&mut self, object: &'a RawValue, members: &[(String, &'a RawValue)], level: usize) {
        for (name, value) in members {
            self.under(Segment::Member(name.clone()), |compiler| match (&**name, members.len()) {
                ("$from", 1) => compiler.reference(object, value),
                ("$literal", 1) => {
                    compiler.replace(object, [TemplatePart::Text(value.get().into())])
                }
                ("$from" | "$literal", _) => compiler.problem(|| {
                    format!("{name} stands alone in its object; take out the other members")
                }),
                _ => compiler.value(value, level + 1),
            });
        }
    }

    fn reference(&mut self, object: &RawValue, pointer: &RawValue) {
        let Ok(pointer) = serde_json::from_str::<String>(pointer.get()) else {
            return self.problem(|| {
                "$from holds a JSON Pointer in quotes, like \"/input/amount\"; for an object that \
                 is to have this member, write {\"$literal\": …} around it"
                    .into()
            });
        };
        self.references += 1;
        if self.references > REFERENCE_LIMIT {
            // Said once.
            if self.references == REFERENCE_LIMIT + 1 {
                self.problem(|| format!("a payload has at most {REFERENCE_LIMIT} references"));
            }
            return;
        }
        match self.parts_of(&pointer) {
            Ok(parts) => self.replace(object, parts),
            Err(why) => self.problem(|| why),
        }
    }

    /// What a pointer stands for.
    fn parts_of(&self, pointer: &str) -> Result<Vec<TemplatePart>, String> {
        let tokens = tokens(pointer)?;
        let (source, path) = match &*tokens {
            [] => return Ok(self.everything()),
            [input, path @ ..] if &*input.name == "input" => (Source::Input, path),
            [steps] if &*steps.name == "steps" => return Ok(self.outputs(String::new(), "}")),
            [steps, step, path @ ..] if &*steps.name == "steps" => {
                (Source::Output(self.step(&step.name)?), path)
            }
            [other, ..] => {
                let meant = meant(&other.name, ["input", "steps"]);
                return Err(format!(
                    "{pointer:?} points nowhere; a reference begins with /input or \
                     /steps/STEP{meant}"
                ));
            }
        };
        match path.len() > LEVEL_LIMIT {
            true => Err(format!("a reference points at most {LEVEL_LIMIT} levels deep")),
            false => Ok(vec![TemplatePart::Reference(Reference {
                pointer: pointer.into(),
                source,
                path: path.into(),
            })]),
        }
    }

    fn step(&self, name: &str) -> Result<StepIndex, String> {
        let KnownNames { by_name, ancestors, step, .. } = *self.known;
        let has =
            |of: StepIndex, other| ancestors.get(usize::from(of)).is_some_and(|a| a.has(other));
        match by_name.get(name) {
            None => {
                let meant = meant(name, by_name.keys().copied());
                Err(format!("there is no step {name:?}{meant}"))
            }
            Some(&other) if other == step => {
                Err(format!("{name:?} is this very step; its output comes after its payload"))
            }
            Some(&other) if has(step, other) => Ok(other),
            Some(&other) if has(other, step) => Err(format!(
                "{name:?} comes after this step, so that its output is not there yet; only what \
                 this step comes after can be referred to"
            )),
            Some(_) => Err(format!(
                "this step does not come after {name:?}, so that its output may not be there \
                 yet; name {name:?} in this step's `after`"
            )),
        }
    }

    fn everything(&self) -> Vec<TemplatePart> {
        let mut parts = vec![
            TemplatePart::Text("{\"input\":".into()),
            TemplatePart::Reference(whole("/input", Source::Input)),
        ];
        parts.extend(self.outputs(",\"steps\":".into(), "}}"));
        parts
    }

    /// The outputs of all that the step comes after, by name. Names need no escapes.
    fn outputs(&self, before: String, end: &str) -> Vec<TemplatePart> {
        let mut parts = Vec::new();
        let mut text = before + "{";
        let ancestors = self.known.ancestors.get(usize::from(self.known.step));
        for step in ancestors.copied().unwrap_or_default().iter() {
            let Some(definition) = self.known.steps.get(usize::from(step)) else { continue };
            let name = definition.name.as_str();
            text += &format!("\"{name}\":");
            parts.push(TemplatePart::Text(std::mem::take(&mut text).into()));
            parts.push(TemplatePart::Reference(whole(
                &format!("/steps/{name}"),
                Source::Output(step),
            )));
            text.push(',');
        }
        if !parts.is_empty() {
            text.pop();
        }
        parts.push(TemplatePart::Text((text + end).into()));
        parts
    }

    /// Puts parts in the place of an object.
    fn replace(&mut self, object: &RawValue, parts: impl IntoIterator<Item = TemplatePart>) {
        // The object is a slice of the text.
        let start = object.get().as_ptr() as usize - self.text.as_ptr() as usize;
        self.take(start);
        self.taken = start + object.get().len();
        self.parts.extend(parts);
    }

    fn take(&mut self, end: usize) {
        if let Some(text) = self.text.get(self.taken..end).filter(|text| !text.is_empty()) {
            self.parts.push(TemplatePart::Text(text.into()));
        }
    }

    fn finish(mut self, payload: &Payload) -> Template {
        if self.parts.is_empty() {
            return Template(Form::Literal(payload.clone()));
        }
        self.take(self.text.len());
        if self.parts.iter().all(|part| matches!(part, TemplatePart::Text(_))) {
            let text: String = self.parts.iter().map(TemplatePart::text).collect();
            if let Ok(payload) = Payload::parse(&text) {
                return Template(Form::Literal(payload));
            }
        }
        Template(Form::Parts(self.parts.into()))
    }

    fn under(&mut self, segment: Segment, then: impl FnOnce(&mut Self)) {
        self.at.push(segment);
        then(self);
        self.at.pop();
    }

    fn problem(&mut self, what: impl FnOnce() -> String) {
        self.problems.add(self.at.clone(), what);
    }
}

impl TemplatePart {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Reference(_) => "",
        }
    }
}

/// A pointer's tokens.
fn tokens(pointer: &str) -> Result<Vec<Token>, String> {
    match pointer.strip_prefix('/') {
        None if pointer.is_empty() => Ok(Vec::new()),
        None => Err(format!(
            "{pointer:?} is no JSON Pointer: it begins with a slash, as in \"/input/amount\""
        )),
        Some(tokens) => tokens.split('/').map(token).collect(),
    }
}

fn token(written: &str) -> Result<Token, String> {
    if written.split('~').skip(1).any(|after| !after.starts_with(['0', '1'])) {
        return Err(format!("{written:?} is no part of a JSON Pointer: write ~0 for ~, ~1 for /"));
    }
    let name = written.replace("~1", "/").replace("~0", "~");
    // RFC 6901: no sign, no leading zero.
    let is_index =
        name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let index = is_index.then(|| name.parse().ok()).flatten();
    Ok(Token { name: name.into(), index })
}

/// An object's members, in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}
