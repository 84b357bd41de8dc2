//! `[[tokens]]` and `[[clients]]`: the callers and their roles.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;
use wholly_core::Name;

use super::Wrong;
use crate::access::{Access, Caller, Role, Sha256};

/// The most tokens: each is compared with every request's.
const LIMIT: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSection {
    name: Name,
    sha256: HashInHex,
    roles: Vec<Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSection {
    /// A DNS or URI name of the certificate's.
    name: Name,
    roles: Vec<Role>,
}

/// The callers with access; `by_certificate` is true if the server asks for certificates.
pub fn access(
    tokens: Vec<Spanned<TokenSection>>,
    clients: Vec<Spanned<ClientSection>>,
    by_certificate: bool,
) -> Result<Access, Wrong> {
    let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
    let mut named = Vec::new();
    for section in &tokens {
        let TokenSection { name, sha256, roles } = section.get_ref();
        if named.len() == LIMIT {
            return Err(Wrong::about(section, format!("there are more than {LIMIT} tokens")));
        }
        if !names.insert(name.as_str()) {
            let why = format!("two tokens are named {name:?}; the audit could not tell who acted");
            return Err(Wrong::about(section, why));
        }
        if !hashes.insert(sha256.0) {
            let why = format!("the token {name:?} is there twice, under two names");
            return Err(Wrong::about(section, why));
        }
        some_roles(section, roles)?;
        named.push((Sha256(sha256.0), Caller::new(name.as_str(), roles.clone())));
    }
    let mut certified = Vec::new();
    for section in &clients {
        let ClientSection { name, roles } = section.get_ref();
        if !by_certificate {
            let why = "clients need `client_authority` in [tls], whose certificates they present";
            return Err(Wrong::about(section, why.to_owned()));
        }
        if !names.insert(name.as_str()) {
            return Err(Wrong::about(section, format!("{name:?} is there twice")));
        }
        some_roles(section, roles)?;
        certified.push(Caller::new(name.as_str(), roles.clone()));
    }
    Ok(Access::new(named, certified, by_certificate))
}

fn some_roles<T>(section: &Spanned<T>, roles: &[Role]) -> Result<(), Wrong> {
    match roles.is_empty() {
        true => Err(Wrong::about(section, "who has no role may do nothing; name one".to_owned())),
        false => Ok(()),
    }
}

/// 32 bytes as 64 hexadecimal digits.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct HashInHex([u8; 32]);

impl TryFrom<String> for HashInHex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The text may be the token itself, so it is not repeated.
        let wrong = || {
            "sha256 is 64 hexadecimal digits, the hash of a token and never the token; \
             `wholly token` makes both"
                .to_owned()
        };
        let mut hash = [0; 32];
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            *byte = (pair[0] * 16 + pair[1]) as u8;
        }
        Ok(Self(hash))
    }
}
