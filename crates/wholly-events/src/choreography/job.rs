//! The local transactions of a choreographed service, each as a job.
//!
//! A store begins a transaction, calls [`perform`] with the job, and commits.

use wholly_core::Timestamp;

use super::handler::{HandlerError, Handlers};
use super::operator::DropError;
use super::parked::{self, ParkedEvent, ParkedState};
use super::plan::{ReactionIndex, ServicePlan};
use super::react::{self, Disposition, ReactError, Stamp};
use super::status::ReactionStatus;
use super::timeout::{self, PendingTimeout};
use crate::cursor::Cursor;
use crate::event::Event;
use crate::feed::tables::{self, Sequenced};
use crate::feed::{CursorRefusal, FeedPage, SetAside, StartFrom};
use crate::inbox::{ReactionOutcome, record};
use crate::names::{Correlation, EventType, ReactionName, ServiceName};
use crate::outbox::create_tables;
use crate::session::{Session, SqlResult, SqlValue};
use crate::sql;

/// A local transaction of a service.
#[derive(Debug)]
pub enum StoreJob {
    /// Makes the tables.
    Create,
    /// Makes the tables and names the feed.
    Open,
    /// Handles an event of a feed.
    Receive(ReactionIndex, Event, Stamp),
    /// Retries a parked event, with its call's result, if it has one.
    Retry(u64, Correlation, Option<String>, Stamp),
    /// Records that a reaction to an event failed.
    Failed(ReactionName, Event, HandlerError, Timestamp),
    /// Makes all calls due that were out when the service stopped.
    CallsAgain(Timestamp),
    /// Reads the parked events that are due, and the time of the next one.
    Due(Timestamp),
    /// Reads the time-outs that are due.
    TimeoutsDue(Timestamp),
    /// Fires a time-out.
    Fire(PendingTimeout, Stamp),
    /// Assigns positions to committed events. The cursor is the last known one.
    Sequence(Option<Cursor>),
    /// Reads a page of the feed, up to this head and at most so many events.
    Page(StartFrom, u64, u64),
    /// Reads the stored cursor of a followed feed.
    Cursor(ServiceName),
    /// Advances that cursor.
    Advance(ServiceName, Cursor, Timestamp),
    /// Sets that cursor for an operator, with a reason.
    SetCursor(ServiceName, Cursor, String, Timestamp),
    /// Stores an invalid entry of a feed.
    SetAside(ServiceName, SetAside, Timestamp),
    /// Drops a parked event for an operator.
    Drop(DropRequest, Stamp),
    /// Makes a parked event due for an operator.
    RetryNow(u64, Timestamp),
    /// Deletes rows of the outbox and of the inbox that are older than these times.
    Trim(Timestamp, Timestamp),
    /// Reads the most recent time in the tables.
    Youngest,
    /// Lists the parked events after this number, at most so many.
    Parked(u64, u64),
    /// Reads the ended reactions to an event.
    Reactions(ServiceName, crate::EventId),
}

/// An operator's request to drop a parked event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRequest {
    /// The number of the parked event.
    pub sequence: u64,
    /// The operator's reason.
    pub reason: String,
    /// The refusal to emit, with its data as JSON, if any.
    pub refusal: Option<(EventType, String)>,
    /// True if the operator has verified that the call did not take effect. Required if a call is
    /// out.
    pub call_did_not_happen: bool,
}

/// The result of a job.
#[derive(Debug)]
pub enum JobOutput {
    /// Success without a value.
    Done,
    /// The version of the tables, and the feed's name.
    Named(u64, ServiceName),
    /// The disposition of an event.
    Disposed(Disposition),
    /// Parked events, and the time of the next try.
    Parked(Vec<ParkedEvent>, Option<Timestamp>),
    /// Time-outs.
    Timeouts(Vec<PendingTimeout>, Option<Timestamp>),
    /// True if the job changed something, or if more is to be done.
    Changed(bool),
    /// The most recent time in the tables, if any.
    Youngest(Option<Timestamp>),
    /// The end of the feed.
    Sequenced(Sequenced),
    /// A part of the feed.
    Page(Result<FeedPage, CursorRefusal>),
    /// The stored cursor of a feed, if any.
    Cursor(Option<Cursor>),
    /// The ended reactions to an event.
    Reactions(Vec<ReactionStatus>),
    /// The reason why an event was not dropped.
    Refused(DropError),
}

