//! The addresses of host names, looked up so that a name that does not resolve delays only the
//! callers who want it.
//!
//! The system's look-up blocks its thread, for half a minute where no name server answers, and
//! nothing can end it. So:
//!
//! - At most one look-up of a name is on its way, on a thread of its own and never on a runtime's
//!   blocking threads. All callers who want the name share its result.
//! - A result is fresh for [`FRESH`]. After that the name is looked up again, and where the new
//!   result is [`LATE`] or a failure, the old one is served, until it is [`STALE`].
//! - Nobody waits for the thread: a caller has a limit of its own, and a runtime and the process
//!   end without it.
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

use self::host::{Host, Known};

/// The time for which a result is used without another look-up.
pub const FRESH: Duration = Duration::from_secs(30);
/// The time that a caller gives a look-up where an older result can be served.
pub const LATE: Duration = Duration::from_secs(1);
/// The age from which a result is served no more, though no look-up gave a newer one.
pub const STALE: Duration = Duration::from_secs(60 * 60);

/// The addresses of a host, in the order of the look-up; at least one.
pub type Addresses = Arc<[IpAddr]>;

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookUpError {
    /// The system says so.
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
        /// The time that was given.
        patience: Duration,
    },
}

/// The look-up of names. A handle: clones share the look-ups and what they found.
#[derive(Clone)]
pub struct Names {
    hosts: Arc<Hosts>,
    patience: Duration,
}

impl Names {
    /// The system's look-ups, which the whole process shares. A caller waits at most for
    /// `patience`.
    pub fn system(patience: Duration) -> Self {
        static HOSTS: LazyLock<Arc<Hosts>> =
            LazyLock::new(|| Arc::new(Hosts::looked_up_by(system, FRESH)));
        Self { hosts: HOSTS.clone(), patience }
    }

    /// Look-ups by a function in the system's place, as tests need it. It may block. Its results
    /// are fresh for as long as `fresh`.
    pub fn looked_up_by(
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
        fresh: Duration,
        patience: Duration,
    ) -> Self {
        Self { hosts: Arc::new(Hosts::looked_up_by(look_up, fresh)), patience }
    }

    /// The same look-ups, for which a caller waits at most for `patience`.
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
            Known::Fresh(addresses) => return Ok(addresses),
            Known::Stale { addresses, late_in, answer } => {
                (Some(addresses), late_in.min(self.patience), answer)
            }
            Known::Nothing { answer } => (None, self.patience, answer),
        };
        let answered = timeout(patience, answer.wait_for(Option::is_some)).await;
        let looked_up = match &answered {
            Ok(Ok(answer)) => (**answer).clone(),
            // The thread is gone without an answer.
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

    /// Has the name looked up again when it is wanted next, although its addresses are fresh.
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

/// The hosts that were asked for, and how their names are looked up.
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
        // What nobody has asked for in a long time makes room.
        known.retain(|_, host| host.is_of_use());
        known.entry(name.to_owned()).or_insert_with(|| Arc::new(Host::named(name))).clone()
    }
}

fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests;
