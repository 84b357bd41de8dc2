//! What storage damaged, and how an operator ends what came of it.

use wholly::Operation::{Commit, Prepare};
use wholly::log::Log;
use wholly::test::{Act, Fault, Standing};
use wholly::{
    CancelError, EndError, EventId, Filter, LogId, Pattern, Recorded, ResolveError, Retention,
    State, SubmitError,
};

use super::feed::all;
use super::*;

/// A shop whose log has one that is committed at nobody yet; this entry of it is damaged when the
/// coordinator starts again.
async fn damaged(sequence: u32) -> (Shop, TransactionId) {
    let mut shop = Shop::open().await;
    shop.orders.always(Commit, Act::LoseRequest);
    shop.payments.always(Commit, Act::LoseRequest);
    let id = order(&shop.coordinator()).key("order 1").submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.snapshot(id).await.state, Some(State::Committed));
    shop.harness.crash(wholly::test::Unsynced::Kept).await;
    shop.orders.behave();
    shop.payments.behave();
    shop.harness.log().damage(id, sequence);
    shop.start().await;
    (shop, id)
}

/// How often anybody was asked to commit.
fn commits(shop: &Shop) -> usize {
    shop.orders.count(Commit) + shop.payments.count(Commit)
}

async fn listed(shop: &Shop, filter: Filter) -> Vec<TransactionId> {
    shop.coordinator().list(&filter, None, 9).await.unwrap().ids()
}

