//! What became durable, as events.

use wholly::Operation::Commit;
use wholly::log::{Entry, Log};
use wholly::test::{Act, Fault};
use wholly::{EventId, Feed, FeedEvent, Filter, Health, Record, Recorded, Retention, Timestamp};

use super::*;

/// What is there to be read, and its end.
pub async fn rest(feed: &mut Feed) -> Vec<FeedEvent> {
    let mut events = Vec::new();
    loop {
        let page = feed.read(|_| true).await.unwrap();
        events.extend(page.events);
        if !page.more {
            return events;
        }
    }
}

pub async fn all(coordinator: &Coordinator) -> Vec<FeedEvent> {
    rest(&mut coordinator.feed(Some(EventId::default()))).await
}

fn ids(events: &[FeedEvent]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

/// What must be the same however an event was read.
fn said(events: &[FeedEvent]) -> Vec<String> {
    events.iter().map(|event| format!("{event:?}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_told_record_by_record_with_what_it_had_come_to() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let mut feed = coordinator.feed(None);
    assert!(rest(&mut feed).await.is_empty());
    let id = order(&coordinator).execute().await.unwrap().id();
    shop.harness.settle().await;
    let events = rest(&mut feed).await;
    assert!(events.iter().all(|event| event.transaction == id && !event.stuck));
    assert!(ids(&events).is_sorted_by(|one, next| one < next), "{events:?}");
    let told: Vec<_> = events.iter().map(|event| (event.state, event.settled)).collect();
    let expected = [
        (Some(State::Init), false),
        (Some(State::Init), false),
        (Some(State::Prepared), false),
        (Some(State::Committed), false),
        (Some(State::Committed), false),
        (Some(State::Committed), false),
        (Some(State::Committed), true),
    ];
    assert_eq!(told, expected, "{events:?}");
    let records: Vec<_> = shop.snapshot(id).await.history.into_iter().map(|e| e.record).collect();
    let of = |event: &FeedEvent| match &event.record {
        Recorded::Record(record) => record.clone(),
        Recorded::Unreadable { why } => panic!("{why}"),
        Recorded::Ended { reason } => panic!("{reason}"),
    };
    assert_eq!(events.iter().map(of).collect::<Vec<Record>>(), records);
    assert_eq!(said(&coordinator.events_of(id).await.unwrap()), said(&events));
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_on_after_an_event_misses_and_repeats_nothing() {
    let mut shop = Shop::open().await;
    let coordinator = shop.coordinator();
    for _ in 0..3 {
        order(&coordinator).execute().await.unwrap();
    }
    shop.harness.settle().await;
    let events = all(&coordinator).await;
    let again = shop.restart().await;
    for (nth, event) in events.iter().enumerate() {
        for coordinator in [&coordinator, &again] {
            let mut feed = coordinator.feed(Some(event.id));
            assert_eq!(said(&rest(&mut feed).await), said(&events[nth + 1..]), "after {nth}");
            assert_eq!(said(&rest(&mut feed).await), [""; 0], "it is read once");
        }
    }
    let mut feed = again.feed(None);
    order(&again).execute().await.unwrap();
    shop.harness.settle().await;
    let new = rest(&mut feed).await;
    assert_eq!(said(&all(&again).await), said(&[events, new].concat()), "ids go on ascending");
}

#[tokio::test(start_paused = true)]
async fn a_feed_waits_and_ends_with_its_coordinator() {
    let mut shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let mut feed = coordinator.feed(None);
    let waiting = tokio::time::timeout(LONG, feed.more());
    assert!(waiting.await.is_err(), "nothing is told while nothing happens");
    let id = order(&coordinator).submit().await.unwrap();
    feed.more().await.unwrap();
    assert_eq!(feed.read(|_| true).await.unwrap().events[0].transaction, id);
    shop.harness.settle().await;
    rest(&mut feed).await;
    shop.restart().await;
    assert!(feed.more().await.is_err(), "a loop that has ended tells nothing more");
}

#[tokio::test(start_paused = true)]
async fn only_the_transactions_that_are_asked_for_are_told() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let mut feed = coordinator.feed(None);
    let (one, other) = (order(&coordinator).execute(), order(&coordinator).execute());
    let (one, _) = tokio::join!(one, other);
    let id = one.unwrap().id();
    shop.harness.settle().await;
    let mut events = Vec::new();
    while feed.position() < coordinator.feed(None).position() {
        events.extend(feed.read(move |ordinal| ordinal == id.ordinal()).await.unwrap().events);
    }
    assert_eq!(said(&events), said(&coordinator.events_of(id).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn what_landed_with_a_failed_append_shows_only_once_the_log_is_open_again() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let mut feed = coordinator.feed(None);
    shop.harness.log().fail_append(0, Fault::Lands);
    assert!(order(&coordinator).execute().await.is_err());
    assert!(matches!(coordinator.health(), Health::LogFailed { .. }));
    assert_eq!(said(&rest(&mut feed).await), [""; 0], "nothing of a failed batch shows");
    let id = coordinator.list(&Filter::default(), None, 1).await.unwrap().ids()[0];
    assert_eq!(said(&coordinator.events_of(id).await.unwrap()), [""; 0]);
    feed.more().await.unwrap();
    assert_eq!(rest(&mut feed).await[0].transaction, id, "it had landed");
}

#[tokio::test(start_paused = true)]
async fn whatever_append_fails_and_however_events_are_told_once_and_in_order() {
    for fault in [Fault::Fails, Fault::Lands, Fault::Unsynced] {
        for later in 0..6 {
            let shop = Shop::open().await;
            let coordinator = shop.coordinator();
            let mut feed = coordinator.feed(None);
            shop.harness.log().fail_append(later, fault);
            let _ = order(&coordinator).execute().await;
            let mut told = rest(&mut feed).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let _ = order(&coordinator).execute().await;
            shop.harness.settle().await;
            told.extend(rest(&mut feed).await);
            assert_eq!(said(&told), said(&all(&coordinator).await), "{fault:?} of {later}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_cannot_be_read_is_told_as_stuck_and_stops_no_other() {
    let mut shop = Shop::closed();
    let mut open = shop.harness.log().open().unwrap();
    let strange = TransactionId::mint(0, Timestamp::from_millis(9), 9, open.identity);
    let text = "{\"v\":99}".to_owned();
    let labels = some_labels();
    let entry = Entry { transaction: strange, sequence: 0, text, key: None, labels, ended: None };
    open.writer.append(open.head, &[entry]).unwrap();
    drop(open);
    let coordinator = shop.start().await;
    let id = order(&coordinator).execute().await.unwrap().id();
    let events = all(&coordinator).await;
    assert_eq!((events[0].transaction, events[0].state, events[0].stuck), (strange, None, true));
    assert!(matches!(&events[0].record, Recorded::Unreadable { why } if why.contains("99")));
    assert_eq!(events[1].transaction, id);
}

#[tokio::test(start_paused = true)]
async fn a_feed_whose_past_was_trimmed_says_up_to_where_and_no_other_does() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let mut shop = Shop::closed();
    let mut retention = Retention::FOR_EVER;
    retention.history = Some(DAY);
    shop.harness.settings().retention = retention;
    let coordinator = shop.start().await;
    let mut live = coordinator.feed(None);
    shop.payments.always(Commit, Act::Hang);
    let kept = order(&coordinator).submit().await.unwrap();
    let other = async |of: &Coordinator| {
        let other = of.two_phase("other").branch("orders", &1).unwrap();
        let id = other.execute().await.unwrap().id();
        // A read makes durable what is known.
        assert!(of.get(id).await.unwrap().unwrap().settled);
        id
    };
    let gone = other(&coordinator).await;
    let told = rest(&mut live).await;
    let mut before = coordinator.feed(Some(EventId::default()));
    assert_eq!(before.read(|_| true).await.unwrap().trimmed, None, "nothing was trimmed yet");
    tokio::time::sleep(DAY * 3 / 2).await;
    assert!(coordinator.get(gone).await.unwrap().is_none());
    other(&coordinator).await;
    assert_eq!(live.read(|_| true).await.unwrap().trimmed, None, "it has read them all");

    let last = told.iter().rfind(|event| event.transaction == gone).unwrap();
    let again = shop.restart().await;
    for after in [EventId::default(), told[0].id] {
        for coordinator in [&coordinator, &again] {
            let mut feed = coordinator.feed(Some(after));
            let page = feed.read(|_| true).await.unwrap();
            assert_eq!(page.trimmed, Some(last.id), "after {after}");
            let first = page.events.first().map(|event| event.transaction);
            assert_eq!(first, Some(kept), "what is still there of the time before follows");
            let page = feed.read(|_| true).await.unwrap();
            assert_eq!(page.trimmed, None, "it is told once");
        }
    }
    let mut feed = again.feed(Some(last.id));
    assert_eq!(feed.read(|_| true).await.unwrap().trimmed, None, "nothing was missed");
}
