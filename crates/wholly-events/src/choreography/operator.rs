//! Operations on a service's database by an operator. They need no running service, and work for
//! services in any language that use these tables.

use std::sync::Arc;

use super::job::{DropRequest, JobOutput, StoreJob};
use super::parked::ParkedEvent;
use super::plan::{RetryPolicy, ServicePlan};
use super::service::stamp;
use super::status::ParkedStatus;
use crate::cursor::Cursor;
use crate::declaration::Declaration;
use crate::event::now;
use crate::names::{EventType, ServiceName};
use crate::store::{ServiceCode, Store, StoreError};

/// Access of an operator to a service's database.
pub struct Operator<S: Store> {
    store: S,
    code: Arc<ServiceCode<S::Handler>>,
}

/// The event that other services receive for a dropped event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is emitted.
    Silent,
    /// The refusal that its reaction declares is emitted, with this JSON as its data.
    Refusal(String),
}

/// The reason why a parked event is not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DropError {
    /// No such event is parked.
    #[error("no event is parked under this number; it may have ended meanwhile")]
    NotParked,
    /// Its call may have taken effect.
    #[error(
        "its call is out and may have taken effect; verify that it did not and say so, or let it be \
         repeated until it ends"
    )]
    CallIsOut,
    /// Its reaction cannot refuse.
    #[error("its reaction declares no refusal; drop it without one")]
    NoRefusal,
}

/// The error of an operator's change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperateError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event is not dropped.
    #[error("parked event {number} is not dropped: {why}")]
    Drop {
        /// The event's number.
        number: u64,
        /// The reason.
        why: DropError,
    },
}

impl<S: Store> Operator<S> {
    /// An operator of this service. The declaration provides the refusals and the time-outs that
    /// they start.
    pub fn of(store: S, declaration: Declaration) -> Self {
        let plan = ServicePlan { declaration, retry: RetryPolicy::default() };
        Self { store, code: Arc::new(ServiceCode { plan, handlers: Vec::new() }) }
    }

    /// Creates missing tables.
    ///
    /// # Errors
    /// The database's.
    pub async fn create_tables(&self) -> Result<(), StoreError> {
        self.run(StoreJob::Create).await.map(drop)
    }

    /// Lists parked events after this number, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn parked(&self, after: u64, limit: u64) -> Result<Vec<ParkedStatus>, StoreError> {
        let stuck_after = self.code.plan.retry.stuck_after;
        Ok(match self.run(StoreJob::Parked(after, limit)).await? {
            JobOutput::Parked(parked, _) => {
                parked.into_iter().map(|one| ParkedStatus::of(one, stuck_after)).collect()
            }
            _ => Vec::new(),
        })
    }

    /// Makes a parked event due now; returns false if there is none with this number.
    ///
    /// # Errors
    /// The database's.
    pub async fn retry(&self, number: u64) -> Result<bool, StoreError> {
        Ok(matches!(self.run(StoreJob::RetryNow(number, now())).await?, JobOutput::Changed(true)))
    }

    /// Drops a parked event, and records the reason.
    ///
    /// # Errors
    /// See [`OperateError`].
    pub async fn drop_parked(
        &self,
        number: u64,
        reason: String,
        ending: Ending,
        call_did_not_happen: bool,
    ) -> Result<(), OperateError> {
        let refused = |why| OperateError::Drop { number, why };
        let refusal = match ending {
            Ending::Silent => None,
            Ending::Refusal(data) => {
                let parked = self.find(number).await?.ok_or(refused(DropError::NotParked))?;
                let kind = self.refusal_of(&parked).ok_or(refused(DropError::NoRefusal))?;
                Some((kind, data))
            }
        };
        let request = DropRequest { sequence: number, reason, refusal, call_did_not_happen };
        match self.run(StoreJob::Drop(request, stamp())).await? {
            JobOutput::Refused(why) => Err(refused(why)),
            _ => Ok(()),
        }
    }

    /// The stored cursor of a followed feed.
    ///
    /// # Errors
    /// The database's.
    pub async fn cursor(&self, source: ServiceName) -> Result<Option<Cursor>, StoreError> {
        Ok(match self.run(StoreJob::Cursor(source)).await? {
            JobOutput::Cursor(cursor) => cursor,
            _ => None,
        })
    }

    /// Sets the cursor of a followed feed, and records the reason. A running service continues
    /// there within seconds.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_cursor(
        &self,
        source: ServiceName,
        to: Cursor,
        reason: String,
    ) -> Result<(), StoreError> {
        self.run(StoreJob::SetCursor(source, to, reason, now())).await.map(drop)
    }

    async fn find(&self, number: u64) -> Result<Option<ParkedEvent>, StoreError> {
        Ok(match self.run(StoreJob::Parked(number.saturating_sub(1), 1)).await? {
            JobOutput::Parked(parked, _) => parked.into_iter().find(|one| one.sequence == number),
            _ => None,
        })
    }

    fn refusal_of(&self, parked: &ParkedEvent) -> Option<EventType> {
        let plan = &self.code.plan;
        plan.reaction(plan.by_name(&parked.reaction)?)?.refuses.clone()
    }

    async fn run(&self, job: StoreJob) -> Result<JobOutput, StoreError> {
        self.store.run(&self.code, job).await
    }
}
