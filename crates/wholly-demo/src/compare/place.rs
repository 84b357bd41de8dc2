//! One order, from its submission to its end.
//!
//! A client of a coordinator or of the shop by events asks again until its order is taken or its
//! deadline has passed, for to ask twice is safe there. Without coordination it is not: there a
//! client asks once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::arrivals::{Clock, Kept};
use super::regime::Regime;
use crate::client::{Http, NoAnswer, Reply};
use crate::fleet::Fleet;
use crate::order::Order;

/// The pause before a client asks again to take its order.
const AGAIN: Duration = Duration::from_millis(50);
/// The pauses before a client asks again how its order ended.
const SOON: Duration = Duration::from_millis(10);
const LATER: Duration = Duration::from_millis(100);

/// The course of an order, as times since the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) submitted: Duration,
    /// The client knows that it will be done, or undone.
    pub(super) accepted: Option<Duration>,
    /// Nothing is left to do for it in any service.
    pub(super) finished: Option<Duration>,
    pub(super) end: Option<End>,
}

/// The end of an order, as its client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Confirmed,
    /// Taken back, because it was refused.
    Cancelled,
    /// Taken back, because its deadline passed.
    PastDeadline,
    /// Taken back, because the coordinator was killed before it had decided.
    Restarted,
    /// Given up over a call that failed: its effect is not known.
    GivenUp,
}

#[derive(Clone)]
pub(super) struct Client {
    regime: Regime,
    http: Http,
    url: String,
    deadline: Duration,
}

impl Client {
    pub(super) fn of(regime: Regime, fleet: &Fleet, deadline: Duration) -> Self {
        let path = match regime {
            Regime::TwoPhase | Regime::Saga => "/v1/transactions",
            Regime::NoCoordination | Regime::Choreography => "/orders",
        };
        let url = fleet.url(regime.leader(), path);
        Self { regime, http: Http::default(), url, deadline }
    }

    /// Submits an order and asks how it ended, until it has.
    pub(super) async fn place(&self, order: Order, clock: Clock, kept: &Kept) {
        let submitted = clock.now();
        kept.note(&order.id, |placed| placed.submitted = submitted);
        let accept = |end: Option<End>| {
            kept.note(&order.id, |placed| {
                placed.accepted = placed.accepted.or_else(|| Some(clock.now()));
                placed.end = end;
            });
        };
        let end = match self.regime {
            Regime::NoCoordination => self.once(&watched(&order)).await.inspect(|end| {
                if *end != End::GivenUp {
                    accept(Some(*end));
                }
            }),
            Regime::TwoPhase | Regime::Saga => {
                let submission = self.submission(&order);
                let Some(reply) = self.taken(&submission, submitted, clock).await else { return };
                accept(None);
                let id = reply.body["id"].as_str().unwrap_or_default();
                Some(self.settled(id).await)
            }
            Regime::Choreography => {
                let mut body = watched(&order);
                body["expires_at"] = json!(clock.epoch_millis(submitted + self.deadline));
                let Some(_) = self.taken(&body, submitted, clock).await else { return };
                accept(None);
                Some(self.ended(&body).await)
            }
        };
        kept.note(&order.id, |placed| {
            placed.end = end;
            placed.finished = end.filter(|end| *end != End::GivenUp).map(|_| clock.now());
        });
    }

    /// Sends an order once, and waits for the answer that tells its end.
    pub(super) async fn ask_once(&self, order: &Order) -> Result<Reply, NoAnswer> {
        let (query, body) = match self.regime {
            Regime::TwoPhase | Regime::Saga => ("", self.submission(order)),
            Regime::NoCoordination => ("", order.input()),
            Regime::Choreography => ("?wait_ms=20000", order.input()),
        };
        self.http.post(&format!("{}{query}", self.url), &body).await
    }

    /// The request to the coordinator's API.
    fn submission(&self, order: &Order) -> Value {
        let order = Order { deadline: Some(self.deadline), ..order.clone() };
        match self.regime {
            Regime::Saga => order.by_saga().submission(),
            _ => order.submission(),
        }
    }

    /// Without coordination there is one answer, or none.
    async fn once(&self, body: &Value) -> Option<End> {
        match self.http.post(&self.url, body).await {
            Ok(Reply { status: 200, .. }) => Some(End::Confirmed),
            Ok(Reply { status: 409, .. }) => Some(End::Cancelled),
            Ok(_) | Err(NoAnswer { .. }) => Some(End::GivenUp),
        }
    }

    /// Asks until the order is taken; none where its deadline passes before.
    async fn taken(&self, body: &Value, submitted: Duration, clock: Clock) -> Option<Reply> {
        while clock.now() < submitted + self.deadline {
            match self.http.post_async(&self.url, body).await {
                Ok(reply @ Reply { status: 200 | 202, .. }) => return Some(reply),
                Ok(_) | Err(NoAnswer { .. }) => sleep(AGAIN).await,
            }
        }
        None
    }

    /// Asks the coordinator until nothing is left to do.
    async fn settled(&self, id: &str) -> End {
        let url = format!("{}/{id}", self.url);
        let mut pause = SOON;
        loop {
            if let Ok(Reply { status: 200, body, .. }) = self.http.get(&url).await
                && body["settled"] == true
            {
                let reason = body["reason"].as_str().unwrap_or_default();
                return end_of(body["state"].as_str().unwrap_or_default(), reason);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LATER);
        }
    }

    /// Asks the order service until it has confirmed or cancelled the order.
    async fn ended(&self, body: &Value) -> End {
        let url = format!("{}?wait_ms=1000", self.url);
        loop {
            match self.http.post(&url, body).await {
                Ok(Reply { status: 200, body, .. }) if body["status"] == "confirmed" => {
                    return End::Confirmed;
                }
                Ok(Reply { status: 200, .. }) => return End::Cancelled,
                Ok(_) => {}
                Err(NoAnswer { .. }) => sleep(AGAIN).await,
            }
        }
    }
}

/// The request to the shop without a coordinator, for an order that a reader asks for.
fn watched(order: &Order) -> Value {
    let mut body = order.input();
    body["is_watched"] = json!(true);
    body
}

/// The end of a transaction, from the coordinator's word on it.
fn end_of(state: &str, reason: &str) -> End {
    match state {
        "committed" | "completed" => End::Confirmed,
        _ if reason.contains("the deadline passed") || reason.contains("after its time") => {
            End::PastDeadline
        }
        _ if reason.contains("restarted") => End::Restarted,
        _ => End::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use wholly_core::two_phase::AbortReason;

    use super::*;

    #[test]
    fn the_end_of_a_transaction_is_told_by_its_reason() {
        assert_eq!(end_of("committed", ""), End::Confirmed);
        let aborted = |reason: AbortReason| end_of("aborted", &reason.to_string());
        assert_eq!(
            aborted(AbortReason::Deadline { last_answers: String::new() }),
            End::PastDeadline
        );
        assert_eq!(aborted(AbortReason::Restarted), End::Restarted);
        assert_eq!(end_of("compensated", "payment was refused: no"), End::Cancelled);
    }
}
