//! The rules, each with the check that looks whether it is kept.

use std::time::Duration;

use futures_util::future::join;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::report::{RuleCheck, RuleFailure, RuleResult, ensure};
use super::upstream::FeedFault;
use super::{FollowerSuite, ServiceProcess};
use crate::choreography::ParkedState;
use crate::cursor::Cursor;
use crate::feed::{CursorRefusal, Feed, FeedError, FeedRequest, StartFrom};
use crate::names::EventId;
use crate::{Event, NewEvent};

const ASKED: &str = "ConformanceAsked";
const UNDONE: &str = "ConformanceUndone";
const ANSWERED: &str = "ConformanceAnswered";
const REFUSED: &str = "ConformanceRefused";
const TAKEN_BACK: &str = "ConformanceTakenBack";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The time for which it is watched that something does not happen, which only time can show.
const WATCHED: Duration = Duration::from_secs(1);

/// Makes every check, in an order in which each can rely on those before it.
pub(super) async fn check<P: ServiceProcess>(suite: &mut FollowerSuite<P>) -> Vec<RuleCheck> {
    let mut checks = Vec::new();
    macro_rules! each {
        ($($rule:literal => $check:ident,)+) => {$(
            let verdict = RuleFailure::verdict(suite.$check().await);
            checks.push(RuleCheck { rule: $rule, verdict });
        )+};
    }
    each! {
        "an event is answered, with its cause, its correlation and its trace" => answered,
        "a refusal is an event, too" => refused,
        "what was done is taken back" => taken_back,
        "what undoes comes first: it is answered, and what it undoes has no effect" => undone_first,
        "the events of one correlation are dealt with in their order" => in_order,
        "an event of a type that is not known is passed over" => unknown_type,
        "two ids that differ by their case alone are two events" => ids_by_their_bytes,
        "what is no event is set aside, and the others go on" => no_event,
        "an event whose data does not fit is parked: its correlation waits, the others go on"
            => parked,
        "what undoes a parked event goes on before it" => parked_undone,
        "an answer that is an error, cut or no page loses nothing" => broken_answers,
        "a page that comes late loses nothing" => late_pages,
        "what a page repeats has effect once" => repeated_pages,
        "it is killed in the middle and goes on where it was" => killed,
        "its feed gives every event once, in pages of any size" => own_pages,
        "its feed begins at the earliest event, or now, and wakes who waits" => own_starts,
        "its feed refuses a cursor that it did not give" => own_refusals,
        "a refusal of its cursor is shown, and it goes on from nowhere else" => refusal,
        "every event had effect once" => once,
        "it asks as the contract says" => asks,
    }
    checks
}

#[derive(Debug, Deserialize)]
struct ShownStatus {
    feeds: Vec<ShownFeed>,
    parked: Vec<ShownEvent>,
}

#[derive(Debug, Deserialize)]
struct ShownFeed {
    source: String,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ShownEvent {
    id: EventId,
    correlation: String,
    state: ParkedState,
}

impl ShownStatus {
    fn is_parked(&self, id: &EventId) -> bool {
        self.parked.iter().any(|parked| parked.id == *id)
    }

    fn shows_error(&self) -> bool {
        let ours = |feed: &&ShownFeed| feed.source == super::upstream::SOURCE;
        self.feeds.iter().filter(ours).any(|feed| feed.error.is_some())
    }
}

fn event(kind: &str, correlation: &str, data: &Value) -> RuleResult<NewEvent> {
    // A correlation is any text.
    let event = NewEvent::new(kind, format!("{correlation} ü/'"), data);
    event.map_err(|why| RuleFailure::Seen(why.to_string()))
}

/// True if the event is of this type, with this data.
fn says(event: &Event, kind: &str, n: i64) -> bool {
    event.kind.as_str() == kind && event.data::<Value>().is_ok_and(|data| data == json!({ "n": n }))
}

impl<P: ServiceProcess> FollowerSuite<P> {
    fn publish(&self, kind: &str, correlation: &str, n: i64) -> RuleResult<EventId> {
        Ok(self.upstream.publish(event(kind, correlation, &json!({ "n": n }))?))
    }

