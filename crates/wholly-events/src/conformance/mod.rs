//! Suites that tell whether something keeps the contracts of this crate.

#[cfg(feature = "choreography")]
pub mod feed;
#[cfg(feature = "choreography")]
pub mod follower;
#[cfg(feature = "choreography")]
mod report;

#[cfg(feature = "choreography")]
pub use report::{Check, Report, Verdict};
