//! The operations that a service declares to sagas, and the forms of their inputs and outputs.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use wholly_core::wire::{Call, CompensationPayload};
use wholly_core::{OperationName, Payload};

use crate::Failure;
use crate::barrier::saga::ActionOutcome;
use crate::http::{Branches, InvalidOperations, saga_router};

/// The actions and compensations of a service, by their names. `C` is the service's code, in the
/// style of the database: blocking or async.
pub struct Operations<C> {
    actions: Vec<OperationName>,
    compensations: Vec<OperationName>,
    declared: HashMap<OperationName, Arc<DeclaredOperation<C>>>,
    /// The first name that is invalid.
    problem: Option<InvalidOperations>,
}

/// An action or a compensation.
pub struct DeclaredOperation<C> {
    /// The action that it is, or that it undoes.
    pub action: OperationName,
    /// The service's code.
    pub code: C,
}

impl<C> Default for Operations<C> {
    fn default() -> Self {
        Self {
            actions: Vec::new(),
            compensations: Vec::new(),
            declared: HashMap::new(),
            problem: None,
        }
    }
}

impl<C> Operations<C> {
    /// Declares an action; returns its name if it is valid.
    pub fn action(&mut self, name: &str, code: C) -> Option<OperationName> {
        let name = self.valid(name)?;
        self.actions.push(name.clone());
        self.declare(name.clone(), name.clone(), code);
        Some(name)
    }

    /// Declares the compensation of this action.
    pub fn compensation(&mut self, action: Option<OperationName>, name: &str, code: C) {
        if let (Some(action), Some(name)) = (action, self.valid(name)) {
            self.compensations.push(name.clone());
            self.declare(name, action, code);
        }
    }

    /// The operation that a call names.
    pub fn of(&self, call: &Call) -> Option<Arc<DeclaredOperation<C>>> {
        self.declared.get(call.operation_name()).map(Arc::clone)
    }

    /// The routes of these operations, answered by the service that is made of them.
    ///
    /// # Errors
    /// When a name is invalid, is given twice, or belongs to two-phase.
    pub fn router<B: Branches>(
        mut self,
        service: impl FnOnce(Self) -> B,
    ) -> Result<axum::Router, InvalidOperations> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let actions = std::mem::take(&mut self.actions);
        let compensations = std::mem::take(&mut self.compensations);
        saga_router(service(self), actions, compensations)
    }

    fn valid(&mut self, text: &str) -> Option<OperationName> {
        let invalid = |why| InvalidOperations::Name { text: text.to_owned(), why };
        let name = OperationName::new(text);
        name.map_err(|why| _ = self.problem.get_or_insert_with(|| invalid(why))).ok()
    }

    fn declare(&mut self, name: OperationName, action: OperationName, code: C) {
        self.declared.insert(name, Arc::new(DeclaredOperation { action, code }));
    }
}

/// The reason to refuse a payload of another form: the same one will never do.
pub fn unreadable(error: &dyn Display) -> String {
    format!("the payload is not what is expected: {error}")
}

/// An outcome with its output as JSON.
///
/// # Errors
/// When the output has no form in JSON, or is longer than [`Payload::LIMIT`].
pub fn encoded<O: Serialize>(outcome: ActionOutcome<O>) -> Result<ActionOutcome<Payload>, Failure> {
    Ok(match outcome {
        ActionOutcome::Done(output) => ActionOutcome::Done(Payload::of(&output)?),
        ActionOutcome::Refused(reason) => ActionOutcome::Refused(reason),
    })
}

/// The arguments of a compensation: the step's input, from the call's payload, and the output that
/// the row has.
///
/// # Errors
/// When this version of the service cannot read one of them.
pub fn compensation_arguments<I: DeserializeOwned, O: DeserializeOwned>(
    payload: &Payload,
    output: &Payload,
) -> Result<(I, O), Failure> {
    let parts: CompensationPayload<I, IgnoredAny> =
        payload.to().map_err(|e| format!("the step's input cannot be read: {e}"))?;
    let output = output.to().map_err(|e| format!("what the action gave cannot be read: {e}"))?;
    Ok((parts.input, output))
}
