//! One who listens to a stream of events, hangs up, is cut off, and comes again with the last id.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::clients::ClientsState;
use super::events::{Nth, StreamedEvent, Topic};
use wholly_demo::client::{Http, Listened, Reply};
use wholly_demo::random::Random;

pub(super) struct Listener {
    shared: Arc<ClientsState>,
    http: Http,
    random: Random,
    url: String,
    /// The transaction, where it listens to one.
    one: Option<String>,
    nth: Nth,
}

impl Listener {
    /// One that listens from after this event on, or from when it comes.
    pub(super) fn new(
        shared: &Arc<ClientsState>,
        random: Random,
        topic: Topic,
        after: Option<u128>,
    ) -> Self {
        let (path, one) = match &topic {
            Topic::One(id) => (format!("transactions/{id}/events"), Some(id.clone())),
            Topic::All => ("events".to_owned(), None),
            Topic::OfPattern(pattern) => (format!("events?pattern={pattern}"), None),
        };
        let url = format!("{}/v1/{path}", shared.url);
        let nth = shared.keep(|kept| kept.streams.open(topic, after));
        Self { shared: Arc::clone(shared), http: Http::default(), random, url, one, nth }
    }

    /// Listens until it is dropped.
    pub(super) async fn listen_on(mut self) {
        loop {
            self.listen().await;
        }
    }

    /// Listens until the transaction has settled; whether it has.
    pub(super) async fn until_settled(mut self, give_up: Instant) -> bool {
        while Instant::now() < give_up {
            self.listen().await;
            if self.shared.keep(|kept| kept.streams.has_ended(self.nth)) {
                // There is nothing to come for, and that is what it is told.
                if self.random.below(4) == 0 {
                    self.listen().await;
                }
                return true;
            }
        }
        false
    }

    /// One connection.
    async fn listen(&mut self) {
        let (asked, last) =
            self.shared.keep(|kept| (kept.testimony.now(), kept.streams.last(self.nth)));
        let last = last.map(|last| last.to_string());
        let patience = Duration::from_millis(20) + self.random.moment(Duration::from_secs(1));
        match self.http.listen(&self.url, last.as_deref(), patience).await {
            Ok(Listened::Stream(stream)) => self.read(stream).await,
            Ok(Listened::Reply(Reply { status: 204, .. })) if self.one.is_some() => {
                self.shared.keep(|kept| kept.streams.hear_over(self.nth, &mut kept.testimony));
            }
            Ok(Listened::Reply(Reply { status: 404, .. })) if self.one.is_some() => {
                let id = self.one.as_deref().unwrap_or_default();
                self.shared.keep(|kept| kept.testimony.hear_unknown(asked, id));
            }
            Ok(Listened::Reply(reply)) if reply.body["type"] == "/problems/invalid-event-id" => {
                let last = format!("event {}", last.unwrap_or_default());
                let what = "it was known, and is not any more";
                self.shared.keep(|kept| kept.testimony.contradict(&last, what));
            }
            Ok(Listened::Reply(reply)) => self.shared.not_told(Ok(reply)),
            Err(why) => self.shared.not_told(Err(why)),
        }
        tokio::time::sleep(self.random.moment(Duration::from_millis(40))).await;
    }

    /// Reads until the stream ends, breaks off or the listener hangs up.
    async fn read(&mut self, mut stream: Incoming) {
        let longest = [100, 3_000][self.random.below(2) as usize];
        let hang_up = Instant::now() + self.random.moment(Duration::from_millis(longest));
        let mut blocks = Blocks::default();
        while let Ok(Some(Ok(frame))) = timeout_at(hang_up, stream.frame()).await {
            blocks.0.extend(frame.into_data().unwrap_or_default());
            while let Some(block) = blocks.next() {
                self.hear(&block);
            }
        }
    }

    fn hear(&mut self, block: &str) {
        let field = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(field, _)| *field == name).map(|(_, value)| value)
        };
        // As if it had never come.
        if self.shared.loses_events && field("data").is_some() && self.random.below(30) == 0 {
            return;
        }
        self.shared.keep(|kept| match (field("id"), field("event"), field("data")) {
            (Some(id), Some(name), Some(data)) => match StreamedEvent::parse(id, name, data) {
                Some(event) => kept.streams.hear(self.nth, event, &mut kept.testimony),
                None => kept.failures.push(format!("this is no event: {block}")),
            },
            (Some(id), None, None) => match id.parse() {
                Ok(id) => kept.streams.hear_id(self.nth, id, &mut kept.testimony),
                Err(_) => kept.failures.push(format!("this is no event's id: {id}")),
            },
            // A comment, or how soon to come again.
            (None, None, None) => {}
            _ => kept.failures.push(format!("this is no whole event: {block}")),
        });
    }
}

/// The end of a stream, of which each block ends with an empty line.
#[derive(Default)]
struct Blocks(Vec<u8>);

impl Blocks {
    fn next(&mut self) -> Option<String> {
        let end = self.0.windows(2).position(|two| two == b"\n\n")?;
        let block: Vec<u8> = self.0.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&block).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_there_once_it_has_ended() {
        let mut blocks = Blocks::default();
        blocks.0.extend(b"id: 1\n\nid: 2\ndata: {");
        assert_eq!(blocks.next().unwrap(), "id: 1\n\n");
        assert_eq!(blocks.next(), None);
        blocks.0.extend(b"}\n\n: \n\n");
        assert_eq!(blocks.next().unwrap(), "id: 2\ndata: {}\n\n");
        assert_eq!(blocks.next().unwrap(), ": \n\n");
        assert_eq!(blocks.next(), None);
    }
}
