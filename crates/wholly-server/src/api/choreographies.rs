//! The choreographed transactions, as the observer has them from the feeds.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use wholly::Timestamp;
use wholly_events::Correlation;

use super::request::Query;
use crate::observer::{self, ChoreographyRow, Filter, Observer, TimelineEvent};
use crate::problem::{Kind, Problem};

/// The most that a page has.
const LIMIT: usize = 1_000;
/// The longest wait for a change.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// `None` if the configuration names no feed.
pub type Observing = Option<Arc<Observer>>;

/// The filter of the list, and the size of a page. A choreography must match every member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoreographiesQuery {
    state: Option<observer::ChoreographyState>,
    settled: Option<bool>,
    stuck: Option<bool>,
    correlation: Option<Correlation>,
    /// Milliseconds since the Unix epoch: begun then or later.
    since: Option<Timestamp>,
    /// Begun before.
    until: Option<Timestamp>,
    #[serde(default = "a_hundred")]
    limit: usize,
    /// The `next` of the page before.
    cursor: Option<Cursor>,
}

fn a_hundred() -> usize {
    100
}

/// A place in the list.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Cursor(u64);

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let number = text.strip_prefix('c').and_then(|number| number.parse().ok());
        number.map(Self).ok_or("this is no cursor; take the `next` of the page before")
    }
}

#[derive(Serialize)]
pub struct ChoreographyPage {
    choreographies: Vec<ChoreographySummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A choreography as every answer shows it.
#[derive(Serialize)]
struct ChoreographySummary {
    correlation: Correlation,
    pattern: &'static str,
    state: observer::ChoreographyState,
    settled: bool,
    stuck: bool,
    started: Timestamp,
}

/// A choreography with its timeline.
#[derive(Serialize)]
pub struct ChoreographyDocument {
    #[serde(flatten)]
    listed: ChoreographySummary,
    /// The reasons why an operator is needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    revision: u64,
    /// The number of events that are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    events: Vec<TimelineEvent>,
}

pub async fn list(
    State(observing): State<Observing>,
    Query(query): Query<ChoreographiesQuery>,
) -> Result<Json<ChoreographyPage>, Problem> {
    let ChoreographiesQuery { state, settled, stuck, correlation, since, until, limit, cursor } =
        query;
    if !(1..=LIMIT).contains(&limit) {
        let detail = format!("a limit of {limit} is out of range; it is from 1 to {LIMIT}");
        return Err(Problem::new(Kind::INVALID_REQUEST, detail));
    }
    let before = cursor.map(|Cursor(number)| number);
    let filter = Filter { state, settled, stuck, correlation, since, until, before };
    let (rows, more) = match observing {
        Some(observer) => observer.list(filter, limit).await?,
        None => (Vec::new(), false),
    };
    let last = rows.last().filter(|_| more);
    let next = last.map(|row| format!("c{}", row.number));
    Ok(Json(ChoreographyPage {
        choreographies: rows.iter().map(ChoreographySummary::of).collect(),
        next,
    }))
}

/// The wait for a change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// The revision that is known: the answer waits for another one.
    revision: Option<u64>,
    /// For how long; none without a revision.
    #[serde(default)]
    wait_ms: u64,
}

pub async fn choreography(
    State(observing): State<Observing>,
    CorrelationInPath(correlation): CorrelationInPath,
    Query(WaitQuery { revision, wait_ms }): Query<WaitQuery>,
) -> Result<Json<ChoreographyDocument>, Problem> {
    let none = || {
        let detail = format!("no event with the correlation {correlation:?} was observed");
        Problem::new(Kind::NO_SUCH_CHOREOGRAPHY, detail)
    };
    let observer = observing.ok_or_else(none)?;
    if let Some(revision) = revision {
        let wait = Duration::from_millis(wait_ms).min(LONGEST_WAIT);
        observer.changed(&correlation, revision, wait).await?;
    }
    let found = observer.get(&correlation).await?.ok_or_else(none)?;
    let row = found.row;
    Ok(Json(ChoreographyDocument {
        listed: ChoreographySummary::of(&row),
        reasons: row.reasons,
        deadline: row.deadline,
        revision: row.revision,
        left_out: Some(row.left_out).filter(|count| *count > 0),
        events: found.events,
    }))
}

/// The correlation that the path names.
pub struct CorrelationInPath(Correlation);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for CorrelationInPath {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, Problem> {
        let invalid = |why: String| Problem::new(Kind::INVALID_REQUEST, why);
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|rejection| invalid(rejection.body_text()))?;
        Correlation::new(&text).map(Self).map_err(|why| invalid(why.to_string()))
    }
}

impl ChoreographySummary {
    fn of(row: &ChoreographyRow) -> Self {
        Self {
            correlation: row.correlation.clone(),
            pattern: "choreography",
            state: row.state,
            settled: row.settled,
            stuck: !row.reasons.is_empty(),
            started: row.started,
        }
    }
}

impl From<observer::StoreError> for Problem {
    fn from(error: observer::StoreError) -> Self {
        Self::new(Kind::UNAVAILABLE, error.to_string())
    }
}
