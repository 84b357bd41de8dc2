//! Access control: tokens, client certificates, and their roles.
//!
//! A token is 32 random bytes, so nobody finds it by trying, and the configuration keeps only its
//! plain SHA-256: a slow hash with a salt protects chosen passwords, and would here only cost a
//! processor for every request.
//!
//! INVARIANT: which token was presented, or how much of one was right, does not show in the time
//! that the answer takes: all of them are compared, each to its end.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use serde::Deserialize;

/// A permission of a caller. None includes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Submit transactions.
    Submit,
    /// Read transactions, definitions and the state of the server.
    Read,
    /// Act on transactions, define sagas, reload the configuration, read the audit.
    Operate,
}

/// A caller that the configuration names.
#[derive(Debug)]
pub struct Caller {
    pub name: Arc<str>,
    pub roles: Vec<Role>,
    pub rate_limiter: RateLimiter,
}

impl Caller {
    pub fn new(name: &str, roles: Vec<Role>) -> Self {
        Self { name: name.into(), roles, rate_limiter: RateLimiter::default() }
    }
}

/// The callers that the server admits.
#[derive(Debug)]
pub struct Access {
    tokens: Vec<(Sha256, Arc<Caller>)>,
    /// By a name of their certificate.
    clients: BTreeMap<String, Arc<Caller>>,
    /// The caller for every request if the configuration names none: each program of this machine.
    everybody: Option<Arc<Caller>>,
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    pub fn of(token: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(hash)
    }

    /// Takes as long whichever byte differs.
    fn is(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |all, (a, b)| all | (a ^ b));
        black_box(differing) == 0
    }
}

impl Access {
    pub fn new(tokens: Vec<(Sha256, Caller)>, clients: Vec<Caller>, by_certificate: bool) -> Self {
        let open = tokens.is_empty() && !by_certificate;
        let all = vec![Role::Submit, Role::Read, Role::Operate];
        let clients = clients.into_iter().map(|client| (client.name.to_string(), client.into()));
        Self {
            tokens: tokens.into_iter().map(|(hash, caller)| (hash, caller.into())).collect(),
            clients: clients.collect(),
            everybody: open.then(|| Arc::new(Caller::new("local", all))),
        }
    }

    /// True if every caller may do everything.
    pub fn is_open(&self) -> bool {
        self.everybody.is_some()
    }

    pub fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    pub fn everybody(&self) -> Option<&Arc<Caller>> {
        self.everybody.as_ref()
    }

    /// The caller with this token.
    pub fn by_token(&self, token: &[u8]) -> Option<&Arc<Caller>> {
        let presented = Sha256::of(token);
        let mut found = None;
        for (hash, caller) in &self.tokens {
            if hash.is(&presented) {
                found = Some(caller);
            }
        }
        found
    }

    /// The caller whose certificate has one of these names.
    pub fn by_certificate(&self, names: &[String]) -> Option<&Arc<Caller>> {
        names.iter().find_map(|name| self.clients.get(name))
    }

    /// The configured callers, each with its means of authentication.
    pub fn callers(&self) -> impl Iterator<Item = (&'static str, &Caller)> {
        let tokens = self.tokens.iter().map(|(_, caller)| ("token", &**caller));
        tokens.chain(self.clients.values().map(|caller| ("client", &**caller)))
    }
}

/// The permitted rate: an average per second, and the most at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

/// A rate limiter by the generic cell rate algorithm. Its only state is the time at which the
/// requests so far would have ended at the even rate.
#[derive(Debug, Default)]
pub struct RateLimiter(Mutex<Option<Instant>>);

impl RateLimiter {
    /// Takes one request if the rate permits it now. Otherwise returns the time to wait.
    pub fn take(&self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        let mut even = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = even.map_or(now, |even| even.max(now));
        let ahead = next.saturating_duration_since(now);
        let allowed = interval.saturating_mul(rate.burst.saturating_sub(1));
        match ahead.checked_sub(allowed) {
            None | Some(Duration::ZERO) => {
                *even = Some(next + interval);
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_the_whole_of_its_hash() {
        let mut nearly = Sha256::of(b"right").0;
        nearly[31] ^= 1;
        let caller = |name| Caller::new(name, vec![Role::Read]);
        let nearly = || (Sha256(nearly), caller("nearly"));
        let tokens = vec![nearly(), (Sha256::of(b"right"), caller("a")), nearly()];
        let access = Access::new(tokens, Vec::new(), false);
        assert_eq!(access.by_token(b"right").map(|caller| &*caller.name), Some("a"));
        for wrong in ["", "Right", "right ", "wrong"] {
            assert!(access.by_token(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(!access.is_open());
        assert!(Access::new(Vec::new(), Vec::new(), false).is_open());
        assert!(!Access::new(Vec::new(), Vec::new(), true).is_open());
    }

    #[test]
    fn a_pace_lets_a_burst_through_and_then_the_rate() {
        let (rate_limiter, start) = (RateLimiter::default(), Instant::now());
        let rate = Rate { per_second: 10, burst: 3 };
        let at = |millis| rate_limiter.take(rate, start + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
        assert_eq!(at(0), Err(Duration::from_millis(100)));
        assert_eq!(at(60), Err(Duration::from_millis(40)));
        assert_eq!(at(100), Ok(()));
        assert_eq!(at(100), Err(Duration::from_millis(100)));
        // Unused requests are not saved beyond the burst.
        assert_eq!([at(9_000), at(9_000), at(9_000)], [Ok(()); 3]);
        assert!(at(9_000).is_err());
    }
}
