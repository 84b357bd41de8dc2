//! The time for which open orders held or reserved stock, and the orders refused for it.

use std::time::Duration;

use super::books::{Books, Reservation};
use crate::bench::load::Latencies;

/// The time for which stock was kept for each order that ended: prepared until the decision; taken
/// by a saga until it was put back, or until the order was confirmed.
pub(super) fn held(books: &Books) -> Latencies {
    let mut held = Latencies::default();
    for one in &books.reservations {
        if let Some(ended) = ended_at(books, one) {
            let millis = u64::try_from(ended - one.began_at).unwrap_or_default();
            held.push(Duration::from_millis(millis));
        }
    }
    held.sorted()
}

fn ended_at(books: &Books, one: &Reservation) -> Option<i64> {
    one.ended_at.or_else(|| books.confirmed_at.get(&one.order).copied())
}

/// The number of orders refused for stock that others held then and put back later.
pub(super) fn refused_for_stock_that_came_back(books: &Books) -> usize {
    let came_back = |item: &str, at: i64| -> i64 {
        let held = books.reservations.iter().filter(|one| {
            let until = one.ended_at.unwrap_or(i64::MAX);
            one.item == item && one.is_undone && one.began_at <= at && at < until
        });
        held.map(|one| one.quantity).sum()
    };
    let refused = books.refusals.iter();
    refused.filter(|one| came_back(&one.item, one.at) >= one.missing.max(1)).count()
}

#[cfg(test)]
mod tests {
    use super::super::books::Refusal;
    use super::*;

    fn reserved(order: &str, began_at: i64, ended_at: Option<i64>, is_undone: bool) -> Reservation {
        let (order, item) = (order.to_owned(), "hot1".to_owned());
        Reservation { order, item, quantity: 2, began_at, ended_at, is_undone }
    }

    #[test]
    fn stock_is_held_until_the_inventory_or_the_order_ends_it() {
        let books = Books {
            reservations: vec![
                reserved("two-phase", 100, Some(110), false),
                reserved("saga", 100, None, false),
                reserved("undone", 100, Some(140), true),
                reserved("given up", 100, None, false),
            ],
            confirmed_at: [("saga".to_owned(), 120), ("undone".to_owned(), 200)].into(),
            ..Books::default()
        };
        let held = held(&books);
        assert_eq!(held.count(), 3);
        assert_eq!([0.1, 0.5, 1.0].map(|part| held.quantile(part)), [10e3, 20e3, 40e3]);
    }

    #[test]
    fn only_stock_that_came_back_after_the_refusal_counts() {
        let refusal = |at| Refusal { item: "hot1".to_owned(), missing: 2, at };
        let count = |reservation: Reservation, at| {
            let (reservations, refusals) = (vec![reservation], vec![refusal(at)]);
            let books = Books { reservations, refusals, ..Books::default() };
            refused_for_stock_that_came_back(&books)
        };
        assert_eq!(count(reserved("A", 100, Some(200), true), 150), 1);
        assert_eq!(count(reserved("A", 100, Some(200), true), 250), 0);
        assert_eq!(count(reserved("A", 100, Some(200), false), 150), 0);
    }
}
