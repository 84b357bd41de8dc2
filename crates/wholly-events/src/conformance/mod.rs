//! Suites that tell whether something keeps the contracts of this crate.

#[cfg(feature = "choreography")]
pub mod feed;
