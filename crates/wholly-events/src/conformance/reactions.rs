//! The rules of a reaction, as every store must keep them: see [`crate::choreography::react`].
//!
//! The service under test has four reactions, whose handlers do as the event's data tells them.

use std::sync::Arc;
use std::time::Duration;

use wholly_core::Timestamp;

use super::client::name;
use crate::choreography::DropError;
use crate::choreography::handler::{Delivered, HandlerError, HandlerOutput, Reacted, output};
use crate::choreography::job::{DropRequest, JobOutput, StoreJob};
use crate::choreography::parked::{ParkedEvent, ParkedState};
use crate::choreography::plan::{ReactionIndex, RetryPolicy, ServicePlan};
use crate::choreography::react::{Disposition, ReactionEnd, Stamp};
use crate::cursor::Cursor;
use crate::declaration::{Declaration, Reaction};
use crate::event::{Event, NewEvent};
use crate::feed::{CursorRefusal, FeedPage, StartFrom};
use crate::inbox::ReactionOutcome;
use crate::names::{EventId, EventType, ServiceName};
use crate::store::{ServiceCode, Store, StoreError};

/// A store with a table `effect (nth, name)` that counts its rows, and a handler that writes a row
/// into it.
#[expect(async_fn_in_trait, reason = "the suite does not leave the thread")]
pub trait Effects: Store {
    /// A handler that inserts the name of its reaction, and then says what [`scripted_output`]
    /// says.
    fn handler() -> Self::Handler;

    /// The names in the table, in the order in which they were inserted.
    async fn effects(&self) -> Vec<String>;
}

#[cfg(feature = "rusqlite")]
impl Effects for wholly_participant::sqlite::Database {
    fn handler() -> Self::Handler {
        Box::new(|db, delivered, reaction| {
            let inserted = db.execute("INSERT INTO effect VALUES (?1)", [reaction.name.as_str()]);
            inserted.map_err(HandlerError::failed)?;
            scripted_output(delivered, reaction)
        })
    }

    async fn effects(&self) -> Vec<String> {
        let read = |db: &rusqlite::Transaction<'_>| {
            let mut statement = db.prepare("SELECT name FROM effect ORDER BY rowid")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        };
        self.transaction(read).await.unwrap()
    }
}

#[cfg(feature = "tokio-postgres")]
impl Effects for deadpool_postgres::Pool {
    fn handler() -> Self::Handler {
        Box::new(|db, delivered, reaction| {
            Box::pin(async move {
                let insert = "INSERT INTO effect (name) VALUES ($1)";
                let inserted = db.execute(insert, &[&reaction.name.as_str()]).await;
                inserted.map_err(HandlerError::failed)?;
                scripted_output(delivered, reaction)
            })
        })
    }