/// The largest number of parked events or time-outs taken up at once.
const DUE_BATCH: u64 = 64;

/// Performs a job in the session's transaction.
pub(crate) async fn perform<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    handlers: &impl Handlers<S>,
    job: &StoreJob,
) -> Result<JobOutput, ReactError> {
    let source = &plan.declaration.service;
    Ok(match job {
        StoreJob::Create => {
            create_tables(session).await?;
            JobOutput::Done
        }
        StoreJob::Open => {
            create_tables(session).await?;
            let (version, name) = tables::name(session, source).await?;
            JobOutput::Named(version, name)
        }
        StoreJob::Receive(index, event, stamp) => JobOutput::Disposed(
            react::receive(session, plan, handlers, *index, event, *stamp).await?,
        ),
        StoreJob::Retry(sequence, correlation, called, stamp) => {
            let called = called.clone();
            let disposition =
                react::retry(session, plan, handlers, *sequence, correlation, called, *stamp);
            JobOutput::Disposed(disposition.await?)
        }
        StoreJob::Failed(reaction, event, failure, now) => {
            react::record_failure(session, plan, reaction, event, failure, *now).await?;
            JobOutput::Done
        }
        StoreJob::CallsAgain(now) => {
            session.execute(sql::CALLS_AGAIN, &[now.as_millis().into()]).await?;
            JobOutput::Done
        }
        StoreJob::Due(now) => {
            let due = parked::due(session, *now, DUE_BATCH).await?;
            JobOutput::Parked(due, next(session, sql::PARKED_NEXT).await?)
        }
        StoreJob::TimeoutsDue(now) => {
            let due = timeout::due(session, *now, DUE_BATCH).await?;
            JobOutput::Timeouts(due, next(session, sql::TIMEOUT_NEXT).await?)
        }
        StoreJob::Fire(running, stamp) => {
            JobOutput::Changed(timeout::fire(session, plan, running, *stamp).await?)
        }
        StoreJob::Sequence(known) => {
            JobOutput::Sequenced(tables::sequence(session, source, known.as_ref()).await?)
        }
        StoreJob::Page(start, head, limit) => {
            JobOutput::Page(tables::page(session, start, source, *head, *limit).await?)
        }
        StoreJob::Cursor(source) => JobOutput::Cursor(cursor(session, source).await?),
        StoreJob::Advance(source, to, now) => {
            let id = to.id.as_ref().map(|id| id.as_str()).into();
            let values =
                [SqlValue::Text(source.as_str()), to.position.into(), id, now.as_millis().into()];
            JobOutput::Changed(session.execute(sql::ADVANCE, &values).await? > 0)
        }
        StoreJob::SetCursor(source, to, reason, now) => {
            let id = to.id.as_ref().map(|id| id.as_str()).into();
            let (name, now) = (SqlValue::Text(source.as_str()), now.as_millis().into());
            let values = [name, to.position.into(), id, now, SqlValue::Text(reason)];
            session.execute(sql::SET_CURSOR, &values).await?;
            JobOutput::Done
        }
        StoreJob::SetAside(source, what, now) => {
            let values = [
                SqlValue::Text(source.as_str()),
                what.position.into(),
                SqlValue::Text(&what.body),
                SqlValue::Text(&what.why),
                now.as_millis().into(),
            ];
            session.execute(sql::SET_ASIDE, &values).await?;
            JobOutput::Done
        }
        StoreJob::Drop(request, stamp) => drop_parked(session, plan, request, *stamp).await?,
        StoreJob::RetryNow(sequence, now) => {
            let values = [now.as_millis().into(), (*sequence).into()];
            JobOutput::Changed(session.execute(sql::RETRY_NOW, &values).await? > 0)
        }
        StoreJob::Youngest => JobOutput::Youngest(youngest(session).await?),
        StoreJob::Trim(outbox, inbox) => JobOutput::Changed(trim(session, *outbox, *inbox).await?),
        StoreJob::Parked(after, limit) => {
            JobOutput::Parked(parked::list(session, *after, *limit).await?, None)
        }
        StoreJob::Reactions(source, id) => {
            JobOutput::Reactions(reactions(session, plan, source, id).await?)
        }
    })
}

