//! What must hold when every client has its answer, whatever was killed meanwhile.
//!
//! - every transaction has ended, committed or aborted, and needs nobody;
//! - each order has one transaction, and all that its client was told agrees with it;
//! - the books are those of the orders that committed, no more and no less: money and stock are
//!   conserved;
//! - nothing is held, and nothing is in doubt.

use std::collections::{BTreeMap, BTreeSet};

use crate::fleet::{Books, Fleet, FleetError, Transaction, eventually};
use crate::order::{Order, Placed};
use crate::shop::Stock;

/// What the clients know.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// What the inventory started with.
    pub(super) opening: Stock,
    /// All that was ordered, by id.
    pub(super) orders: BTreeMap<String, Order>,
    /// What their clients were told at the end.
    pub(super) placed: BTreeMap<String, Placed>,
}

/// All transactions that the coordinator knows.
pub(super) async fn transactions(fleet: &Fleet) -> Result<Vec<Transaction>, FleetError> {
    let mut all: Vec<Transaction> = Vec::new();
    loop {
        let before = all.last().map(|transaction| transaction.id.as_str());
        let page = fleet.transactions(before, 1_000).await?;
        if page.is_empty() {
            return Ok(all);
        }
        for id in page {
            all.push(settled(fleet, &id).await?);
        }
    }
}

/// A transaction once it has settled, or as it is when that takes too long.
pub(super) async fn settled(fleet: &Fleet, id: &str) -> Result<Transaction, FleetError> {
    // A client may be told the end before the log holds all acknowledgements; a coordinator that
    // was killed then asks for them again.
    let settled = eventually("a transaction settles", async || {
        Ok(Some(fleet.transaction(id).await?).filter(|transaction| transaction.settled))
    });
    match settled.await {
        Err(FleetError::Late(_)) => fleet.transaction(id).await,
        settled => settled,
    }
}

/// What does not hold, each in a sentence.
pub(super) fn violations(
    ledger: &Ledger,
    transactions: &[Transaction],
    books: &Books,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut by_order: BTreeMap<&str, Vec<&Transaction>> = BTreeMap::new();
    for transaction in transactions {
        let has_ended = ["committed", "aborted"].contains(&&*transaction.state);
        if !has_ended || !transaction.settled || transaction.stuck {
            found.push(format!("a transaction has not ended: {transaction:?}"));
        }
        by_order.entry(&transaction.key).or_default().push(transaction);
    }
    for name in by_order.keys().filter(|name| !ledger.orders.contains_key(**name)) {
        found.push(format!("there is a transaction for {name:?}, which nobody ordered"));
    }
    for id in ledger.orders.keys() {
        let of_order = by_order.get(id.as_str()).map_or(&[][..], Vec::as_slice);
        found.extend(of_one_order(id, of_order, ledger.placed.get(id)));
    }
    let committed: BTreeSet<&str> = transactions
        .iter()
        .filter(|transaction| transaction.state == "committed")
        .map(|transaction| transaction.key.as_str())
        .collect();
    let committed = ledger.orders.values().filter(|order| committed.contains(&*order.id));
    found.extend(differences(&Books::after(&ledger.opening, committed), books));
    found
}

fn of_one_order(id: &str, transactions: &[&Transaction], placed: Option<&Placed>) -> Vec<String> {
    let [transaction] = transactions else {
        return vec![format!("order {id} has {} transactions", transactions.len())];
    };
    let Some(placed) = placed else { return vec![format!("order {id} has no answer")] };
    let is_told = placed.ids.iter().eq([&transaction.id]) && placed.state == transaction.state;
    match is_told {
        true => Vec::new(),
        false => vec![format!("order {id}: told {placed:?}, but it is {transaction:?}")],
    }
}

fn differences(expected: &Books, books: &Books) -> Vec<String> {
    let mut found = Vec::new();
    compare("order", &expected.orders, &books.orders, &mut found);
    compare("payment", &expected.payments, &books.payments, &mut found);
    compare("stock", &expected.stock, &books.stock, &mut found);
    compare("branches in doubt", &expected.in_doubt, &books.in_doubt, &mut found);
    found
}

fn compare<K: Ord + std::fmt::Display, V: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &BTreeMap<K, V>,
    books: &BTreeMap<K, V>,
    found: &mut Vec<String>,
) {
    let keys: BTreeSet<&K> = expected.keys().chain(books.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.get(key) != books.get(key));
    found.extend(differ.map(|key| {
        let (should, is) = (expected.get(key), books.get(key));
        format!("the books have for {what} {key}: {is:?}; they should have {should:?}")
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two orders, one committed and one refused, and everything as it must be.
    fn sound() -> (Ledger, Vec<Transaction>, Books) {
        let opening = Stock::from([("item1".to_owned(), 10)]);
        let orders = [Order::new("A", "item1", 2, 700), Order::new("B", "item1", 20, 900)];
        let transaction = |id: &str, name: &str, state: &str| Transaction {
            id: id.to_owned(),
            key: name.to_owned(),
            state: state.to_owned(),
            settled: true,
            stuck: false,
            reason: None,
            branches: Vec::new(),
            steps: Vec::new(),
        };
        let transactions =
            vec![transaction("1", "A", "committed"), transaction("2", "B", "aborted")];
        let placed = |id: &str, state: &str| Placed {
            ids: BTreeSet::from([id.to_owned()]),
            state: state.to_owned(),
            reason: None,
            retries: 0,
        };
        let books = Books::after(&opening, &orders[..1]);
        let ledger = Ledger {
            opening,
            orders: orders.into_iter().map(|order| (order.id.clone(), order)).collect(),
            placed: BTreeMap::from([
                ("A".to_owned(), placed("1", "committed")),
                ("B".to_owned(), placed("2", "aborted")),
            ]),
        };
        (ledger, transactions, books)
    }

    #[test]
    fn what_is_as_it_must_be_is_not_reported() {
        let (ledger, transactions, books) = sound();
        assert_eq!(violations(&ledger, &transactions, &books), [""; 0]);
    }

    #[test]
    fn whatever_is_wrong_is_reported() {
        type Harm = fn(&mut Ledger, &mut Vec<Transaction>, &mut Books);
        let harms: [(&str, Harm); 14] = [
            ("not ended", |_, all, _| all[0].settled = false),
            ("not ended", |_, all, _| all[1].state = "prepared".to_owned()),
            ("not ended", |_, all, _| all[0].stuck = true),
            ("nobody ordered", |_, all, _| all[1].key = "C".to_owned()),
            ("order B has 0 transactions", |_, all, _| _ = all.pop()),
            ("order A has 2 transactions", |_, all, _| all.push(all[0].clone())),
            ("no answer", |ledger, _, _| _ = ledger.placed.remove("A")),
            ("told", |ledger, _, _| {
                ledger.placed.get_mut("A").unwrap().ids.insert("3".to_owned());
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
        ];
        for (what, harm) in harms {
            let (mut ledger, mut transactions, mut books) = sound();
            harm(&mut ledger, &mut transactions, &mut books);
            let found = violations(&ledger, &transactions, &books);
            assert!(found.iter().any(|found| found.contains(what)), "{what}: {found:?}");
        }
    }
}
