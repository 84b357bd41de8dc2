//! All that a choreographed service does with its database: each job is one local transaction.
//!
//! A store runs a job: it begins a transaction, calls [`perform`] and commits.

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
use crate::session::{Session, SqlError, SqlValue};
use crate::sql;

/// A job.
#[derive(Debug)]
pub enum StoreJob {
    /// Makes the tables.
    Create,
    /// Makes the tables and names the feed.
    Open,
    /// Deals with an event of a feed.
    Receive(ReactionIndex, Event, Stamp),
    /// Tries a parked event again, with its call's result where there is one.
    Retry(u64, Correlation, Option<String>, Stamp),
    /// Records that a reaction to an event failed.
    Failed(ReactionName, Event, HandlerError, Timestamp),
    /// Ends the wait of all calls that were out when the service ended.
    CallsAgain(Timestamp),
    /// The parked events that are to be tried, and the time of the next.
    Due(Timestamp),
    /// The time-outs that are due.
    TimeoutsDue(Timestamp),
    /// Fires a time-out.
    Fire(PendingTimeout, Stamp),
    /// Gives positions to what is committed; the place is the last one that is known.
    Sequence(Option<Cursor>),
    /// A part of the feed, up to this head.
    Page(StartFrom, u64, u64),
    /// The place up to which a feed was read.
    Cursor(ServiceName),
    /// Moves that place on.
    Advance(ServiceName, Cursor, Timestamp),
    /// Sets that place, by hand and with a reason.
    SetCursor(ServiceName, Cursor, String, Timestamp),
    /// Keeps what is no event.
    SetAside(ServiceName, SetAside, Timestamp),
    /// Gives up a parked event, by hand.
    Drop(DropRequest, Stamp),
    /// Makes a parked event due, by hand.
    RetryNow(u64, Timestamp),
    /// Deletes what is older than these moments: of the outbox, and of the inbox.
    Trim(Timestamp, Timestamp),
    /// The youngest time that the tables tell.
    Youngest,
    /// What is parked behind this place.
    Parked(u64, u64),
    /// What the inbox knows of the reactions to an event.
    Reactions(ServiceName, crate::EventId),
}

/// A parked event that an operator gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRequest {
    /// The parked event.
    pub sequence: u64,
    /// The operator's reason.
    pub reason: String,
    /// The refusal that is emitted, with its data as JSON, or nothing.
    pub refusal: Option<(EventType, String)>,
    /// True if the operator knows that the call did not take effect. Needed where one is out.
    pub call_did_not_happen: bool,
}

/// What a job came to.
#[derive(Debug)]
pub enum JobOutput {
    /// Nothing but that it is done.
    Done,
    /// The version of the tables, and the feed's name.
    Named(u64, ServiceName),
    /// What became of an event.
    Disposed(Disposition),
    /// Parked events, and the time of the next try.
    Parked(Vec<ParkedEvent>, Option<Timestamp>),
    /// Time-outs.
    Timeouts(Vec<PendingTimeout>, Option<Timestamp>),
    /// True if the job changed something, or there is more to do.
    Changed(bool),
    /// The youngest time that the tables tell; `None` where they tell none.
    Youngest(Option<Timestamp>),
    /// The end of the feed.
    Sequenced(Sequenced),
    /// A part of the feed.
    Page(Result<FeedPage, CursorRefusal>),
    /// A place in a feed, where there is one.
    Cursor(Option<Cursor>),
    /// The ended reactions to an event.
    Reactions(Vec<ReactionStatus>),
    /// Why a job by hand was not done.
    Refused(DropError),
}

/// The most parked events, or time-outs, that are taken up at once.
const DUE_BATCH: u64 = 64;

/// Does the job in this transaction.
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

async fn next<S: Session>(
    session: &mut S,
    sql: &'static str,
) -> Result<Option<Timestamp>, SqlError> {
    let row = session.query(sql, &[]).await?.into_iter().next();
    let at = row.map(|row| row.optional_number(0)).transpose()?.flatten();
    Ok(at.map(Timestamp::from_millis))
}

async fn cursor<S: Session>(
    session: &mut S,
    source: &ServiceName,
) -> Result<Option<Cursor>, SqlError> {
    let rows = session.query(sql::CURSOR, &[SqlValue::Text(source.as_str())]).await?;
    let read =
        |mut row: crate::SqlRow| Ok(Cursor { position: row.number(0)?, id: row.optional_name(1)? });
    rows.into_iter().next().map(read).transpose()
}

/// Gives a parked event up: remembered as dropped, with the refusal that the operator chose.
async fn drop_parked<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    request: &DropRequest,
    stamp: Stamp,
) -> Result<JobOutput, SqlError> {
    let Some(parked) = parked::find(session, request.sequence).await? else {
        return Ok(JobOutput::Refused(DropError::NotParked));
    };
    let correlation = &parked.event.correlation;
    react::lock(session, correlation, stamp.now).await?;
    // It may have ended while its correlation's lock was waited for.
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

async fn youngest<S: Session>(session: &mut S) -> Result<Option<Timestamp>, SqlError> {
    let Some(row) = session.query(sql::YOUNGEST, &[]).await?.into_iter().next() else {
        return Ok(None);
    };
    let youngest = row.number(0)?.max(row.number(1)?);
    Ok((youngest > 0).then_some(Timestamp::from_millis(youngest)))
}

async fn trim<S: Session>(
    session: &mut S,
    outbox: Timestamp,
    inbox: Timestamp,
) -> Result<bool, SqlError> {
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
) -> Result<Vec<ReactionStatus>, SqlError> {
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