    async fn effects(&self) -> Vec<String> {
        let client = self.get().await.unwrap();
        let rows = client.query("SELECT name FROM effect ORDER BY nth", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// The word of a scripted handler: the event's data is `"done"`, `"refuse"`, `"fail"` or something
/// that it cannot read.
///
/// # Errors
/// As the data says.
pub fn scripted_output(
    delivered: Delivered,
    reaction: &Reaction,
) -> Result<HandlerOutput, HandlerError> {
    let undone: Vec<_> = delivered.undone.clone();
    let called: Option<String> = delivered.called.clone();
    let incoming = delivered.read::<String>()?;
    let told = format!("{undone:?} {called:?}");
    let reacted = match incoming.data.as_str() {
        "refuse" => Ok(Reacted::Refused("no")),
        "fail" => Err("told to fail".into()),
        _ => Ok(Reacted::Done(told)),
    };
    output(reacted, reaction)
}

const RESERVE: ReactionIndex = ReactionIndex(0);
const RELEASE: ReactionIndex = ReactionIndex(1);
const CHARGE: ReactionIndex = ReactionIndex(2);
const REFUND: ReactionIndex = ReactionIndex(3);

/// Runs every case, each in a store of its own.
///
/// # Panics
/// If a case fails.
pub async fn run<S: Effects>(new: impl AsyncFn() -> S) {
    macro_rules! each {
        ($($case:ident)+) => {$(
            eprintln!("{}", concat!("reactions::", stringify!($case)));
            $case(Fixture::new(new().await).await).await;
        )+};
    }
    each! {
        a_reaction_happens_once_and_its_event_is_caused
        what_refuses_leaves_only_its_refusal
        what_fails_is_parked_and_tried_in_its_order
        an_undo_that_comes_first_suppresses
        an_undo_is_told_what_there_is_to_take_back
        an_undo_overtakes_what_fails
        an_undo_waits_behind_other_events
        an_undo_waits_for_a_call_that_is_out
        what_cannot_be_read_waits_for_an_operator
        an_operator_gives_up_with_a_refusal_and_a_reason
        a_time_out_fires_once_and_only_where_nothing_came
        a_time_out_is_cancelled_by_what_came_before_it
        an_awaited_event_cancels_also_where_it_is_parked
        a_feed_refuses_what_it_does_not_know
        a_watermark_never_goes_back
    }
}

struct Fixture<S: Effects> {
    store: S,
    code: Arc<ServiceCode<S::Handler>>,
    now: Timestamp,
    random: u128,
}

impl<S: Effects> Fixture<S> {
    async fn new(store: S) -> Self {
        let plan = ServicePlan { declaration: declaration(), retry: RetryPolicy::default() };
        let handlers = (0..4).map(|_| S::handler()).collect();
        let code = Arc::new(ServiceCode { plan, handlers });
        let mut fixture = Self { store, code, now: Timestamp::from_millis(1_000_000), random: 0 };
        assert!(
            matches!(fixture.run(StoreJob::Open).await, JobOutput::Named(1, name) if name.as_str() == "shop")
        );
        fixture
    }

    async fn try_run(&mut self, job: StoreJob) -> Result<JobOutput, StoreError> {
        self.store.run(&self.code, job).await
    }

    async fn run(&mut self, job: StoreJob) -> JobOutput {
        self.try_run(job).await.unwrap()
    }

    fn stamp(&mut self) -> Stamp {
        self.random += 1;
        Stamp { now: self.now, random: self.random }
    }

    async fn receive(&mut self, index: ReactionIndex, event: &Event) -> Disposition {
        let stamp = self.stamp();
        match self.try_run(StoreJob::Receive(index, event.clone(), stamp)).await {
            Ok(JobOutput::Disposed(disposition)) => without_event(disposition),
            other => panic!("{other:?}"),
        }
    }

    /// A reaction that fails, as a follower deals with it.
    async fn fail(&mut self, index: ReactionIndex, event: &Event) {
        let stamp = self.stamp();
        let failed = self.try_run(StoreJob::Receive(index, event.clone(), stamp)).await;
        let Err(StoreError::Handler(failure)) = failed else { panic!("{failed:?}") };
        self.record_failure(index, event, failure).await;
    }

    async fn record_failure(&mut self, index: ReactionIndex, event: &Event, why: HandlerError) {
        let name = self.code.plan.reaction(index).unwrap().name.clone();
        self.run(StoreJob::Failed(name, event.clone(), why, self.now)).await;
    }

    async fn retry(&mut self, parked: &ParkedEvent, called: Option<&str>) -> Disposition {
        let stamp = self.stamp();
        let (sequence, correlation) = (parked.sequence, parked.event.correlation.clone());
        let job = StoreJob::Retry(sequence, correlation, called.map(str::to_owned), stamp);
        match self.run(job).await {
            JobOutput::Disposed(disposition) => without_event(disposition),
            other => panic!("{other:?}"),
        }
    }

    async fn drop_parked(
        &mut self,
        sequence: u64,
        refusal: Option<(EventType, String)>,
    ) -> JobOutput {
        let (reason, call_did_not_happen) = ("ticket 4711".to_owned(), false);
        let request = DropRequest { sequence, reason, refusal, call_did_not_happen };
        let stamp = self.stamp();
        self.run(StoreJob::Drop(request, stamp)).await
    }

    async fn parked(&mut self) -> Vec<ParkedEvent> {
        match self.run(StoreJob::Parked(0, 100)).await {
            JobOutput::Parked(parked, _) => parked,
            other => panic!("{other:?}"),
        }
    }

    async fn due(&mut self) -> Vec<ParkedEvent> {
        match self.run(StoreJob::Due(self.now)).await {
            JobOutput::Parked(parked, _) => parked,
            other => panic!("{other:?}"),
        }
    }

    async fn read(&mut self, start: StartFrom) -> Result<FeedPage, CursorRefusal> {
        let JobOutput::Sequenced(end) = self.run(StoreJob::Sequence(None)).await else {
            panic!("no end")
        };
        match self.run(StoreJob::Page(start, end.head.position, 100)).await {
            JobOutput::Page(page) => page,
            other => panic!("{other:?}"),
        }
    }

    /// The types and the data of all that was published.
    async fn published(&mut self) -> Vec<(String, String)> {
        let page = self.read(StartFrom::Earliest).await.unwrap();
        let told = |event: Event| (event.kind.to_string(), event.data);
        page.events.into_iter().map(|placed| told(placed.event)).collect()
    }

    async fn kinds(&mut self) -> Vec<String> {
        self.published().await.into_iter().map(|(kind, _)| kind).collect()
    }
}

fn declaration() -> Declaration {
    let declaration = serde_json::json!({
        "service": "shop",
        "begins": ["Begun"],
        "reactions": [
            {"name": "Created", "on": "Created", "emits": "Reserved", "refuses": "NotReserved"},
            {"name": "Cancelled", "on": "Cancelled", "emits": "Released", "undoes": ["Created"]},
            {"name": "Asked", "on": "Asked", "emits": "Charged", "refuses": "NotCharged",
             "calls": true},
            {"name": "Undone", "on": "Undone", "emits": "Refunded", "undoes": ["Asked"]},
        ],
        "timeouts": [
            {"after": "Created", "awaits": ["Cancelled"], "within_ms": 60_000, "emits": "Late"},
        ],
    });
    serde_json::from_value(declaration).unwrap()
}

fn event(id: &str, of: &str, data: &str) -> Event {
    let event = NewEvent::new(of, "ORD1", &data).unwrap().in_trace("trace");
    Event { id: EventId::new(id).unwrap(), ..event.from_source(ServiceName::new("other").unwrap()) }
}

/// The disposition without the event that was emitted.
fn without_event(disposition: Disposition) -> Disposition {
    match disposition {
        Disposition::Ended(end) => ended(end.outcome),
        other => other,
    }
}

/// An end, of which nothing but the outcome is told.
const fn ended(outcome: ReactionOutcome) -> Disposition {
    Disposition::Ended(ReactionEnd { outcome, emitted: None, frees: false })
}

const DONE: Disposition = ended(ReactionOutcome::Done);
const SUPPRESSED: Disposition = ended(ReactionOutcome::Suppressed);

async fn a_reaction_happens_once_and_its_event_is_caused<S: Effects>(mut fixture: Fixture<S>) {
    let created = event("e1", "Created", "done");
    assert_eq!(fixture.receive(RESERVE, &created).await, DONE);
    assert_eq!(fixture.receive(RESERVE, &created).await, Disposition::Again);
    // The same id of another source is another event.
    let other = Event { source: ServiceName::new("third").unwrap(), ..created.clone() };
    assert_eq!(fixture.receive(RESERVE, &other).await, DONE);
    assert_eq!(fixture.store.effects().await, ["Created", "Created"]);
    let page = fixture.read(StartFrom::Earliest).await.unwrap();
    let emitted = &page.events[0].event;
    assert_eq!(emitted.kind, name("Reserved"));
    assert_eq!(emitted.causation.as_ref(), Some(&created.id));
    assert_eq!(
        (&emitted.correlation, &emitted.traceparent),
        (&created.correlation, &created.traceparent)
    );
    assert_eq!(page.events.len(), 2);
}

async fn what_refuses_leaves_only_its_refusal<S: Effects>(mut fixture: Fixture<S>) {
    let created = event("e1", "Created", "refuse");
    assert_eq!(fixture.receive(RESERVE, &created).await, ended(ReactionOutcome::Refused));
    assert_eq!(fixture.receive(RESERVE, &created).await, Disposition::Again);
    assert_eq!(fixture.store.effects().await, [""; 0]);
    assert_eq!(fixture.published().await, [("NotReserved".to_owned(), r#""no""#.to_owned())]);
}

async fn what_fails_is_parked_and_tried_in_its_order<S: Effects>(mut fixture: Fixture<S>) {
    let first = event("e1", "Created", "fail");
    fixture.fail(RESERVE, &first).await;
    assert_eq!(fixture.receive(RESERVE, &first).await, Disposition::Again);
    let second = event("e2", "Created", "done");
    assert_eq!(fixture.receive(RESERVE, &second).await, Disposition::Parked);
    // Another correlation goes on.
    let other = Event { correlation: name("ORD2"), ..event("e3", "Created", "done") };
    assert_eq!(fixture.receive(RESERVE, &other).await, DONE);
    assert_eq!(fixture.store.effects().await, ["Created"]);
    assert!(fixture.due().await.is_empty());
    fixture.now = fixture.now + Duration::from_secs(1);
    let due = fixture.due().await;
    assert_eq!(due.len(), 1, "{due:?}");
    assert_eq!((due[0].state, due[0].tries), (ParkedState::Failing, 1));
    assert_eq!(due[0].error.as_deref(), Some("told to fail"));
    // The second is not tried before the first has ended.
    let parked = fixture.parked().await;
    assert_eq!(fixture.retry(&parked[1], None).await, Disposition::Again);
    let stamp = fixture.stamp();
    let (sequence, correlation) = (due[0].sequence, first.correlation.clone());
    let failed = fixture.try_run(StoreJob::Retry(sequence, correlation, None, stamp)).await;
    let Err(StoreError::Handler(failure)) = failed else { panic!("{failed:?}") };
    fixture.record_failure(RESERVE, &first, failure).await;
    assert_eq!(fixture.parked().await[0].tries, 2);
    // Given up, the next one is due.
    assert!(matches!(fixture.drop_parked(due[0].sequence, None).await, JobOutput::Done));
    let due = fixture.due().await;
    assert_eq!(due[0].event.id, second.id);
    assert_eq!(fixture.retry(&due[0], None).await, DONE);
    assert!(fixture.parked().await.is_empty());
    assert_eq!(fixture.store.effects().await, ["Created", "Created"]);
}

async fn an_undo_that_comes_first_suppresses<S: Effects>(mut fixture: Fixture<S>) {
    assert_eq!(fixture.receive(RELEASE, &event("e1", "Cancelled", "done")).await, DONE);
    assert_eq!(fixture.receive(RESERVE, &event("e2", "Created", "done")).await, SUPPRESSED);
    // What undoes has emitted, what is suppressed has not.
    let data = r#""[(\"Created\", None)] None""#.to_owned();
    assert_eq!(fixture.published().await, [("Released".to_owned(), data)]);
    let other = Event { correlation: name("ORD2"), ..event("e3", "Created", "done") };
    assert_eq!(fixture.receive(RESERVE, &other).await, DONE);
}

async fn an_undo_is_told_what_there_is_to_take_back<S: Effects>(mut fixture: Fixture<S>) {
    fixture.receive(RESERVE, &event("e1", "Created", "done")).await;
    fixture.receive(RELEASE, &event("e2", "Cancelled", "done")).await;
    fixture.receive(RELEASE, &event("e3", "Cancelled", "done")).await;
    let published = fixture.published().await;
    assert!(published[1].1.contains("Some("), "{published:?}");
    assert!(published[2].1.contains("None"), "{published:?}");
}

async fn an_undo_overtakes_what_fails<S: Effects>(mut fixture: Fixture<S>) {
    let (created, again) = (event("e1", "Created", "fail"), event("e2", "Created", "done"));
    fixture.fail(RESERVE, &created).await;
    assert_eq!(fixture.receive(RESERVE, &again).await, Disposition::Parked);
    assert_eq!(fixture.receive(RELEASE, &event("e3", "Cancelled", "done")).await, DONE);
    for suppressed in [&created, &again] {
        assert_eq!(fixture.receive(RESERVE, suppressed).await, Disposition::Again);
    }
    assert!(fixture.parked().await.is_empty());
    assert_eq!(fixture.store.effects().await, ["Cancelled"]);
    assert_eq!(fixture.kinds().await, ["Released"]);
}

async fn an_undo_waits_behind_other_events<S: Effects>(mut fixture: Fixture<S>) {
    fixture.fail(RESERVE, &event("e1", "Created", "fail")).await;
    let other = event("e2", "Undone", "done");
    assert_eq!(fixture.receive(REFUND, &other).await, Disposition::Parked);
    let undo = event("e3", "Cancelled", "done");
    assert_eq!(fixture.receive(RELEASE, &undo).await, Disposition::Parked);
    // What it undoes is out of the way at once; what came between has its turn first.
    for next in [other, undo] {
        let due = fixture.due().await;
        assert_eq!(due.iter().map(|one| &one.event.id).collect::<Vec<_>>(), [&next.id]);
        assert_eq!(fixture.retry(&due[0], None).await, DONE);
    }
    assert_eq!(fixture.store.effects().await, ["Undone", "Cancelled"]);
}

async fn an_undo_waits_for_a_call_that_is_out<S: Effects>(mut fixture: Fixture<S>) {
    let asked = event("e1", "Asked", "done");
    assert!(matches!(fixture.receive(CHARGE, &asked).await, Disposition::Call(..)));
    assert_eq!(fixture.receive(REFUND, &event("e2", "Undone", "done")).await, Disposition::Parked);
    assert!(fixture.due().await.is_empty(), "the call is this process's");
    let parked = fixture.parked().await;
    assert_eq!(parked[0].state, ParkedState::Calling);
    // A call that fails is out as before.
    fixture.record_failure(CHARGE, &asked, HandlerError::failed("no answer")).await;
    assert_eq!(fixture.parked().await[0].state, ParkedState::Calling);
    let reply = fixture.drop_parked(parked[0].sequence, None).await;
    assert!(matches!(reply, JobOutput::Refused(DropError::CallIsOut)), "{reply:?}");
    // After a crash the call comes first.
    fixture.run(StoreJob::CallsAgain(fixture.now)).await;
    let due = fixture.due().await;
    assert_eq!(due.len(), 1, "{due:?}");
    assert!(matches!(fixture.retry(&due[0], None).await, Disposition::Call(..)));
    assert_eq!(fixture.retry(&due[0], Some("7")).await, DONE);
    let due = fixture.due().await;
    assert_eq!(fixture.retry(&due[0], None).await, DONE);
    let published = fixture.published().await;
    assert!(published[0].1.contains(r#"Some(\"7\")"#), "{published:?}");
    assert_eq!(fixture.kinds().await, ["Charged", "Refunded"]);
    assert!(published[1].1.contains("Some("), "{published:?}");
}

async fn what_cannot_be_read_waits_for_an_operator<S: Effects>(mut fixture: Fixture<S>) {
    let mut created = event("e1", "Created", "done");
    created.data = "7".to_owned();
    fixture.fail(RESERVE, &created).await;
    fixture.now = fixture.now + Duration::from_secs(1_000_000);
    assert!(fixture.due().await.is_empty());
    assert_eq!(fixture.parked().await[0].state, ParkedState::Unreadable);
    let sequence = fixture.parked().await[0].sequence;
    let reply = fixture.run(StoreJob::RetryNow(sequence, fixture.now)).await;
    assert!(matches!(reply, JobOutput::Changed(true)));
    assert_eq!(fixture.due().await.len(), 1);
    assert_eq!(fixture.receive(RELEASE, &event("e2", "Cancelled", "done")).await, DONE);
    assert!(fixture.parked().await.is_empty());
}

async fn an_operator_gives_up_with_a_refusal_and_a_reason<S: Effects>(mut fixture: Fixture<S>) {
    let created = event("e1", "Created", "fail");
    fixture.fail(RESERVE, &created).await;
    let sequence = fixture.parked().await[0].sequence;
    let refusal = Some((name("NotReserved"), "{}".to_owned()));
    assert!(matches!(fixture.drop_parked(sequence, refusal.clone()).await, JobOutput::Done));
    let again = fixture.drop_parked(sequence, refusal).await;
    assert!(matches!(again, JobOutput::Refused(DropError::NotParked)), "{again:?}");
    assert_eq!(fixture.kinds().await, ["NotReserved"]);
    let job = StoreJob::Reactions(created.source.clone(), created.id.clone());
    let JobOutput::Reactions(reactions) = fixture.run(job).await else { panic!("no reactions") };
    let [one] = &reactions[..] else { panic!("{reactions:?}") };
    assert_eq!((&one.reaction, one.outcome), (&name("Created"), ReactionOutcome::Dropped));
    assert_eq!(one.reason.as_deref(), Some("ticket 4711"));
}

async fn timeouts<S: Effects>(fixture: &mut Fixture<S>) -> usize {
    let JobOutput::Timeouts(due, _) = fixture.run(StoreJob::TimeoutsDue(fixture.now)).await else {
        panic!("no time-outs")
    };
    for running in &due {
        for fires in [true, false] {
            let stamp = fixture.stamp();
            let reply = fixture.run(StoreJob::Fire(running.clone(), stamp)).await;
            assert!(matches!(reply, JobOutput::Changed(fired) if fired == fires), "{reply:?}");
        }
    }
    due.len()
}

async fn a_time_out_fires_once_and_only_where_nothing_came<S: Effects>(mut fixture: Fixture<S>) {
    fixture.receive(RESERVE, &event("e1", "Created", "done")).await;
    let other = Event { correlation: name("ORD2"), ..event("e2", "Created", "done") };
    fixture.receive(RESERVE, &other).await;
    let cancelled = Event { correlation: name("ORD2"), ..event("e3", "Cancelled", "done") };
    fixture.receive(RELEASE, &cancelled).await;
    assert_eq!(timeouts(&mut fixture).await, 0);
    fixture.now = fixture.now + Duration::from_secs(61);
    assert_eq!(timeouts(&mut fixture).await, 1);
    assert_eq!(fixture.kinds().await, ["Reserved", "Reserved", "Released", "Late"]);
    // It does not begin again.
    fixture.receive(RESERVE, &event("e4", "Created", "done")).await;
    fixture.now = fixture.now + Duration::from_secs(61);
    assert_eq!(timeouts(&mut fixture).await, 0);
}

async fn a_time_out_is_cancelled_by_what_came_before_it<S: Effects>(mut fixture: Fixture<S>) {
    fixture.receive(RELEASE, &event("e1", "Cancelled", "done")).await;
    fixture.receive(RESERVE, &event("e2", "Created", "done")).await;
    fixture.now = fixture.now + Duration::from_secs(61);
    assert_eq!(timeouts(&mut fixture).await, 0);
}

async fn an_awaited_event_cancels_also_where_it_is_parked<S: Effects>(mut fixture: Fixture<S>) {
    fixture.receive(RESERVE, &event("e1", "Created", "done")).await;
    assert!(matches!(
        fixture.receive(CHARGE, &event("e2", "Asked", "done")).await,
        Disposition::Call(..)
    ));
    let cancelled = event("e3", "Cancelled", "done");
    assert_eq!(fixture.receive(RELEASE, &cancelled).await, Disposition::Parked);
    fixture.now = fixture.now + Duration::from_secs(61);
    assert_eq!(timeouts(&mut fixture).await, 0);
}

async fn a_feed_refuses_what_it_does_not_know<S: Effects>(mut fixture: Fixture<S>) {
    for n in 0..5 {
        let created = Event {
            correlation: name(&format!("ORD{n}")),
            ..event(&format!("e{n}"), "Created", "done")
        };
        fixture.receive(RESERVE, &created).await;
    }
    let page = fixture.read(StartFrom::Earliest).await.unwrap();
    let places: Vec<_> =
        page.events.iter().map(|one| Cursor::at(one.position, one.event.id.clone())).collect();
    assert_eq!(places.iter().map(|place| place.position).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let after = |place: &Cursor| StartFrom::After(place.clone());
    assert_eq!(fixture.read(after(&places[2])).await.unwrap().events.len(), 2);
    let swapped = Cursor { id: places[1].id.clone(), ..places[2].clone() };
    assert_eq!(fixture.read(after(&swapped)).await, Err(CursorRefusal::Other { position: 3 }));
    let ahead = Cursor { position: 6, ..places[2].clone() };
    let refusal = CursorRefusal::Ahead { position: 6, head: 5 };
    assert_eq!(fixture.read(after(&ahead)).await, Err(refusal));
    // All is trimmed: the last one's place is known, and no position is given again.
    let later = fixture.now + Duration::from_secs(1_000_000_000_000);
    fixture.run(StoreJob::Trim(later, Timestamp::from_millis(0))).await;
    assert_eq!(fixture.read(after(&places[4])).await.unwrap().events, []);
    let refusal = CursorRefusal::Trimmed { position: 4, trimmed: 5 };
    assert_eq!(fixture.read(after(&places[3])).await, Err(refusal));
    let swapped = Cursor { id: places[1].id.clone(), ..places[4].clone() };
    assert_eq!(fixture.read(after(&swapped)).await, Err(CursorRefusal::Other { position: 5 }));
    fixture.receive(RESERVE, &event("e9", "Created", "done")).await;
    let page = fixture.read(after(&places[4])).await.unwrap();
    assert_eq!(page.events[0].position, 6);
    assert_eq!(fixture.read(StartFrom::Now).await.unwrap().cursor, page.cursor);
}

async fn a_watermark_never_goes_back<S: Effects>(mut fixture: Fixture<S>) {
    let source = ServiceName::new("other").unwrap();
    let place = |n: u64| Cursor::at(n, EventId::new(format!("e{n}")).unwrap());
    for (to, moved) in [(5, true), (4, false), (5, false), (7, true)] {
        let reply = fixture.run(StoreJob::Advance(source.clone(), place(to), fixture.now)).await;
        assert!(
            matches!(reply, JobOutput::Changed(changed) if changed == moved),
            "{to}: {reply:?}"
        );
    }
    let reply = fixture.run(StoreJob::Cursor(source.clone())).await;
    assert!(matches!(reply, JobOutput::Cursor(Some(cursor)) if cursor == place(7)));
    fixture
        .run(StoreJob::SetCursor(source.clone(), place(2), "restored".to_owned(), fixture.now))
        .await;
    let reply = fixture.run(StoreJob::Cursor(source)).await;
    assert!(matches!(reply, JobOutput::Cursor(Some(cursor)) if cursor == place(2)));
}
