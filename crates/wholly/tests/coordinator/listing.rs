//! Lists: what is asked for, as it is now.

use wholly::Operation::{Commit, Prepare};
use wholly::log::Log;
use wholly::log::listing::Query;
use wholly::test::Act;
use wholly::{Filter, Listed};

use super::*;

fn filter() -> Filter {
    Filter::default()
}

async fn listed(coordinator: &Coordinator, filter: Filter) -> Vec<Listed> {
    coordinator.list(&filter, None, 100).await.unwrap().transactions
}

async fn ids(coordinator: &Coordinator, filter: Filter) -> Vec<TransactionId> {
    coordinator.list(&filter, None, 100).await.unwrap().ids()
}

#[tokio::test(start_paused = true)]
async fn a_list_says_of_each_what_its_snapshot_says() {
    let mut shop = Shop::open().await;
    shop.payments.nth(Prepare, 1, Act::Refuse);
    let coordinator = shop.coordinator();
    for _ in 0..2 {
        order(&coordinator).execute().await.unwrap();
    }
    // The end is not forced, so it would be written between a list and the snapshots.
    shop.harness.settle().await;
    shop.orders.always(Commit, Act::Hang);
    let hangs = order(&coordinator).submit().await.unwrap();
    while !shop.snapshot(hangs).await.stuck {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let saga = checked_saga();
    coordinator.saga(saga).execute().await.unwrap();
    for coordinator in [coordinator, shop.restart().await] {
        let all = listed(&coordinator, filter()).await;
        assert_eq!(all.len(), 4);
        assert_eq!((all[1].id, all[1].settled, all[1].stuck), (hangs, false, true));
        for one in &all {
            let snapshot = shop.snapshot(one.id).await;
            assert_eq!(Some(&one.name), snapshot.name.as_ref());
            assert_eq!(Some(one.pattern), snapshot.pattern);
            assert_eq!(Some(one.state), snapshot.state);
            assert_eq!((one.settled, one.stuck), (snapshot.settled, snapshot.stuck));
            assert_eq!(one.started, one.id.minted_at());
        }
        let aborted = Filter { state: Some(State::Aborted), ..filter() };
        assert_eq!(ids(&coordinator, aborted).await, [all[2].id]);
        let sagas = Filter { pattern: Some(Pattern::Saga), ..filter() };
        assert_eq!(ids(&coordinator, sagas).await, [all[0].id]);
        let with_payments = Filter { participant: Some("payments".parse().unwrap()), ..filter() };
        let in_two_phases: Vec<_> = all[1..].iter().map(|one| one.id).collect();
        assert_eq!(ids(&coordinator, with_payments).await, in_two_phases);
        let first = coordinator.list(&filter(), None, 3).await.unwrap();
        let rest = coordinator.list(&filter(), first.next, 3).await.unwrap();
        assert_eq!([first.transactions, rest.transactions].concat(), all);
    }
}

fn checked_saga() -> std::sync::Arc<wholly::Graph> {
    let definition = serde_json::json!({"name": "ship order", "version": 1, "steps": [
        {"name": "take", "participant": "orders", "compensation": "put-back"},
    ]});
    serde_json::from_value(definition).unwrap()
}

/// Nobody who was told of an abort is shown a list that knows nothing of it.
#[tokio::test(start_paused = true)]
async fn a_list_shows_what_anybody_was_told() {
    let shop = Shop::open().await;
    shop.payments.nth(Prepare, 0, Act::Refuse);
    let coordinator = shop.coordinator();
    let id = order(&coordinator).execute().await.unwrap().id();
    let all = listed(&coordinator, filter()).await;
    assert_eq!((all[0].id, all[0].state, all[0].settled), (id, State::Aborted, true));
    // And it shows only what is durable.
    let durable = shop.harness.log().open().unwrap().reader.list(&Query::newest(9)).unwrap();
    assert_eq!(durable.rows[0].labels.state, State::Aborted);
}

#[tokio::test(start_paused = true)]
async fn while_the_log_is_gone_a_list_shows_what_is_durable() {
    let shop = Shop::open().await;
    let coordinator = shop.coordinator();
    let before = order(&coordinator).execute().await.unwrap().id();
    shop.harness.settle().await;
    shop.harness.log().set_full(true);
    assert!(order(&coordinator).execute().await.is_err());
    assert_eq!(ids(&coordinator, filter()).await, [before]);
}

/// No record says so: nothing is written of what cannot be read.
#[tokio::test(start_paused = true)]
async fn what_is_set_aside_is_listed_as_stuck() {
    let mut shop = Shop::closed();
    let unreadable = log_failures::append(&shop, &[(1, "no JSON")])[0];
    let coordinator = shop.start().await;
    let sound = order(&coordinator).execute().await.unwrap().id();
    let stuck = |stuck| Filter { stuck: Some(stuck), ..filter() };
    assert_eq!(ids(&coordinator, stuck(true)).await, [unreadable]);
    assert_eq!(ids(&coordinator, stuck(false)).await, [sound]);
    assert_eq!(ids(&coordinator, filter()).await, [sound, unreadable]);
}
