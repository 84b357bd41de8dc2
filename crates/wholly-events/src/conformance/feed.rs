//! The conformance suite of transports: every [`Feed`] must pass it.
//!
//! A test provides publishers whose feed can be read. A failed case panics; its name is the last
//! one printed. `tests/feeds.rs` runs it for the transports that there are.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use futures_util::future::join;

use crate::cursor::Cursor;
use crate::feed::{Feed, FeedError, FeedPage, FeedRequest, StartFrom};
use crate::names::EventId;
use crate::{DATA_LIMIT, NewEvent};

/// A publisher for one case, new and empty, and its feed.
#[expect(async_fn_in_trait, reason = "the suite does not leave the thread")]
pub trait FeedHarness {
    /// The transport.
    type Feed: Feed;

    /// The publisher's feed, as a follower has it.
    fn feed(&self) -> &Self::Feed;

    /// Publishes the event, in a transaction that is committed when this returns.
    async fn publish(&self, event: &NewEvent);

    /// Puts something in the place of an event: a text as its data that is no JSON, or too long.
    async fn publish_data(&self, data: String);

    /// Forgets all that is published so far, as if it were older than the feed retains.
    async fn trim(&self);
}

/// Runs every case, each with a publisher of its own.
///
/// # Panics
/// If a case fails.
pub async fn run<H: FeedHarness>(new: impl AsyncFn() -> H) {
    macro_rules! each {
        ($($case:ident)+) => {$(
            eprintln!("{}", stringify!($case));
            $case(&new().await).await;
        )+};
    }
    each! {
        an_empty_feed_has_a_start
        events_come_in_their_order_with_all_their_fields
        every_page_size_gives_every_event_once
        a_page_that_is_read_again_is_the_same
        what_comes_later_is_read_from_now_on
        a_read_that_waits_is_woken
        a_read_that_does_not_wait_ends_at_once
        a_cursor_ahead_of_the_feed_is_refused
        a_cursor_of_another_event_is_refused
        a_cursor_from_before_what_was_trimmed_is_refused
        what_is_no_event_is_set_aside_alone
        a_full_page_of_long_events_is_read_in_parts
    }
}

/// Far longer than a read takes that is woken.
const LONG: Duration = Duration::from_secs(25);
const NO_WAIT: Duration = Duration::ZERO;

fn event(n: usize) -> NewEvent {
    let event = NewEvent::new("Counted", format!("ü {}", n % 3), &n).unwrap();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    event.caused_by(&EventId::new("cause").unwrap()).in_trace(trace)
}

/// Publishes so many events; returns them.
async fn publish(harness: &impl FeedHarness, count: usize) -> Vec<NewEvent> {
    let events: Vec<_> = (0..count).map(event).collect();
    for event in &events {
        harness.publish(event).await;
    }
    events
}

async fn read(
    harness: &impl FeedHarness,
    start: &StartFrom,
    limit: u64,
    wait: Duration,
) -> FeedPage {
    let ask = FeedRequest { start: start.clone(), limit, wait };
    let (info, page) = harness.feed().read(ask).await.unwrap();
    assert!(info.retention > Duration::ZERO, "{info:?}");
    assert!(page.events.iter().all(|placed| placed.event.source == info.source), "{page:?}");
    assert!(page.events.len() as u64 <= limit, "{} of {limit}", page.events.len());
    let places = page.events.iter().map(|placed| placed.position);
    assert!(places.is_sorted_by(|a, b| a < b), "{page:?}");
    assert!(page.cursor.position <= page.head, "{page:?}");
    page
}

/// Reads on until nothing is left; returns all of it as one page.
async fn to_the_end(harness: &impl FeedHarness, start: StartFrom, limit: u64) -> FeedPage {
    let mut all = read(harness, &start, limit, NO_WAIT).await;
    loop {
        let more = read(harness, &StartFrom::After(all.cursor.clone()), limit, NO_WAIT).await;
        if more.cursor == all.cursor {
            return all;
        }
        all.events.extend(more.events);
        all.set_aside.extend(more.set_aside);
        (all.cursor, all.head) = (more.cursor, more.head);
    }
}

