//! An order of a client of the shop: taken, paid and delivered, all three or none.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Http, Reply};
use crate::fleet::{Books, Fleet, PATIENCE, Role, StockLine};
use crate::shop::{ServiceKind, Stock};

/// An order.
#[derive(Clone, Debug)]
pub struct Order {
    /// The order's id, which is the client's key, too.
    pub id: String,
    /// The item.
    pub item: String,
    /// The number of pieces.
    pub quantity: i64,
    /// The price; none where goods are taken without an order: a transaction of one branch.
    pub amount: Option<i64>,
    /// Its deadline; none is the coordinator's own.
    pub deadline: Option<Duration>,
    /// The pattern that carries it out.
    pub pattern: Pattern,
}

/// The pattern that carries an order out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// By a transaction in two phases.
    TwoPhase,
    /// By the saga [`CREATE_ORDER`](crate::shop::CREATE_ORDER), with or without the money.
    Saga {
        /// True if the money is refused.
        payment_fails: bool,
    },
}

/// The name of [`CREATE_ORDER`](crate::shop::CREATE_ORDER).
const CREATE_ORDER: &str = "create order";

impl Order {
    /// An order in two phases.
    pub fn new(id: impl Into<String>, item: &str, quantity: i64, amount: i64) -> Self {
        Self {
            id: id.into(),
            item: item.to_owned(),
            quantity,
            amount: Some(amount),
            deadline: None,
            pattern: Pattern::TwoPhase,
        }
    }

    /// The same by a saga.
    pub fn by_saga(self) -> Self {
        Self { pattern: Pattern::Saga { payment_fails: false }, ..self }
    }

    /// A saga whose payment is declined.
    pub fn declined(self) -> Self {
        Self { pattern: Pattern::Saga { payment_fails: true }, ..self }
    }

    /// True if a saga carries it out.
    pub fn is_saga(&self) -> bool {
        matches!(self.pattern, Pattern::Saga { .. })
    }

    /// True if its payment is declined.
    pub fn is_declined(&self) -> bool {
        self.pattern == Pattern::Saga { payment_fails: true }
    }

    /// The request to each service, in two-phase or without a coordinator.
    pub fn branches(&self) -> Vec<(ServiceKind, Value)> {
        let goods = json!({ "order_id": self.id, "item_id": self.item, "quantity": self.quantity });
        let goods = (ServiceKind::Inventory, goods);
        match self.amount {
            None => vec![goods],
            Some(amount) => vec![
                (ServiceKind::Order, json!({ "order_id": self.id, "item": self.item })),
                (ServiceKind::Payment, json!({ "order_id": self.id, "amount": amount })),
                goods,
            ],
        }
    }

    /// The input of a saga, and the order that the shop by events is sent.
    pub fn input(&self) -> Value {
        json!({
            "order_id": self.id,
            "item_id": self.item,
            "quantity": self.quantity,
            "amount": self.amount,
            "simulate_payment_failure": self.is_declined(),
        })
    }

    /// The request to the coordinator's API.
    pub fn submission(&self) -> Value {
        let mut body = match self.pattern {
            Pattern::TwoPhase => {
                let branches = self.branches().into_iter();
                let branches = branches.map(
                    |(kind, payload)| json!({ "participant": kind.as_str(), "payload": payload }),
                );
                json!({ "name": self.id, "branches": branches.collect::<Vec<_>>() })
            }
            Pattern::Saga { .. } => json!({
                "pattern": "saga",
                "saga": { "name": CREATE_ORDER },
                "input": self.input(),
            }),
        };
        body["key"] = json!(self.id);
        if let Some(deadline) = self.deadline {
            body["deadline_millis"] = json!(deadline.as_millis() as u64);
        }
        body
    }
}

