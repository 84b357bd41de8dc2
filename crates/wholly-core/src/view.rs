//! A transaction as it looks from outside, whatever its pattern: the view of lists, events,
//! metrics, the API and the command line.

use std::fmt;
use std::sync::Arc;

use crate::{
    BranchName, Name, PartState, Pattern, Payload, State, Target, Timestamp, TraceContext,
};

/// A transaction as a whole. Its parts are [`Part`]s.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Its pattern.
    pub pattern: Pattern,
    /// Its name.
    pub name: &'a Name,
    /// Its state.
    pub state: State,
    /// True if nothing is left to do.
    pub settled: bool,
    /// True if it needs an operator.
    pub stuck: bool,
    /// The reason why it aborted or turned back, if it did.
    pub reason: Option<&'a dyn fmt::Display>,
    /// The time at which it aborts or turns back, if it still may then.
    pub deadline: Timestamp,
    /// The version of the definition with which it started, where it has one.
    pub version: Option<u32>,
    /// The input with which it started, where it has one.
    pub input: Option<&'a Payload>,
    /// The trace that it belongs to, if its client gave one.
    pub trace: Option<&'a Arc<TraceContext>>,
}

/// A part of a transaction that one target does: a branch or a step.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// Its name, unique in its transaction.
    pub name: BranchName,
    /// The participant or the code that does it.
    pub target: Target,
    /// Its state.
    pub state: PartState,
    /// The reason why it needs an operator, if it does.
    pub stuck: Option<&'a str>,
    /// Its payload, once that is known.
    pub payload: Option<&'a Payload>,
    /// Its output, while it is known to be done.
    pub output: Option<&'a Payload>,
    /// True if there is no way back once it is done.
    pub pivot: bool,
}
