//! The properties that hold when all has drained, whatever was done to the services meanwhile.
//!
//! - every order is confirmed or cancelled as its clients were told, and as it had to end where that
//!   is certain;
//! - the books are those of the confirmed orders, no more and no less: money and stock are conserved;
//! - the positions of each feed have no gap, everything published has one, and all of it was read;
//! - nothing is parked or set aside;
//! - each reaction has dealt with each of its events, once, and with nothing else; what it did and
//!   what it emitted belong together;
//! - an order begins with one event and ends with one.
//!
//! What was published before a service was put back, and what it published again, count as one:
//! see `restore`.

use std::collections::{BTreeMap, BTreeSet};

use wholly_events::{Cursor, Declaration};

use super::tables::{AllWaiting, Published, Tables};
use crate::torture::check::compare;
use wholly_demo::choreography::{Flow, sources};
use wholly_demo::fleet::Books;
use wholly_demo::order::Order;
use wholly_demo::shop::{ServiceKind, Stock};

/// The knowledge of clients and operators.
#[derive(Clone, Debug, Default)]
pub(super) struct Knowledge {
    pub(super) opening: Stock,
    /// All that was ordered, by id.
    pub(super) orders: BTreeMap<String, Order>,
    /// Its end, as the clients were told.
    pub(super) ends: BTreeMap<String, String>,
    /// Events that services had published, and lost when they were put back: they were acted upon.
    pub(super) lost: BTreeMap<ServiceKind, Vec<Published>>,
    /// The ids of what they published instead, over which operators led their followers.
    pub(super) stepped_over: BTreeSet<String>,
}

/// The contents of the services.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceContents {
    pub(super) books: Books,
    pub(super) tables: BTreeMap<ServiceKind, Tables>,
    pub(super) declared: BTreeMap<ServiceKind, Declaration>,
}

/// The work that is still to be done, each in a sentence; nothing where all has drained.
pub(super) fn undone(flow: Flow, all: &AllWaiting) -> Vec<String> {
    all.keys().flat_map(|kind| undone_by(*kind, flow, all)).collect()
}

/// The work that a service still has to do.
pub(super) fn undone_by(kind: ServiceKind, flow: Flow, all: &AllWaiting) -> Vec<String> {
    let Some(waiting) = all.get(&kind) else { return Vec::new() };
    let mut undone = Vec::new();
    if waiting.without_position > 0 {
        let count = waiting.without_position;
        undone.push(format!("{count} events of the {kind} have no position"));
    }
    undone.extend(waiting.parked.iter().map(|parked| format!("parked in the {kind}: {parked}")));
    undone.extend(waiting.set_aside.iter().map(|item| format!("set aside in the {kind}: {item}")));
    for source in sources(kind, flow) {
        let head = all.get(source).map_or(Cursor::START, |source| source.head.clone());
        let cursor = waiting.cursors.get(source.as_str()).cloned().unwrap_or_default();
        if cursor != head {
            undone.push(format!("the {kind} has read the {source} up to {cursor} of {head}"));
        }
    }
    undone
}

/// The properties that do not hold, each in a sentence.
pub(super) fn violations(flow: Flow, known: &Knowledge, found: &ServiceContents) -> Vec<String> {
    let all = found.tables.iter().map(|(kind, tables)| (*kind, tables.waiting.clone())).collect();
    let mut violated = undone(flow, &all);
    violated.extend(known.orders.values().flat_map(|order| of_order(order, known, found)));
    of_books(known, found, &mut violated);
    for kind in ServiceKind::ALL {
        let (Some(tables), Some(declared)) = (found.tables.get(&kind), found.declared.get(&kind))
        else {
            violated.push(format!("the {kind} has no tables"));
            continue;
        };
        violated.extend(gaps(kind, tables));
        let due = due(flow, kind, declared, known, found);
        violated.extend(dealt_with(kind, tables, &due));
        violated.extend(emitted(kind, tables, declared));
    }
    violated
}

fn of_order(order: &Order, known: &Knowledge, found: &ServiceContents) -> Vec<String> {
    let id = &order.id;
    let status = found.books.orders.get(id).and_then(|order| order["status"].as_str());
    let status = status.unwrap_or("not there");
    let mut violated = Vec::new();
    if known.ends.get(id).map(String::as_str) != Some(status) {
        let told = known.ends.get(id);
        violated.push(format!("order {id} is {status}, and its client was told {told:?}"));
    }
    let must_be = match order.item.as_str() {
        _ if order.is_declined() => Some("cancelled"),
        "item2" if order.quantity > 1_000 => Some("cancelled"),
        "item1" => Some("confirmed"),
        _ => None,
    };
    if must_be.is_some_and(|must_be| must_be != status) {
        violated.push(format!("order {id} is {status}, and could only be {must_be:?}: {order:?}"));
    }
    let outbox = found.tables.get(&ServiceKind::Order).map_or(&[][..], |tables| &tables.outbox);
    let of_order = outbox.iter().filter(|event| event.correlation == *id);
    let kinds: Vec<_> = of_order.map(|event| event.kind.as_str()).collect();
    let is_told = match *kinds.as_slice() {
        ["OrderCreated", "OrderConfirmed"] => status == "confirmed",
        ["OrderCreated", "OrderCancelled"] => status == "cancelled",
        _ => false,
    };
    if !is_told {
        violated.push(format!("order {id} is {status}, and its service said {kinds:?}"));
    }
    violated
}