fn ids(page: &FeedPage) -> Vec<EventId> {
    page.events.iter().map(|placed| placed.event.id.clone()).collect()
}

fn ids_of(events: &[NewEvent]) -> Vec<EventId> {
    events.iter().map(|event| event.id.clone()).collect()
}

/// The kind of the refusal of this cursor.
async fn refusal(harness: &impl FeedHarness, cursor: Cursor) -> String {
    let ask = FeedRequest { start: StartFrom::After(cursor), limit: 10, wait: NO_WAIT };
    match harness.feed().read(ask).await {
        Err(FeedError::Refused(refusal)) => refusal.kind().to_owned(),
        read => panic!("the cursor was not refused: {read:?}"),
    }
}

async fn an_empty_feed_has_a_start(harness: &impl FeedHarness) {
    for start in [StartFrom::Earliest, StartFrom::Now, StartFrom::After(Cursor::START)] {
        let page = read(harness, &start, 10, NO_WAIT).await;
        assert_eq!((page.events.len(), page.cursor, page.head), (0, Cursor::START, 0));
    }
}

async fn events_come_in_their_order_with_all_their_fields(harness: &impl FeedHarness) {
    let published = publish(harness, 5).await;
    let page = to_the_end(harness, StartFrom::Earliest, 100).await;
    let source = page.events[0].event.source.clone();
    let read: Vec<_> = page.events.iter().map(|placed| placed.event.clone()).collect();
    let expected: Vec<_> =
        published.into_iter().map(|event| event.from_source(source.clone())).collect();
    assert_eq!(read, expected);
    let last = page.events.last().unwrap();
    assert_eq!(page.cursor, Cursor::at(last.position, last.event.id.clone()));
    assert_eq!(page.head, last.position);
}

async fn every_page_size_gives_every_event_once(harness: &impl FeedHarness) {
    let published = ids_of(&publish(harness, 23).await);
    for limit in [1, 2, 7, 22, 23, 24, 1000] {
        let page = to_the_end(harness, StartFrom::Earliest, limit).await;
        assert_eq!(ids(&page), published, "by {limit}");
        assert_eq!(page.cursor.position, page.head);
    }
}

async fn a_page_that_is_read_again_is_the_same(harness: &impl FeedHarness) {
    publish(harness, 9).await;
    let first = read(harness, &StartFrom::Earliest, 4, NO_WAIT).await;
    let after = StartFrom::After(first.cursor.clone());
    let second = read(harness, &after, 4, NO_WAIT).await;
    assert_eq!(read(harness, &StartFrom::Earliest, 4, NO_WAIT).await, first);
    assert_eq!(read(harness, &after, 4, NO_WAIT).await, second);
}

async fn what_comes_later_is_read_from_now_on(harness: &impl FeedHarness) {
    publish(harness, 3).await;
    let now = read(harness, &StartFrom::Now, 10, NO_WAIT).await;
    assert_eq!((now.events.len(), now.cursor.position), (0, now.head));
    let later = ids_of(&publish(harness, 2).await);
    assert_eq!(ids(&to_the_end(harness, StartFrom::After(now.cursor), 10).await), later);
}

async fn a_read_that_waits_is_woken(harness: &impl FeedHarness) {
    publish(harness, 1).await;
    let end = to_the_end(harness, StartFrom::Earliest, 10).await;
    let start = StartFrom::After(end.cursor);
    let one = event(7);
    // The limit shows that it was woken: who was not would answer at the end of its wait.
    let woken = tokio::time::timeout(LONG / 2, read(harness, &start, 10, LONG));
    let (page, ()) = join(woken, harness.publish(&one)).await;
    let page = page.unwrap_or_else(|_| panic!("the read was not woken"));
    assert_eq!(ids(&page), [one.id]);
}

async fn a_read_that_does_not_wait_ends_at_once(harness: &impl FeedHarness) {
    let published = publish(harness, 2).await;
    let end = to_the_end(harness, StartFrom::Earliest, 10).await;
    let page = read(harness, &StartFrom::After(end.cursor.clone()), 10, NO_WAIT).await;
    assert_eq!((page.events.len(), &page.cursor), (0, &end.cursor));
    assert_eq!(end.cursor.id.as_ref(), Some(&published[1].id));
}

