//! One delivery, signed as [Standard Webhooks](https://www.standardwebhooks.com) says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Uri, header};
use ring::hmac;
use wholly_dns::https;

use super::Message;
use crate::config::alerts::Alerts;

/// The time limit of a delivery.
const PATIENCE: Duration = Duration::from_secs(15);

const AGENT: &str = concat!("wholly/", env!("CARGO_PKG_VERSION"));

/// The webhook that receives alerts.
pub struct Webhook {
    client: https::HttpsClient,
    url: Uri,
    key: hmac::Key,
}

impl Webhook {
    /// No connection is made before the first alert.
    ///
    /// # Errors
    /// When there is no TLS.
    pub fn new(alerts: Alerts) -> Result<Self, rustls::Error> {
        Ok(Self { client: https::web_client()?, url: alerts.url, key: alerts.key })
    }

    /// Delivers a message once. An answer 2xx means that it was taken; no redirect is followed.
    pub(super) async fn deliver(&self, message: &Message) -> Result<(), String> {
        let request = self.request(message, SystemTime::now())?;
        // Of an answer only its status counts: its body is not read.
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("the webhook answered {}", answer.status())),
            Ok(Err(error)) => {
                // The root cause does not name the URL, which may hold a token.
                Err(format!("the webhook cannot be reached: {}", https::root_cause(&error)))
            }
            Err(_) => Err(format!("the webhook did not answer within {PATIENCE:?}")),
        }
    }

    fn request(&self, message: &Message, now: SystemTime) -> Result<Request<Full<Bytes>>, String> {
        let body = serde_json::to_vec(message).map_err(|error| error.to_string())?;
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, AGENT)
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature(&self.key, &message.id, seconds, &body))
            .body(Full::from(body))
            .map_err(|error| error.to_string())
    }
}

fn signature(key: &hmac::Key, id: &str, seconds: u64, body: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(key);
    signed.update(format!("{id}.{seconds}.").as_bytes());
    signed.update(body);
    format!("v1,{}", STANDARD.encode(signed.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example in the specification's libraries.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        assert_eq!(
            signature(
                &key,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