async fn next<S: Session>(session: &mut S, sql: &'static str) -> SqlResult<Option<Timestamp>> {
    let row = session.query(sql, &[]).await?.into_iter().next();
    let at = row.map(|row| row.optional_number(0)).transpose()?.flatten();
    Ok(at.map(Timestamp::from_millis))
}

async fn cursor<S: Session>(session: &mut S, source: &ServiceName) -> SqlResult<Option<Cursor>> {
    let rows = session.query(sql::CURSOR, &[SqlValue::Text(source.as_str())]).await?;
    let read =
        |mut row: crate::SqlRow| Ok(Cursor { position: row.number(0)?, id: row.optional_name(1)? });
    rows.into_iter().next().map(read).transpose()
}

/// Drops a parked event: records it as dropped, and emits the operator's refusal.
async fn drop_parked<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    request: &DropRequest,
    stamp: Stamp,
) -> SqlResult<JobOutput> {
    let Some(parked) = parked::find(session, request.sequence).await? else {
        return Ok(JobOutput::Refused(DropError::NotParked));
    };
    let correlation = &parked.event.correlation;
    react::lock(session, correlation, stamp.now).await?;
    // It may have ended during the wait for its correlation's lock.
    let Some(parked) = parked::find(session, request.sequence).await? else {
        return Ok(JobOutput::Refused(DropError::NotParked));
    };
    if parked.state == ParkedState::Calling && !request.call_did_not_happen {
        return Ok(JobOutput::Refused(DropError::CallIsOut));
    }
    if let Some((kind, data)) = &request.refusal {
        let event = react::caused(&parked.event, kind, data.clone(), stamp);
        react::emit(session, plan, &event, stamp.now).await?;
    }
    record(session, parked.key(), ReactionOutcome::Dropped, Some(&request.reason), stamp.now)
        .await?;
    parked::unpark(session, request.sequence, correlation, stamp.now).await?;
    Ok(JobOutput::Done)
}

async fn youngest<S: Session>(session: &mut S) -> SqlResult<Option<Timestamp>> {
    let Some(row) = session.query(sql::YOUNGEST, &[]).await?.into_iter().next() else {
        return Ok(None);
    };
    let youngest = row.number(0)?.max(row.number(1)?);
    Ok((youngest > 0).then_some(Timestamp::from_millis(youngest)))
}

async fn trim<S: Session>(session: &mut S, outbox: Timestamp, inbox: Timestamp) -> SqlResult<bool> {
    let mut more = tables::trim(session, outbox).await?;
    let values = [inbox.as_millis().into(), tables::TRIM_BATCH.into()];
    let statements =
        [Some(sql::TRIM_INBOX), Some(sql::TRIM_EFFECTS), S::DIALECT.trim_correlations()];
    for statement in statements.into_iter().flatten() {
        more |= session.execute(statement, &values).await? >= tables::TRIM_BATCH;
    }
    Ok(more)
}

async fn reactions<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    source: &ServiceName,
    id: &crate::EventId,
) -> SqlResult<Vec<ReactionStatus>> {
    let mut found = Vec::new();
    for reaction in &plan.declaration.reactions {
        let name = &reaction.name;
        let values = [
            SqlValue::Text(name.as_str()),
            SqlValue::Text(source.as_str()),
            SqlValue::Text(id.as_str()),
        ];
        for mut row in session.query(sql::REACTION, &values).await? {
            found.push(ReactionStatus {
                reaction: name.clone(),
                outcome: row.word(0)?,
                at: Timestamp::from_millis(row.number(1)?),
                reason: row.optional_text(2)?,
            });
        }
    }
    Ok(found)
}
