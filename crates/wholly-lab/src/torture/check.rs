//! The properties that hold when every client has its answer, whatever was killed meanwhile.
//!
//! - every transaction has ended, in a way that its pattern knows, and needs nobody;
//! - each order has one transaction, and all that its client was told agrees with it;
//! - a saga is as a whole what it says: every step is completed, or none is;
//! - the books are those of the orders that committed or completed, no more and no less: money and
//!   stock are conserved, and what is left of an order whose saga turned back is that it is
//!   cancelled;
//! - nothing is held, and nothing is in doubt.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use wholly_demo::fleet::{Books, Fleet, FleetError, Recorded, Transaction, eventually};
use wholly_demo::order::{Order, Pattern, Placed};
use wholly_demo::shop::Stock;

/// The clients' knowledge.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// The goods with which the inventory started.
    pub(super) opening: Stock,
    /// All that was ordered, by id.
    pub(super) orders: BTreeMap<String, Order>,
    /// The last answers to their clients.
    pub(super) placed: BTreeMap<String, Placed>,
}

/// All transactions that the coordinator knows.
pub(super) async fn transactions(fleet: &Fleet) -> Result<Vec<Transaction>, FleetError> {
    let mut all: Vec<Transaction> = Vec::new();
    for id in fleet.transactions().await? {
        all.push(settled(fleet, &id).await?);
    }
    Ok(all)
}

/// A transaction once it has settled, or as it is when that takes too long.
pub(super) async fn settled(fleet: &Fleet, id: &str) -> Result<Transaction, FleetError> {
    // A client may be told the end before the log holds all acknowledgements; a coordinator that
    // was killed then asks for them again.
    let settled = eventually("a transaction settles", async || {
        Ok(Some(fleet.transaction(id).await?)
            .filter(|transaction: &Transaction| transaction.settled))
    });
    match settled.await {
        Err(FleetError::Late(_)) => fleet.transaction(id).await,
        settled => settled,
    }
}

/// The properties that do not hold, each in a sentence.
pub(super) fn violations(
    ledger: &Ledger,
    transactions: &[Transaction],
    books: &Books,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut by_order = ByOrder::new();
    for transaction in transactions {
        if !transaction.has_ended() || !transaction.settled || transaction.stuck {
            found.push(format!("a transaction has not ended: {transaction:?}"));
        }
        by_order.entry(&transaction.key).or_default().push(transaction);
    }
    for key in by_order.keys().filter(|key| !ledger.orders.contains_key(**key)) {
        found.push(format!("there is a transaction for {key:?}, which nobody ordered"));
    }
    for (id, order) in &ledger.orders {
        let of_order = by_order.get(id.as_str()).map_or(&[][..], Vec::as_slice);
        found.extend(of_one_order(order, of_order, ledger.placed.get(id)));
    }
    found.extend(differences(&due(ledger, transactions, books), books, &by_order));
    found
}

fn of_one_order(
    order: &Order,
    transactions: &[&Transaction],
    placed: Option<&Placed>,
) -> Vec<String> {
    let id = &order.id;
    let [transaction] = transactions else {
        return vec![format!("order {id} has {} transactions", transactions.len())];
    };
    let mut found = Vec::new();
    match placed {
        None => found.push(format!("order {id} has no answer")),
        Some(placed) => {
            let is_told =
                placed.ids.iter().eq([&transaction.id]) && placed.state == transaction.state;
            if !is_told {
                found.push(format!("order {id}: told {placed:?}, but it is {transaction:?}"));
            }
        }
    }
    if !is_whole(order, transaction) {
        found.push(format!("order {id} is no whole: {transaction:?}"));
    }
    found
}

/// Checks that the transaction is of its order's pattern, and as a whole what it says.
fn is_whole(order: &Order, transaction: &Transaction) -> bool {
    let steps = &transaction.steps;
    match (order.pattern, &*transaction.state) {
        (Pattern::TwoPhase, state) => ["committed", "aborted"].contains(&state),
        (Pattern::Saga { payment_fails: false }, "completed") => {
            !steps.is_empty() && steps.iter().all(|step| step.state == "completed")
        }
        (Pattern::Saga { .. }, "compensated") => {
            !steps.is_empty() && steps.iter().all(|step| step.state != "completed")
        }
        (Pattern::Saga { .. }, _) => false,
    }
}