fn of_books(known: &Knowledge, found: &ServiceContents, violated: &mut Vec<String>) {
    let books = &found.books;
    let mut due = Books::after(&known.opening, []);
    for (id, order) in &known.orders {
        let status = books.orders.get(id).and_then(|order| order["status"].as_str());
        due = match status {
            Some("confirmed") => due.and(order),
            _ => due.and_cancelled(order),
        };
    }
    let nothing = BTreeMap::new();
    compare("order", &due.orders, &books.orders, &nothing, violated);
    compare("payment", &due.payments, &books.payments, &nothing, violated);
    compare("stock", &due.stock, &books.stock, &nothing, violated);
}

fn gaps(kind: ServiceKind, tables: &Tables) -> Option<String> {
    let positions = tables.outbox.iter().map(|event| event.position);
    let gap = positions.zip(1..).find(|(position, nth)| *position != Some(*nth));
    gap.map(|(is, nth)| format!("the feed of the {kind} has position {is:?} in the place of {nth}"))
}

type Key<'a> = (&'a str, &'a str, &'a str);

/// The events that a service must have dealt with: reaction, source and id of each published for
/// it and not stepped over.
fn due<'a>(
    flow: Flow,
    kind: ServiceKind,
    declared: &'a Declaration,
    known: &'a Knowledge,
    found: &'a ServiceContents,
) -> BTreeSet<Key<'a>> {
    let mut due = BTreeSet::new();
    for source in sources(kind, flow) {
        let published = found.tables.get(source).into_iter().flat_map(|tables| &tables.outbox);
        let published = published.filter(|event| !known.stepped_over.contains(&event.id));
        for event in published.chain(known.lost.get(source).into_iter().flatten()) {
            let reacts = declared.reactions.iter().filter(|one| one.on.as_str() == event.kind);
            due.extend(reacts.map(|one| (one.name.as_str(), source.as_str(), event.id.as_str())));
        }
    }
    due
}

fn dealt_with(kind: ServiceKind, tables: &Tables, due: &BTreeSet<Key<'_>>) -> Vec<String> {
    // The inbox's primary key sees to it that there is at most one row of each.
    let done: BTreeSet<Key<'_>> = tables
        .inbox
        .iter()
        .map(|dealt| (dealt.reaction.as_str(), dealt.source.as_str(), dealt.id.as_str()))
        .collect();
    let missing = due.difference(&done).map(|key| format!("the {kind} never dealt with {key:?}"));
    let more =
        done.difference(due).map(|key| format!("the {kind} dealt with {key:?}, not its own"));
    missing.chain(more).collect()
}

/// The change of a reaction and what it emitted, which must belong together.
fn emitted(kind: ServiceKind, tables: &Tables, declared: &Declaration) -> Vec<String> {
    let mut by_cause: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in &tables.outbox {
        if let Some(cause) = &event.causation {
            by_cause.entry(cause).or_default().push(&event.kind);
        }
    }
    let mut violated = Vec::new();
    for dealt in &tables.inbox {
        let emitted = by_cause.remove(dealt.id.as_str()).unwrap_or_default();
        let reaction = declared.reactions.iter().find(|one| one.name.as_str() == dealt.reaction);
        let due = match (dealt.outcome.as_str(), reaction) {
            ("done", Some(reaction)) => reaction.emits.as_ref(),
            ("refused", Some(reaction)) => reaction.refuses.as_ref(),
            ("suppressed", Some(_)) => None,
            _ => {
                violated.push(format!("the {kind} has {dealt:?}, which nothing can come to"));
                continue;
            }
        };
        // An order ends once, and its service is silent about what comes afterwards.
        let is_silent = kind == ServiceKind::Order && emitted.is_empty();
        if !is_silent && !emitted.iter().copied().eq(due.iter().map(|due| due.as_str())) {
            violated.push(format!("the {kind} emitted {emitted:?} with {dealt:?}"));
        }
    }
    let causeless = by_cause.into_iter();
    violated.extend(causeless.map(|(cause, kinds)| {
        format!("the {kind} emitted {kinds:?} because of {cause}, with which it has not dealt")
    }));
    violated
}

#[cfg(test)]
mod tests;
