//! The rules: one table of conditions that rule out or speak against approaches, with sources.
//!
//! Of the approaches that no rule rules out, the one is advised that the fewest rules speak against;
//! of equals, the first in the order of [`Approach`], which has the least to write and to run.

use super::approach::Approach::{self, Choreography, OneDatabase, Saga, Tcc, TwoPhase};
use super::case::{
    Case, Contention, Databases, HowLong, HowMany, Outage, Prepare, Readers, ServiceOwners, Undo,
};
use super::works::{CONSENSUS, HELLAND, ISOLATION, MOHAN, SAGAS, SAGAS_OF_SERVICES, Source};

/// A rule.
pub struct Rule {
    pub name: &'static str,
    pub when: fn(&Case) -> bool,
    pub effect: Effect,
    pub approaches: &'static [Approach],
    pub reason: &'static str,
    pub sources: &'static [Source],
}

/// The effect of a rule on approaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    RulesOut,
    SpeaksAgainst,
}

use Effect::{RulesOut, SpeaksAgainst};

pub static RULES: &[Rule] = &[
    Rule {
        name: "separate-databases",
        when: |case| case.participants != HowMany::One && case.databases != Databases::CouldBeOne,
        effect: RulesOut,
        approaches: &[OneDatabase],
        reason: "The data stays in several databases, and a local transaction ends at the border of \
                 one.",
        sources: &[HELLAND],
    },
    Rule {
        name: "readers-see-no-steps",
        when: |case| case.readers == Readers::Strict,
        effect: RulesOut,
        approaches: &[Choreography, Saga],
        reason: "A saga commits step by step, and others see its intermediate states: it has no \
                 isolation.",
        sources: &[SAGAS, SAGAS_OF_SERVICES],
    },
    Rule {
        name: "one-pivot",
        when: |case| case.undo == Undo::SeveralCannot,
        effect: RulesOut,
        approaches: &[Choreography, Saga],
        reason: "When the second step that cannot be undone is refused, the saga can neither go on \
                 nor undo the first. It can contain one such step, the pivot.",
        sources: &[SAGAS, SAGAS_OF_SERVICES],
    },
    Rule {
        name: "no-prepare",
        when: |case| case.prepare != Prepare::All,
        effect: RulesOut,
        approaches: &[TwoPhase],
        reason: "A participant that cannot prepare cannot promise to commit. Many databases and \
                 brokers have no prepare.",
        sources: &[MOHAN, SAGAS_OF_SERVICES],
    },
    Rule {
        name: "no-reservation",
        when: |case| case.prepare == Prepare::NotAll,
        effect: RulesOut,
        approaches: &[Tcc],
        reason: "A participant that cannot reserve has no tentative operation that could be \
                 confirmed or cancelled.",
        sources: &[HELLAND],
    },
    Rule {
        name: "all-must-be-up",
        when: |case| case.outage == Outage::GoOn,
        effect: RulesOut,
        approaches: &[TwoPhase, Tcc],
        reason: "All participants have to vote before any commits. While one is down, the change \
                 waits, and is aborted at its deadline.",
        sources: &[MOHAN, SAGAS_OF_SERVICES],
    },
    Rule {
        name: "locks-last",
        when: |case| case.duration != HowLong::Seconds,
        effect: RulesOut,
        approaches: &[TwoPhase],
        reason: "Locks would be held for all that time, and short transactions would wait for the \
                 long one.",
        sources: &[SAGAS],
    },
    Rule {
        name: "locks-of-others",
        when: |case| case.services == ServiceOwners::OtherCompanies,
        effect: RulesOut,
        approaches: &[TwoPhase],
        reason: "A coordinator that is lost leaves locks in the participants until an administrator \
                 ends them by hand. Another company's database has no administrator of yours.",
        sources: &[CONSENSUS],
    },
    Rule {
        name: "hot-rows",
        when: |case| case.contention == Contention::Hot,
        effect: SpeaksAgainst,
        approaches: &[TwoPhase],
        reason: "Each hot row is locked until all have voted and the decision is back, so it serves \
                 one change after the other.",
        sources: &[ISOLATION, CONSENSUS],
    },
    Rule {
        name: "locks-of-other-teams",
        when: |case| case.services == ServiceOwners::SeveralTeams,
        effect: SpeaksAgainst,
        approaches: &[TwoPhase],
        reason: "The locks of one team's service wait for the services of the others, so a failure \
                 of one team's spreads to all.",
        sources: &[CONSENSUS, SAGAS_OF_SERVICES],
    },
    Rule {
        name: "in-doubt-elsewhere",
        when: |case| case.databases == Databases::SeveralOwners,
        effect: SpeaksAgainst,
        approaches: &[TwoPhase],
        reason: "What a crash leaves in doubt holds locks until somebody ends it, and here each \
                 database has another owner who would have to.",
        sources: &[CONSENSUS],
    },
    Rule {
        name: "availability-multiplies",
        when: |case| case.participants == HowMany::Many,
        effect: SpeaksAgainst,
        approaches: &[TwoPhase, Tcc],
        reason: "All have to be up at once, so the availability of the change is the product of \
                 theirs: each further participant lowers it.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Rule {
        name: "many-events",
        when: |case| case.participants == HowMany::Many,
        effect: SpeaksAgainst,
        approaches: &[Choreography],
        reason: "With many services the events run in circles, and no place in the code says how \
                 the whole goes. Choreography suits simple sagas.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Rule {
        name: "pivot-in-one-place",
        when: |case| case.undo == Undo::AllButOne,
        effect: SpeaksAgainst,
        approaches: &[Choreography],
        reason: "What comes before the pivot and what after it has to be right in every service \
                 that reacts. A coordinator has the order in one place.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Rule {
        name: "where-does-it-stand",
        when: |case| case.duration != HowLong::Seconds,
        effect: SpeaksAgainst,
        approaches: &[Choreography],
        reason: "Somebody will ask where a change stands that lasts so long. With events alone no \
                 single place describes the whole.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Rule {
        name: "no-coupling-to-loosen",
        when: |case| case.services == ServiceOwners::OneTeam,
        effect: SpeaksAgainst,
        approaches: &[Choreography],
        reason: "Loose coupling is what choreography gives, and one team needs little of it. What \
                 it costs, a flow that is hard to understand, stays.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Rule {
        name: "events-of-others",
        when: |case| case.services == ServiceOwners::OtherCompanies,
        effect: SpeaksAgainst,
        approaches: &[Choreography],
        reason: "Each service has to subscribe to the events of the others. Another company answers \
                 your calls, and will hardly react to your events.",
        sources: &[SAGAS_OF_SERVICES],
    },
];