/// The rows that must be in the books. They are asked themselves only where nobody else can know.
fn due(ledger: &Ledger, transactions: &[Transaction], books: &Books) -> Books {
    let of_order = |transaction: &Transaction| ledger.orders.get(&transaction.key);
    let done =
        |transaction: &&Transaction| ["committed", "completed"].contains(&&*transaction.state);
    let done = transactions.iter().filter(done).filter_map(of_order);
    let mut due = Books::after(&ledger.opening, done);
    for saga in transactions.iter().filter(|transaction| transaction.state == "compensated") {
        let Some(order) = of_order(saga) else { continue };
        // Where nobody knows whether the first step was done, there may have been no order to cancel.
        if was_created(saga) || books.orders.contains_key(&order.id) {
            due = due.and_cancelled(order);
        }
    }
    due
}

/// True if the first step was done for certain: it said so, or a later one said something, for a
/// step is asked when those before it are done. That a later one was taken back says nothing: a
/// restart has also those taken back that may have been asked before.
fn was_created(saga: &Transaction) -> bool {
    saga.history.iter().any(|Recorded { record }| {
        let refused = record.pointer("/refused/0").and_then(Value::as_u64);
        record.get("completed").is_some() || refused.is_some_and(|step| step > 0)
    })
}

pub(super) type ByOrder<'a> = BTreeMap<&'a str, Vec<&'a Transaction>>;

fn differences(expected: &Books, books: &Books, by_order: &ByOrder<'_>) -> Vec<String> {
    let mut found = Vec::new();
    compare("order", &expected.orders, &books.orders, by_order, &mut found);
    compare("payment", &expected.payments, &books.payments, by_order, &mut found);
    compare("stock", &expected.stock, &books.stock, by_order, &mut found);
    compare("branches in doubt", &expected.in_doubt, &books.in_doubt, by_order, &mut found);
    found
}

