//! Requests that a page in a browser sends, to a server that its user can reach.
//!
//! A browser adds its user's credentials to a request: the place on this machine, and a client
//! certificate. A page of any origin can so send requests that the server would take for its
//! user's. A bearer token is never added, so a request with one is not a stranger's page.
//!
//! INVARIANT: a page of another origin changes nothing: no transaction, no configuration, no line
//! of the audit, and nothing of what a caller may send.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Method, header, uri::Authority};

use crate::access::Access;
use crate::problem::{Kind, Problem};

const FETCH_SITE: &str = "sec-fetch-site";

/// An error if a page of another origin may have sent a request with these headers.
pub fn same_origin(access: &Access, headers: &HeaderMap) -> Result<(), Problem> {
    let forbidden = |detail: &str| Err(Problem::new(Kind::FORBIDDEN, detail));
    if access.is_open() && !names_this_machine(headers) {
        return forbidden(
            "a server without tokens only accepts requests to an IP address or to localhost, \
             because a web page can point another name at this server; use one of them, or configure \
             tokens",
        );
    }
    let bears_token = headers.contains_key(header::AUTHORIZATION) && !access.is_open();
    if !bears_token && !of_this_origin(headers) {
        return forbidden(
            "the request comes from a web page of another origin, which needs a token",
        );
    }
    Ok(())
}

/// An error if a request that changes something does not declare a JSON body. A browser sends such
/// a request to another origin only after a preflight request, which this server refuses.
pub fn json_if_it_changes(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    match method.is_safe() || is_json(headers) {
        true => Ok(()),
        false => {
            let detail = "send the header Content-Type: application/json";
            Err(Problem::new(Kind::NO_JSON, detail))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// True if the request names an address, and not a host that somebody may point anywhere.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

/// True if no browser sent this, or one for a page of the server itself, or for its user.
fn of_this_origin(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(FETCH_SITE).iter();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    sites.all(|site| site == "same-origin" || site == "none")
        && origins.all(|origin| {
            // An opaque origin is `null`, which has no host.
            let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, of)| of.as_bytes().eq_ignore_ascii_case(host))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_this_ones_or_another() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("host", "127.0.0.1:7400")].iter().chain(pairs) {
                headers.append(*name, HeaderValue::from_static(value));
            }
            of_this_origin(&headers)
        };
        assert!(from(&[]), "a program");
        assert!(from(&[("origin", "http://127.0.0.1:7400"), (FETCH_SITE, "same-origin")]));
        assert!(from(&[(FETCH_SITE, "none")]), "typed by its user");
        for origin in ["null", "", "http://evil.example", "http://127.0.0.1:7401", "127.0.0.1:7400"]
        {
            assert!(!from(&[("origin", origin)]), "{origin:?}");
        }
        for site in ["cross-site", "same-site", "", "new-in-2030"] {
            assert!(!from(&[(FETCH_SITE, site)]), "{site:?}");
        }
        assert!(!from(&[("origin", "http://127.0.0.1:7400"), ("origin", "http://evil.example")]));
    }
}
