//! The program's handle of a saga in code.

use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use wholly_core::saga::Graph;

use crate::{Coordinator, SagaRun, Submission};

/// A [`Saga`](super::Saga) that is registered: it starts sagas with an input of the type `I`, once
/// the coordinator at whose builder it was registered has started. Clones share one saga.
///
/// It counts as a handle of the coordinator, which goes on while there is one.
pub struct SagaHandle<I> {
    saga: Arc<Graph>,
    home: Home,
    input: PhantomData<fn(&I)>,
}

/// The link from the handles of a builder to its coordinator: empty until that starts.
#[derive(Clone, Default)]
pub(crate) struct Home(Arc<RwLock<Option<Coordinator>>>);

impl<I> SagaHandle<I> {
    pub(crate) fn new(saga: Arc<Graph>, home: Home) -> Self {
        Self { saga, home, input: PhantomData }
    }

    /// A saga with this input, to be executed or submitted. Where the coordinator has not started,
    /// that is an error: [`SubmitError::NotStarted`](crate::SubmitError::NotStarted).
    pub fn start(&self, input: &I) -> Submission<SagaRun>
    where
        I: Serialize,
    {
        Submission::saga(self.home.coordinator(), self.saga.clone()).input(input)
    }
}

impl<I> Clone for SagaHandle<I> {
    fn clone(&self) -> Self {
        Self::new(self.saga.clone(), self.home.clone())
    }
}

impl Home {
    pub fn is_at(&self, coordinator: Coordinator) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(coordinator);
    }

    fn coordinator(&self) -> Option<Coordinator> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
