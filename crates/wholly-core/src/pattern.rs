//! The patterns of transactions and their states: each word and each number on disk, in one place.
//!
//! INVARIANT: a word and a number never change their meaning: logs and clients have them. A new one
//! goes to the end of its list.

use serde::{Deserialize, Serialize};

/// Enums whose variants each have a word and, by their order, a number from 0.
macro_rules! words {
    ($($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $type {
            /// All of them, by their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its word in the API, the log and the documents.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// Its number: its place in [`ALL`](Self::ALL).
            pub const fn number(self) -> usize {
                self as usize
            }

            /// The one with this word.
            pub fn named(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

words! {
    /// A protocol by which transactions are carried out.
    Pattern {
        /// Prepare, then commit or abort.
        TwoPhase "two-phase"
        /// Steps, and their compensations.
        Saga "saga"
    }

    /// The state of a transaction of any pattern.
    State {
        /// A transaction in two phases whose votes are being asked for.
        Init "init"
        /// A transaction in two phases whose every vote is in and yes.
        Prepared "prepared"
        /// A transaction in two phases, decided: commit.
        Committed "committed"
        /// A transaction in two phases, decided: abort.
        Aborted "aborted"
        /// A saga whose steps are asked for.
        Running "running"
        /// A saga of which every step is done.
        Completed "completed"
        /// A saga that is being taken back.
        Compensating "compensating"
        /// A saga that was taken back.
        Compensated "compensated"
    }

    /// The state of one part of a transaction: of a branch or of a step.
    PartState {
        /// A branch that has not voted, or whose vote is not believed.
        Working "working"
        /// A branch that has voted yes, and waits.
        Prepared "prepared"
        /// A branch that is over: committed.
        Committed "committed"
        /// A branch that is over: aborted.
        Aborted "aborted"
        /// A step that is not asked yet, or has not answered.
        Pending "pending"
        /// A step that is done.
        Completed "completed"
        /// A step that is taken back.
        Compensated "compensated"
        /// A step that was refused.
        Failed "failed"
    }

    /// The kind of a transaction's parts.
    PartKind {
        /// Each is a participant's, and bears its name.
        Branches "branches"
        /// Each has a name of its own.
        Steps "steps"
    }

    /// The two ways in which a transaction ends.
    End {
        /// The change is made, everywhere.
        Made "made"
        /// The change is made nowhere, or taken back everywhere.
        Undone "undone"
    }
}

impl Pattern {
    /// The kind of its transactions' parts.
    pub const fn parts(self) -> PartKind {
        match self {
            Self::TwoPhase => PartKind::Branches,
            Self::Saga => PartKind::Steps,
        }
    }
}

impl State {
    /// The bits that a log has for a state's number.
    pub const BITS: u32 = 4;

    /// The pattern whose transactions may be in this state.
    pub const fn pattern(self) -> Pattern {
        match self {
            Self::Init | Self::Prepared | Self::Committed | Self::Aborted => Pattern::TwoPhase,
            Self::Running | Self::Completed | Self::Compensating | Self::Compensated => {
                Pattern::Saga
            }
        }
    }

    /// The end that a settled transaction in this state has come to. `None` for a state in which
    /// none settles.
    pub const fn end(self) -> Option<End> {
        match self {
            Self::Committed | Self::Completed => Some(End::Made),
            Self::Aborted | Self::Compensated => Some(End::Undone),
            Self::Init | Self::Prepared | Self::Running | Self::Compensating => None,
        }
    }

    /// True while it is open whether the change is made: no decision, and no turn back.
    pub const fn is_undecided(self) -> bool {
        match self {
            Self::Init | Self::Prepared | Self::Running => true,
            Self::Committed
            | Self::Aborted
            | Self::Completed
            | Self::Compensating
            | Self::Compensated => false,
        }
    }
}

// INVARIANT: every state's number fits into the bits that a log has for it.
const _: () = assert!(State::ALL.len() <= 1 << State::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_has_both_ends_and_a_state_without_one() {
        for pattern in Pattern::ALL {
            let own = || State::ALL.iter().filter(|state| state.pattern() == *pattern);
            for end in [Some(End::Made), Some(End::Undone), None] {
                assert!(own().any(|state| state.end() == end), "{pattern}: {end:?}");
            }
            assert!(own().all(|state| !state.is_undecided() || state.end().is_none()), "{pattern}");
        }
    }

    #[test]
    fn words_and_numbers_stay_as_logs_and_clients_have_them() {
        let states: Vec<_> = State::ALL.iter().map(|state| state.as_str()).collect();
        let known = [
            "init",
            "prepared",
            "committed",
            "aborted",
            "running",
            "completed",
            "compensating",
            "compensated",
        ];
        assert_eq!(states[..known.len()], known);
        assert_eq!((Pattern::ALL[0].as_str(), Pattern::ALL[1].as_str()), ("two-phase", "saga"));
        assert!(State::ALL.iter().all(|state| State::named(state.as_str()) == Some(*state)));
        assert!(State::ALL.iter().enumerate().all(|(number, state)| state.number() == number));
    }
}
