//! Time-outs: a service emits an event if another one does not arrive in time.
//!
//! INVARIANT: a time-out fires only when no awaited event can be unread: each followed feed was
//! read to its end after the due time, or is unreachable for a stated time. The caller checks that
//! with [`PendingTimeout::may_fire`].

use wholly_core::Timestamp;

use super::plan::ServicePlan;
use super::react::{self, Stamp};
use crate::event::NewEvent;
use crate::names::{Correlation, EventId, EventType};
use crate::probe::{Law, broken};
use crate::session::{Session, SqlResult, SqlRow, SqlValue};
use crate::sql;

/// A time-out that has started and neither fired nor been cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingTimeout {
    /// The choreographed transaction.
    pub correlation: Correlation,
    /// The event to emit when it fires.
    pub emits: EventType,
    /// The due time.
    pub due: Timestamp,
    causation: EventId,
    traceparent: Option<String>,
    data: String,
}

impl PendingTimeout {
    /// True if no awaited event can be unread, given the read horizon.
    pub(crate) fn may_fire(&self, read_horizon: Timestamp) -> bool {
        self.due < read_horizon || broken(Law::TimeoutsKnowAllEvents)
    }
}

/// Time-outs that are due, the oldest first.
pub(crate) async fn due<S: Session>(
    session: &mut S,
    now: Timestamp,
    limit: u64,
) -> SqlResult<Vec<PendingTimeout>> {
    let rows = session.query(sql::TIMEOUTS_DUE, &[now.as_millis().into(), limit.into()]).await?;
    rows.into_iter().map(read).collect()
}

/// Emits the event unless the time-out was cancelled; returns true if it was emitted.
pub(crate) async fn fire<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    running: &PendingTimeout,
    stamp: Stamp,
) -> SqlResult<bool> {
    react::lock(session, &running.correlation, stamp.now).await?;
    let values =
        [SqlValue::Text(running.correlation.as_str()), SqlValue::Text(running.emits.as_str())];
    if session.execute(sql::CANCEL_TIMEOUT, &values).await? == 0 {
        return Ok(false);
    }
    react::mark_timeout(session, &running.correlation, &running.emits, stamp.now).await?;
    let event = NewEvent {
        id: EventId::mint(stamp.now, stamp.random),
        kind: running.emits.clone(),
        time: stamp.now,
        correlation: running.correlation.clone(),
        causation: Some(running.causation.clone()),
        traceparent: running.traceparent.clone(),
        data: running.data.clone(),
    };
    react::emit(session, plan, &event, stamp.now).await?;
    Ok(true)
}

fn read(mut row: SqlRow) -> SqlResult<PendingTimeout> {
    Ok(PendingTimeout {
        correlation: row.name(0)?,
        emits: row.name(1)?,
        due: Timestamp::from_millis(row.number(2)?),
        causation: row.name(3)?,
        traceparent: row.optional_text(4)?,
        data: row.text(5)?,
    })
}
