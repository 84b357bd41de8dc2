//! The requirement of each route.
//!
//! INVARIANT: a route that is not here is not there: the guard answers 404, and 405 to a method
//! that is not here, whatever the router has. So nothing new is open by accident.

use axum::http::Method;

use crate::access::Role;

/// The requirement of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: probes have no token.
    Nothing,
    /// To be somebody whom the configuration names.
    Somebody,
    /// This role. What needs `operate` and changes something is in the audit.
    Role(Role),
}

use Requirement::{Nothing, Somebody};
const SUBMIT: Requirement = Requirement::Role(Role::Submit);
const READ: Requirement = Requirement::Role(Role::Read);
const OPERATE: Requirement = Requirement::Role(Role::Operate);

const ROUTES: &[(&str, &str, Requirement)] = &[
    ("/v1/transactions", "POST", SUBMIT),
    ("/v1/transactions", "GET", READ),
    ("/v1/transactions/{id}", "GET", READ),
    ("/v1/transactions/{id}/events", "GET", READ),
    ("/v1/transactions/{id}/abort", "POST", OPERATE),
    ("/v1/transactions/{id}/retry", "POST", OPERATE),
    ("/v1/transactions/{id}/end", "POST", OPERATE),
    ("/v1/transactions/{id}/branches/{branch}/resolve", "POST", OPERATE),
    ("/v1/choreographies", "GET", READ),
    ("/v1/choreographies/{correlation}", "GET", READ),
    ("/v1/events", "GET", READ),
    // A participant that asks reads nothing else.
    ("/v1/outcome/{id}", "GET", Somebody),
    ("/v1/participants", "GET", READ),
    ("/v1/sagas", "GET", READ),
    ("/v1/sagas/{name}/{version}", "GET", READ),
    ("/v1/sagas/{name}/{version}", "PUT", OPERATE),
    ("/v1/audit", "GET", OPERATE),
    ("/v1/reload", "POST", OPERATE),
    ("/metrics", "GET", READ),
    ("/openapi.json", "GET", Somebody),
    ("/healthz", "GET", Nothing),
    ("/readyz", "GET", Nothing),
];

/// The requirement of a route and method; else all methods of the route, if there are any.
pub fn requirement(route: &str, method: &Method) -> Result<Requirement, Vec<&'static str>> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut others = Vec::new();
    for (path, allowed, need) in ROUTES {
        match *path == route {
            true if *allowed == method => return Ok(*need),
            true => others.push(*allowed),
            false => {}
        }
    }
    Err(others)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_routes_here_are_those_of_the_router() {
        let here = ROUTES.iter().map(|&(path, method, _)| (path, method.to_lowercase()));
        let here: BTreeSet<_> = here.collect();
        let routed = crate::api::ROUTES.iter().map(|&(method, path)| (path, method.to_owned()));
        assert_eq!(here, routed.collect());
        assert_eq!(here.len(), ROUTES.len(), "of two lines for a route the second is dead");
    }
}
