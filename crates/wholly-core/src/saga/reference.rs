//! References: how a step's payload takes from the saga's input and from earlier outputs.
//!
//! A reference is an object with the one member `$from`, whose value is a JSON Pointer (RFC 6901)
//! into the document `{"input": <the saga's input>, "steps": {"<step>": <its output>, …}}`. It is
//! replaced by what it points at:
//!
//! | in a payload | stands for |
//! |---|---|
//! | `{"$from": "/input"}` | the saga's input; so does no payload at all |
//! | `{"$from": "/input/items/0/id"}` | a part of it |
//! | `{"$from": "/steps/reserve"}` | the output of the step `reserve`; `null` if it had none |
//! | `{"$from": "/steps/reserve/shelf"}` | a part of it |
//! | `{"$from": "/steps"}` | the outputs of all steps that this one comes after, by name |
//! | `{"$from": ""}` | the whole document, with those outputs |
//! | `{"$literal": {"$from": "x"}}` | `{"$from": "x"}`: what `$literal` holds is left as it is |
//!
//! In a pointer `~1` stands for `/` and `~0` for `~`. Only a step that this one comes after,
//! directly or not, may be referred to: the output of another may not be there yet.
//!
//! What a reference does not replace stays as it was written: numbers keep every digit, members
//! their order, and of two members with one name the last one counts.

mod compile;
mod follow;

use std::str;

use super::{StepIndex, StepSet};
use crate::Payload;
pub(super) use compile::KnownNames;

/// A step's payload, ready to be filled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// Nothing has to be filled in.
    Literal(Payload),
    /// It is put together from these, in this order.
    Parts(Box<[TemplatePart]>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum TemplatePart {
    Text(Box<str>),
    Reference(Reference),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reference {
    /// As it was written.
    pointer: Box<str>,
    source: Source,
    /// The way from the source; empty: all of it.
    path: Box<[Token]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    Input,
    Output(StepIndex),
}

/// One token of a pointer: a member's name, which in a list is an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Token {
    name: Box<str>,
    index: Option<usize>,
}

/// Why a payload cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// What a reference points at is not there.
    #[error("the reference {pointer:?} does not resolve: there is nothing at {missing:?}")]
    Missing {
        /// The reference.
        pointer: String,
        /// The first place on its way that is not there.
        missing: String,
    },
    /// The output that a reference points into is not there.
    #[error("the reference {pointer:?} does not resolve: its step is not done")]
    NotDone {
        /// The reference.
        pointer: String,
    },
    /// What a reference points into cannot be read.
    #[error("the reference {pointer:?} does not resolve: {why}")]
    Unreadable {
        /// The reference.
        pointer: String,
        /// What the reader says.
        why: String,
    },
    /// The payload is longer than the limit once it is filled.
    #[error("with its references filled in the payload is longer than the limit, {limit} bytes")]
    TooLong {
        /// The most that it may have.
        limit: usize,
    },
}

impl Template {
    /// The payload, from the saga's input and from outputs. A step that was done without an output
    /// has the output `null`.
    ///
    /// # Errors
    /// When a reference points at nothing, or when the payload would have more bytes than `limit`.
    pub fn fill<'a>(
        &self,
        limit: usize,
        input: &'a Payload,
        output: impl Fn(StepIndex) -> Option<&'a Payload>,
    ) -> Result<Payload, Unresolved> {
        let source = |reference: &Reference| match reference.source {
            Source::Input => Ok(input),
            Source::Output(step) => {
                output(step).ok_or(Unresolved::NotDone { pointer: reference.pointer.to_string() })
            }
        };
        let parts = match &self.0 {
            Form::Literal(payload) => return Ok(payload.clone()),
            Form::Parts(parts) => parts,
        };
        if let [TemplatePart::Reference(whole)] = &**parts
            && whole.path.is_empty()
        {
            return source(whole).cloned();
        }
        let mut text = String::new();
        for part in parts {
            text.push_str(match part {
                TemplatePart::Text(text) => text,
                TemplatePart::Reference(reference) => reference.follow(source(reference)?)?,
            });
            // What is too long is not built to its end: a few references can stand for very much.
            if text.len() > limit {
                return Err(Unresolved::TooLong { limit });
            }
        }
        // Values put where values were make a value; if not, the reason says so.
        Payload::composed(text).map_err(|error| Unresolved::Unreadable {
            pointer: String::new(),
            why: error.to_string(),
        })
    }

    /// Whether an input can fill it, as far as that can be said without the outputs.
    pub(super) fn accepts(&self, limit: usize, input: &Payload) -> Result<(), Unresolved> {
        let Form::Parts(parts) = &self.0 else { return Ok(()) };
        let mut bytes = 0;
        for part in parts {
            bytes += match part {
                TemplatePart::Text(text) => text.len(),
                TemplatePart::Reference(reference) => match reference.source {
                    Source::Input => reference.follow(input)?.len(),
                    Source::Output(_) => 0,
                },
            };
        }
        match bytes > limit {
            true => Err(Unresolved::TooLong { limit }),
            false => Ok(()),
        }
    }

    /// Whether this output of this step has all that is read from it.
    pub(super) fn reads(&self, step: StepIndex, output: &Payload) -> Result<(), Unresolved> {
        let Form::Parts(parts) = &self.0 else { return Ok(()) };
        parts.iter().try_for_each(|part| match part {
            TemplatePart::Reference(reference) if reference.source == Source::Output(step) => {
                reference.follow(output).map(|_| ())
            }
            _ => Ok(()),
        })
    }

    /// The steps whose outputs are filled in.
    pub(super) fn outputs(&self) -> StepSet {
        let Form::Parts(parts) = &self.0 else { return StepSet::default() };
        parts.iter().fold(StepSet::default(), |steps, part| match part {
            TemplatePart::Reference(Reference { source: Source::Output(step), .. }) => {
                steps.with(*step)
            }
            _ => steps,
        })
    }

    /// How many places of it are filled.
    pub(super) fn references(&self) -> usize {
        match &self.0 {
            Form::Literal(_) => 0,
            Form::Parts(parts) => {
                parts.iter().filter(|part| matches!(part, TemplatePart::Reference(_))).count()
            }
        }
    }
}

#[cfg(test)]
mod tests;
