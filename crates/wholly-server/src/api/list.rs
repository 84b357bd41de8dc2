//! The transactions that match what the query says, newest first, in pages.

use axum::Json;
use axum::extract;
use serde::Deserialize;
use wholly::{
    Coordinator, Cursor, Filter, Listing, Name, ParticipantName, Pattern, State, Timestamp,
};

use super::request::Query;
use crate::problem::{Kind, Problem};

/// The most transactions that a page has.
const LIMIT: usize = 1_000;

/// The filter of the list, and the size of a page. A transaction must match every member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionsQuery {
    state: Option<State>,
    pattern: Option<Pattern>,
    name: Option<Name>,
    participant: Option<ParticipantName>,
    settled: Option<bool>,
    stuck: Option<bool>,
    /// Milliseconds since the Unix epoch: accepted then or later.
    since: Option<Timestamp>,
    /// Accepted before.
    until: Option<Timestamp>,
    #[serde(default = "a_hundred")]
    limit: usize,
    /// The `next` of the page before.
    cursor: Option<Cursor>,
}

fn a_hundred() -> usize {
    100
}

pub async fn list(
    extract::State(coordinator): extract::State<Coordinator>,
    Query(query): Query<TransactionsQuery>,
) -> Result<Json<Listing>, Problem> {
    let TransactionsQuery {
        state, pattern, name, participant, settled, stuck, since, until, ..
    } = query;
    let filter = Filter { state, pattern, name, participant, settled, stuck, since, until };
    let TransactionsQuery { limit, cursor, .. } = query;
    if !(1..=LIMIT).contains(&limit) {
        let detail = format!("a limit of {limit} is out of range; it is from 1 to {LIMIT}");
        return Err(Problem::new(Kind::INVALID_REQUEST, detail));
    }
    Ok(Json(coordinator.list(&filter, cursor, limit).await?))
}
