//! A shop that is only declared, for the tests of the state by its events; and an observer of one
//! order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wholly_core::Timestamp;
use wholly_events::feed::FeedPage;
use wholly_events::wire::PositionedEvent;
use wholly_events::{Cursor, Declaration, NewEvent, Reaction, Timeout};

use super::Observer;
use super::judge::Declarations;
use super::store::{Observed, Parked};

pub fn declared() -> Declarations {
    let of = |name: &str| Declaration {
        service: name.parse().unwrap(),
        begins: Vec::new(),
        reactions: Vec::new(),
        timeouts: Vec::new(),
        ends: Vec::new(),
        within: None,
    };
    let reaction = |on: &str, emits: &str, refuses: Option<&str>| Reaction {
        name: on.parse().unwrap(),
        on: on.parse().unwrap(),
        emits: Some(emits.parse().unwrap()),
        refuses: refuses.map(|kind| kind.parse().unwrap()),
        undoes: Vec::new(),
        calls: false,
        read_only: false,
    };
    let order = Declaration {
        reactions: vec![
            reaction("PaymentTaken", "OrderConfirmed", None),
            reaction("PaymentRefused", "OrderCancelled", None),
        ],
        timeouts: vec![Timeout {
            after: "OrderCreated".parse().unwrap(),
            awaits: vec!["PaymentTaken".parse().unwrap()],
            within: Duration::from_secs(1),
            emits: "PaymentTimedOut".parse().unwrap(),
        }],
        ends: vec!["OrderConfirmed".parse().unwrap(), "OrderCancelled".parse().unwrap()],
        within: Some(Duration::from_secs(2)),
        ..of("order")
    };
    let payment = Declaration {
        reactions: vec![reaction("OrderCreated", "PaymentTaken", Some("PaymentRefused"))],
        ..of("payment")
    };
    let stock =
        Declaration { reactions: vec![reaction("OrderCreated", "Reserved", None)], ..of("stock") };
    [order, payment, stock].map(|one| (one.service.clone(), one)).into()
}

/// An event whose id is its type's, and that is caused by the one of that type.
pub fn event(source: &str, kind: &str, at: u64, caused_by: Option<&str>) -> Observed {
    let id = |kind: &str| format!("id-{kind}").parse().unwrap();
    Observed {
        source: source.parse().unwrap(),
        id: id(kind),
        position: at,
        kind: kind.parse().unwrap(),
        at: Timestamp::from_millis(at),
        causation: caused_by.map(id),
        data: None,
    }
}

pub fn parked(service: &str, kind: &str, stuck: bool) -> Parked {
    Parked {
        service: service.parse().unwrap(),
        reaction: kind.parse().unwrap(),
        source: "order".parse().unwrap(),
        id: format!("id-{kind}").parse().unwrap(),
        kind: kind.parse().unwrap(),
        state: "failing".to_owned(),
        stuck,
        tries: 3,
        error: Some("no route".to_owned()),
    }
}

/// An observer that has seen one event, of `ORD001`.
pub async fn observing(file: &Path) -> Arc<Observer> {
    let observer = Observer::start(file, Vec::new(), Duration::MAX).await.unwrap();
    let source: wholly_events::ServiceName = "order".parse().unwrap();
    let event = NewEvent::new("OrderCreated", "ORD001", &1).unwrap().from_source(source.clone());
    let cursor = Cursor::at(1, event.id.clone());
    let events = vec![PositionedEvent { position: 1, event }];
    let page = FeedPage { events, set_aside: Vec::new(), cursor, head: 1 };
    observer.shared.store.take(source, page, super::now()).await.unwrap();
    Arc::new(observer)
}

#[tokio::test]
async fn a_start_whose_clock_disagrees_with_the_store_deletes_nothing() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("choreographies.db");
    drop(observing(&file).await);
    let db = rusqlite::Connection::open(&file).unwrap();
    // By this clock the last event is from 1970: nothing happened since, or the clock is wrong.
    db.execute("UPDATE choreography SET latest = 1000", []).unwrap();
    drop(db);
    let observer = Observer::start(&file, Vec::new(), DAY).await.unwrap();
    // It counts after it has looked for old ones.
    for _ in 0..300 {
        if !observer.counts().by_state.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let found = observer.get(&"ORD001".parse().unwrap()).await.unwrap();
    assert!(found.is_some(), "it is kept for an hour, in which the clock can be set right");
    let counts = observer.counts().by_state;
    assert_eq!(counts.values().sum::<u64>(), 1, "{counts:?}");
}
