//! Server-sent events, from bytes as they come in (WHATWG HTML, 9.2.6).

use std::collections::VecDeque;

/// The most bytes that one event may have.
const LIMIT: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The id of this event, or of the last one that had one.
    pub id: Option<String>,
    pub event: String,
    pub data: String,
}

/// The bytes of an incomplete event, and the events that are complete.
#[derive(Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    after_return: bool,
    id: Option<String>,
    last_id: Option<String>,
    event: String,
    data: String,
    messages: VecDeque<Message>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {LIMIT} bytes")]
pub(super) struct TooLong;

impl Parser {
    pub fn next(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    /// The id of the last complete event, even if it had no data.
    pub fn last_id(&self) -> Option<String> {
        self.last_id.clone()
    }

    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for &byte in bytes {
            let second_of_one_end = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            match byte {
                _ if second_of_one_end => {}
                b'\n' | b'\r' => self.end_of_line(),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LIMIT {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            return self.end_of_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => self.event = value.to_owned(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // A comment, or a field that this version does not know.
            _ => {}
        }
    }

    fn end_of_event(&mut self) {
        let (event, mut data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
        self.last_id.clone_from(&self.id);
        // An event without data is none.
        if data.pop().is_some() {
            self.messages.push_back(Message { id: self.id.clone(), event, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nid: 1\nevent: started\ndata: {\"a\":\ndata:1}\n\n\
        id: 2\r\nevent: vote\r\ndata: é\r\n\r\n:\n\nevent: nothing\n\ndata\rretry: 5\r\r\
        data: not whole";

    fn message(id: &str, event: &str, data: &str) -> Message {
        Message { id: Some(id.to_owned()), event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_found_however_the_bytes_come_in() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            for bytes in STREAM.as_bytes().chunks(size) {
                parser.feed(bytes).unwrap();
            }
            let found: Vec<_> = std::iter::from_fn(|| parser.next()).collect();
            let first = message("1", "started", "{\"a\":\n1}");
            assert_eq!(found, [first, message("2", "vote", "é"), message("2", "", "")]);
        }
    }

    #[test]
    fn an_event_without_an_end_does_not_fill_the_memory() {
        let mut parser = Parser::default();
        let line = [b"data: ", "x".repeat(LIMIT / 2).as_bytes(), b"\n"].concat();
        assert_eq!(parser.feed(&line), Ok(()));
        assert_eq!(parser.feed(&line), Err(TooLong));
    }
}
