//! The feed that the service follows: what it gives, and how it fails, is up to the suite.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::NewEvent;
use crate::cursor::Cursor;
use crate::event::{now, random_bits};
use crate::feed::{page_header, problem};
use crate::names::{EventId, ServiceName};
use crate::wire;

/// The name of the feed: the source of its events.
pub(super) const SOURCE: &str = "conformance";
/// The detail of every problem.
const SAYS: &str = "the conformance suite says so";

/// The longest wait that is granted; longer than any follower needs to notice that it was.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A fault of an answer that has something to give.
#[derive(Clone, Copy, Debug)]
pub(super) enum FeedFault {
    /// The server says that it is broken.
    Error,
    /// The connection ends in the middle of the page.
    Cut,
    /// The page comes when it is no longer all that there is.
    Late,
    /// The page begins before the place that was asked for.
    Overlap,
    /// The page is the one before.
    Stale,
    /// Something that is no feed answers: a proxy, say.
    NoPage,
}

/// A request, as far as the checks look at it.
#[derive(Clone, Debug)]
pub(super) struct ReceivedRequest {
    pub(super) after: String,
    /// True if it was refused because the suite said so.
    pub(super) refused: bool,
}

#[derive(Default)]
struct UpstreamLog {
    /// The id and the text of each item; the first has the position 1.
    items: Vec<(EventId, String)>,
    faults: VecDeque<FeedFault>,
    refuses: bool,
    requests: Vec<ReceivedRequest>,
    /// Requests that the contract does not know.
    invalid: Vec<String>,
}

struct UpstreamState {
    log: Mutex<UpstreamLog>,
    changes: watch::Sender<()>,
}

/// A feed that runs until it is dropped.
pub(super) struct Upstream {
    shared: Arc<UpstreamState>,
    serving: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Upstream {
    pub(super) fn start(listener: TcpListener) -> Self {
        let (log, changes) = (Mutex::default(), watch::Sender::new(()));
        let shared = Arc::new(UpstreamState { log, changes });
        let routes = Router::new().route("/feed", get(feed)).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Self { shared, serving }
    }

    /// Adds an event; returns its id.
    pub(super) fn publish(&self, event: NewEvent) -> EventId {
        let id = event.id.clone();
        let event = event.from_source(ServiceName::from_checked(SOURCE));
        self.shared.add(id.clone(), |position| {
            // An event of the suite has JSON as its data.
            wire::to_json(&event, Some(position)).unwrap_or_default()
        });
        id
    }

    /// Adds something that is no event; its text may name its position, as `POSITION`.
    pub(super) fn publish_text(&self, text: &str) {
        let id = EventId::mint(now(), random_bits());
        self.shared.add(id, |position| text.replace("POSITION", &position.to_string()));
    }

    /// The next answers that have something to give fail so.
    pub(super) fn fail(&self, faults: impl IntoIterator<Item = FeedFault>) {
        self.shared.lock().faults.extend(faults);
    }

    /// True if no fault is left that no answer has had yet.
    pub(super) fn has_failed(&self) -> bool {
        self.shared.lock().faults.is_empty()
    }

    /// Refuses every cursor from now on, or no more.
    pub(super) fn refuse(&self, refuses: bool) {
        self.shared.lock().refuses = refuses;
        self.shared.changes.send_replace(());
    }

    /// The requests since this one.
    pub(super) fn requests(&self, since: usize) -> Vec<ReceivedRequest> {
        self.shared.lock().requests.get(since..).unwrap_or_default().to_vec()
    }

    pub(super) fn request_count(&self) -> usize {
        self.shared.lock().requests.len()
    }

    pub(super) fn invalid_requests(&self) -> Vec<String> {
        self.shared.lock().invalid.clone()
    }

    /// Told of each request and of each change.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.shared.changes.subscribe()
    }
}

impl UpstreamState {
    fn lock(&self) -> MutexGuard<'_, UpstreamLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: EventId, text: impl FnOnce(u64) -> String) {
        let mut log = self.lock();
        let position = log.head() + 1;
        log.items.push((id, text(position)));
        drop(log);
        self.changes.send_replace(());
    }
}

#[derive(Deserialize)]
struct RawQuery {
    after: Option<String>,
    limit: Option<String>,
    wait_ms: Option<String>,
}

