//! The definitions that sagas are submitted by: lists them, and stores a new one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use wholly_core::Name;
use wholly_core::saga::{Definition, Graph, Segment};

use super::request::{Body, DefinitionInPath};
use crate::definition::{Format, Located, read};
use crate::problem::{Kind, Problem};
use crate::sagas::{Sagas, StoreError, Stored};

#[derive(Serialize)]
pub struct DefinitionsDocument {
    sagas: Vec<Defined>,
}

/// A definition's name and version.
#[derive(Serialize)]
pub struct Defined {
    name: Name,
    version: u32,
}

impl From<&Definition> for Defined {
    fn from(definition: &Definition) -> Self {
        Self { name: definition.name.clone(), version: definition.version }
    }
}

pub async fn list(State(sagas): State<Arc<Sagas>>) -> Json<DefinitionsDocument> {
    let sagas = sagas.all().iter().map(|graph| graph.definition().into()).collect();
    Json(DefinitionsDocument { sagas })
}

pub async fn definition(
    State(sagas): State<Arc<Sagas>>,
    DefinitionInPath(name, version): DefinitionInPath,
) -> Result<Json<Definition>, Problem> {
    named(&sagas, &name, Some(version), Kind::NO_SUCH_SAGA)
        .map(|graph| Json(graph.definition().clone()))
}

/// 201 for a new definition, 200 for one that is stored already.
pub async fn define(
    State(sagas): State<Arc<Sagas>>,
    DefinitionInPath(name, version): DefinitionInPath,
    Body(definition): Body<Box<RawValue>>,
) -> Result<Response, Problem> {
    let graph = graph(&definition, &[])?;
    let defined = Defined::from(graph.definition());
    if (defined.name.as_str(), defined.version) != (name.as_str(), version) {
        return Err(Problem::new(
            Kind::INVALID_REQUEST,
            format!(
                "the path names version {version} of {name:?}, but the definition is version {} of \
                 {:?}; make them equal",
                defined.version, defined.name
            ),
        ));
    }
    let storing = tokio::task::spawn_blocking(move || sagas.store(graph));
    let stored = storing.await.map_err(|why| Problem::new(Kind::INTERNAL, why.to_string()))?;
    let status = match stored? {
        Stored::New => StatusCode::CREATED,
        Stored::Same => StatusCode::OK,
    };
    Ok((status, Json(defined)).into_response())
}

/// The definition in a request's body, in which it is at `at`.
pub fn graph(definition: &RawValue, at: &[Segment]) -> Result<Graph, Problem> {
    read(definition.get(), Format::Json).map_err(|located| {
        let mut problems: Vec<_> =
            located.into_iter().map(|Located { problem, .. }| problem).collect();
        for problem in &mut problems {
            problem.at.splice(..0, at.iter().cloned());
        }
        Problem::invalid_definition(problems)
    })
}

/// A stored definition; without a version the newest one. `otherwise` there is a problem.
pub fn named(
    sagas: &Sagas,
    name: &str,
    version: Option<u32>,
    otherwise: Kind,
) -> Result<Arc<Graph>, Problem> {
    sagas.get(name, version).ok_or_else(|| {
        let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
        let detail =
            format!("there is no saga {name:?}{version}; GET /v1/sagas lists the stored ones");
        Problem::new(otherwise, detail)
    })
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::NoFolder | StoreError::TooMany => Kind::NOT_STORED,
            StoreError::Differs { .. } => Kind::DEFINED_ALREADY,
            StoreError::Storage(_) => Kind::UNAVAILABLE,
        };
        Self::new(kind, error.to_string())
    }
}