    /// Publishes an event, and looks whether it is answered so.
    async fn exchange(
        &mut self,
        kind: &str,
        correlation: &str,
        n: i64,
        answer: &str,
    ) -> RuleResult {
        let cause = self.publish(kind, correlation, n)?;
        let answers = self.downstream.answers(&[cause]).await?;
        let is_right = answers.iter().all(|one| says(one, answer, n));
        ensure(is_right, || format!("{kind} {n} was answered by {}", shown(&answers)))
    }

    /// Publishes this many events of a few correlations; returns their ids, by correlation.
    fn publish_many(&self, name: &str, count: usize) -> RuleResult<Vec<Vec<EventId>>> {
        let mut causes = vec![Vec::new(); CORRELATIONS];
        for n in 0..count {
            let correlation = format!("{name}-{}", n % CORRELATIONS);
            causes[n % CORRELATIONS].push(self.publish(ASKED, &correlation, 1)?);
        }
        Ok(causes)
    }

    /// Waits until all of them are answered, and looks whether they are in the order of each
    /// correlation.
    async fn answered_in_order(&mut self, causes: &[Vec<EventId>]) -> RuleResult {
        self.downstream.answers(&causes.concat()).await?;
        let emitted = self.downstream.read.iter().filter_map(|one| one.event.causation.as_ref());
        let emitted: Vec<_> = emitted.collect();
        for causes in causes {
            let order: Vec<_> = emitted.iter().filter(|id| causes.contains(id)).collect();
            let is_right = order.iter().copied().copied().eq(causes);
            ensure(is_right, || format!("{causes:?} were dealt with as {order:?}"))?;
        }
        Ok(())
    }

    async fn answered(&mut self) -> RuleResult {
        let event = event(ASKED, "answered", &json!({ "n": 1 }))?.in_trace(TRACE);
        let correlation = event.correlation.clone();
        let cause = self.upstream.publish(event);
        let answers = self.downstream.answers(&[cause]).await?;
        ensure(answers.iter().all(|one| says(one, ANSWERED, 1)), || shown(&answers))?;
        // A service that makes spans is another parent of the same trace.
        let trace = |one: &Event| {
            one.traceparent.as_ref().and_then(|text| text.get(..35).map(str::to_owned))
        };
        for one in &answers {
            let same = one.correlation == correlation && trace(one).as_deref() == TRACE.get(..35);
            let seen = || {
                format!("correlationid {:?}, traceparent {:?}", one.correlation, one.traceparent)
            };
            ensure(same, seen)?;
        }
        Ok(())
    }

    async fn refused(&mut self) -> RuleResult {
        self.exchange(ASKED, "refused", -1, REFUSED).await
    }

    async fn taken_back(&mut self) -> RuleResult {
        self.exchange(ASKED, "taken-back", 3, ANSWERED).await?;
        self.exchange(UNDONE, "taken-back", 3, TAKEN_BACK).await
    }

    async fn undone_first(&mut self) -> RuleResult {
        self.exchange(UNDONE, "undone-first", 4, TAKEN_BACK).await?;
        let late = self.publish(ASKED, "undone-first", 4)?;
        // What comes after it in its correlation shows that it was dealt with.
        self.exchange(UNDONE, "undone-first", 5, TAKEN_BACK).await?;
        let answers = self.downstream.answers_now(&late).await?;
        ensure(answers == 0, || "an event that was undone before it came was answered".to_owned())
    }

    async fn in_order(&mut self) -> RuleResult {
        let causes = self.publish_many("order", 60)?;
        self.answered_in_order(&causes).await
    }

