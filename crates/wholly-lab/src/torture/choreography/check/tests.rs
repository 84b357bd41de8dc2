use wholly_events::{EventId, ServiceName};

use super::*;
use crate::torture::choreography::tables::{Dealt, OpenWork};
use wholly_demo::choreography::declaration;

const FLOW: Flow = Flow::Sequential;

fn event(kind: &str, order: &str, cause: Option<&str>) -> Published {
    Published {
        position: None,
        id: format!("{kind}-{order}"),
        kind: kind.to_owned(),
        correlation: order.to_owned(),
        causation: cause.map(|cause| format!("{cause}-{order}")),
    }
}

fn dealt(on: &str, source: &str, order: &str, outcome: &str) -> Dealt {
    Dealt {
        reaction: on.to_owned(),
        source: source.to_owned(),
        id: format!("{on}-{order}"),
        outcome: outcome.to_owned(),
    }
}

fn of_order() -> Tables {
    Tables {
        outbox: vec![
            event("OrderCreated", "A", None),
            event("OrderCreated", "B", None),
            event("OrderConfirmed", "A", Some("PaymentTaken")),
            event("OrderCancelled", "B", Some("InventoryReleased")),
        ],
        inbox: vec![
            dealt("PaymentTaken", "payment", "A", "done"),
            dealt("InventoryReleased", "inventory", "B", "done"),
        ],
        waiting: OpenWork::default(),
    }
}

fn of_inventory() -> Tables {
    Tables {
        outbox: vec![
            event("InventoryReserved", "A", Some("OrderCreated")),
            event("InventoryReserved", "B", Some("OrderCreated")),
            event("InventoryReleased", "B", Some("PaymentRefused")),
        ],
        inbox: vec![
            dealt("OrderCreated", "order", "A", "done"),
            dealt("OrderCreated", "order", "B", "done"),
            dealt("PaymentRefused", "payment", "B", "done"),
        ],
        waiting: OpenWork::default(),
    }
}

fn of_payment() -> Tables {
    Tables {
        outbox: vec![
            event("PaymentTaken", "A", Some("InventoryReserved")),
            event("PaymentRefused", "B", Some("InventoryReserved")),
        ],
        inbox: vec![
            dealt("InventoryReserved", "inventory", "A", "done"),
            dealt("InventoryReserved", "inventory", "B", "refused"),
        ],
        waiting: OpenWork::default(),
    }
}

/// One order that is confirmed and one that is declined, and everything as it must be.
fn sound() -> (Knowledge, ServiceContents) {
    let opening = Stock::from([("item1".to_owned(), 10)]);
    let orders = [Order::new("A", "item1", 2, 700), Order::new("B", "item1", 3, 900).declined()];
    let mut found = ServiceContents {
        books: Books::after(&opening, [&orders[0]]).and_cancelled(&orders[1]),
        tables: [
            (ServiceKind::Order, of_order()),
            (ServiceKind::Inventory, of_inventory()),
            (ServiceKind::Payment, of_payment()),
        ]
        .into(),
        ..ServiceContents::default()
    };
    let mut heads = BTreeMap::new();
    for (kind, tables) in &mut found.tables {
        for (event, position) in tables.outbox.iter_mut().zip(1..) {
            event.position = Some(position);
            tables.waiting.head = Cursor::at(position, EventId::new(&event.id).unwrap());
        }
        heads.insert(*kind, tables.waiting.head.clone());
        found.declared.insert(*kind, declaration(*kind, FLOW).unwrap());
    }
    for (kind, tables) in &mut found.tables {
        let cursor = |source: &ServiceKind| (source.to_string(), heads[source].clone());
        tables.waiting.cursors = sources(*kind, FLOW).iter().map(cursor).collect();
    }
    let ends = [("A", "confirmed"), ("B", "cancelled")];
    let known = Knowledge {
        opening,
        ends: ends.map(|(order, end)| (order.to_owned(), end.to_owned())).into(),
        orders: orders.into_iter().map(|order| (order.id.clone(), order)).collect(),
        ..Knowledge::default()
    };
    (known, found)
}

#[test]
fn what_is_as_it_must_be_is_not_reported() {
    let (known, found) = sound();
    assert_eq!(violations(FLOW, &known, &found), [""; 0]);
}

fn inventory(found: &mut ServiceContents) -> &mut Tables {
    found.tables.get_mut(&ServiceKind::Inventory).unwrap()
}

