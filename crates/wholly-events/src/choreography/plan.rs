//! A service's plan: its declaration with look-ups by event and name.

use std::time::Duration;

use crate::declaration::{Declaration, Reaction, Timeout};
use crate::names::{EventType, ReactionName};

/// The index of a reaction in its service's declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReactionIndex(pub(crate) usize);

/// A service's declaration and its retry policy.
#[derive(Clone, Debug)]
pub(crate) struct ServicePlan {
    pub(crate) declaration: Declaration,
    pub(crate) retry: RetryPolicy,
}

/// The retry policy of failed reactions.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The wait before the second attempt. It doubles with each further one.
    pub first: Duration,
    /// The longest wait between two attempts.
    pub most: Duration,
    /// The number of attempts after which an event counts as stuck. It is still retried.
    pub stuck_after: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(30), stuck_after: 8 }
    }
}

impl RetryPolicy {
    /// The wait after this many attempts.
    pub(crate) fn wait(&self, tries: u64) -> Duration {
        let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }
}

impl ServicePlan {
    pub(crate) fn reaction(&self, index: ReactionIndex) -> Option<&Reaction> {
        self.declaration.reactions.get(index.0)
    }

    /// The reactions to events of this type.
    pub(crate) fn reactions_to(&self, kind: &EventType) -> impl Iterator<Item = ReactionIndex> {
        let all = self.declaration.reactions.iter().enumerate();
        all.filter(move |(_, one)| one.on == *kind).map(|(index, _)| ReactionIndex(index))
    }

    pub(crate) fn by_name(&self, name: &ReactionName) -> Option<ReactionIndex> {
        self.declaration.reactions.iter().position(|one| one.name == *name).map(ReactionIndex)
    }

    /// True if another reaction undoes this one.
    pub(crate) fn can_be_undone(&self, name: &ReactionName) -> bool {
        self.declaration.reactions.iter().any(|one| one.undoes.contains(name))
    }

    /// The time-outs that an event of this type cancels.
    pub(crate) fn cancelled_by<'a>(
        &'a self,
        kind: &'a EventType,
    ) -> impl Iterator<Item = &'a Timeout> {
        self.declaration.timeouts.iter().filter(move |one| one.awaits.contains(kind))
    }

    /// The time-outs that an event of this type starts.
    pub(crate) fn started_by<'a>(
        &'a self,
        kind: &'a EventType,
    ) -> impl Iterator<Item = &'a Timeout> {
        self.declaration.timeouts.iter().filter(move |one| one.after == *kind)
    }

    /// True if the service reacts to an event that it emits itself.
    pub(crate) fn follows_itself(&self) -> bool {
        let emitted = self.declaration.emitted();
        self.declaration.reactions.iter().any(|one| emitted.contains(&&one.on))
    }
}
