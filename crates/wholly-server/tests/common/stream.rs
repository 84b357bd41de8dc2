//! A stream of server-sent events, as a client reads it.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::within;

pub struct Stream {
    body: Incoming,
    text: String,
    /// The last id that the stream gave: what a client comes again with.
    pub last_id: Option<String>,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

impl Stream {
    pub fn new(body: Incoming) -> Self {
        Self { body, text: String::new(), last_id: None }
    }

    /// The next event; `None` when the server has ended the stream, `Err` when it broke off.
    pub async fn next(&mut self) -> Result<Option<Event>, hyper::Error> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(event) = self.event(&block) {
                    return Ok(Some(event));
                }
            }
            match within("the stream goes on", self.body.frame()).await {
                None => return Ok(None),
                Some(frame) => {
                    let data = frame?.into_data().unwrap_or_default();
                    self.text.push_str(std::str::from_utf8(&data).unwrap());
                }
            }
        }
    }

    /// The rest of the events, until the server ends the stream.
    pub async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await.unwrap() {
            events.push(event);
        }
        events
    }

    fn event(&mut self, block: &str) -> Option<Event> {
        let field = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned())
        };
        if let Some(id) = field("id") {
            self.last_id = Some(id);
        }
        let data = serde_json::from_str(&field("data")?).unwrap();
        // One without an id of its own has the one before.
        let id = field("id").or_else(|| self.last_id.clone()).unwrap();
        Some(Event { id, name: field("event").unwrap(), data })
    }
}
