//! What the tests of a program that embeds Wholly, or of a service that takes part, need.

#[cfg(feature = "http")]
mod participant_conformance;

#[cfg(feature = "http")]
pub use participant_conformance::{
    Check, ConformanceError, Payloads, Report, Verdict, participant_conformance,
};