impl Books {
    /// The books once these orders, and no others, have been carried out.
    pub fn after<'a>(opening: &Stock, orders: impl IntoIterator<Item = &'a Order>) -> Self {
        let line = |quantity: &u32| {
            let quantity = i64::from(*quantity);
            StockLine { on_hand: quantity, available: quantity, reserved: 0 }
        };
        let mut books = Self {
            stock: opening.iter().map(|(item, quantity)| (item.clone(), line(quantity))).collect(),
            in_doubt: ServiceKind::ALL.map(|kind| (kind.as_str(), 0)).into(),
            ..Self::default()
        };
        for order in orders {
            books = books.and(order);
        }
        books
    }

    /// The books when this order has been carried out besides.
    pub fn and(mut self, order: &Order) -> Self {
        if let Some(amount) = order.amount {
            let taken = json!({ "item": order.item, "status": "confirmed" });
            self.orders.insert(order.id.clone(), taken);
            self.payments.insert(order.id.clone(), amount);
        }
        if let Some(line) = self.stock.get_mut(&order.item) {
            line.on_hand -= order.quantity;
            line.available -= order.quantity;
        }
        self
    }

    /// The books when this order has been taken back besides.
    pub fn and_cancelled(mut self, order: &Order) -> Self {
        let cancelled = json!({ "item": order.item, "status": "cancelled" });
        self.orders.insert(order.id.clone(), cancelled);
        self
    }
}

/// A client that asks until it has an answer, always with the same key.
#[derive(Clone)]
pub struct Shopper {
    http: Http,
    url: String,
}

/// The end of an order, as its client was told.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The ids that the client was told, over all its tries.
    pub ids: BTreeSet<String>,
    /// The state.
    pub state: String,
    /// The reason why it turned back.
    pub reason: Option<String>,
    /// The number of times that it had to ask again.
    pub retries: u32,
}

/// Why an order did not end.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PlaceError {
    #[error("order {order} was answered {status}: {body}")]
    Refused { order: String, status: u16, body: Value },
    #[error("order {order} has no answer after {PATIENCE:?} and {retries} tries")]
    Late { order: String, retries: u32 },
}

impl Shopper {
    /// A client of the coordinator of this fleet.
    pub fn of(fleet: &Fleet) -> Self {
        Self { http: fleet.http(), url: fleet.url(Role::Coordinator, "/v1/transactions") }
    }

    /// Places an order, and stays until it has ended.
    pub async fn place(&self, order: &Order) -> Result<Placed, PlaceError> {
        #[derive(Deserialize)]
        struct PlacedAnswer {
            id: String,
            #[serde(default)]
            state: String,
            reason: Option<String>,
        }
        let submission = order.submission();
        let mut ids = BTreeSet::new();
        let mut retries = 0;
        let mut turn = tokio::time::interval(Duration::from_millis(10));
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < give_up {
            turn.tick().await;
            match self.http.post(&self.url, &submission).await {
                Ok(Reply { status: status @ (200 | 202), body, .. }) => {
                    let told = PlacedAnswer::deserialize(&body).map_err(|_| {
                        PlaceError::Refused { order: order.id.clone(), status, body }
                    })?;
                    ids.insert(told.id);
                    if !told.state.is_empty() {
                        return Ok(Placed { ids, state: told.state, reason: told.reason, retries });
                    }
                }
                // It is overloaded, or its log is away: later.
                Ok(Reply { status: 429 | 503, .. }) | Err(_) => {}
                Ok(Reply { status, body, .. }) => {
                    return Err(PlaceError::Refused { order: order.id.clone(), status, body });
                }
            }
            retries += 1;
        }
        Err(PlaceError::Late { order: order.id.clone(), retries })
    }
}

/// Sends an order to the shop by events until the answer has one of these statuses; the answer, and
/// the number of times that it had to ask again.
///
/// # Errors
/// The answer, where it is neither one of these nor one that says to come again, or comes too late.
pub async fn ask_until(
    url: &str,
    order: &Order,
    enough: &[u16],
    patience: Duration,
) -> Result<(Value, u64), String> {
    let (http, input) = (Http::default(), order.input());
    let give_up = tokio::time::Instant::now() + patience;
    let mut turn = tokio::time::interval(Duration::from_millis(10));
    let mut asked_again = 0;
    loop {
        turn.tick().await;
        match http.post(url, &input).await {
            Ok(Reply { status, body, .. }) if enough.contains(&status) => {
                return Ok((body, asked_again));
            }
            // It is down, or has not done it yet: later.
            Err(_) | Ok(Reply { status: 202 | 503, .. })
                if tokio::time::Instant::now() < give_up => {}
            other => return Err(format!("order {} was answered {other:?}", order.id)),
        }
        asked_again += 1;
    }
}
