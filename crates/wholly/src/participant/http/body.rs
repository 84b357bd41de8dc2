//! An answer's body: the limits of its length and of the wait for it.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::time::{Instant, timeout_at};
use wholly_core::Payload;

use super::connections::Arriving;

/// The limit of a body that only gives a reason, in bytes. The rest is not read: the connection
/// closes.
pub(super) const REASON_LIMIT: usize = 16 * 1024;
/// The limit of an output, in bytes: the white space around a payload does not count to its
/// length, and some of it is usual.
pub(super) const OUTPUT_LIMIT: usize = Payload::LIMIT + 1024;
/// The longest wait for a body that only gives a reason.
const REASON_PATIENCE: Duration = Duration::from_secs(1);
/// The same for a body without a length. Its end may never come, although all of it is there.
const LENGTHLESS_PATIENCE: Duration = Duration::from_millis(100);

/// The result of reading a body.
pub(super) struct Start {
    pub bytes: Vec<u8>,
    /// Its end was not seen within the limits of length and time.
    pub cut_off: bool,
}

/// As much of a body as arrives within the limit and before the deadline. A body that is dropped
/// before its end closes its connection.
pub(super) async fn start_of(mut body: Arriving, limit: usize, deadline: Instant) -> Start {
    let mut start = Start { bytes: Vec::new(), cut_off: true };
    // The end of a body of just the limit is seen, too.
    while start.bytes.len() <= limit {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            ended => {
                start.cut_off = !matches!(ended, Ok(None));
                break;
            }
        };
        if let Some(data) = frame.data_ref() {
            let fits = data.len().min(limit + 1 - start.bytes.len());
            start.bytes.extend_from_slice(&data[..fits]);
        }
    }
    if !start.cut_off {
        body.keep_connection().await;
    }
    start
}

/// The longest wait for a body that only gives a reason.
pub(super) fn reason_patience(headers: &HeaderMap) -> Duration {
    match headers.contains_key(CONTENT_LENGTH) {
        true => REASON_PATIENCE,
        false => LENGTHLESS_PATIENCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_length_costs_no_second() {
        let mut headers = HeaderMap::new();
        assert!(reason_patience(&headers) < REASON_PATIENCE);
        headers.insert(CONTENT_LENGTH, 7.into());
        assert_eq!(reason_patience(&headers), REASON_PATIENCE);
    }
}
