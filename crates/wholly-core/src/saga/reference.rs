//! References: how a step's payload takes from the saga's input and from earlier outputs.
use crate::Payload;