    async fn unknown_type(&mut self) -> RuleResult {
        let unknown = self.publish("ConformanceUnheardOf", "unknown", 1)?;
        self.exchange(ASKED, "unknown", 6, ANSWERED).await?;
        let answers = self.downstream.answers_now(&unknown).await?;
        ensure(answers == 0, || "an event of an unknown type was answered".to_owned())
    }

    async fn ids_by_their_bytes(&mut self) -> RuleResult {
        let mut causes = Vec::new();
        for id in ["Id-A", "id-a"] {
            let event = event(ASKED, "ids", &json!({ "n": 1 }))?;
            causes.push(self.upstream.publish(NewEvent { id: EventId::from_checked(id), ..event }));
        }
        self.downstream.answers(&causes).await.map(drop)
    }

    async fn no_event(&mut self) -> RuleResult {
        let long = format!("\"{}\"", "x".repeat(crate::DATA_LIMIT));
        let id = "x".repeat(EventId::LIMIT + 1);
        let event = |version: &str, id: &str, data: &str| {
            format!(
                r#"{{"specversion":"{version}","id":"{id}","source":"conformance",
                "type":"ConformanceAsked","position":"POSITION","data":{data}}}"#
            )
        };
        for text in [
            "7",
            "null",
            r#"{"position":"POSITION"}"#,
            r#"{"specversion":"1.0","position":"POSITION","type":"ConformanceAsked"}"#,
            &event("0.3", "a", r#"{"n":1}"#),
            &event("1.0", &id, r#"{"n":1}"#),
            &event("1.0", "", r#"{"n":1}"#),
            &event("1.0", r"\u0000", r#"{"n":1}"#),
            &event("1.0", r"\ud800", r#"{"n":1}"#),
            &event("1.0", "too-long", &long),
        ] {
            self.upstream.publish_text(text);
            self.exchange(ASKED, "no-event", 7, ANSWERED).await?;
        }
        Ok(())
    }

    async fn parked(&mut self) -> RuleResult {
        let odd = event(ASKED, "parked", &json!({ "n": "eight" }))?;
        let odd = self.upstream.publish(odd);
        let behind = self.publish(ASKED, "parked", 8)?;
        self.exchange(ASKED, "not-parked", 8, ANSWERED).await?;
        let status = |status: &ShownStatus| status.is_parked(&odd) && status.is_parked(&behind);
        let status = self.downstream.status("both events as parked", status).await?;
        for (id, state) in [(&odd, ParkedState::Unreadable), (&behind, ParkedState::Waiting)] {
            let is_so = status.parked.iter().any(|one| one.id == *id && one.state == state);
            ensure(is_so, || format!("{id} is not {state}: {status:?}"))?;
            let answers = self.downstream.answers_now(id).await?;
            ensure(answers == 0, || format!("{id} is {state} and was answered"))?;
        }
        Ok(())
    }

    /// Goes on from what [`parked`](Self::parked) left.
    async fn parked_undone(&mut self) -> RuleResult {
        self.exchange(UNDONE, "parked", 8, TAKEN_BACK).await?;
        let is_over = |status: &ShownStatus| {
            !status.parked.iter().any(|parked| parked.correlation.starts_with("parked"))
        };
        self.downstream.status("that nothing of the correlation is parked", is_over).await?;
        // What waited behind the parked event is undone, too.
        let fence = self.publish(UNDONE, "parked", 9)?;
        self.downstream.answers(&[fence]).await?;
        let asked = self.downstream.read.iter().filter(|one| {
            one.event.correlation.as_str().starts_with("parked")
                && one.event.kind.as_str() != TAKEN_BACK
        });
        ensure(asked.count() == 0, || {
            "an event that was undone while it waited was answered".into()
        })
    }

    async fn broken_answers(&mut self) -> RuleResult {
        self.with(&[
            FeedFault::Error,
            FeedFault::Cut,
            FeedFault::NoPage,
            FeedFault::Cut,
            FeedFault::Error,
        ])
        .await
    }

    async fn late_pages(&mut self) -> RuleResult {
        self.with(&[FeedFault::Late, FeedFault::Late, FeedFault::Late]).await
    }

    async fn repeated_pages(&mut self) -> RuleResult {
        self.with(&[FeedFault::Overlap, FeedFault::Stale, FeedFault::Overlap, FeedFault::Stale])
            .await
    }

    /// A check that nothing is lost, doubled or out of order where answers fail so.
    async fn with(&mut self, faults: &[FeedFault]) -> RuleResult {
        let mut all = vec![Vec::new(); CORRELATIONS];
        for fault in faults {
            self.upstream.fail([*fault]);
            let name = format!("{faults:?}");
            for (all, more) in all.iter_mut().zip(self.publish_many(&name, 2 * CORRELATIONS)?) {
                all.extend(more);
            }
            let mut changes = self.upstream.changes();
            let give_up = self.downstream.patience();
            while !self.upstream.has_failed() {
                ensure(Instant::now() < give_up, || format!("it asked no more before {fault:?}"))?;
                let _ = tokio::time::timeout_at(give_up, changes.changed()).await;
            }
        }
        // A page that is held back comes when there is more.
        self.publish_many("after-the-faults", CORRELATIONS)?;
        self.answered_in_order(&all).await
    }

    async fn killed(&mut self) -> RuleResult {
        for round in 0..3 {
            let name = format!("killed-{round}");
            let first = self.publish_many(&name, 5 * CORRELATIONS)?;
            // In the middle: some are dealt with, and others need not be.
            self.downstream.answers(&first[0][..1]).await?;
            if !self.process.kill().await {
                return Err(RuleFailure::NotOffered);
            }
            let second = self.publish_many(&name, 5 * CORRELATIONS)?;
            self.goes_on().await?;
            let both = first.into_iter().zip(second);
            let both: Vec<_> = both.map(|(first, second)| [first, second].concat()).collect();
            self.answered_in_order(&both).await?;
        }
        Ok(())
    }

    /// Starts the service, and looks whether it asks from a place that it has kept.
    async fn goes_on(&mut self) -> RuleResult {
        let before = self.upstream.request_count();
        self.process.start().await.map_err(RuleFailure::Seen)?;
        let asked = self.requests_since(before, self.downstream.patience()).await;
        let kept = asked.iter().all(|asked| asked.after.contains('.'));
        ensure(kept && !asked.is_empty(), || format!("it asked after its start: {asked:?}"))
    }

    async fn get(&self, query: &str) -> RuleResult<(http::response::Parts, bytes::Bytes)> {
        let asked = self.downstream.feed.get_query(query).await;
        asked.map_err(|why| RuleFailure::Seen(format!("{query}: {why}")))
    }

    async fn own_pages(&mut self) -> RuleResult {
        let (parts, body) = self.get("after=earliest").await?;
        let content = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
        ensure(content == Some(crate::wire::BATCH), || format!("content-type {content:?}"))?;
        ensure(body.first() == Some(&b'['), || "a page is no array".to_owned())?;
        let mut all: Option<Vec<EventId>> = None;
        for limit in [1_000, 17, 3] {
            let (mut start, mut ids) = (StartFrom::Earliest, Vec::new());
            loop {
                let page = self.downstream.page(&start, limit, Duration::ZERO).await?;
                if page.events.is_empty() {
                    let end = page.cursor.position == page.head;
                    ensure(end, || format!("an empty page before the end: {page:?}"))?;
                    break;
                }
                ids.extend(page.events.into_iter().map(|placed| placed.event.id));
                start = StartFrom::After(page.cursor);
            }
            let first = all.get_or_insert_with(|| ids.clone());
            ensure(*first == ids, || format!("by {limit} there are other events than by 1000"))?;
        }
        ensure(all.is_some_and(|all| !all.is_empty()), || "no event at all".to_owned())
    }

    async fn own_starts(&mut self) -> RuleResult {
        let wait = Duration::ZERO;
        let now = self.downstream.page(&StartFrom::Now, 10, wait).await?;
        let is_end = now.events.is_empty() && now.cursor.position == now.head;
        ensure(is_end, || format!("after=now gave {now:?}"))?;
        let asked = event(ASKED, "woken", &json!({ "n": 1 }))?;
        let start = StartFrom::After(now.cursor);
        // The limit shows that it was woken: who was not answers at the end of its wait.
        let waiting = self.downstream.page(&start, 10, Duration::from_secs(30));
        let woken = tokio::time::timeout(Duration::from_secs(15), waiting);
        let (page, _) = join(woken, async { self.upstream.publish(asked) }).await;
        let page = page.map_err(|_| RuleFailure::Seen("who waited was not woken".to_owned()))??;
        ensure(!page.events.is_empty(), || format!("who waited was woken by {page:?}"))
    }

    async fn own_refusals(&mut self) -> RuleResult {
        let page = self.downstream.page(&StartFrom::Earliest, 1, Duration::ZERO).await?;
        let (Some(first), head) = (page.events.first(), page.head) else {
            return Err(RuleFailure::Seen("the feed has no event".to_owned()));
        };
        let ahead = Cursor::at(head + 1_000, first.event.id.clone());
        let other = Cursor::at(first.position, EventId::from_checked("none-of-its-own"));
        for (cursor, kind) in [(ahead, "cursor-ahead"), (other, "cursor-other-event")] {
            let ask = FeedRequest {
                start: StartFrom::After(cursor.clone()),
                limit: 1,
                wait: Duration::ZERO,
            };
            match self.downstream.feed.read(ask).await {
                Err(FeedError::Refused(CursorRefusal::Said { kind: said, .. })) if said == kind => {
                }
                other => {
                    return Err(RuleFailure::Seen(format!(
                        "after={cursor}: {other:?}, not {kind}"
                    )));
                }
            }
        }
        for query in ["after=here", "after=earliest&limit=many", "after=earliest&wait_ms=long"] {
            let (parts, _) = self.get(query).await?;
            ensure(parts.status == 400, || format!("{query}: {}, not 400", parts.status))?;
        }
        Ok(())
    }

    async fn refusal(&mut self) -> RuleResult {
        let before = self.upstream.request_count();
        self.upstream.refuse(true);
        self.downstream.status("the refused feed's error", ShownStatus::shows_error).await?;
        let event = self.publish(ASKED, "after-the-refusal", 1)?;
        tokio::time::sleep(WATCHED).await;
        if self.process.kill().await {
            self.goes_on().await?;
            self.downstream.status("the refused feed's error", ShownStatus::shows_error).await?;
        }
        let asked = self.upstream.requests(before);
        let elsewhere = asked.iter().find(|asked| asked.refused && !asked.after.contains('.'));
        ensure(elsewhere.is_none(), || format!("it asked for {elsewhere:?}"))?;
        self.upstream.refuse(false);
        if self.process.kill().await {
            self.goes_on().await?;
            self.downstream.answers(&[event]).await?;
        }
        Ok(())
    }

    async fn once(&mut self) -> RuleResult {
        while self.downstream.answers_now(&EventId::from_checked("none")).await? > 0 {}
        for (cause, answers) in self.downstream.known_answers() {
            let seen = || format!("{cause} caused {answers:?}");
            ensure(answers.len() == 1, seen)?;
        }
        let own = self.downstream.read.iter().find(|one| one.event.causation.is_none());
        ensure(own.is_none(), || format!("an event without a cause: {own:?}"))
    }

    async fn asks(&mut self) -> RuleResult {
        let wrong = self.upstream.invalid_requests();
        ensure(wrong.is_empty(), || wrong.join("; "))
    }
}

/// The number of correlations of events that are published at once.
const CORRELATIONS: usize = 4;

fn shown(events: &[Event]) -> String {
    let shown = events.iter().map(|event| format!("{} {}", event.kind, event.data));
    shown.collect::<Vec<_>>().join(", ")
}
