//! A reaction to an event, in one local transaction: lock of the correlation, inbox, suppression,
//! the service's own change, outbox.
//!
//! This module specifies the disposition of an event. The same code runs over every database and in
//! the simulation.
//!
//! | state, under the correlation's lock | action |
//! |---|---|
//! | the reaction has handled the event | none |
//! | the event is parked | none |
//! | an earlier event of the correlation is parked | the event is parked behind it |
//! | … but this reaction undoes that event's reaction, whose call is not out | that event is suppressed, and the next parked one is checked |
//! | the reaction is suppressed | the event is recorded; nothing is called or emitted |
//! | the reaction makes a call | the event is parked as calling; the call follows the commit |
//! | otherwise | the handler runs, its event is emitted, and both are recorded |
//!
//! A reaction that undoes others marks them as suppressed, even those that have not run: events of
//! different publishers arrive in any order, and the late event must find the mark. The undo itself
//! always runs and emits, and learns what there is to undo.

use std::time::Duration;

use serde::Deserialize;
use wholly_core::Timestamp;

use super::handler::{Delivered, HandlerError, HandlerOutput, Handlers, Reacted, Undone};
use super::parked::{self, ParkRequest, ParkedState};
use super::plan::{ReactionIndex, ServicePlan};
use crate::declaration::Reaction;
use crate::event::{Event, NewEvent};
use crate::inbox::{InboxKey, ReactionOutcome, record};
use crate::names::{Correlation, EventId, EventType, ReactionName};
use crate::outbox::publish;
use crate::probe::{Law, broken};
use crate::session::{Session, SqlError, SqlResult, SqlValue};
use crate::sql;

/// Time and randomness, as inputs of the rules.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The current time.
    pub now: Timestamp,
    /// Random bits for an event's id.
    pub random: u128,
}

/// The disposition of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The reaction ended, now.
    Ended(ReactionEnd),
    /// The event was handled before, or is parked already.
    Again,
    /// The event is parked behind another one of its correlation.
    Parked,
    /// The event is parked under this number, and its call must be made, with the effects to undo.
    Call(u64, Undone),
}

/// The end of a reaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionEnd {
    /// The outcome.
    pub outcome: ReactionOutcome,
    /// The event that it emitted.
    pub emitted: Option<Box<NewEvent>>,
    /// True if parked events may have become due.
    pub frees: bool,
}

/// The error that rolls a reaction's transaction back.
#[derive(Debug, thiserror::Error)]
pub enum ReactError {
    /// The handler failed.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// Handles an event from a feed.
pub(crate) async fn receive<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    handlers: &impl Handlers<S>,
    index: ReactionIndex,
    event: &Event,
    stamp: Stamp,
) -> Result<Disposition, ReactError> {
    let Some(reaction) = plan.reaction(index) else { return Ok(Disposition::Again) };
    lock(session, &event.correlation, stamp.now).await?;
    let seen = look_up(session, &reaction.name, event).await?;
    if seen.handled || seen.parked_at.is_some() {
        return Ok(Disposition::Again);
    }
    cancel_timeouts(session, plan, event, stamp.now).await?;
    let mut first_parked = seen.first_parked;
    while let Some(first) = first_parked {
        if suppress_if_undone(session, reaction, first, stamp.now).await? {
            if broken(Law::UndoingWaitsItsTurn) {
                break;
            }
            first_parked = look_up(session, &reaction.name, event).await?.first_parked;
            continue;
        }
        let parking = ParkRequest {
            reaction: &reaction.name,
            event,
            state: ParkedState::Waiting,
            tries: 0,
            next_try: None,
            error: None,
        };
        parked::park(session, parking, stamp.now).await?;
        return Ok(Disposition::Parked);
    }
    // A parked event that did not stop this one was suppressed by it.
    let frees = seen.first_parked.is_some();
    let work = Execution { plan, index, reaction, event, stamp, frees };
    if seen.suppressed {
        return work.end(session, ReactionOutcome::Suppressed, None).await;
    }
    if reaction.calls {
        return work.call(session).await;
    }
    work.run(session, handlers, None).await
}

