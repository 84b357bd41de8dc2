//! A service's own code: what is called for an event, and what it says.

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

/// The reactions that another takes back, and what each had emitted, as JSON: `None` where it had not
/// taken effect.
pub type Undone = Vec<(ReactionName, Option<String>)>;

/// An event with its data, as a reaction gets it.
#[derive(Clone, Debug)]
pub struct Incoming<E> {
    /// The data. `*incoming` is the data, too.
    pub data: E,
    /// The event itself.
    pub event: Event,
    /// The reactions that this one takes back, and what each had emitted, as JSON, `null` where it
    /// was silent: `None` where it had not taken effect, because it refused or never ran. There is nothing to take back then,
    /// but what this reaction emits is emitted all the same.
    pub undone: Undone,
}

/// The end of a reaction that did not fail: what it emits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reacted<T, R = ()> {
    /// An effect. The data of the event that the reaction emits, if it emits one.
    Done(T),
    /// An effect, and no event this time: the reaction awaits another one (a *join*), or there is
    /// nothing new to say.
    Silent,
    /// A refusal: all that the reaction wrote is rolled back. The data of the event that it emits.
    Refused(R),
}

/// An event, before its data was read.
#[derive(Clone, Debug)]
pub struct Delivered {
    pub(crate) event: Event,
    pub(crate) undone: Undone,
    /// The result of the call, as JSON, of a reaction that made one.
    pub(crate) called: Option<String>,
}

/// The result of a handler, with its data as JSON.
pub type HandlerOutput = Reacted<String, String>;

/// Why a handler said nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HandlerError {
    /// The event's data has another form than the handler reads: to try again is of no use.
    #[error("the data of the event is not what is expected: {0}")]
    Unreadable(String),
    /// The service's own code failed.
    #[error("{0}")]
    Failed(Arc<dyn std::error::Error + Send + Sync>),
}

/// The key of a reaction's call.
///
/// INVARIANT: it follows from the event and the reaction alone, so that a repetition has the same.
pub(crate) fn call_key(service: &ServiceName, reaction: &ReactionName, event: &Event) -> String {
    format!("{service}/{reaction}/{}/{}", event.source, event.id)
}

/// The handlers of a service, for a session of one kind.
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
            let why = format!("reaction {} refused, and declares no refusal", reaction.name);
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