async fn a_cursor_ahead_of_the_feed_is_refused(harness: &impl FeedHarness) {
    publish(harness, 2).await;
    let end = to_the_end(harness, StartFrom::Earliest, 10).await;
    let ahead = Cursor { position: end.head + 1, ..end.cursor };
    assert_eq!(refusal(harness, ahead).await, "cursor-ahead");
}

async fn a_cursor_of_another_event_is_refused(harness: &impl FeedHarness) {
    let published = publish(harness, 2).await;
    let end = to_the_end(harness, StartFrom::Earliest, 10).await;
    let other = Cursor::at(end.head, published[0].id.clone());
    assert_eq!(refusal(harness, other).await, "cursor-other-event");
    // Ids are compared by their bytes: one that differs by its case alone is another.
    let odd = NewEvent { id: EventId::new("Straße".replace('ß', "%C3")).unwrap(), ..event(3) };
    harness.publish(&odd).await;
    let end = to_the_end(harness, StartFrom::Earliest, 10).await;
    let other = Cursor::at(end.head, EventId::new("stra%C3e").unwrap());
    assert_eq!(refusal(harness, other).await, "cursor-other-event");
    assert_eq!(read(harness, &StartFrom::After(end.cursor), 10, NO_WAIT).await.events.len(), 0);
}

async fn a_cursor_from_before_what_was_trimmed_is_refused(harness: &impl FeedHarness) {
    publish(harness, 3).await;
    let first = read(harness, &StartFrom::Earliest, 1, NO_WAIT).await.cursor;
    let last = to_the_end(harness, StartFrom::Earliest, 10).await.cursor;
    harness.trim().await;
    let later = ids_of(&publish(harness, 2).await);
    assert_eq!(refusal(harness, first).await, "cursor-trimmed");
    assert_eq!(refusal(harness, Cursor::START).await, "cursor-trimmed");
    // A follower that has read all trimmed events has missed nothing, and one that begins at the
    // earliest event knows it.
    for start in [StartFrom::After(last), StartFrom::Earliest] {
        assert_eq!(ids(&to_the_end(harness, start, 10).await), later);
    }
}

async fn what_is_no_event_is_set_aside_alone(harness: &impl FeedHarness) {
    let first = publish(harness, 1).await;
    harness.publish_data("no JSON".to_owned()).await;
    harness.publish_data(format!("\"{}\"", "x".repeat(DATA_LIMIT))).await;
    let second = publish(harness, 1).await;
    harness.publish_data(format!("\"{}\"", "x".repeat(4 * DATA_LIMIT))).await;
    let events = ids_of(&[first, second].concat());
    for limit in [1, 2, 100] {
        let page = to_the_end(harness, StartFrom::Earliest, limit).await;
        assert_eq!(ids(&page), events, "by {limit}");
        let aside: Vec<_> = page.set_aside.iter().map(|what| what.position).collect();
        assert_eq!(aside, [2, 3, 5], "by {limit}: {:?}", page.set_aside);
        assert!(page.set_aside.iter().all(|what| !what.why.is_empty()));
        assert_eq!(page.cursor.position, 5);
    }
    // A follower that waits must not be led past it.
    let end = to_the_end(harness, StartFrom::Earliest, 100).await.cursor;
    harness.publish_data("no JSON either".to_owned()).await;
    let page = read(harness, &StartFrom::After(end), 100, LONG).await;
    assert_eq!(page.set_aside.iter().map(|what| what.position).collect::<Vec<_>>(), [6]);
}

/// An answer has a bounded length: what does not fit comes with the next one.
async fn a_full_page_of_long_events_is_read_in_parts(harness: &impl FeedHarness) {
    let long = "x".repeat(DATA_LIMIT - 2);
    let long: Vec<_> = (0..12).map(|_| NewEvent::new("Long", "c", &long).unwrap()).collect();
    for event in &long {
        harness.publish(event).await;
    }
    assert_eq!(ids(&to_the_end(harness, StartFrom::Earliest, 1000).await), ids_of(&long));
}
