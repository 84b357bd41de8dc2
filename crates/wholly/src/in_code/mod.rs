//! Sagas in code: typed steps that the program does itself, and resumes after a restart.
//!
//! Like a saga in a file, a [`Saga`] becomes a [`Definition`], whose steps name no participant;
//! beside it is the [`Code`] that answers its calls. The definition is durable with each saga that
//! starts, the code is not: a saga that was running when the program ended goes on with the graph
//! that it started with and with the handlers of the program that runs now, found by the name of
//! the saga, its version and the name of the step.
//!
//! | in code | in the definition |
//! |---|---|
//! | the name of a step | the step's, and its action's |
//! | [`undo`](SagaStep::undo) | the compensation `<step>-undo` |
//! | [`needs_no_undo`](SagaStep::needs_no_undo) | the compensation `false` |
//! | what a handler is given | the payload `{"$from": ""}`: the input, and the outputs of the steps that it comes after |
//!
//! INVARIANT: only [`StepError::refused`], said by an action, is a refusal. Every other error, and
//! a panic, is unknown or stuck, and asked again.
//!
//! INVARIANT: what the program cannot read is stuck, and no handler sees it. So an undo that is
//! given no output was asked to take back what may not have been done, and nothing else.

mod code;
mod error;
mod handle;
mod retry;
mod step;
mod written;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use wholly_core::BranchName;
use wholly_core::saga::{Definition, Graph, InvalidDefinition};

use crate::SagaError;
pub(crate) use code::Code;
pub use error::StepError;
pub(crate) use handle::Home;
pub use handle::SagaHandle;
pub use retry::Retry;
pub use step::Step;
pub use written::{SagaStep, step};
use written::{Written, millis, parsed};

/// A saga that the program itself does, with an input of the type `I`.
///
/// The steps run in this order, unless they say what they come [`after`](SagaStep::after). A step
/// is an async function of a [`Step`], or a closure that returns a future. It may be called more
/// than once, also by a later start of the program, each time with the same
/// [idempotency key](Step::idempotency_key). What it returns is kept as JSON; together with the
/// saga's input and the other outputs it may have 64 KiB.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use wholly::{Saga, Step, StepError, step};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     item: String,
///     amount: u64,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Receipt(u64);
/// # struct Charged { declined: bool, receipt: Receipt }
/// # #[derive(Clone)]
/// # struct Gateway;
/// # impl Gateway {
/// #     async fn charge(&self, _: &str, amount: u64) -> Result<Charged, std::io::Error> {
/// #         Ok(Charged { declined: amount > 1_000, receipt: Receipt(7) })
/// #     }
/// #     async fn refund(&self, _: &str, _: Option<Receipt>) -> Result<(), std::io::Error> {
/// #         Ok(())
/// #     }
/// # }
/// # let gateway = Gateway;
///
/// async fn reserve(cx: Step<Order>) -> Result<u32, StepError> {
///     println!("{}: one {}", cx.idempotency_key(), cx.input.item);
///     Ok(12) // the shelf
/// }
///
/// async fn release(cx: Step<Order>, shelf: Option<u32>) -> Result<(), StepError> {
///     println!("{}: from {shelf:?}, if it ran", cx.idempotency_key());
///     Ok(())
/// }
///
/// async fn charge(cx: Step<Order>, gateway: Gateway) -> Result<Receipt, StepError> {
///     let charged = gateway.charge(cx.idempotency_key(), cx.input.amount).await?; // `?`: unknown
///     if charged.declined {
///         return Err(StepError::refused("declined")); // only this turns the saga back
///     }
///     Ok(charged.receipt)
/// }
///
/// async fn ship(cx: Step<Order>) -> Result<(), StepError> {
///     let shelf: u32 = cx.output("reserve")?;
///     println!("{} from {shelf}", cx.input.item);
///     Ok(())
/// }
///
/// let refunding = gateway.clone();
/// let create_order = Saga::new("create order", 1)
///     .step(step("reserve", reserve).undo(release))
///     .step(
///         step("pay", move |cx| charge(cx, gateway.clone()))
///             .undo(move |cx, done| {
///                 let gateway = refunding.clone();
///                 async move { Ok(gateway.refund(cx.idempotency_key(), done).await?) }
///             })
///             .pivot(),
///     )
///     .step(step("ship", ship)); // after the pivot: tried until it is done
/// # let _: Saga<Order> = create_order;
/// ```
#[must_use = "a saga is known to a coordinator once it is registered"]
pub struct Saga<I> {
    name: String,
    version: u32,
    deadline: Option<Duration>,
    steps: Vec<Written>,
    input: PhantomData<fn(I)>,
}

impl<I> Saga<I> {
    /// A saga without steps. Those that run when the program ends go on with the code that is
    /// registered under the same name and version; so give a saga whose steps or types have
    /// changed a new version, and keep the old one registered until none of it is left. A client
    /// that tries a submission again meanwhile, under its key, may then name another version than
    /// before: let it say [`any_version`](crate::Submission::any_version).
    pub fn new(name: &str, version: u32) -> Self {
        Self {
            name: name.to_owned(),
            version,
            deadline: None,
            steps: Vec::new(),
            input: PhantomData,
        }
    }

    /// The time from its acceptance until it turns back; up to 30 days. By default
    /// [`Settings::deadline`](crate::Settings::deadline).
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The next step.
    pub fn step<O>(mut self, step: SagaStep<I, O>) -> Self {
        self.steps.push(step.written);
        self
    }

    /// Its graph, which is durable, and its code, which is not.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn check(self) -> Result<(Graph, Code), SagaError> {
        let (name, version) = (self.name.clone(), self.version);
        self.parse().map_err(|why| SagaError::Invalid { name, version, why })
    }

    fn parse(self) -> Result<(Graph, Code), InvalidDefinition> {
        let mut problems = Vec::new();
        let name = parsed(&self.name, vec!["name".into()], &mut problems);
        let (mut steps, mut handlers) = (Vec::new(), BTreeMap::new());
        for (place, written) in self.steps.into_iter().enumerate() {
            if let Some((step, its)) = written.parse(place, &mut problems) {
                handlers.insert(BranchName::from(step.name.clone()), its);
                steps.push(step);
            }
        }
        let Some(name) = name.filter(|_| problems.is_empty()) else {
            return Err(InvalidDefinition { problems });
        };
        let deadline_millis = self.deadline.map(millis);
        let graph = Graph::new(Definition { name, version: self.version, deadline_millis, steps })?;
        Ok((graph, Code::new(handlers)))
    }
}

#[cfg(test)]
mod tests;
