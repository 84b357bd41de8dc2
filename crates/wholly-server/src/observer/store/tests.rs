use wholly_core::Timestamp;
use wholly_events::feed::FeedPage;
use wholly_events::wire::PositionedEvent;
use wholly_events::{Correlation, Cursor, Event, ServiceName};

use super::super::judge::ChoreographyState;
use super::super::tests::declared;
use super::events::EVENTS_LIMIT;
use super::services::declarations;
use super::*;

fn order() -> ServiceName {
    "order".parse().unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn placed(position: u64, kind: &str, correlation: &str) -> PositionedEvent {
    let event = Event {
        id: format!("{kind}-{correlation}-{position}").parse().unwrap(),
        source: order(),
        kind: kind.parse().unwrap(),
        time: at(1_000 + position),
        correlation: correlation.parse().unwrap(),
        causation: None,
        traceparent: None,
        data: "null".to_owned(),
    };
    PositionedEvent { position, event }
}

fn page(events: Vec<PositionedEvent>) -> FeedPage {
    let last = events.last().unwrap();
    let cursor = Cursor::at(last.position, last.event.id.clone());
    FeedPage { events, set_aside: Vec::new(), head: cursor.position, cursor }
}

async fn events(store: &Store, correlation: &str) -> Vec<Observed> {
    let all = store.all_of(correlation.parse().unwrap()).await.unwrap();
    all.map_or_else(Vec::new, |all| all.events)
}

async fn listed(store: &Store, filter: Filter) -> Vec<(String, ChoreographyState, bool)> {
    let (rows, _) = store.list(filter, 100).await.unwrap();
    rows.iter()
        .map(|row| (row.correlation.to_string(), row.state, !row.reasons.is_empty()))
        .collect()
}

#[tokio::test]
async fn what_is_read_again_is_there_once_and_the_cursor_comes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let store = Store::open(&file).unwrap();
    let (first, second) = (placed(1, "OrderCreated", "A"), placed(2, "OrderCreated", "B"));
    store.take(order(), page(vec![first.clone()]), at(1)).await.unwrap();
    store.take(order(), page(vec![first, second]), at(1)).await.unwrap();
    drop(store);
    let store = Store::open(&file).unwrap();
    assert_eq!(store.cursor(order()).await.unwrap().unwrap().position, 2);
    assert_eq!(events(&store, "A").await.len(), 1);
    let running = |name: &str| (name.to_owned(), ChoreographyState::Running, false);
    assert_eq!(listed(&store, Filter::default()).await, [running("B"), running("A")]);
    store.forget_cursor(order()).await.unwrap();
    assert_eq!(store.cursor(order()).await.unwrap(), None);
}

