//! The input of a handler, read from a call.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use wholly_core::wire::{Call, CompensationPayload};
use wholly_core::{BranchName, Timestamp, TraceContext, TransactionId};

use super::StepError;

/// The context of a step that is to be done or undone.
#[derive(Debug)]
pub struct Step<I> {
    /// The saga's input.
    pub input: I,
    /// The saga.
    pub transaction: TransactionId,
    /// The time at which the saga turns back; `None` after the pivot, and if it has turned back.
    pub expires: Option<Timestamp>,
    /// The trace that the saga belongs to, if it does: for the calls that the step makes.
    pub trace: Option<Arc<TraceContext>>,
    name: BranchName,
    idempotency_key: String,
    outputs: Box<RawValue>,
}

impl<I> Step<I> {
    /// The step's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The same for every attempt at this step of this saga, and for nothing else: its undo has
    /// another. It is for any service that may be asked twice.
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// The output of a step that this one comes after, directly or not.
    ///
    /// # Errors
    /// When this step does not come after that one, or the output is no `T`. Both need a new
    /// version of the program: the saga is stuck.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<T, StepError> {
        let outputs: BTreeMap<&str, &RawValue> =
            read("the outputs of earlier steps", self.outputs.get())?;
        let Some(output) = outputs.get(step) else {
            return Err(StepError::stuck(format!(
                "the step {:?} cannot see the output of {step:?}, which it does not come after",
                self.name()
            )));
        };
        read(&format!("the output of the step {step:?}"), output.get())
    }
}

/// The payload of an action, which its compensation is given again: the value of `{"$from": ""}`.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    steps: &'a RawValue,
}

impl<I: DeserializeOwned> Step<I> {
    pub(super) fn of_action(call: Call) -> Result<Self, StepError> {
        Self::of(&call, read(PAYLOAD, call.payload.as_str())?)
    }

    /// The step, and its output where it is known to have been done.
    pub(super) fn of_compensation<O: DeserializeOwned>(
        call: Call,
    ) -> Result<(Self, Option<O>), StepError> {
        let CompensationPayload::<Document<'_>, &RawValue> { input, output } =
            read(PAYLOAD, call.payload.as_str())?;
        let output =
            output.map(|output| read("the step's own output", output.get())).transpose()?;
        Ok((Self::of(&call, input)?, output))
    }

    fn of(call: &Call, document: Document<'_>) -> Result<Self, StepError> {
        Ok(Self {
            input: read("the saga's input", document.input.get())?,
            transaction: call.transaction,
            expires: call.expires,
            trace: call.trace.clone(),
            name: call.branch.clone(),
            idempotency_key: call.idempotency_key(),
            outputs: document.steps.to_owned(),
        })
    }
}

const PAYLOAD: &str = "the step's payload";

/// Reads a value; a failure is stuck, for a value that cannot be read today never can.
fn read<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, StepError> {
    serde_json::from_str(text).map_err(|why| {
        StepError::stuck(format!(
            "{what} is not what this version of the program expects: {why}; register what the \
             saga was started with, and give what has changed a new version"
        ))
    })
}