/// The differences of what is in the books from what is due, each with its order's transactions.
pub(super) fn compare<K: Ord + AsRef<str>, V: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &BTreeMap<K, V>,
    books: &BTreeMap<K, V>,
    by_order: &ByOrder<'_>,
    found: &mut Vec<String>,
) {
    let keys: BTreeSet<&K> = expected.keys().chain(books.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.get(key) != books.get(key));
    found.extend(differ.map(|key| {
        let (should, is, name) = (expected.get(key), books.get(key), key.as_ref());
        let of_order = by_order.get(name).map(|of| format!(", of {of:?}")).unwrap_or_default();
        format!("the books have for {what} {name}: {is:?}; they should have {should:?}{of_order}")
    }));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use wholly_demo::fleet::ShownStep;

    /// One order that came about and one that did not, of each pattern, and everything as it must
    /// be.
    fn sound() -> (Ledger, Vec<Transaction>, Books) {
        let opening = Stock::from([("item1".to_owned(), 10)]);
        let orders = [
            Order::new("A", "item1", 2, 700),
            Order::new("B", "item1", 20, 900),
            Order::new("S", "item1", 3, 800).by_saga(),
            Order::new("T", "item1", 1, 600).declined(),
        ];
        let taken_back = ["compensated", "compensated", "failed", "pending"];
        let ends = [
            ("committed", &[][..]),
            ("aborted", &[]),
            ("completed", &["completed"; 4]),
            ("compensated", &taken_back),
        ];
        let transactions = orders.iter().zip(ends).map(|(order, (state, steps))| Transaction {
            id: format!("id of {}", order.id),
            key: order.id.clone(),
            state: state.to_owned(),
            settled: true,
            stuck: false,
            reason: None,
            branches: Vec::new(),
            steps: steps.iter().map(|state| step(state)).collect(),
            history: match state {
                "compensated" => [json!({"completed": [0, null]}), json!({"refused": [2, "no"]})]
                    .map(|record| Recorded { record })
                    .into(),
                _ => Vec::new(),
            },
        });
        let transactions: Vec<_> = transactions.collect();
        let placed = transactions.iter().map(|transaction| {
            let placed = Placed {
                ids: BTreeSet::from([transaction.id.clone()]),
                state: transaction.state.clone(),
                reason: None,
                retries: 0,
            };
            (transaction.key.clone(), placed)
        });
        let books = Books::after(&opening, [&orders[0], &orders[2]]).and_cancelled(&orders[3]);
        let ledger = Ledger {
            opening,
            placed: placed.collect(),
            orders: orders.into_iter().map(|order| (order.id.clone(), order)).collect(),
        };
        (ledger, transactions, books)
    }

    fn step(state: &str) -> ShownStep {
        ShownStep { name: "a step".to_owned(), state: state.to_owned() }
    }

    fn status(books: &mut Books, order: &str, status: &str) {
        books.orders.get_mut(order).unwrap()["status"] = status.into();
    }

    #[test]
    fn what_is_as_it_must_be_is_not_reported() {
        let (ledger, transactions, books) = sound();
        assert_eq!(violations(&ledger, &transactions, &books), [""; 0]);
    }

    #[test]
    fn whatever_is_wrong_is_reported() {
        type Harm = fn(&mut Ledger, &mut Vec<Transaction>, &mut Books);
        let harms: [(&str, Harm); 27] = [
            ("not ended", |_, all, _| all[0].settled = false),
            ("not ended", |_, all, _| all[1].state = "prepared".to_owned()),
            ("not ended", |_, all, _| all[0].stuck = true),
            ("nobody ordered", |_, all, _| all[1].key = "C".to_owned()),
            ("order T has 0 transactions", |_, all, _| _ = all.pop()),
            ("order A has 2 transactions", |_, all, _| all.push(all[0].clone())),
            ("no answer", |ledger, _, _| _ = ledger.placed.remove("A")),
            ("told", |ledger, _, _| {
                ledger.placed.get_mut("A").unwrap().ids.insert("another".to_owned());
            }),
            ("told", |ledger, _, _| {
                ledger.placed.get_mut("A").unwrap().state = "aborted".to_owned();
            }),
            ("payment A", |_, _, books| _ = books.payments.remove("A")),
            ("payment B", |_, _, books| _ = books.payments.insert("B".to_owned(), 900)),
            ("order A", |_, _, books| books.orders.clear()),
            // A service that forgets what it had prepared takes the stock and never gives it back.
            ("stock item1", |_, _, books| {
                let line = books.stock.get_mut("item1").unwrap();
                (line.available, line.reserved) = (line.available - 2, 2);
            }),
            ("in doubt inventory", |_, _, books| _ = books.in_doubt.insert("inventory", 1)),
            ("not ended", |_, all, _| all[3].state = "compensating".to_owned()),
            ("told", |ledger, _, _| {
                ledger.placed.get_mut("T").unwrap().state = "completed".to_owned();
            }),
            // A saga is a whole, and its order says so.
            ("order S is no whole", |_, all, _| all[2].steps[3] = step("pending")),
            ("order T is no whole", |_, all, _| all[3].steps[0] = step("completed")),
            ("order T is no whole", |_, all, _| all[3].state = "completed".to_owned()),
            ("order A is no whole", |_, all, _| all[0].state = "completed".to_owned()),
            ("order S", |_, _, books| status(books, "S", "created")),
            ("order T", |_, _, books| status(books, "T", "created")),
            ("order T", |_, _, books| _ = books.orders.remove("T")),
            ("order T", |_, all, books| {
                // Also where its own answer was lost, and that of the next was not.
                all[3].history.remove(0);
                books.orders.remove("T");
            }),
            ("payment T", |_, _, books| _ = books.payments.insert("T".to_owned(), 600)),
            // Taken and not given back; and given back twice.
            ("stock item1", |_, _, books| books.stock.get_mut("item1").unwrap().on_hand -= 1),
            ("stock item1", |_, _, books| books.stock.get_mut("item1").unwrap().on_hand += 1),
        ];
        for (what, harm) in harms {
            let (mut ledger, mut transactions, mut books) = sound();
            harm(&mut ledger, &mut transactions, &mut books);
            let found = violations(&ledger, &transactions, &books);
            assert!(found.iter().any(|found| found.contains(what)), "{what}: {found:?}");
        }
    }

    #[test]
    fn of_a_saga_whose_first_step_nobody_knows_of_an_order_may_be_left_or_none() {
        let (ledger, mut transactions, mut books) = sound();
        // What came after it may have been asked before a restart, and is taken back.
        transactions[3].steps =
            ["compensated", "compensated", "pending", "pending"].map(step).into();
        transactions[3].history = [json!({"lost": 0}), json!({"refused": [0, "no"]})]
            .map(|record| Recorded { record })
            .into();
        assert_eq!(violations(&ledger, &transactions, &books), [""; 0]);
        books.orders.remove("T");
        assert_eq!(violations(&ledger, &transactions, &books), [""; 0]);
        // A later one that said no came after it.
        transactions[3].history.push(Recorded { record: json!({"refused": [1, "no"]}) });
        assert_eq!(violations(&ledger, &transactions, &books).len(), 1);
    }
}
