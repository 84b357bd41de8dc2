//! The beginning of a saga.

use std::sync::Arc;
use std::time::Duration;

use super::{Graph, Record, Started, Transaction};
use crate::proposal::{Begin, InvalidProposal, ProtocolProposal};
use crate::{Payload, Target};

/// A saga that a client proposes, with an input for the references of its steps.
#[derive(Clone, Debug)]
pub struct Proposal {
    saga: Arc<Graph>,
    input: Payload,
    any_version: bool,
}

impl Proposal {
    /// The saga with this definition and this input. With `any_version` the client named no
    /// version: a saga that was begun with another one is the same.
    ///
    /// # Errors
    /// When the input has a member twice, or a step reads a part of it that is not there.
    pub fn new(
        saga: Arc<Graph>,
        input: Payload,
        any_version: bool,
    ) -> Result<Self, InvalidProposal> {
        input.check_members().map_err(|why| InvalidProposal::input(&why))?;
        saga.accepts(&input).map_err(|why| InvalidProposal::input(&why))?;
        Ok(Self { saga, input, any_version })
    }
}

impl ProtocolProposal for Proposal {
    type Transaction = Transaction;

    fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        let definition = self.saga.definition();
        definition.steps.iter().map(|step| definition.target(step))
    }

    fn memory_bytes(&self) -> usize {
        self.saga.memory_bytes() + self.input.as_str().len()
    }

    fn deadline(&self) -> Option<Duration> {
        self.saga.definition().deadline_millis.map(Duration::from_millis)
    }

    fn start(self, begin: Begin, _offers_one_phase: impl Fn(&Target) -> bool) -> Record {
        let Self { saga, input, any_version: _ } = self;
        let Begin { key, trace, deadline } = begin;
        Record::Started(Started { key, trace, deadline, saga, input })
    }

    fn is_same_as(&self, begun: &Transaction, with_payloads: bool) -> bool {
        let (new, old) = (self.saga.definition(), begun.definition());
        let same = match (self.any_version, with_payloads) {
            (true, _) => new.name == old.name,
            (false, true) => new.same_as(old),
            (false, false) => (&new.name, new.version) == (&old.name, old.version),
        };
        same && (!with_payloads || self.input.same_as(&begun.input))
    }
}
