//! For tests: transactions in a log in memory, to be damaged.

use wholly::log::listing::Labels;
use wholly::log::{Entry, Log};
use wholly::{Coordinator, MemoryLog, Pattern, State, Timestamp, TransactionId};

/// Puts a transaction into the log of a coordinator that does not run. It may have ended.
pub fn put(log: &MemoryLog, ended: bool) -> TransactionId {
    let mut open = log.open().unwrap();
    let at = Timestamp::from_millis(1);
    let id = TransactionId::mint(open.last_ordinal, at, 77, open.identity);
    let text = r#"{"v":1,"r":[[1,{"started":{"name":"a","deadline":2,"branches":[["x",1]]}}]]}"#;
    let labels = Labels {
        name: "a".parse().unwrap(),
        pattern: Pattern::TwoPhase,
        participants: [].into(),
        state: State::Init,
        stuck: false,
    };
    let entry = Entry {
        transaction: id,
        sequence: 0,
        text: text.to_owned(),
        key: None,
        labels,
        ended: Some(at).filter(|_| ended),
    };
    open.writer.append(open.head, &[entry]).unwrap();
    id
}

/// A coordinator whose log has two that have ended.
pub async fn coordinator() -> (Coordinator, MemoryLog, [TransactionId; 2]) {
    let log = MemoryLog::default();
    let ids = [put(&log, true), put(&log, true)];
    (Coordinator::builder(log.clone()).start().await.unwrap(), log, ids)
}
