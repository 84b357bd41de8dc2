//! The alerts of the observer: a choreography that is stuck, and a feed with a trouble that lasts.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::watch;
use wholly::Timestamp;
use wholly_dns::https::percent_encoded;
use wholly_events::{Correlation, ServiceName};

use super::{Alerting, Change, Data, Message, Webhook, tell_changes};
use crate::observer::{Trouble, TroubleKind};

/// The stuck choreographies and the troubles of feeds, each with its beginning.
pub type Watched = (
    watch::Receiver<BTreeMap<Correlation, Timestamp>>,
    watch::Receiver<BTreeMap<Trouble, Timestamp>>,
);

/// A choreography, without the reasons, which may repeat payloads.
#[derive(Serialize)]
pub(super) struct ChoreographyAlert {
    correlation: Correlation,
    since: Timestamp,
    stuck: bool,
}

/// A feed and its follower.
#[derive(Serialize)]
pub(super) struct FeedAlert {
    feed: ServiceName,
    /// The service that follows it; absent for the server itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    follower: Option<ServiceName>,
    since: Timestamp,
    trouble: &'static str,
}

/// Sends alerts to the webhook for as long as feeds are observed.
pub(super) async fn tell(watched: Option<Watched>, webhook: &Webhook) {
    let Some((stuck, troubles)) = watched else { return };
    tokio::join!(
        tell_changes(&Choreographies, stuck, webhook),
        tell_changes(&Feeds, troubles, webhook)
    );
}

struct Choreographies;

impl Alerting for Choreographies {
    type Subject = Correlation;

    async fn message(&self, change: &Change<Correlation>) -> Message {
        of_choreography(change, now())
    }
}

struct Feeds;

impl Alerting for Feeds {
    type Subject = Trouble;

    async fn message(&self, change: &Change<Trouble>) -> Message {
        of_feed(change, now())
    }
}

fn of_choreography(change: &Change<Correlation>, now: Timestamp) -> Message {
    let Change { of: correlation, since, stuck } = change.clone();
    let word = if stuck { "stuck" } else { "unstuck" };
    Message {
        id: format!(
            "choreography-{}-{word}-{}",
            percent_encoded(correlation.as_str()),
            since.as_millis()
        ),
        r#type: if stuck { "choreography.stuck" } else { "choreography.unstuck" },
        timestamp: if stuck { since } else { now },
        data: Data::Choreography(ChoreographyAlert { correlation, since, stuck }),
    }
}

fn of_feed(change: &Change<Trouble>, now: Timestamp) -> Message {
    let Change { of: Trouble { feed, follower, kind }, since, stuck } = change.clone();
    let (trouble, r#type) = match kind {
        TroubleKind::Lagging => ("lagging", "feed.lagging"),
        TroubleKind::Unreachable => ("unreachable", "feed.unreachable"),
        TroubleKind::Refused => ("refused", "feed.refused"),
    };
    let whose = follower.as_ref().map_or("wholly", ServiceName::as_str);
    let word = if stuck { "" } else { "-recovered" };
    Message {
        id: format!("feed-{feed}-{whose}-{trouble}{word}-{}", since.as_millis()),
        r#type: if stuck { r#type } else { "feed.recovered" },
        timestamp: if stuck { since } else { now },
        data: Data::Feed(FeedAlert { feed, follower, since, trouble }),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_change_has_the_same_id_which_a_header_can_have() {
        let at = Timestamp::from_millis(7);
        let change = |stuck| Change { of: "ORD 1/ü".parse().unwrap(), since: at, stuck };
        let message = of_choreography(&change(true), Timestamp::from_millis(9));
        assert_eq!(message.id, "choreography-ORD%201%2F%C3%BC-stuck-7");
        let over = of_choreography(&change(false), Timestamp::from_millis(9));
        assert_eq!((over.r#type, over.timestamp.as_millis()), ("choreography.unstuck", 9));
        let of = Trouble {
            feed: "order".parse().unwrap(),
            follower: Some("payment".parse().unwrap()),
            kind: TroubleKind::Refused,
        };
        let refused = of_feed(&Change { of, since: at, stuck: true }, at);
        assert_eq!(
            (refused.r#type, &*refused.id),
            ("feed.refused", "feed-order-payment-refused-7")
        );
    }
}