fn stuck() -> Filter {
    Filter { stuck: Some(true), ..Filter::default() }
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_is_set_aside_with_what_is_known_of_it() {
    let (shop, id) = damaged(1).await;
    let before = commits(&shop);
    tokio::time::sleep(LONG).await;
    assert_eq!(commits(&shop), before, "nothing is sent for it");
    let snapshot = shop.snapshot(id).await;
    assert!(snapshot.quarantined.unwrap().contains("entry 1"));
    assert_eq!((snapshot.state, snapshot.settled, snapshot.stuck), (None, false, true));
    assert_eq!(snapshot.pattern, Some(Pattern::TwoPhase));
    assert_eq!(snapshot.name.unwrap().as_str(), "place order");
    assert_eq!(snapshot.key.unwrap().as_str(), "order 1");
    assert_eq!(snapshot.branches[0].payload.as_ref().unwrap().as_str(), "\"one book\"");
    assert_eq!(snapshot.history.len(), 1, "the decision is not known");
    assert!(snapshot.reason.is_none());

    let coordinator = shop.coordinator();
    assert_eq!(coordinator.outcome(id, LONG).await.unwrap(), Some(AnyOutcome::Quarantined(id)));
    assert_eq!(coordinator.decision(id).await.unwrap(), None);
    let refused = coordinator.abort(id, "get rid of it").await;
    assert!(matches!(refused, Err(CancelError::Quarantined { .. })), "{refused:?}");
    assert_eq!(listed(&shop, stuck()).await, [id]);
    assert_eq!(order(&coordinator).key("order 1").submit().await.unwrap(), id);
    assert!(committed(&order(&coordinator).execute().await.unwrap()), "the others go on");
    assert_eq!((coordinator.damage().count, coordinator.measures().log_damage), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn of_what_is_damaged_at_its_start_the_key_is_still_taken() {
    let (mut shop, id) = damaged(0).await;
    for _ in 0..2 {
        let snapshot = shop.snapshot(id).await;
        assert_eq!((snapshot.pattern, snapshot.state), (None, None));
        assert!(snapshot.name.is_none() && snapshot.history.is_empty());
        let why = if snapshot.stuck { "entry 0" } else { "an operator ended it" };
        assert!(snapshot.quarantined.unwrap().contains(why));
        let coordinator = shop.coordinator();
        assert_eq!(order(&coordinator).key("order 1").submit().await.unwrap(), id);
        let waited = order(&coordinator).key("order 1").patience(LONG).execute().await;
        match waited {
            Ok(outcome) => assert!(snapshot.stuck && outcome == Outcome::Unsettled(id)),
            Err(SubmitError::Quarantined { .. }) => assert!(snapshot.settled),
            Err(other) => panic!("{other}"),
        }
        // Nothing is known but that it was there.
        let ended = coordinator.end(id, "the disk is replaced").await;
        assert_eq!(ended.is_ok(), snapshot.stuck, "{ended:?}");
        assert_eq!(order(&coordinator).key("order 1").submit().await.unwrap(), id);
        shop.restart().await;
    }
    assert_eq!(shop.orders.count(Prepare), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operator_ends_it_once_and_for_all() {
    for sequence in [0, 1] {
        let (mut shop, id) = damaged(sequence).await;
        let before = commits(&shop);
        let coordinator = shop.coordinator();
        let waiting = coordinator.clone();
        let waiting = tokio::spawn(async move { waiting.outcome(id, LONG).await.unwrap() });
        tokio::task::yield_now().await;
        let (one, other) =
            tokio::join!(coordinator.end(id, "paid by hand"), coordinator.end(id, "the same"));
        one.unwrap();
        other.unwrap();
        assert_eq!(waiting.await.unwrap(), Some(AnyOutcome::Quarantined(id)));
        for _ in 0..2 {
            let coordinator = shop.coordinator();
            let snapshot = shop.snapshot(id).await;
            assert_eq!((snapshot.state, snapshot.settled, snapshot.stuck), (None, true, false));
            let why = snapshot.quarantined.unwrap();
            assert!(why.contains("an operator ended it") && why.contains("paid by hand"), "{why}");
            assert_eq!(snapshot.name.is_some(), sequence > 0, "what is known stays");
            assert!(coordinator.stuck().borrow().is_empty());
            assert!(listed(&shop, stuck()).await.is_empty());
            let settled = Filter { settled: Some(true), ..Filter::default() };
            assert_eq!(listed(&shop, settled).await, [id]);
            let name = if sequence > 0 { "place order" } else { "unknown" };
            let named = Filter { name: Some(name.parse().unwrap()), ..Filter::default() };
            assert_eq!(listed(&shop, named).await, [id]);
            assert_eq!(
                coordinator.outcome(id, LONG).await.unwrap(),
                Some(AnyOutcome::Quarantined(id))
            );
            assert_eq!(coordinator.decision(id).await.unwrap(), None);
            let again = coordinator.end(id, "again").await;
            assert!(matches!(again, Err(EndError::NotInFlight { .. })), "{again:?}");
            let refused = coordinator.abort(id, "no").await;
            assert!(matches!(refused, Err(CancelError::Quarantined { .. })), "{refused:?}");
            // The key is taken by what was ended.
            assert_eq!(order(&coordinator).key("order 1").submit().await.unwrap(), id);
            let refused = order(&coordinator).key("order 1").execute().await;
            assert!(matches!(refused, Err(SubmitError::Quarantined { .. })), "{refused:?}");
            shop.restart().await;
        }
        assert_eq!((commits(&shop), shop.orders.count(Prepare)), (before, 1));
        // It stands behind entry 1, too, of which the loop knows nothing where that is damaged.
        let log = shop.harness.log().open().unwrap();
        let entries = log.reader.entries_of(id.ordinal()).unwrap();
        let sequences: Vec<_> = entries.iter().map(|entry| entry.sequence).collect();
        assert!(sequences.is_sorted_by(|one, next| one < next), "{sequences:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_ended_is_let_go_although_the_log_lists_it_as_unsettled() {
    let mut shop = Shop::closed();
    let id = log_failures::append(&shop, &[(1, r#"{"v":1,"ended":[5,"nobody knows it"]}"#)])[0];
    shop.start().await;
    let snapshot = shop.snapshot(id).await;
    assert_eq!((snapshot.settled, snapshot.stuck), (true, false));
    assert!(shop.coordinator().stuck().borrow().is_empty());
    assert!(listed(&shop, stuck()).await.is_empty());
    let again = shop.coordinator().end(id, "again").await;
    assert!(matches!(again, Err(EndError::NotInFlight { .. })), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn only_what_was_set_aside_is_ended() {
    let mut shop = Shop::open().await;
    shop.payments.always(Prepare, Act::Hang);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    let refused = shop.coordinator().end(id, "no").await;
    assert!(matches!(refused, Err(EndError::NotQuarantined { .. })), "{refused:?}");
    let never = TransactionId::mint(77, id.minted_at(), 7, id.log());
    let refused = shop.coordinator().end(never, "no").await;
    assert!(matches!(refused, Err(EndError::NotInFlight { .. })), "{refused:?}");

    let copy = shop.harness.log().restored(LogId::from_bits(77));
    shop.harness.go_on_with(copy).await;
    shop.start().await;
    let refused = shop.coordinator().end(id, "no").await;
    assert!(matches!(refused, Err(EndError::Restored { .. })), "{refused:?}");
    // What a copy holds and nobody can read is ended all the same.
    shop.harness.log().damage(id, 0);
    shop.restart().await;
    shop.coordinator().end(id, "nobody has it").await.unwrap();
    assert!(shop.snapshot(id).await.settled);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_log_lost_is_not_told() {
    let (shop, id) = damaged(1).await;
    for (fault, landed) in [(Fault::Fails, false), (Fault::Lands, true)] {
        shop.harness.log().fail_append(0, fault);
        let refused = shop.coordinator().end(id, "paid by hand").await;
        assert!(matches!(refused, Err(EndError::Unavailable { .. })), "{refused:?}");
        tokio::time::sleep(Duration::from_secs(5)).await;
        let snapshot = shop.snapshot(id).await;
        assert_eq!((snapshot.settled, snapshot.stuck), (landed, !landed), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_had_settled_is_shown_as_damaged_and_needs_nobody() {
    let mut shop = Shop::open().await;
    let id = order(&shop.coordinator()).key("order 1").execute().await.unwrap().id();
    shop.harness.settle().await;
    shop.harness.log().damage(id, 1);
    for _ in 0..2 {
        let snapshot = shop.snapshot(id).await;
        assert_eq!((snapshot.state, snapshot.settled, snapshot.stuck), (None, true, false));
        assert!(snapshot.quarantined.unwrap().contains("damaged"));
        assert_eq!(snapshot.name.unwrap().as_str(), "place order");
        let coordinator = shop.coordinator();
        assert!(listed(&shop, stuck()).await.is_empty());
        let refused = coordinator.end(id, "no").await;
        assert!(matches!(refused, Err(EndError::NotInFlight { .. })), "{refused:?}");
        assert_eq!(order(&coordinator).key("order 1").submit().await.unwrap(), id);
        shop.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_goes_on_with_what_is_known_in_memory() {
    let shop = Shop::open().await;
    shop.payments.always(Commit, Act::LoseRequest);
    let id = order(&shop.coordinator()).submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.harness.log().damage(id, 1);
    let snapshot = shop.snapshot(id).await;
    assert_eq!((snapshot.state, snapshot.settled, snapshot.stuck), (None, false, false));
    let refused = shop.coordinator().end(id, "no").await;
    assert!(matches!(refused, Err(EndError::NotQuarantined { .. })), "{refused:?}");
    shop.payments.behave();
    tokio::time::sleep(LONG).await;
    assert!(shop.snapshot(id).await.settled);
    assert_eq!(shop.payments.standing(id), Some(Standing::Committed));
}

#[tokio::test(start_paused = true)]
async fn the_feed_tells_of_damage_where_it_is_and_of_the_end() {
    let (mut shop, id) = damaged(1).await;
    shop.coordinator().end(id, "paid by hand").await.unwrap();
    for _ in 0..2 {
        let events = all(&shop.coordinator()).await;
        let damage = |event: &&wholly::FeedEvent| match &event.record {
            Recorded::Unreadable { why } => why.contains("entry 1"),
            Recorded::Record(_) | Recorded::Ended { .. } => false,
        };
        let first = events.iter().position(|event| damage(&event)).unwrap();
        assert!(first == 1 && events[first].stuck, "{events:?}");
        let last = events.last().unwrap();
        assert!(matches!(&last.record, Recorded::Ended { reason } if reason == "paid by hand"));
        assert_eq!((last.transaction, last.settled, last.stuck), (id, true, false));
        // One entry, one event.
        let place = |event: &wholly::FeedEvent| event.id.to_string();
        let ids: std::collections::BTreeSet<_> = events.iter().map(place).collect();
        assert_eq!(ids.len(), events.len());
        // From the middle, and of it alone.
        let mut feed = shop.coordinator().feed(Some(events[first].id));
        let rest = super::feed::rest(&mut feed).await;
        assert_eq!(format!("{rest:?}"), format!("{:?}", &events[first + 1..]));
        let alone = shop.coordinator().events_of(id).await.unwrap();
        assert_eq!(format!("{alone:?}"), format!("{events:?}"));
        shop.restart().await;
    }
    // What stands behind damage is told as what it is behind.
    let (other, _) = damaged(0).await;
    for event in all(&other.coordinator()).await {
        let Recorded::Unreadable { why } = event.record else { panic!("{event:?}") };
        assert!(why.contains("entry 0"), "{why}");
    }
    // Of one whose every entry is damaged nothing is made up.
    for sequence in 0..9 {
        shop.harness.log().damage(id, sequence);
    }
    let events = all(&shop.coordinator()).await;
    assert!(events.iter().all(|event| matches!(event.record, Recorded::Unreadable { .. })));
    assert!(events[0].id > EventId::default());
}

#[tokio::test(start_paused = true)]
async fn retention_leaves_what_is_damaged_as_it_is_and_deletes_what_was_ended() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let mut shop = Shop::closed();
    let mut retention = Retention::FOR_EVER;
    (retention.history, retention.payloads) = (Some(9 * DAY), Some(DAY));
    shop.harness.settings().retention = retention;
    shop.start().await;
    let settled = order(&shop.coordinator()).execute().await.unwrap().id();
    shop.payments.always(Commit, Act::LoseRequest);
    let id = order(&shop.coordinator()).key("order 1").submit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.harness.log().damage(settled, 1);
    shop.harness.log().damage(id, 1);
    shop.restart().await;
    shop.coordinator().end(id, "paid by hand").await.unwrap();
    tokio::time::sleep(2 * DAY).await;
    for left in [settled, id] {
        let snapshot = shop.snapshot(left).await;
        assert!(!snapshot.payloads_removed && snapshot.settled);
        assert_eq!(snapshot.branches[0].payload.as_ref().unwrap().as_str(), "\"one book\"");
    }
    tokio::time::sleep(9 * DAY).await;
    assert!(shop.coordinator().get(id).await.unwrap().is_none());
    shop.payments.behave();
    let again = order(&shop.coordinator()).key("order 1").submit().await.unwrap();
    assert_ne!(again, id, "the key goes with it");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_ended_by_one_entry_more() {
    let mut shop = Shop::closed();
    let id = log_failures::append(&shop, &[(1, "no JSON")])[0];
    shop.start().await;
    shop.coordinator().end(id, "nobody knows it").await.unwrap();
    let stored = shop.harness.log().open().unwrap().reader.history(id).unwrap().unwrap();
    assert_eq!(stored.entries.len(), 2);
    assert!(stored.entries[1].text.starts_with(r#"{"v":1,"ended":["#));
    shop.restart().await;
    assert!(shop.snapshot(id).await.settled);
    let resolved = shop.coordinator().retry(id).await;
    assert!(matches!(resolved, Err(ResolveError::NotInFlight { .. })), "{resolved:?}");
}
