//! The checks of every request before its route: its caller, role, rate and size.
//!
//! INVARIANT: only the head of a request is read before its caller is known.
//!
//! A request that a page of another origin may have sent is refused first: it must neither be in the
//! audit nor use up its user's rate.
//!
//! An operator's action is written to the audit before it begins, here and not in the routes, so
//! that none can forget it. It then runs in a task of its own: its outcome reaches the audit even if
//! the client hangs up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use wholly::Name;

use super::no_such_route;
use super::page::{json_if_it_changes, same_origin};
use super::request::{BodyTimeout, read};
use super::roles::{Requirement, requirement};
use crate::accept::Peer;
use crate::access::{Caller, Role};
use crate::audit::AuditRequest;
use crate::config::BODY_LIMIT;
use crate::gate::{Gate, Rules};
use crate::problem::{Kind, Problem};

/// The name of the caller: in the extensions of every request that needs one.
#[derive(Clone, Debug)]
pub struct CallerName(pub Arc<str>);

/// The caller to whom keys may belong: in the extensions if the configuration names callers.
#[derive(Clone, Debug)]
pub struct KeyOwner(pub Name);

pub async fn guard(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let requirement = requirement(route.unwrap_or_default(), request.method());
    let rules = gate.rules();
    request.extensions_mut().insert(BodyTimeout(rules.limits.body_timeout));
    if requirement == Ok(Requirement::Nothing) {
        return next.run(request).await;
    }
    if let Err(problem) = same_origin(&rules.access, request.headers()) {
        return problem.into_response();
    }
    let caller = match caller(&rules, &request) {
        Ok(caller) => caller,
        Err(problem) => return refused(&gate, &request, None, problem),
    };
    let need = match requirement {
        Ok(need) => need,
        Err(methods) if methods.is_empty() => {
            return no_such_route(request.uri().clone()).await.into_response();
        }
        Err(methods) => return no_such_method(&request, &methods),
    };
    if let Err(problem) = json_if_it_changes(request.method(), request.headers()) {
        return problem.into_response();
    }
    if let Some(rate) = rules.limits.rate
        && let Err(wait) = caller.rate_limiter.take(rate, Instant::now())
    {
        return too_fast(&caller, wait);
    }
    if let Requirement::Role(role) = need
        && !caller.roles.contains(&role)
    {
        let detail = format!("{} lacks the role {role:?}, which this request needs", caller.name);
        let problem = Problem::new(Kind::FORBIDDEN, detail.to_lowercase());
        return refused(&gate, &request, Some(&caller), problem);
    }
    let Some(_permit) = gate.bodies.take(body_bytes(&request), rules.limits.in_flight_bytes) else {
        let detail =
            "the bodies of requests in progress have reached the server's limit; try again";
        return Problem::new(Kind::BUSY, detail).into_response();
    };
    request.extensions_mut().insert(CallerName(Arc::clone(&caller.name)));
    if !rules.access.is_open()
        && let Ok(name) = Name::new(Arc::clone(&caller.name))
    {
        request.extensions_mut().insert(KeyOwner(name));
    }
    match need == Requirement::Role(Role::Operate) && request.method() != Method::GET {
        true => audited(gate, &caller, request, next).await,
        false => next.run(request).await,
    }
}

/// The name of the caller.
fn caller(rules: &Rules, request: &Request) -> Result<Arc<Caller>, Problem> {
    let unknown = |detail: &str| Problem::new(Kind::UNAUTHENTICATED, detail);
    let access = &rules.access;
    if let Some(everybody) = access.everybody() {
        return Ok(Arc::clone(everybody));
    }
    if let Some(presented) = request.headers().get(header::AUTHORIZATION) {
        let token = presented.as_bytes().split_at_checked(7);
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        let (_, token) = token.ok_or_else(|| unknown("send Authorization: Bearer TOKEN"))?;
        return access.by_token(token).cloned().ok_or_else(|| unknown("the token is not known"));
    }
    let names = request.extensions().get::<Peer>().map(|peer| Arc::clone(&peer.names));
    match names.as_deref() {
        None | Some([]) => Err(unknown("send a token, as Authorization: Bearer TOKEN")),
        Some(names) => access
            .by_certificate(names)
            .cloned()
            .ok_or_else(|| unknown("the configuration has no client with the certificate's name")),
    }
}

fn refused(gate: &Gate, request: &Request, caller: Option<&Caller>, problem: Problem) -> Response {
    let response = problem.into_response();
    gate.audit.refused(asked(request, caller), response.status().as_u16());
    response
}

fn asked(request: &Request, caller: Option<&Caller>) -> AuditRequest {
    let from = request.extensions().get::<Peer>().map(|peer| peer.address.to_string());
    let what = format!("{} {}", request.method(), request.uri().path());
    AuditRequest { who: caller.map(|caller| Arc::clone(&caller.name)), from, what, why: None }
}

fn too_fast(caller: &Caller, wait: Duration) -> Response {
    let detail = format!("{} sends more requests than [limits] allows; send fewer", caller.name);
    let mut response = Problem::new(Kind::RATE_LIMITED, detail).into_response();
    let seconds = wait.as_millis().div_ceil(1_000) as u64;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn no_such_method(request: &Request, methods: &[&str]) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let allow = methods.join(", ");
    let detail = format!("{path} does not allow {method}; it allows {allow}");
    let mut response = Problem::new(Kind::NO_SUCH_METHOD, detail).into_response();
    if let Ok(allow) = HeaderValue::try_from(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// The declared length of the body; without one, the limit.
fn body_bytes(request: &Request) -> usize {
    let said = request.body().size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    said.map_or(BODY_LIMIT, |bytes| bytes.min(BODY_LIMIT))
}

async fn audited(gate: Arc<Gate>, caller: &Caller, request: Request, next: Next) -> Response {
    let mut asked = asked(&request, Some(caller));
    let (parts, body) = request.into_parts();
    let bytes = match read(Request::from_parts(parts.clone(), body)).await {
        Ok(bytes) => bytes,
        Err(problem) => return problem.into_response(),
    };
    asked.why = reason(&bytes);
    let request = Request::from_parts(parts, Body::from(bytes));
    let acting = tokio::spawn(act(gate, asked, request, next));
    acting.await.unwrap_or_else(|why| Problem::new(Kind::INTERNAL, why.to_string()).into_response())
}

async fn act(gate: Arc<Gate>, asked: AuditRequest, request: Request, next: Next) -> Response {
    let action = match gate.audit.asked(asked.clone()).await {
        Ok(action) => action,
        Err(why) => {
            tracing::error!("actions are refused, because the audit cannot be written: {why}");
            let detail = "the audit cannot be written, and actions are refused without it; try \
                          again once its disk is repaired";
            return Problem::new(Kind::AUDIT_FAILED, detail).into_response();
        }
    };
    let response = next.run(request).await;
    let status = response.status().as_u16();
    if let Err(why) = gate.audit.ended(action, asked, status).await {
        tracing::error!(
            "the outcome of an action is missing in the audit (status {status}): {why}"
        );
    }
    response
}

/// The reason in a body that has one.
fn reason(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct WithReason {
        reason: Option<String>,
    }
    serde_json::from_slice::<WithReason>(body).ok()?.reason
}