/// Retries a parked event if it is the first of its correlation, with its call's result if the call
/// was made.
pub(crate) async fn retry<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    handlers: &impl Handlers<S>,
    sequence: u64,
    correlation: &Correlation,
    called: Option<String>,
    stamp: Stamp,
) -> Result<Disposition, ReactError> {
    lock(session, correlation, stamp.now).await?;
    let Some(parked) = parked::find(session, sequence).await? else {
        return Ok(Disposition::Again);
    };
    // A new version of the service may lack the reaction. An operator must decide then.
    let found = plan.by_name(&parked.reaction);
    let Some((index, reaction)) = found.and_then(|at| Some((at, plan.reaction(at)?))) else {
        let why = format!("the service no longer has reaction {}; drop its event", parked.reaction);
        return Err(HandlerError::failed(why).into());
    };
    let event = &parked.event;
    let seen = look_up(session, &reaction.name, event).await?;
    if seen.first_parked != Some(sequence) {
        return Ok(Disposition::Again);
    }
    let work = Execution { plan, index, reaction, event, stamp, frees: true };
    let disposition = match (reaction.calls, parked.state, called) {
        _ if seen.handled => Disposition::Again,
        (true, ParkedState::Calling, Some(called)) => {
            work.run(session, handlers, Some(called)).await?
        }
        _ if seen.suppressed && parked.state != ParkedState::Calling => {
            work.end(session, ReactionOutcome::Suppressed, None).await?
        }
        (true, _, _) => {
            let (state, due) = (ParkedState::Calling, Some(stamp.now + CALL_LEASE));
            parked::update(session, sequence, state, parked.tries, due, None).await?;
            return Ok(Disposition::Call(sequence, work.undone(session).await?));
        }
        (false, _, _) => work.run(session, handlers, None).await?,
    };
    parked::unpark(session, sequence, correlation, stamp.now).await?;
    Ok(disposition)
}

/// Records a failed attempt: parks the event, or counts the attempt of a parked one.
pub(crate) async fn record_failure<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    reaction: &ReactionName,
    event: &Event,
    failure: &HandlerError,
    now: Timestamp,
) -> SqlResult<()> {
    lock(session, &event.correlation, now).await?;
    let seen = look_up(session, reaction, event).await?;
    if seen.handled {
        return Ok(());
    }
    cancel_timeouts(session, plan, event, now).await?;
    let before = match seen.parked_at {
        Some(sequence) => parked::find(session, sequence).await?,
        None => None,
    };
    let tries = before.as_ref().map_or(0, |parked| parked.tries).saturating_add(1);
    let error = truncated(&failure.to_string());
    let (state, next_try) = match (failure, before.as_ref().map(|parked| parked.state)) {
        // A call that is out stays out, whatever fails later.
        (_, Some(ParkedState::Calling)) => (ParkedState::Calling, Some(plan.retry.wait(tries))),
        (HandlerError::Unreadable(_), _) => (ParkedState::Unreadable, None),
        (HandlerError::Failed(_), _) => (ParkedState::Failing, Some(plan.retry.wait(tries))),
    };
    let next_try = next_try.map(|wait| now + wait);
    match before {
        Some(parked) => {
            let (sequence, error) = (parked.sequence, Some(&*error));
            parked::update(session, sequence, state, tries, next_try, error).await
        }
        None => {
            let error = Some(&*error);
            let parking = ParkRequest { reaction, event, state, tries, next_try, error };
            parked::park(session, parking, now).await
        }
    }
}

/// The lease of a call: another process over the same database repeats the call only after it. A
/// restart does not wait.
const CALL_LEASE: Duration = Duration::from_secs(120);

/// The longest stored error, in bytes.
const ERROR_LIMIT: usize = 1_000;

