//! The outbox: an event is written in the transaction that makes it true, so neither exists without
//! the other (*transactional outbox*; Richardson, Microservices Patterns, 2018).

use crate::event::NewEvent;
use crate::session::{Session, SqlError, SqlValue};
use crate::sql;

/// Writes an event into the outbox. The commit of the caller's transaction publishes it.
///
/// # Errors
/// What the database says. The caller must then roll back.
pub async fn publish<S: Session>(session: &mut S, event: &NewEvent) -> Result<(), SqlError> {
    let values = [
        SqlValue::Text(event.id.as_str()),
        SqlValue::Text(event.kind.as_str()),
        SqlValue::Text(event.correlation.as_str()),
        event.causation.as_ref().map(|id| id.as_str()).into(),
        event.traceparent.as_deref().into(),
        event.time.as_millis().into(),
        SqlValue::Text(&event.data),
    ];
    session.pipeline(sql::PUBLISH, &values).await
}

/// Makes the tables of this crate where they are not yet there.
///
/// # Errors
/// What the database says.
pub async fn create_tables<S: Session>(session: &mut S) -> Result<(), SqlError> {
    session.batch(S::DIALECT.schema()).await
}
