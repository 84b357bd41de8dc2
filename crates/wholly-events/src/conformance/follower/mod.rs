//! A check that a service, in any language, keeps the contract of events: as a follower of a feed
//! that fails in every way, and as a publisher of its own.
//!
//! The suite is the feed that the service follows, and follows the feed of the service. The service
//! reacts to three types of events, whose data is `{"n": number}`:
//!
//! | event | the reaction emits |
//! |---|---|
//! | `ConformanceAsked` | `ConformanceAnswered`, or `ConformanceRefused` where `n` is negative |
//! | `ConformanceUndone` | `ConformanceTakenBack`; it undoes the reaction to `ConformanceAsked` |
//!
//! What is emitted has the same data. The feed is called `conformance`, and is followed from its
//! earliest event. `docs/events-contract.md` says all the rest.

mod downstream;
mod rules;
mod upstream;

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use self::downstream::Downstream;
use self::upstream::Upstream;
use super::report::Report;
use crate::feed::HttpFeed;

/// The longest that the suite takes, whatever the service does.
const LONGEST: Duration = Duration::from_secs(120);
/// The longest that a service may take until it asks for the feed.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A way to end the service as a crash does, and to start it again over the same database.
#[expect(async_fn_in_trait, reason = "the suite does not leave the thread")]
pub trait ServiceProcess {
    /// Ends the service at once, as SIGKILL does; returns false if there is no way to.
    async fn kill(&mut self) -> bool;

    /// Starts the service, or does nothing where there is no way to.
    ///
    /// # Errors
    /// A text that says why it does not start.
    async fn start(&mut self) -> Result<(), String>;
}

/// A service that the suite can neither end nor start.
#[derive(Clone, Copy, Debug)]
pub struct Unmanaged;

impl ServiceProcess for Unmanaged {
    async fn kill(&mut self) -> bool {
        false
    }

    async fn start(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// The reason why the suite could not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// The service does not start.
    #[error("the service does not start: {0}")]
    NotStarted(String),
    /// The service does not follow the suite's feed.
    #[error(
        "the service did not read the feed at http://127.0.0.1:{port}/feed; let it follow this address"
    )]
    NotFollowing {
        /// The port of the suite's feed.
        port: u16,
    },
    /// The service does not begin at the earliest event: it has read another feed of this name,
    /// say.
    #[error(
        "the service read the feed after {after}; give it a new database, and let it begin at the \
         earliest event"
    )]
    NotNew {
        /// The place that it asked for.
        after: String,
    },
    /// There is no address to listen on.
    #[error("the suite's feed has no address: {0}")]
    Address(String),
}

struct FollowerSuite<P> {
    upstream: Upstream,
    downstream: Downstream,
    process: P,
}

/// Gives the service all that the contract speaks of, and looks at what it makes of it.
///
/// The service is new: its database is empty. It follows `/feed` at the address of `listener`.
///
/// # Errors
/// When the suite cannot be run. A service that breaks the contract is no error but a [`Report`]
/// that says so.
pub async fn follower_conformance(
    feed: HttpFeed,
    listener: TcpListener,
    mut process: impl ServiceProcess,
) -> Result<Report, ConformanceError> {
    let address = listener.local_addr();
    let port = address.map_err(|why| ConformanceError::Address(why.to_string()))?.port();
    let upstream = Upstream::start(listener);
    process.start().await.map_err(ConformanceError::NotStarted)?;
    let give_up = Instant::now() + LONGEST;
    let downstream = Downstream::new(feed, give_up);
    let mut suite = FollowerSuite { upstream, downstream, process };
    let asked = suite.requests_since(0, Instant::now() + STARTS_WITHIN).await;
    let Some(first) = asked.into_iter().next() else {
        return Err(ConformanceError::NotFollowing { port });
    };
    if first.after != "earliest" && first.after != "0" {
        return Err(ConformanceError::NotNew { after: first.after });
    }
    Ok(Report { checks: rules::check(&mut suite).await })
}

impl<P: ServiceProcess> FollowerSuite<P> {
    /// The requests for the suite's feed since this one, of which there is at least one, or none
    /// after this time.
    async fn requests_since(
        &self,
        since: usize,
        give_up: Instant,
    ) -> Vec<upstream::ReceivedRequest> {
        let mut changes = self.upstream.changes();
        loop {
            let asked = self.upstream.requests(since);
            let is_over = Instant::now() >= give_up;
            if !asked.is_empty() || is_over {
                return asked;
            }
            let _ = tokio::time::timeout_at(give_up, changes.changed()).await;
        }
    }
}
