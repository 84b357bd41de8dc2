//! Options that somebody considered: the approaches, and two that are often named in one breath with
//! them although they make no change atomic.

use std::borrow::Cow;

use clap::ValueEnum;
use serde::de::{Deserialize, Deserializer, Error};

use super::advice::{Advice, Recommendation};
use super::approach::Approach;
use super::case::{self, Question};
use super::rules::Effect;
use super::works::{FENCING, ISOLATION, Source, TRANSACTIONS};

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Considered {
    OneDatabase,
    TwoPhase,
    Tcc,
    Saga,
    Choreography,
    DistributedLock,
    OptimisticLocking,
}

impl Considered {
    /// The word for it, as flags and files have it.
    pub fn name(self) -> String {
        case::word(&self)
    }

    /// The approach that it is, or its work in the place of one.
    pub fn is(self) -> Result<Approach, &'static Excluder> {
        match self {
            Self::OneDatabase => Ok(Approach::OneDatabase),
            Self::TwoPhase => Ok(Approach::TwoPhase),
            Self::Tcc => Ok(Approach::Tcc),
            Self::Saga => Ok(Approach::Saga),
            Self::Choreography => Ok(Approach::Choreography),
            Self::DistributedLock => Err(&DISTRIBUTED_LOCK),
            Self::OptimisticLocking => Err(&OPTIMISTIC_LOCKING),
        }
    }
}

impl<'de> Deserialize<'de> for Considered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        case::read(&word, &[]).map_err(D::Error::custom)
    }
}

/// The judgement on an option.
pub struct Judged {
    pub verdict: OptionVerdict,
    pub reasons: Vec<(&'static str, &'static [Source])>,
}

/// The answer to whether an option fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionVerdict {
    /// The option is the advice.
    Advised,
    /// Nothing speaks against it, but another has less to write and to run.
    WouldDo,
    /// It would do, and more speaks against it than against another.
    LessSuited,
    /// An answer that is unknown may rule it out.
    MayBeRuledOut(Vec<Question>),
    No,
}

impl OptionVerdict {
    /// The name, as JSON has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Advised => "advised",
            Self::WouldDo => "would-do",
            Self::LessSuited => "less-suited",
            Self::MayBeRuledOut(_) => "may-be-ruled-out",
            Self::No => "no",
        }
    }
}

impl Considered {
    /// The judgement on the option in the case of an advice.
    pub fn judged(self, advice: &Advice) -> Judged {
        let approach = match self.is() {
            Ok(approach) => approach,
            Err(excluder) => {
                let serves: (_, &[Source]) = (excluder.serves, &[]);
                let reasons = excluder.lacks.iter().copied().chain([serves]).collect();
                return Judged { verdict: OptionVerdict::No, reasons };
            }
        };
        let objections = advice.against(approach);
        let reasons = objections.iter().map(|one| (one.rule.reason, one.rule.sources)).collect();
        let ruled_out = || objections.iter().filter(|one| one.rule.effect == Effect::RulesOut);
        let verdict = if advice.outcome == Recommendation::Advised(approach) {
            OptionVerdict::Advised
        } else if ruled_out().any(|one| one.assumes.is_empty()) {
            OptionVerdict::No
        } else if ruled_out().next().is_some() {
            let mut assumed: Vec<Question> =
                ruled_out().flat_map(|one| one.assumes.clone()).collect();
            assumed.dedup();
            OptionVerdict::MayBeRuledOut(assumed)
        } else if objections.is_empty() {
            OptionVerdict::WouldDo
        } else {
            OptionVerdict::LessSuited
        };
        Judged { verdict, reasons }
    }
}

/// An option that keeps others away from a change, and does nothing to make it whole.
pub struct Excluder {
    /// The reasons why it is no answer by itself.
    pub lacks: &'static [(&'static str, &'static [Source])],
    /// The use that it has beside the answer.
    pub serves: &'static str,
}

static DISTRIBUTED_LOCK: Excluder = Excluder {
    lacks: &[
        (
            "A lock isolates: it keeps others away. It undoes nothing. Where its holder stops after \
             the payment and before the stock, the books disagree, with the lock or without.",
            &[TRANSACTIONS],
        ),
        (
            "A lock that expires can have two holders, because the first one may be slow and not \
             dead. Each service would have to refuse old fencing tokens.",
            &[FENCING],
        ),
    ],
    serves: "It can spare two workers the same work, where a mistake costs only time.",
};

static OPTIMISTIC_LOCKING: Excluder = Excluder {
    lacks: &[(
        "A version number finds out that somebody else has written the same row of one database. \
         Across databases each check is a commit of its own: the first has committed when the second \
         one fails.",
        &[TRANSACTIONS, ISOLATION],
    )],
    serves: "Within one database it finds lost updates: in a local transaction, or in a step of a \
             saga, as the countermeasure `re-read value`.",
};