async fn feed(
    State(shared): State<Arc<UpstreamState>>,
    Query(wanted): Query<RawQuery>,
) -> Response {
    let mut changes = shared.changes.subscribe();
    let after = wanted.after.clone().unwrap_or_else(|| "earliest".to_owned());
    let started = shared.lock().begin(&after, &wanted);
    shared.changes.send_replace(());
    let (after, limit, wait) = match started {
        Ok(started) => started,
        Err((status, kind)) => return problem(status, kind, SAYS),
    };
    let give_up = tokio::time::Instant::now() + wait.min(LONGEST_WAIT);
    let (page, fault) = loop {
        changes.mark_unchanged();
        match shared.lock().take(after, limit) {
            Err((status, kind)) => return problem(status, kind, SAYS),
            Ok((page, fault)) => {
                let is_over = tokio::time::Instant::now() >= give_up;
                if !page.items.is_empty() || is_over {
                    break (page, fault);
                }
            }
        }
        let _ = tokio::time::timeout_at(give_up, changes.changed()).await;
    };
    // The suite waits until a fault has had its answer.
    shared.changes.send_replace(());
    match fault {
        None | Some(FeedFault::Overlap | FeedFault::Stale) => page.response(false),
        Some(FeedFault::Cut) => page.response(true),
        Some(FeedFault::Error) => problem(StatusCode::INTERNAL_SERVER_ERROR, "broken", SAYS),
        Some(FeedFault::NoPage) => "<html>Come back later</html>".into_response(),
        Some(FeedFault::Late) => {
            // Until there is more than the page knows, which the suite sees to.
            let more = async {
                while shared.lock().head() <= page.head && changes.changed().await.is_ok() {}
            };
            let _ = tokio::time::timeout(LONGEST_WAIT, more).await;
            page.response(false)
        }
    }
}

type HttpRefusal = (StatusCode, &'static str);

impl UpstreamLog {
    fn head(&self) -> u64 {
        self.items.len() as u64
    }

    fn cursor(&self, position: u64) -> Cursor {
        let before = usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
        let item = before.and_then(|index| self.items.get(index));
        item.map_or(Cursor::START, |(id, _)| Cursor::at(position, id.clone()))
    }

    /// Notes the request; what it asks for, or its refusal.
    fn begin(
        &mut self,
        after: &str,
        wanted: &RawQuery,
    ) -> Result<(u64, u64, Duration), HttpRefusal> {
        let refused = self.refuses;
        self.requests.push(ReceivedRequest { after: after.to_owned(), refused });
        if refused {
            return Err((StatusCode::GONE, "cursor-other-event"));
        }
        let number = |text: &Option<String>, unset| {
            text.as_deref().map_or(Some(unset), |text| text.parse::<u64>().ok())
        };
        let (limit, wait) = (number(&wanted.limit, 1_000), number(&wanted.wait_ms, 0));
        let (Some(limit), Some(wait)) = (limit, wait) else {
            self.invalid.push(format!("limit={:?} wait_ms={:?}", wanted.limit, wanted.wait_ms));
            return Err((StatusCode::BAD_REQUEST, "query"));
        };
        let after = match after {
            "earliest" => 0,
            "now" => self.head(),
            text => match text.parse::<Cursor>() {
                Ok(cursor) if self.cursor(cursor.position) == cursor => cursor.position,
                Ok(cursor) => {
                    self.invalid.push(format!("after={cursor}, which no page gave"));
                    let is_ahead = cursor.position > self.head();
                    let kind = if is_ahead { "cursor-ahead" } else { "cursor-other-event" };
                    return Err((StatusCode::GONE, kind));
                }
                Err(_) => {
                    self.invalid.push(format!("after={text}"));
                    return Err((StatusCode::BAD_REQUEST, "query"));
                }
            },
        };
        Ok((after, limit.clamp(1, 1_000), Duration::from_millis(wait)))
    }

    /// The page that there is now, and what goes wrong with it.
    fn take(
        &mut self,
        after: u64,
        limit: u64,
    ) -> Result<(ScriptedPage, Option<FeedFault>), HttpRefusal> {
        if self.refuses {
            let last = self.requests.last_mut();
            // A request that waited is refused as one that comes.
            last.into_iter().for_each(|asked| asked.refused = true);
            return Err((StatusCode::GONE, "cursor-other-event"));
        }
        let fault = if self.head() > after { self.faults.pop_front() } else { None };
        let (from, to) = match fault {
            Some(FeedFault::Overlap) => (after.saturating_sub(5), after + limit),
            Some(FeedFault::Stale) => (after.saturating_sub(5), after.saturating_sub(2)),
            _ => (after, after + limit),
        };
        let to = to.min(self.head());
        let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
        let items = self.items.get(range).unwrap_or_default();
        let items = items.iter().map(|(_, text)| text.clone()).collect();
        Ok((ScriptedPage { items, cursor: self.cursor(to), head: self.head() }, fault))
    }
}

/// A page that is given.
struct ScriptedPage {
    items: Vec<String>,
    cursor: Cursor,
    head: u64,
}

impl ScriptedPage {
    fn response(&self, cut: bool) -> Response {
        let body = format!("[{}]", self.items.join(","));
        let body = if cut {
            let half = body.as_bytes()[..body.len() / 2].to_vec();
            let parts = [Ok(half), Err(std::io::Error::other("the suite cuts the connection"))];
            Body::from_stream(futures_util::stream::iter(parts))
        } else {
            Body::from(body)
        };
        let headers = [
            (header::CONTENT_TYPE.as_str(), wire::BATCH.to_owned()),
            (page_header::SOURCE, SOURCE.to_owned()),
            (page_header::HEAD, self.head.to_string()),
            (page_header::CURSOR, self.cursor.to_string()),
            (page_header::RETENTION, "60".to_owned()),
        ];
        (headers, body).into_response()
    }
}