/// An error in a length and with characters that a database can store.
fn truncated(error: &str) -> String {
    let mut end = error.len().min(ERROR_LIMIT);
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    error[..end].replace('\0', "\u{fffd}")
}

/// Takes the correlation's lock until the transaction ends.
pub(crate) async fn lock<S: Session>(
    session: &mut S,
    correlation: &Correlation,
    now: Timestamp,
) -> SqlResult<()> {
    let Some(sql) = S::DIALECT.lock_correlation() else { return Ok(()) };
    let values = [SqlValue::Text(correlation.as_str()), now.as_millis().into()];
    session.pipeline(sql, &values).await
}

/// The state of a reaction to an event in the tables.
struct PriorState {
    handled: bool,
    parked_at: Option<u64>,
    first_parked: Option<u64>,
    suppressed: bool,
}

/// The effect of a reaction on a correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EffectState {
    /// The reaction took effect.
    Done,
    /// The reaction was undone, or is not to take effect when it comes.
    Suppressed,
}

impl EffectState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Suppressed => "suppressed",
        }
    }
}

async fn look_up<S: Session>(
    session: &mut S,
    reaction: &ReactionName,
    event: &Event,
) -> SqlResult<PriorState> {
    let values = [
        SqlValue::Text(reaction.as_str()),
        SqlValue::Text(event.source.as_str()),
        SqlValue::Text(event.id.as_str()),
        SqlValue::Text(event.correlation.as_str()),
    ];
    let rows = session.query(sql::LOOK, &values).await?;
    let Some(mut row) = rows.into_iter().next() else {
        return Err(SqlError::unexpected("a statement without a table gave no row"));
    };
    Ok(PriorState {
        handled: row.optional_text(0)?.is_some(),
        parked_at: row.optional_number(1)?,
        first_parked: row.optional_number(2)?,
        suppressed: row.optional_word(3)? == Some(EffectState::Suppressed)
            && !broken(Law::LateOnesAreSuppressed),
    })
}

/// Cancels the time-outs that await an event, also a parked one. The mark stops time-outs that
/// would start later.
async fn cancel_timeouts<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    event: &Event,
    now: Timestamp,
) -> SqlResult<()> {
    for timeout in plan.cancelled_by(&event.kind) {
        let correlation = SqlValue::Text(event.correlation.as_str());
        let values = [correlation, SqlValue::Text(timeout.emits.as_str())];
        session.pipeline(sql::CANCEL_TIMEOUT, &values).await?;
        mark_timeout(session, &event.correlation, &timeout.emits, now).await?;
    }
    Ok(())
}

/// Marks a time-out as ended, so that it does not start again.
pub(crate) async fn mark_timeout<S: Session>(
    session: &mut S,
    correlation: &Correlation,
    emits: &EventType,
    now: Timestamp,
) -> SqlResult<()> {
    let mark = timeout_mark(emits);
    set_effect(session, correlation, &mark, EffectState::Suppressed, None, now).await
}

/// A name with a space, so that no reaction has it.
fn timeout_mark(emits: &EventType) -> String {
    format!("time-out {emits}")
}

/// Suppresses the first parked event if this reaction undoes its reaction; returns true then.
async fn suppress_if_undone<S: Session>(
    session: &mut S,
    reaction: &Reaction,
    first: u64,
    now: Timestamp,
) -> SqlResult<bool> {
    let Some(parked) = parked::find(session, first).await? else { return Ok(false) };
    let undone = reaction.undoes.contains(&parked.reaction);
    // A call that is out may have taken effect. It is undone only after its result is known.
    let is_out = parked.state == ParkedState::Calling && !broken(Law::NoUndoOfACallThatIsOut);
    if !undone || is_out {
        return Ok(false);
    }
    record(session, parked.key(), ReactionOutcome::Suppressed, None, now).await?;
    parked::unpark(session, first, &parked.event.correlation, now).await?;
    Ok(true)
}

