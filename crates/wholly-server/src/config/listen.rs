//! The addresses on which the server listens.

use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;

use crate::access::Access;

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(SocketAddr);

impl Listen {
    /// The address.
    pub fn address(self) -> SocketAddr {
        self.0
    }

    /// Why the server must not listen here.
    ///
    /// INVARIANT: a caller from another machine has shown their identity.
    pub fn forbidden(self, access: &Access) -> Option<String> {
        let open = !self.0.ip().is_loopback() && access.is_open();
        open.then(|| {
            format!(
                "{} is reached from other machines, and anybody there could do everything; \
                 add a token (`wholly token` makes one) or `client_authority` in [tls], or \
                 listen on 127.0.0.1 or [::1]",
                self.0
            )
        })
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], 7400)))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse().map(Self);
        address.map_err(|_| format!("{text:?} is no address; write it like 127.0.0.1:7400"))
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