#[test]
fn whatever_is_wrong_is_reported() {
    type Harm = fn(&mut Knowledge, &mut ServiceContents);
    let harms: [(&str, Harm); 21] = [
        ("its client was told", |known, _| _ = known.ends.remove("A")),
        ("its client was told", |known, _| {
            _ = known.ends.insert("A".to_owned(), "cancelled".to_owned());
        }),
        ("and could only be", |known, _| {
            let order = known.orders.remove("A").unwrap();
            known.orders.insert("A".to_owned(), order.declined());
        }),
        ("its service said", |_, found| {
            found.tables.get_mut(&ServiceKind::Order).unwrap().outbox.pop();
        }),
        ("order A", |_, found| _ = found.books.orders.remove("A")),
        ("order C", |_, found| {
            _ = found.books.orders.insert("C".to_owned(), "another".into());
        }),
        ("payment A", |_, found| _ = found.books.payments.remove("A")),
        ("payment B", |_, found| _ = found.books.payments.insert("B".to_owned(), 900)),
        ("stock item1", |_, found| {
            found.books.stock.get_mut("item1").unwrap().on_hand -= 1;
        }),
        ("has position", |_, found| inventory(found).outbox[1].position = Some(3)),
        ("has position", |_, found| inventory(found).outbox[2].position = None),
        ("have no position", |_, found| inventory(found).waiting.without_position = 1),
        ("has read", |_, found| {
            inventory(found).waiting.cursors.insert("order".to_owned(), Cursor::START);
        }),
        ("has read", |_, found| {
            // The same position, of another event.
            let cursor = inventory(found).waiting.cursors.get_mut("order").unwrap();
            cursor.id = Some(EventId::new("another").unwrap());
        }),
        ("parked in", |_, found| inventory(found).waiting.parked.push("one".to_owned())),
        ("set aside", |_, found| inventory(found).waiting.set_aside.push("one".to_owned())),
        ("never dealt with", |_, found| _ = inventory(found).inbox.pop()),
        ("not its own", |_, found| {
            inventory(found).inbox.push(dealt("OrderCreated", "order", "C", "suppressed"));
        }),
        ("emitted []", |_, found| _ = inventory(found).outbox.pop()),
        ("emitted [\"InventoryReleased\", \"InventoryReleased\"]", |_, found| {
            let again = inventory(found).outbox[2].clone();
            inventory(found).outbox.push(Published { position: Some(4), ..again });
        }),
        ("with which it has not dealt", |_, found| {
            inventory(found).outbox[0].causation = Some("another".to_owned());
        }),
    ];
    for (what, harm) in harms {
        let (mut known, mut found) = sound();
        harm(&mut known, &mut found);
        let violated = violations(FLOW, &known, &found);
        assert!(violated.iter().any(|found| found.contains(what)), "{what}: {violated:?}");
    }
}

#[test]
fn what_was_lost_counts_and_what_was_stepped_over_does_not() {
    let (mut known, mut found) = sound();
    // The inventory was put back, and released once more under another id.
    let lost = found.tables[&ServiceKind::Inventory].outbox[2].clone();
    let again = EventId::new("again").unwrap();
    let inventory = inventory(&mut found);
    inventory.outbox[2].id = again.to_string();
    inventory.waiting.head = Cursor::at(3, again.clone());
    for kind in [ServiceKind::Order, ServiceKind::Payment] {
        let tables = found.tables.get_mut(&kind).unwrap();
        let inventory = ServiceName::new("inventory").unwrap().to_string();
        tables.waiting.cursors.insert(inventory, Cursor::at(3, again.clone()));
    }
    assert_eq!(violations(FLOW, &known, &found).len(), 2, "another event than the one dealt with");
    known.lost.insert(ServiceKind::Inventory, vec![lost]);
    known.stepped_over.insert(again.to_string());
    assert_eq!(violations(FLOW, &known, &found), [""; 0]);
    // A follower that believed its cursor and dealt with it again.
    let order = found.tables.get_mut(&ServiceKind::Order).unwrap();
    order.inbox.push(Dealt { id: again.to_string(), ..order.inbox[1].clone() });
    let violated = violations(FLOW, &known, &found);
    assert!(violated.iter().any(|found| found.contains("not its own")), "{violated:?}");
}
