//! A participant in process that does nothing, so that the figures are Wholly's.

use wholly::{Answer, Builder, Call, HttpParticipant, Participant};

use super::error::BenchError;

/// A saga's operation of this name is refused.
pub const REFUSED: &str = "refuse";

/// Says yes to everything else, at once.
struct Idle;

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

/// Gives a coordinator participants of these names: at these URLs or, where there are none, idle.
///
/// # Errors
/// When a URL is not valid.
pub fn add(mut builder: Builder, names: &[String], urls: &[String]) -> Result<Builder, BenchError> {
    for (nth, name) in names.iter().enumerate() {
        builder = match urls.get(nth) {
            Some(url) => builder.participant(name, HttpParticipant::at(url)?),
            None => builder.participant(name, Idle),
        };
    }
    Ok(builder)
}
