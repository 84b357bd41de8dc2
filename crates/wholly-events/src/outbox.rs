//! The outbox: an event is written in the transaction that makes it true, so neither exists without
//! the other (*transactional outbox*; Richardson, Microservices Patterns, 2018).

use crate::event::NewEvent;
use crate::session::{Session, SqlResult, SqlValue};
use crate::sql;

/// Writes an event into the outbox. The commit of the caller's transaction publishes it.
///
/// # Errors
/// The database's error. The caller must then roll back.
pub async fn publish<S: Session>(session: &mut S, event: &NewEvent) -> SqlResult<()> {
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

/// Creates the missing tables of this crate.
///
/// # Errors
/// The database's error.
pub async fn create_tables<S: Session>(session: &mut S) -> SqlResult<()> {
    session.batch(S::DIALECT.schema()).await
}
