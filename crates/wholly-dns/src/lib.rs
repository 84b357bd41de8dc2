//! A resolver of host names. A name that does not resolve delays only its own callers.
//!
//! The system's look-up blocks its thread, for half a minute if no name server answers, and cannot be
//! cancelled. So:
//!
//! - Each name has at most one look-up at a time, on a thread of its own and never on a runtime's
//!   blocking threads. All callers share its result.
//! - A result is fresh for [`FRESH`]. After that the name is looked up again. If the new look-up is
//!   [`LATE`] or fails, the old result is served, until it is [`STALE`].
//! - Nothing waits for the thread: each caller has its own limit, and a runtime or the process ends
//!   without it.
//!
//! The feature `https` adds a client of HTTP servers that is built on the resolver.
//!
//! ```no_run
//! use std::time::Duration;
//! use hyper_util::client::legacy::connect::HttpConnector;
//! use wholly_dns::Names;
//! let tcp = HttpConnector::new_with_resolver(Names::system(Duration::from_secs(2)));
//! # let _: HttpConnector<Names> = tcp;
//! ```

mod host;
#[cfg(feature = "https")]
pub mod https;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::time::timeout;
use tower_service::Service;

use self::host::{Cached, Host};

/// The time for which a result is used without another look-up.
pub const FRESH: Duration = Duration::from_secs(30);
/// The time that a caller waits for a look-up if an older result can be served.
pub const LATE: Duration = Duration::from_secs(1);
/// The age from which a result is not served, even if there is no newer one.
pub const STALE: Duration = Duration::from_secs(60 * 60);

/// The addresses of a host, in the order of the look-up; at least one.
pub type Addresses = Arc<[IpAddr]>;

/// A name without an address.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookUpError {
    /// The system's look-up failed.
    #[error("the name {name} does not resolve: {why}")]
    Failed {
        /// The host's name.
        name: String,
        /// The system's reason.
        why: Arc<io::Error>,
    },
    /// The look-up took too long, and no older result is known.
    #[error("the name {name} did not resolve within {patience:?}")]
    Late {
        /// The host's name.
        name: String,
        /// The caller's limit.
        patience: Duration,
    },
}

/// The resolver. Clones share the look-ups and their results.
#[derive(Clone)]
pub struct Names {
    hosts: Arc<Hosts>,
    patience: Duration,
}

impl Names {
    /// The system's resolver, which the whole process shares. A caller waits at most for
    /// `patience`.
    pub fn system(patience: Duration) -> Self {
        static HOSTS: LazyLock<Arc<Hosts>> =
            LazyLock::new(|| Arc::new(Hosts::looked_up_by(system, FRESH)));
        Self { hosts: HOSTS.clone(), patience }
    }

    /// A resolver by a function in the system's place, for tests. The function may block. Its results
    /// are fresh for the time `fresh`.
    pub fn looked_up_by(
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
        fresh: Duration,
        patience: Duration,
    ) -> Self {
        Self { hosts: Arc::new(Hosts::looked_up_by(look_up, fresh)), patience }
    }

    /// The same resolver, whose caller waits at most for `patience`.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The addresses of a host. Needs a tokio runtime with time enabled.
    ///
    /// # Errors
    /// When the name does not resolve, or not in time, and no older result can be served.
    pub async fn addresses(&self, name: &str) -> Result<Addresses, LookUpError> {
        let (old, patience, mut answer) = match self.hosts.host(name).ask(&self.hosts) {
            Cached::Fresh(addresses) => return Ok(addresses),
            Cached::Stale { addresses, late_in, answer } => {
                (Some(addresses), late_in.min(self.patience), answer)
            }
            Cached::Nothing { answer } => (None, self.patience, answer),
        };
        let answered = timeout(patience, answer.wait_for(Option::is_some)).await;
        let looked_up = match &answered {
            Ok(Ok(answer)) => (**answer).clone(),
            // The thread ended without a result.
            Ok(Err(_)) => Some(Err(Arc::new(io::Error::other("the look-up was given up")))),
            Err(_) => None,
        };
        let name = || name.to_owned();
        match (looked_up, old) {
            (Some(Ok(addresses)), _) | (_, Some(addresses)) => Ok(addresses),
            (Some(Err(why)), None) => Err(LookUpError::Failed { name: name(), why }),
            (None, None) => Err(LookUpError::Late { name: name(), patience }),
        }
    }

    /// Marks the addresses of a name as not fresh: the next caller looks it up again.
    pub fn refresh(&self, name: &str) {
        self.hosts.host(name).refresh();
    }
}

/// The resolver of a `hyper_util` connector.
impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = LookUpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, LookUpError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LookUpError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            // The connector sets the port.
            let sockets: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            Ok(sockets.into_iter())
        })
    }
}

type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// The known hosts, and the function that looks their names up.
struct Hosts {
    look_up: Arc<LookUp>,
    fresh: Duration,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

impl Hosts {
    fn looked_up_by(
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
        fresh: Duration,
    ) -> Self {
        Self { look_up: Arc::new(look_up), fresh, known: Mutex::default() }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.get(name) {
            return host.clone();
        }
        // Hosts without a use make room.
        known.retain(|_, host| host.is_of_use());
        known.entry(name.to_owned()).or_insert_with(|| Arc::new(Host::named(name))).clone()
    }
}

fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests;
