//! Errors as RFC 9457 problem details: `application/problem+json`, with a `type` that never
//! changes for programs and a `detail` for operators.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use wholly::{CancelError, DecisionError, EndError, GetError, ResolveError, SubmitError};
use wholly_core::saga;

use crate::submission::TwoPhaseError;

/// The seconds until the next try: overload and a failed log both pass within seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An error as a client sees it.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    /// The problems of an invalid definition; else empty.
    problems: Vec<saga::Problem>,
}

/// A kind of problem: its stable `type` is `/problems/{name}`.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    name: &'static str,
    title: &'static str,
    status: StatusCode,
}

macro_rules! kinds {
    ($($kind:ident $status:ident $name:literal $title:literal)*) => {
        impl Kind {
            $(pub const $kind: Self =
                Self { name: $name, title: $title, status: StatusCode::$status };)*

            /// The names of all kinds, and their statuses.
            #[cfg(test)]
            pub const ALL: &[(&str, u16)] = &[$(($name, StatusCode::$status.as_u16())),*];
        }
    };
}

kinds! {
    MALFORMED_JSON BAD_REQUEST "malformed-json" "The body is not JSON"
    INVALID_REQUEST BAD_REQUEST "invalid-request" "The request is invalid"
    INVALID_ID BAD_REQUEST "invalid-id" "The id of the transaction is malformed"
    INVALID_EVENT_ID BAD_REQUEST "invalid-event-id" "There is no such event"
    TWO_KEYS BAD_REQUEST "two-keys" "The request names two keys"
    NO_JSON UNSUPPORTED_MEDIA_TYPE "not-json" "The body must be JSON"
    TOO_LARGE PAYLOAD_TOO_LARGE "too-large" "The body is too large"
    INVALID_TRANSACTION UNPROCESSABLE_ENTITY "invalid-transaction" "The transaction is invalid"
    UNKNOWN_PARTICIPANT UNPROCESSABLE_ENTITY "unknown-participant" "The participant is not registered"
    UNKNOWN_SAGA UNPROCESSABLE_ENTITY "unknown-saga" "The saga is not known"
    KEY_REUSED UNPROCESSABLE_ENTITY "key-reused" "The key belongs to another transaction"
    NO_SUCH_TRANSACTION NOT_FOUND "no-such-transaction" "There is no such transaction"
    NO_SUCH_CHOREOGRAPHY NOT_FOUND "no-such-choreography" "There is no such choreography"
    TRIMMED GONE "trimmed" "The transaction may have been deleted"
    NO_SUCH_BRANCH NOT_FOUND "no-such-branch" "There is no such branch"
    INVALID_DEFINITION UNPROCESSABLE_ENTITY "invalid-definition" "The saga's definition is invalid"
    DEFINED_ALREADY CONFLICT "defined-already" "The version belongs to another definition"
    NOT_STORED CONFLICT "not-stored" "The server cannot store the definition"
    NO_SUCH_SAGA NOT_FOUND "no-such-saga" "There is no such saga"
    NO_SUCH_ROUTE NOT_FOUND "no-such-route" "There is no such address"
    NO_SUCH_METHOD METHOD_NOT_ALLOWED "no-such-method" "The method is not allowed here"
    UNAUTHENTICATED UNAUTHORIZED "unauthenticated" "The request does not show who sends it"
    FORBIDDEN FORBIDDEN "forbidden" "The caller may not do this"
    RATE_LIMITED TOO_MANY_REQUESTS "rate-limited" "The caller sends too many requests"
    SLOW_BODY REQUEST_TIMEOUT "slow-body" "The body took too long"
    BUSY SERVICE_UNAVAILABLE "busy" "The server has no room for the request"
    AUDIT_FAILED SERVICE_UNAVAILABLE "audit-failed" "The audit cannot be written or read"
    INVALID_CONFIGURATION UNPROCESSABLE_ENTITY "invalid-configuration" "The configuration is wrong"
    CONFLICT CONFLICT "conflict" "The state of the transaction does not allow it"
    OVERLOADED TOO_MANY_REQUESTS "overloaded" "Too many transactions are in flight"
    PARTICIPANT_OVERLOADED TOO_MANY_REQUESTS "participant-overloaded" "A participant owes too many answers"
    TOO_MANY_LISTENERS TOO_MANY_REQUESTS "too-many-listeners" "Too many event streams are open"
    UNAVAILABLE SERVICE_UNAVAILABLE "unavailable" "The coordinator is not available now"
    SHUTTING_DOWN SERVICE_UNAVAILABLE "shutting-down" "The coordinator is shutting down"
    INTERNAL INTERNAL_SERVER_ERROR "internal" "An unexpected error"
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), problems: Vec::new() }
    }

    /// An invalid definition with its problems, of which there is at least one.
    pub fn invalid_definition(problems: Vec<saga::Problem>) -> Self {
        let detail = match &problems[..] {
            [only] => only.to_string(),
            [first, others @ ..] => format!("{first} (and {} more)", others.len()),
            [] => String::new(),
        };
        Self { kind: Kind::INVALID_DEFINITION, detail, problems }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: String,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            problems: Vec<saga::Problem>,
        }
        let Self { kind: Kind { name, title, status }, detail, problems } = self;
        let r#type = format!("/problems/{name}");
        let body = Body { r#type, title, status: status.as_u16(), detail, problems };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<TwoPhaseError> for Problem {
    fn from(error: TwoPhaseError) -> Self {
        match error {
            TwoPhaseError::Missing(_) | TwoPhaseError::OfSaga(_) => {
                Self::new(Kind::INVALID_REQUEST, error.to_string())
            }
            TwoPhaseError::Part(error) => error.into(),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        use SubmitError as E;
        let kind = match error {
            E::Invalid(_) | E::Deadline { .. } | E::Name(_) => Kind::INVALID_TRANSACTION,
            E::UnknownParticipant { .. } => Kind::UNKNOWN_PARTICIPANT,
            E::KeyReused { .. } => Kind::KEY_REUSED,
            E::Quarantined { .. } => Kind::CONFLICT,
            E::Overloaded { .. } | E::OutOfRoom { .. } => Kind::OVERLOADED,
            E::ParticipantOverloaded { .. } | E::ParticipantOutOfRoom { .. } => {
                Kind::PARTICIPANT_OVERLOADED
            }
            E::Unavailable { .. } => Kind::UNAVAILABLE,
            E::ShuttingDown => Kind::SHUTTING_DOWN,
            _ => Kind::INTERNAL,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<GetError> for Problem {
    fn from(error: GetError) -> Self {
        let kind = match error {
            GetError::Read(_) => Kind::UNAVAILABLE,
            GetError::Stopped => Kind::SHUTTING_DOWN,
            _ => Kind::INTERNAL,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        use DecisionError as E;
        let kind = match error {
            E::OtherLog { .. } | E::NotBegun { .. } => Kind::NO_SUCH_TRANSACTION,
            E::Trimmed { .. } => Kind::TRIMMED,
            E::Saga { .. } => Kind::CONFLICT,
            E::Unavailable { .. } => Kind::UNAVAILABLE,
            _ => Kind::INTERNAL,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        use CancelError as E;
        let kind = match error {
            E::Committed { .. }
            | E::OnePhase { .. }
            | E::Completed { .. }
            | E::PivotMayHaveLeft { .. }
            | E::Quarantined { .. } => Kind::CONFLICT,
            E::NotFound { .. } => Kind::NO_SUCH_TRANSACTION,
            E::Unavailable { .. } => Kind::UNAVAILABLE,
            _ => Kind::INTERNAL,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<EndError> for Problem {
    fn from(error: EndError) -> Self {
        use EndError as E;
        let kind = match error {
            E::NotQuarantined { .. } | E::Restored { .. } | E::NotInFlight { .. } => Kind::CONFLICT,
            E::Unavailable { .. } => Kind::UNAVAILABLE,
            _ => Kind::INTERNAL,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        use ResolveError as E;
        let kind = match error {
            E::NoSuchBranch { .. } => Kind::NO_SUCH_BRANCH,
            E::Over { .. }
            | E::Undecided { .. }
            | E::NotSo { .. }
            | E::Quarantined { .. }
            | E::Restored { .. }
            | E::NotInFlight { .. } => Kind::CONFLICT,
            E::Unavailable { .. } => Kind::UNAVAILABLE,
            _ => Kind::INTERNAL,
        };
        Self::new(kind, error.to_string())
    }
}
