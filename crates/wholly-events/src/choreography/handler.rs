//! Handlers: the service's own code for an event, its input and its result.

use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::plan::ReactionIndex;
use crate::Failure;
use crate::declaration::Reaction;
use crate::event::{Event, data_to_json};
use crate::names::{ReactionName, ServiceName};
use crate::session::{Session, SqlError};

/// The reactions that another one undoes, each with the data that it emitted, as JSON; `None` if it
/// had not taken effect.
pub type Undone = Vec<(ReactionName, Option<String>)>;

/// An event with its data, as passed to a handler.
#[derive(Clone, Debug)]
pub struct Incoming<E> {
    /// The event's data; also available as `*incoming`.
    pub data: E,
    /// The event itself.
    pub event: Event,
    /// The reactions that this one undoes, each with the data that it emitted, as JSON (`null` if
    /// it was silent). `None` if it refused or never ran: then there is nothing to undo, but this
    /// reaction's event is emitted all the same.
    pub undone: Undone,
}

/// The result of a handler that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reacted<T, R = ()> {
    /// Success, with the data of the reaction's event, if it emits one.
    Done(T),
    /// Success without an event: the reaction awaits another event (a *join*), or has no news.
    Silent,
    /// A refusal, with the data of the refusal's event. The reaction's writes are rolled back.
    Refused(R),
}

/// An event whose data is not yet parsed.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub(crate) event: Event,
    pub(crate) undone: Undone,
    /// The result of the reaction's call, as JSON, if it made one.
    pub(crate) called: Option<String>,
}

/// The result of a handler, with its data as JSON.
pub type HandlerOutput = Reacted<String, String>;

/// The error of a handler.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HandlerError {
    /// The event's data does not fit the handler's type. A retry cannot succeed.
    #[error("the event's data cannot be read: {0}")]
    Unreadable(String),
    /// The service's own code failed.
    #[error("{0}")]
    Failed(Arc<dyn std::error::Error + Send + Sync>),
}

/// The key of a reaction's call.
///
/// INVARIANT: the key depends on the event and the reaction alone, so a repetition has the same.
pub(crate) fn call_key(service: &ServiceName, reaction: &ReactionName, event: &Event) -> String {
    format!("{service}/{reaction}/{}/{}", event.source, event.id)
}

/// The handlers of a service, for one type of session.
pub(crate) trait Handlers<S: Session> {
    /// Calls the handler of the reaction.
    async fn handle(
        &self,
        session: &mut S,
        index: ReactionIndex,
        delivered: Delivered,
    ) -> Result<HandlerOutput, HandlerError>;
}

impl<E> Deref for Incoming<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.data
    }
}

impl Delivered {
    pub(crate) fn read<E: DeserializeOwned>(self) -> Result<Incoming<E>, HandlerError> {
        let data = self.event.data().map_err(|why| HandlerError::Unreadable(why.to_string()))?;
        Ok(Incoming { data, event: self.event, undone: self.undone })
    }

    /// The result of the call that was made before.
    pub(crate) fn called<C: DeserializeOwned>(&self) -> Result<C, HandlerError> {
        let text = self.called.as_deref().unwrap_or("null");
        serde_json::from_str(text).map_err(HandlerError::failed)
    }
}

/// Writes the data of a handler's result as JSON. Fails for a refusal that is not declared.
pub(crate) fn output<T: Serialize, R: Serialize>(
    reacted: Result<Reacted<T, R>, Failure>,
    reaction: &Reaction,
) -> Result<HandlerOutput, HandlerError> {
    let output = match reacted.map_err(HandlerError::failed)? {
        Reacted::Done(data) => data_to_json(&reaction.on, &data).map(Reacted::Done),
        Reacted::Silent => Ok(Reacted::Silent),
        Reacted::Refused(_) if reaction.refuses.is_none() => {
            let why = format!("reaction {} refused without a declared refusal", reaction.name);
            return Err(HandlerError::failed(why));
        }
        Reacted::Refused(data) => data_to_json(&reaction.on, &data).map(Reacted::Refused),
    };
    output.map_err(HandlerError::failed)
}

impl HandlerError {
    pub(crate) fn failed(why: impl Into<Failure>) -> Self {
        Self::Failed(Arc::from(why.into()))
    }
}

impl From<SqlError> for HandlerError {
    fn from(error: SqlError) -> Self {
        Self::failed(error)
    }
}
