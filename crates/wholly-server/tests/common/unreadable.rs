//! A log with a transaction in it that nobody can read.

use std::path::Path;

use wholly::log::listing::Labels;
use wholly::log::{Entry, Log};
use wholly::{Pattern, SqliteLog, State, Timestamp, TransactionId};

/// Puts a transaction with this key into the log of a server that does not run: its start can be
/// read, and what follows cannot.
pub fn unreadable(directory: &Path, key: &str) -> TransactionId {
    let mut open = SqliteLog::at(directory.join("wholly.db")).create_if_missing().open().unwrap();
    let at = Timestamp::from_millis(1_700_000_000_000);
    let id = TransactionId::mint(open.last_ordinal, at, 7, open.identity);
    let started = format!(
        r#"{{"v":1,"r":[[1,{{"started":{{"name":"place order","key":"{key}","deadline":2,"branches":[["orders",1]]}}}}]]}}"#
    );
    let entry = |(sequence, text): (u32, String)| Entry {
        transaction: id,
        sequence,
        text,
        key: Some(key.parse().unwrap()).filter(|_| sequence == 0),
        labels: Labels {
            name: "place order".parse().unwrap(),
            pattern: Pattern::TwoPhase,
            participants: ["orders".parse().unwrap()].into(),
            state: State::Init,
            stuck: false,
        },
        ended: None,
    };
    let entries: Vec<_> = (0..).zip([started, "no JSON".to_owned()]).map(entry).collect();
    open.head = open.writer.append(open.head, &entries[..1]).unwrap();
    open.writer.append(open.head, &entries[1..]).unwrap();
    id
}
