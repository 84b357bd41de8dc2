//! A service that is put back to an older copy of its database, books and events together.
//!
//! What it had done since, it does again: the feeds of the others bring it all of that once more. But
//! what it had published since is lost, and comes again under other ids, although its followers have
//! acted upon it. They must not believe their cursors in its feed, which are refused (410), until an
//! operator sets them: to the end of what it published again.
//!
//! The books are exact afterwards only where all that was lost had been acted upon, where it is done
//! again in the same way, and where nothing was lost that nobody can bring again. So a service is put
//! back when all has drained; whether an order of that round succeeds does not depend on who comes
//! first; and the copy of the order service has all orders that clients placed. Everywhere else an
//! operator has to compare the books, and no rule of events can help.
//!
//! For an order that is cancelled, what was refused, and what was suppressed because its refusal was
//! known first, may change places; what takes it back is the same.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::TortureError;
use super::check::{Knowledge, ServiceContents};
use super::rounds::{PATIENCE, Shop};
use super::tables::{OpenWork, Published};
use wholly_demo::choreography::sources;
use wholly_demo::fleet::{Role, eventually_within};
use wholly_demo::shop::ServiceKind;

/// The outcome.
#[derive(Debug, Default)]
pub(super) struct PutBack {
    pub(super) lost: usize,
    pub(super) refused: u64,
    pub(super) violations: Vec<String>,
}

/// Puts a service back to the copy that was made, lets it catch up, and has an operator lead its
/// followers over what it published again.
pub(super) async fn put_back(
    shop: &mut Shop,
    kind: ServiceKind,
    before: &ServiceContents,
    known: &mut Knowledge,
) -> Result<PutBack, TortureError> {
    shop.fleet.kill(Role::Service(kind));
    shop.databases.put_back(&shop.fleet, kind).await?;
    let copied = OpenWork::of_all(&shop.databases, &shop.fleet).await?;
    let copied = copied.get(&kind).map_or(0, |waiting| waiting.head.position);
    shop.fleet.run(Role::Service(kind)).await?;
    let published = |found: &ServiceContents| -> Vec<Published> {
        let outbox = found.tables.get(&kind).into_iter().flat_map(|tables| tables.outbox.clone());
        outbox.filter(|event| event.position.is_none_or(|position| position > copied)).collect()
    };
    let lost = published(before);
    let mut done = PutBack { lost: lost.len(), ..PutBack::default() };
    let caught_up = shop.caught_up(kind).await?;
    let again = published(&shop.found().await?);
    done.violations.extend(differences(kind, &lost, &again, known));
    known.stepped_over.extend(again.into_iter().map(|event| event.id));
    if lost.is_empty() {
        return Ok(done);
    }
    known.lost.entry(kind).or_default().extend(lost);
    for follower in ServiceKind::ALL {
        if !sources(follower, shop.flow).contains(&kind) {
            continue;
        }
        refused(shop, follower, kind).await?;
        done.refused += 1;
        // A crash does not make it believe its cursor.
        shop.fleet.run(Role::Service(follower)).await?;
        refused(shop, follower, kind).await?;
        let (fleet, to) = (&shop.fleet, caught_up.head.clone());
        shop.databases.set_cursor(fleet, shop.flow, follower, kind, to).await?;
    }
    Ok(done)
}

/// Waits until a follower refuses to read on.
async fn refused(
    shop: &Shop,
    follower: ServiceKind,
    source: ServiceKind,
) -> Result<(), TortureError> {
    #[derive(Deserialize)]
    struct Status {
        feeds: Vec<Feed>,
    }
    #[derive(Deserialize)]
    struct Feed {
        source: String,
        error: Option<String>,
    }
    let url = shop.fleet.url(Role::Service(follower), "/choreography/status");
    let what = format!("the {follower} refuses the feed of the {source}");
    eventually_within(PATIENCE, &what, async || {
        let Ok(status) = shop.fleet.read::<Status>(&url).await else { return Ok(None) };
        let feed = status.feeds.into_iter().find(|feed| feed.source == source.as_str());
        let error = feed.and_then(|feed| feed.error);
        Ok(error.filter(|error| error.contains("set another cursor")).map(drop))
    })
    .await
}

/// The differences where a service did it again.
fn differences(
    kind: ServiceKind,
    lost: &[Published],
    again: &[Published],
    known: &Knowledge,
) -> Vec<String> {
    let lost = certain(lost, known);
    let again = certain(again, known);
    let missing = lost.difference(&again).map(|key| format!("the {kind} did not do again {key:?}"));
    let more = again.difference(&lost).map(|key| format!("the {kind} did in addition {key:?}"));
    missing.chain(more).collect()
}

/// The part that must not change: all of a confirmed order, and what takes back or ends a
/// cancelled one.
fn certain<'a>(events: &'a [Published], known: &Knowledge) -> BTreeSet<(&'a str, &'a str)> {
    let is_certain = |event: &&Published| {
        let is_confirmed = known.ends.get(&event.correlation).is_some_and(|end| end == "confirmed");
        let ends = ["InventoryReleased", "PaymentRefunded", "OrderCancelled"];
        is_confirmed || ends.contains(&event.kind.as_str())
    };
    let certain = events.iter().filter(is_certain);
    certain.map(|event| (event.kind.as_str(), event.correlation.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, correlation: &str) -> Published {
        Published {
            position: Some(1),
            id: "id".to_owned(),
            kind: kind.to_owned(),
            correlation: correlation.to_owned(),
            causation: None,
        }
    }

    #[test]
    fn what_is_not_done_again_is_found() {
        let ends = [("A", "confirmed"), ("B", "cancelled")];
        let ends = ends.map(|(order, end)| (order.to_owned(), end.to_owned())).into();
        let known = Knowledge { ends, ..Knowledge::default() };
        let lost = [
            event("InventoryReserved", "A"),
            event("InventoryReserved", "B"),
            event("InventoryReleased", "B"),
        ];
        let differences =
            |again: &[Published]| differences(ServiceKind::Inventory, &lost, again, &known);
        assert_eq!(differences(&lost), [""; 0]);
        assert_eq!(differences(&[lost[0].clone(), lost[2].clone()]), [""; 0]);
        assert_eq!(differences(&lost[1..]).len(), 1);
        assert_eq!(differences(&lost[..2]).len(), 1);
        let mut more = lost.to_vec();
        more.push(event("InventoryReserved", "A"));
        more.push(event("InventoryReleased", "A"));
        assert_eq!(differences(&more).len(), 1);
    }
}