#[tokio::test]
async fn a_list_is_filtered_and_goes_on_page_by_page() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("a.db")).unwrap();
    store.declare(order(), declared()[&order()].clone()).await.unwrap();
    let events = [("OrderCreated", "A"), ("OrderCreated", "B"), ("OrderConfirmed", "B")];
    let events = (1..).zip(events).map(|(nth, (kind, of))| placed(nth, kind, of)).collect();
    store.take(order(), page(events), at(1_500)).await.unwrap();
    let of = |state, stuck, name: &str| (name.to_owned(), state, stuck);
    let all =
        [of(ChoreographyState::Completed, false, "B"), of(ChoreographyState::Running, false, "A")];
    assert_eq!(listed(&store, Filter::default()).await, all);
    let completed = Filter { state: Some(ChoreographyState::Completed), ..Filter::default() };
    assert_eq!(listed(&store, completed).await, all[..1]);
    let none = Filter { stuck: Some(true), ..Filter::default() };
    assert_eq!(listed(&store, none.clone()).await, []);
    let since = Filter { since: Some(at(1_002)), ..Filter::default() };
    assert_eq!(listed(&store, since).await, all[..1]);
    let until = Filter { until: Some(at(1_002)), settled: Some(false), ..Filter::default() };
    assert_eq!(listed(&store, until).await, all[1..]);
    let correlation = Filter { correlation: Some("A".parse().unwrap()), ..Filter::default() };
    assert_eq!(listed(&store, correlation).await, all[1..]);
    let (rows, more) = store.list(Filter::default(), 1).await.unwrap();
    assert!(more);
    let next = Filter { before: Some(rows[0].number), ..Filter::default() };
    assert_eq!(listed(&store, next).await, all[1..]);

    // Time passes.
    assert!(!store.judge_due(at(3_000)).await.unwrap());
    assert!(store.judge_due(at(3_001)).await.unwrap());
    assert_eq!(listed(&store, none).await, [of(ChoreographyState::Running, true, "A")]);
    assert_eq!(store.stuck().await.unwrap().into_values().collect::<Vec<_>>(), [at(3_001)]);
    let (by_state, stuck) = store.counts().await.unwrap();
    assert_eq!(
        (by_state[&ChoreographyState::Running], by_state[&ChoreographyState::Completed], stuck),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn a_declaration_that_comes_late_judges_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("a.db")).unwrap();
    store.take(order(), page(vec![placed(1, "OrderConfirmed", "A")]), at(1)).await.unwrap();
    let declaration = declared()[&order()].clone();
    assert!(store.declare(order(), declaration.clone()).await.unwrap());
    assert!(!store.declare(order(), declaration).await.unwrap());
    store.judge_all(at(1)).await.unwrap();
    assert_eq!(listed(&store, Filter::default()).await[0].1, ChoreographyState::Completed);
    // A feed that left the configuration takes along its service's declaration.
    store.keep(vec![], at(1)).await.unwrap();
    assert!(store.run(|db| declarations(db)).await.unwrap().is_empty());
    assert_eq!(store.cursor(order()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_old_goes_and_what_is_too_much_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("a.db")).unwrap();
    let many = (1..=EVENTS_LIMIT + 2).map(|nth| placed(nth, "E", "A")).collect();
    store.take(order(), page(many), at(1)).await.unwrap();
    let correlation: Correlation = "A".parse().unwrap();
    assert_eq!(events(&store, "A").await.len() as u64, EVENTS_LIMIT);
    assert_eq!(store.row(correlation.clone()).await.unwrap().unwrap().left_out, 2);
    store.trim(at(1_000 + EVENTS_LIMIT + 2)).await.unwrap();
    assert!(store.row(correlation.clone()).await.unwrap().is_some());
    store.trim(at(1_001 + EVENTS_LIMIT + 2)).await.unwrap();
    assert_eq!(store.row(correlation.clone()).await.unwrap(), None);
    assert_eq!(events(&store, "A").await, []);
}

#[tokio::test]
async fn what_is_long_or_from_times_to_come_is_not_kept_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("a.db")).unwrap();
    let (mut long, mut ahead) = (placed(1, "E", "A"), placed(2, "E", "A"));
    long.event.data = format!("\"{}\"", "x".repeat(16 * 1024));
    ahead.event.time = at(u64::MAX);
    store.take(order(), page(vec![long, ahead]), at(2_000)).await.unwrap();
    let found = events(&store, "A").await;
    let kept: Vec<_> = found.iter().map(|event| (event.at, event.data.as_deref())).collect();
    assert_eq!(kept, [(at(1_001), None), (at(2_000), Some("null"))]);
}

#[tokio::test]
async fn a_file_of_no_use_is_set_aside_and_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let aside = directory.path().join("a.db-set-aside");
    std::fs::write(&file, "this is no database, and long enough to be looked at".repeat(20))
        .unwrap();
    drop(Store::open(&file).unwrap());
    assert!(std::fs::read_to_string(&aside).unwrap().starts_with("this is no database"));

    let db = Connection::open(&file).unwrap();
    db.pragma_update(None, "user_version", 7).unwrap();
    drop(db);
    std::fs::remove_file(&aside).unwrap();
    drop(Store::open(&file).unwrap());
    assert!(aside.exists());

    // Its tables are gone, although the version is right.
    Connection::open(&file).unwrap().execute_batch("DROP TABLE parked").unwrap();
    std::fs::remove_file(&aside).unwrap();
    let store = Store::open(&file).unwrap();
    assert!(aside.exists());

    // While it is open.
    store.take(order(), page(vec![placed(1, "E", "A")]), at(1)).await.unwrap();
    std::fs::remove_file(&aside).unwrap();
    let why = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(11), None);
    let failed = store.run(move |_| Err::<(), _>(why())).await;
    assert!(matches!(failed, Err(StoreError::Database { .. })), "{failed:?}");
    assert!(aside.exists());
    assert_eq!(store.cursor(order()).await.unwrap(), None);

    let nowhere = Store::open(&directory.path().join("no/such/folder/a.db"));
    assert!(matches!(nowhere, Err(StoreError::Database { .. })));
}

#[tokio::test]
async fn nobody_else_reads_its_files() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("a.db")).unwrap();
    store.take(order(), page(vec![placed(1, "E", "A")]), at(1)).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() > 1);
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
}