async fn set_effect<S: Session>(
    session: &mut S,
    correlation: &Correlation,
    reaction: &str,
    state: EffectState,
    output: Option<&str>,
    now: Timestamp,
) -> SqlResult<()> {
    let values = [
        SqlValue::Text(correlation.as_str()),
        SqlValue::Text(reaction),
        SqlValue::Text(state.as_str()),
        output.into(),
        now.as_millis().into(),
    ];
    session.pipeline(sql::SET_EFFECT, &values).await
}

/// The effect of a reaction on a correlation, and the data that it emitted.
async fn effect<S: Session>(
    session: &mut S,
    correlation: &Correlation,
    reaction: &str,
) -> SqlResult<Option<(EffectState, Option<String>)>> {
    let values = [SqlValue::Text(correlation.as_str()), SqlValue::Text(reaction)];
    let row = session.query(sql::EFFECT, &values).await?.into_iter().next();
    row.map(|mut row| Ok((row.word(0)?, row.optional_text(1)?))).transpose()
}

/// The execution of a reaction.
struct Execution<'a> {
    plan: &'a ServicePlan,
    index: ReactionIndex,
    reaction: &'a Reaction,
    event: &'a Event,
    stamp: Stamp,
    frees: bool,
}

impl Execution<'_> {
    async fn end<S: Session>(
        &self,
        session: &mut S,
        outcome: ReactionOutcome,
        emitted: Option<Box<NewEvent>>,
    ) -> Result<Disposition, ReactError> {
        let (event, name) = (self.event, &self.reaction.name);
        let key = InboxKey { reaction: name, source: &event.source, id: &event.id };
        record(session, key, outcome, None, self.stamp.now).await?;
        Ok(Disposition::Ended(ReactionEnd { outcome, emitted, frees: self.frees }))
    }

    /// Parks the event as calling. From the commit on, the call may have taken effect.
    async fn call<S: Session>(&self, session: &mut S) -> Result<Disposition, ReactError> {
        let (reaction, event) = (&self.reaction.name, self.event);
        let (state, next_try) = (ParkedState::Calling, Some(self.stamp.now + CALL_LEASE));
        let parking = ParkRequest { reaction, event, state, tries: 0, next_try, error: None };
        parked::park(session, parking, self.stamp.now).await?;
        let seen = look_up(session, reaction, event).await?;
        let missing = || SqlError::unexpected("an event that was parked is not there");
        let sequence = seen.parked_at.ok_or_else(missing)?;
        Ok(Disposition::Call(sequence, self.undone(session).await?))
    }

    /// Runs the handler, and emits its event.
    async fn run<S: Session>(
        &self,
        session: &mut S,
        handlers: &impl Handlers<S>,
        called: Option<String>,
    ) -> Result<Disposition, ReactError> {
        let undone = self.undo(session).await?;
        let can_refuse = self.reaction.refuses.is_some();
        if can_refuse {
            session.batch("SAVEPOINT wholly_reaction").await?;
        }
        let delivered = Delivered { event: self.event.clone(), undone, called };
        let output = handlers.handle(session, self.index, delivered).await?;
        let outcome = match &output {
            Reacted::Refused(_) => {
                session.batch("ROLLBACK TO SAVEPOINT wholly_reaction").await?;
                ReactionOutcome::Refused
            }
            Reacted::Done(data) => self.set_done(session, data).await?,
            Reacted::Silent => self.set_done(session, "null").await?,
        };
        let emitted = self.emit(session, output).await?;
        start_timeouts(session, self.plan, &of(self.event), self.stamp.now).await?;
        self.end(session, outcome, emitted).await
    }

    /// Records the effect, for a reaction that may undo it.
    async fn set_done<S: Session>(
        &self,
        session: &mut S,
        output: &str,
    ) -> SqlResult<ReactionOutcome> {
        if self.plan.can_be_undone(&self.reaction.name) {
            let (correlation, name) = (&self.event.correlation, self.reaction.name.as_str());
            let (done, now) = (EffectState::Done, self.stamp.now);
            set_effect(session, correlation, name, done, Some(output), now).await?;
        }
        Ok(ReactionOutcome::Done)
    }

    /// The reactions that this one undoes, each with the data that it emitted.
    async fn undone<S: Session>(&self, session: &mut S) -> SqlResult<Undone> {
        let correlation = &self.event.correlation;
        let mut undone = Vec::new();
        for name in &self.reaction.undoes {
            let before = effect(session, correlation, name.as_str()).await?;
            let output =
                before.and_then(|(state, output)| output.filter(|_| state == EffectState::Done));
            undone.push((name.clone(), output));
        }
        Ok(undone)
    }

    /// The same, marked as suppressed.
    async fn undo<S: Session>(&self, session: &mut S) -> SqlResult<Undone> {
        let undone = self.undone(session).await?;
        for (name, _) in &undone {
            let (correlation, now) = (&self.event.correlation, self.stamp.now);
            let state = EffectState::Suppressed;
            set_effect(session, correlation, name.as_str(), state, None, now).await?;
        }
        Ok(undone)
    }

    async fn emit<S: Session>(
        &self,
        session: &mut S,
        output: HandlerOutput,
    ) -> SqlResult<Option<Box<NewEvent>>> {
        let (declared, data) = match output {
            Reacted::Done(data) => (&self.reaction.emits, data),
            Reacted::Silent => return Ok(None),
            Reacted::Refused(data) => (&self.reaction.refuses, data),
        };
        let Some(kind) = declared else { return Ok(None) };
        let event = caused(self.event, kind, data, self.stamp);
        emit(session, self.plan, &event, self.stamp.now).await?;
        Ok(Some(Box::new(event)))
    }
}

