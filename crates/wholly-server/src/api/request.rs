//! The parts of a request, parsed at the edge: the body, the transaction in the path, the query.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{self, FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wholly::TransactionId;

use crate::problem::{Kind, Problem};

/// A JSON body of this type. The guard has checked its content type.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let kind = match error.is_data() {
                true => Kind::INVALID_REQUEST,
                false => Kind::MALFORMED_JSON,
            };
            Problem::new(kind, error.to_string())
        })
    }
}

/// The time limit of a body: in the extensions of each request.
#[derive(Clone, Copy)]
pub struct BodyTimeout(pub Duration);

/// The whole body, within its limits of size and time.
pub async fn read(request: Request) -> Result<Bytes, Problem> {
    let patience = request.extensions().get::<BodyTimeout>().map_or(Duration::MAX, |given| given.0);
    match tokio::time::timeout(patience, Bytes::from_request(request, &())).await {
        Ok(bytes) => bytes.map_err(unreadable),
        Err(_) => {
            let detail = format!("the body did not arrive within {patience:?}");
            Err(Problem::new(Kind::SLOW_BODY, detail))
        }
    }
}

fn unreadable(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("the body is longer than {} bytes", crate::config::BODY_LIMIT);
            Problem::new(Kind::TOO_LARGE, detail)
        }
        _ => Problem::new(Kind::INVALID_REQUEST, rejection.body_text()),
    }
}

/// The transaction that the path names.
pub struct TransactionInPath(pub TransactionId);

impl<S: Send + Sync> FromRequestParts<S> for TransactionInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct PathParameters {
            id: String,
        }
        let invalid = |why: String| Problem::new(Kind::INVALID_ID, why);
        let Path(PathParameters { id }) = Path::<PathParameters>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| invalid(rejection.body_text()))?;
        id.parse().map(Self).map_err(|why| invalid(format!("{id:?}: {why}")))
    }
}

/// The branch that the path names.
pub struct BranchInPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for BranchInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct PathParameters {
            branch: String,
        }
        match Path::<PathParameters>::from_request_parts(parts, state).await {
            Ok(Path(PathParameters { branch })) => Ok(Self(branch)),
            Err(rejection) => Err(Problem::new(Kind::INVALID_REQUEST, rejection.body_text())),
        }
    }
}

/// The definition that the path names.
pub struct DefinitionInPath(pub String, pub u32);

impl<S: Send + Sync> FromRequestParts<S> for DefinitionInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<(String, u32)>::from_request_parts(parts, state).await {
            Ok(Path((name, version))) => Ok(Self(name, version)),
            Err(rejection) => Err(Problem::new(Kind::INVALID_REQUEST, rejection.body_text())),
        }
    }
}

/// The query, parsed as this type.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::new(Kind::INVALID_REQUEST, rejection.body_text())),
        }
    }
}
