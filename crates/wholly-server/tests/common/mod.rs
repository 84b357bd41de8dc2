//! The real binary, real little participants, and a plain client.
#![allow(dead_code, reason = "not every test uses everything")]

mod participant;
mod publisher;
pub mod schema;
mod server;
mod stream;
mod unreadable;

#[allow(unused_imports, reason = "not every test needs a failing one")]
pub use participant::{Little, Said, Trace};
#[allow(unused_imports, reason = "not every test has a feed")]
pub use publisher::Publisher;
#[allow(unused_imports, reason = "not every test starts badly")]
pub use server::{
    Connection, Reply, Server, Told, configure, run, start_fails, wholly, wholly_with_hosts,
};
#[allow(unused_imports, reason = "not every test listens")]
pub use stream::{Event, Stream};
#[allow(unused_imports, reason = "not every test needs a log that cannot be read")]
pub use unreadable::unreadable;

use std::time::Duration;

/// Waits until `check` gives something, and fails the test when it does not for a minute.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, check: impl Fn() -> F) -> T {
    let all = async {
        let mut turn = tokio::time::interval(Duration::from_millis(5));
        loop {
            if let Some(found) = check().await {
                return found;
            }
            turn.tick().await;
        }
    };
    within(what, all).await
}

/// The future's output, and a failed test when it takes more than a minute.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(done) => done,
        Err(_) => panic!("this never happened: {what}"),
    }
}
