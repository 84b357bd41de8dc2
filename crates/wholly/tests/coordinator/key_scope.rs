//! Keys of everybody and keys of one caller.

use wholly::KeyScope::{self, Caller, Global};
use wholly::Operation::Commit;
use wholly::test::Act;
use wholly::{Name, Submission, SubmitError};

use super::*;

const SCOPES: [(KeyScope, KeyScope); 2] = [(Global, Caller), (Caller, Global)];

fn keyed(of: &Coordinator, caller: &str, scope: KeyScope) -> Submission<TwoPhase> {
    order(of).key_of(&Name::new(caller).unwrap(), scope, "ORD001")
}

async fn id_of(of: &Coordinator, caller: &str, scope: KeyScope) -> TransactionId {
    keyed(of, caller, scope).submit().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn callers_share_keys_or_have_their_own_and_each_is_shown_as_the_client_gave_it() {
    for (scope, same) in [(Global, true), (Caller, false)] {
        let shop = Shop::open().await;
        let coordinator = shop.coordinator();
        let (one, again, other) = tokio::join!(
            id_of(&coordinator, "shop", scope),
            id_of(&coordinator, "shop", scope),
            id_of(&coordinator, "bank", scope),
        );
        assert_eq!(one, again, "{scope:?}: two at once begin one");
        assert_eq!(one == other, same, "{scope:?}");
        let snapshot = shop.snapshot(one).await;
        assert_eq!(snapshot.key.unwrap().as_str(), "ORD001");
        let caller = snapshot.caller.map(|caller| caller.to_string());
        assert_eq!(caller.as_deref(), (!same).then_some("shop"));
        assert!(!format!("{:?}", snapshot.history).contains("shop"));
        let reused = coordinator.two_phase("other").branch("orders", &1).unwrap();
        let reused = reused.key_of(&Name::new("shop").unwrap(), scope, "ORD001").execute().await;
        let Err(error @ SubmitError::KeyReused { .. }) = reused else { panic!("{reused:?}") };
        assert!(error.to_string().contains("the key \"ORD001\""), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_scope_runs_nothing_twice() {
    for (before, after) in SCOPES {
        for settled in [false, true] {
            let mut shop = Shop::open().await;
            let coordinator = shop.coordinator();
            if !settled {
                shop.payments.always(Commit, Act::Hang);
            }
            let first = id_of(&coordinator, "shop", before).await;
            if settled {
                shop.harness.settle().await;
            }
            // And back, and forth again.
            for scope in [after, before, after] {
                let coordinator = shop.restart().await;
                let of_shop = || id_of(&coordinator, "shop", scope);
                let both = tokio::join!(of_shop(), of_shop());
                assert_eq!(both, (first, first), "{before:?}, settled: {settled}");
            }
            if before == Caller {
                let other = id_of(&shop.coordinator(), "bank", after).await;
                assert_ne!(other, first, "a caller's own key is nobody else's");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_finds_its_own_before_what_everybody_may_have_begun() {
    let mut shop = Shop::open().await;
    let own = id_of(&shop.coordinator(), "shop", Caller).await;
    let coordinator = shop.restart().await;
    let everybodys = id_of(&coordinator, "bank", Global).await;
    assert_ne!(own, everybodys);
    for scope in [Global, Caller] {
        let coordinator = shop.restart().await;
        assert_eq!(id_of(&coordinator, "shop", scope).await, own, "{scope:?}");
        assert_eq!(id_of(&coordinator, "bank", scope).await, everybodys, "{scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_or_just_ended_under_the_other_key_is_joined() {
    let mut shop = Shop::open().await;
    shop.payments.always(Commit, Act::Hang);
    let first = keyed(&shop.coordinator(), "shop", Global).execute().await.unwrap().id();
    let coordinator = shop.restart().await;
    let joined = keyed(&coordinator, "shop", Caller).execute().await.unwrap();
    assert_eq!(joined.id(), first, "it goes on");
    shop.payments.behave();
    // At some of these moments its end is recorded and not durable yet.
    for _ in 0..1_000 {
        assert_eq!(id_of(&coordinator, "shop", Caller).await, first);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(shop.snapshot(first).await.settled);
    assert_eq!(id_of(&coordinator, "shop", Caller).await, first, "it has ended");
}