/// A new event with this cause.
pub(crate) fn caused(cause: &Event, kind: &EventType, data: String, stamp: Stamp) -> NewEvent {
    NewEvent {
        id: EventId::mint(stamp.now, stamp.random),
        kind: kind.clone(),
        time: stamp.now,
        correlation: cause.correlation.clone(),
        causation: Some(cause.id.clone()),
        traceparent: cause.traceparent.clone(),
        data,
    }
}

/// Publishes an event of the service, and starts the time-outs that it triggers.
pub(crate) async fn emit<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    event: &NewEvent,
    now: Timestamp,
) -> SqlResult<()> {
    publish(session, event).await?;
    let started = TimeoutOrigin {
        kind: &event.kind,
        correlation: &event.correlation,
        id: &event.id,
        traceparent: event.traceparent.as_deref(),
        data: &event.data,
    };
    start_timeouts(session, plan, &started, now).await
}

/// An event that starts a time-out.
struct TimeoutOrigin<'a> {
    kind: &'a EventType,
    correlation: &'a Correlation,
    id: &'a EventId,
    traceparent: Option<&'a str>,
    data: &'a str,
}

fn of(event: &Event) -> TimeoutOrigin<'_> {
    TimeoutOrigin {
        kind: &event.kind,
        correlation: &event.correlation,
        id: &event.id,
        traceparent: event.traceparent.as_deref(),
        data: &event.data,
    }
}

async fn start_timeouts<S: Session>(
    session: &mut S,
    plan: &ServicePlan,
    after: &TimeoutOrigin<'_>,
    now: Timestamp,
) -> SqlResult<()> {
    for timeout in plan.started_by(after.kind) {
        let mark = effect(session, after.correlation, &timeout_mark(&timeout.emits)).await?;
        if mark.is_some() {
            continue;
        }
        let values = [
            SqlValue::Text(after.correlation.as_str()),
            SqlValue::Text(timeout.emits.as_str()),
            (now + timeout.within).as_millis().into(),
            SqlValue::Text(after.id.as_str()),
            after.traceparent.into(),
            SqlValue::Text(after.data),
        ];
        session.pipeline(sql::SET_TIMEOUT, &values).await?;
    }
    Ok(())
}
