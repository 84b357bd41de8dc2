//! A participant in process that does nothing, so that what is measured is Wholly.

use wholly::{Answer, Builder, Call, Participant};

use super::error::BenchError;

/// A saga's operation of this name is refused.
pub const REFUSED: &str = "refuse";

/// Says yes to everything else, at once.
pub struct Idle;

impl Participant for Idle {
    async fn prepare(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn commit(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn abort(&self, _: Call) -> Answer {
        Answer::Done
    }

    async fn action(&self, call: Call) -> Answer {
        match call.operation_name() {
            REFUSED => Answer::refused("it was to be"),
            _ => Answer::Done,
        }
    }

    async fn compensate(&self, _: Call) -> Answer {
        Answer::Done
    }
}

/// Gives a coordinator such participants, of these names.
pub fn idle(names: Vec<String>) -> impl FnOnce(Builder) -> Result<Builder, BenchError> {
    let add = |builder: Builder, name: String| builder.participant(&name, Idle);
    move |builder| Ok(names.into_iter().fold(builder, add))
}
