//! Tools for the tests of a program that embeds Wholly, or of a service that takes part.
//!
//! | | |
//! |---|---|
//! | [`Harness`] | a coordinator in memory, on virtual time, that crashes when it is told to |
//! | [`Scripted`], [`Act`] | participants that refuse, hang, answer late or twice, or lose the answer |
//! | [`crash_at_every_record`] | a scenario, crashed at every record, must end wholly or not at all |
//! | [`crash_once_at_every_record`] | the same, with no second crash in the recovery |
//! | [`fail_each_step`] | a saga in code, failed at every step in every way |
//! | `participant_conformance` | whether a service, in any language, keeps its half of two-phase |
//! | `saga_participant_conformance` | the same of an action and its compensation |
//!
//! A participant of one's own, failed and crashed at every record:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! use wholly::Operation::{Commit, Prepare};
//! use wholly::test::{Act, crash_at_every_record};
//! use wholly::{Answer, Call, Participant, TransactionId};
//!
//! /// Ten pieces, and who has reserved (`Some`), taken or given back (`None`) how many.
//! struct Stock(Mutex<(u32, HashMap<TransactionId, Option<u32>>)>);
//!
//! impl Participant for Stock {
//!     async fn prepare(&self, call: Call) -> Answer {
//!         let (left, branches) = &mut *self.0.lock().unwrap();
//!         match branches.get(&call.transaction) {
//!             Some(None) => return Answer::refused("it is over"),
//!             Some(Some(_)) => return Answer::Done,
//!             None => {}
//!         }
//!         let quantity = call.payload.to::<u32>().unwrap_or(u32::MAX);
//!         if quantity > *left {
//!             return Answer::refused("not enough stock");
//!         }
//!         *left -= quantity;
//!         branches.insert(call.transaction, Some(quantity));
//!         Answer::Done
//!     }
//!
//!     async fn commit(&self, call: Call) -> Answer {
//!         self.0.lock().unwrap().1.insert(call.transaction, None);
//!         Answer::Done
//!     }
//!
//!     async fn abort(&self, call: Call) -> Answer {
//!         let (left, branches) = &mut *self.0.lock().unwrap();
//!         *left += branches.insert(call.transaction, None).flatten().unwrap_or(0);
//!         Answer::Done
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // in a `#[tokio::test(start_paused = true)]`
//! let crashes = crash_at_every_record(
//!     |harness| {
//!         let stock = Arc::new(Stock(Mutex::new((10, HashMap::new()))));
//!         let scripted = harness.participant("stock", stock.clone());
//!         scripted.nth(Prepare, 0, Act::Twice(Duration::from_secs(2)));
//!         scripted.nth(Commit, 0, Act::LoseAnswer);
//!         (stock, harness.stand_in("payments"))
//!     },
//!     async |coordinator, _| {
//!         let sale = coordinator.two_phase("sale").branch("stock", &3).unwrap();
//!         sale.branch("payments", &300).unwrap().execute().await.unwrap();
//!     },
//!     async |_, (stock, payments)| {
//!         // That it was all or nothing has been asserted already.
//!         let sold = payments.transactions().iter().any(|id| {
//!             payments.standing(*id) == Some(wholly::test::Standing::Committed)
//!         });
//!         assert_eq!(stock.0.lock().unwrap().0, if sold { 7 } else { 10 });
//!     },
//! )
//! .await;
//! assert!(crashes >= 6);
//! # }
//! ```

mod all_or_nothing;
mod crash;
mod fail_each_step;
mod failure;
mod harness;
mod incarnation;
mod script;
mod scripted;
mod stand_in;
mod steps;
mod witnessed;

#[cfg(feature = "http")]
pub use crate::conformance::{
    Check, ConformanceError, Payloads, Report, SagaProbe, Verdict, participant_conformance,
    participant_conformance_of, saga_participant_conformance, saga_participant_conformance_of,
};
pub use crate::log::memory::{Fault, Unsynced};
pub use crash::{crash_at_every_record, crash_once_at_every_record};
pub use fail_each_step::fail_each_step;
pub use harness::Harness;
pub use script::{Act, Calls};
pub use scripted::{Received, Scripted, Standing};
pub use steps::StepStanding;
