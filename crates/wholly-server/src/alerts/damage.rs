//! The alert that something is damaged in the log.
//!
//! It has the number of damages found, and the last one; damages found while it is sent, or soon
//! after, share the next alert. A restart forgets the damages that were told: those found again
//! are told again, as another alert.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::sleep;
use wholly::log::Damage;
use wholly::{Coordinator, Timestamp};

use super::{Data, FIRST_PAUSE, LONGEST_PAUSE, Message, Webhook};

/// The pause between two alerts: a disk that goes may damage much, bit by bit.
const BETWEEN: Duration = Duration::from_secs(60);

/// The damage that the webhook is told of.
#[derive(Serialize)]
pub(super) struct DamageAlert {
    count: u64,
    last: String,
}

/// Tells the webhook of all damage that is found.
pub(super) async fn tell(coordinator: &Coordinator, webhook: &Webhook) {
    let mut told = 0;
    loop {
        let damage = coordinator.damage_beyond(told).await;
        told = damage.count;
        let message = message(damage);
        let mut pause = FIRST_PAUSE;
        while let Err(why) = webhook.deliver(&message).await {
            tracing::warn!(
                "the webhook did not accept an alert about damage, which is sent again: {why}"
            );
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        sleep(BETWEEN).await;
    }
}

/// It is made once, so that it has the same id however often it is sent. After a restart the count
/// begins anew: the time tells the alerts apart.
fn message(damage: Damage) -> Message {
    let Damage { count, last, .. } = damage;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    Message {
        id: format!("log-damaged-{count}-{now}"),
        r#type: "log.damaged",
        timestamp: Timestamp::from_millis(now),
        data: Data::Damage(DamageAlert { count, last: last.unwrap_or_default() }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use ring::hmac;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::alerts::Alerts;
    use crate::damaged;

    type Received = Arc<Mutex<Vec<(String, Value)>>>;

    /// A webhook that takes what it is sent the second time.
    async fn webhook(got: Received) -> Webhook {
        let take = move |headers: HeaderMap, body: String| async move {
            let id = headers["webhook-id"].to_str().unwrap().to_owned();
            let mut got = got.lock().unwrap();
            got.push((id, serde_json::from_str(&body).unwrap()));
            match got.len() {
                1 => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::NO_CONTENT,
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let app = Router::new().route("/", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Webhook::new(Alerts { url, key: hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]) }).unwrap()
    }

    #[tokio::test]
    async fn the_webhook_is_told_of_damage_until_it_takes_it() {
        let (coordinator, log, ids) = damaged::coordinator().await;
        for id in &ids {
            log.damage(*id, 0);
            coordinator.get(*id).await.unwrap();
        }
        let got = Received::default();
        let webhook = webhook(got.clone()).await;
        tokio::spawn(crate::alerts::tell(coordinator, None, webhook));
        let twice = async {
            while got.lock().unwrap().len() < 2 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), twice).await.expect("it is told twice");
        let got = got.lock().unwrap();
        let ((id, first), (again, second)) = (&got[0], &got[1]);
        assert_eq!((id, first), (again, second), "it is the same alert");
        assert!(id.starts_with("log-damaged-2-"), "{id}");
        assert_eq!((&first["type"], &first["data"]["count"]), (&json!("log.damaged"), &json!(2)));
        let last = first["data"]["last"].as_str().unwrap();
        assert!(last.contains(&format!("ordinal {}", ids[1].ordinal())), "{last}");
    }
}
