//! Care: the risks to watch for with an approach, and the countermeasures against its gaps.

use super::approach::Approach::{self, Choreography, OneDatabase, Saga, Tcc, TwoPhase};
use super::case::{
    Case, Contention, HowLong, HowMany, Outage, Prepare, Readers, ServiceOwners, Undo,
};
use super::works::{
    COMMIT, CONSENSUS, DATABASE_EACH, EVOLUTION, HELLAND, ISOLATION, MOHAN, OUTBOX, REPLICATION,
    SAGAS, SAGAS_OF_SERVICES, Source, TRANSACTIONS,
};

/// Something to take care of.
pub struct Care {
    pub name: &'static str,
    /// The approaches that need it.
    pub of: &'static [Approach],
    /// The cases of these in which it applies.
    pub when: fn(&Case) -> bool,
    pub what: &'static str,
    pub sources: &'static [Source],
}

const ALWAYS: fn(&Case) -> bool = |_| true;
const SAGAS_BOTH: &[Approach] = &[Choreography, Saga];

/// Advice on a risk to watch for.
pub static WATCH: &[Care] = &[
    Care {
        name: "a transaction stays short",
        of: &[OneDatabase],
        when: |case| case.duration != HowLong::Seconds,
        what: "Hold no transaction open for that long. Cut the work into short transactions, keep \
               where it stands in a row, and publish the result in the last one.",
        sources: &[SAGAS],
    },
    Care {
        name: "one team writes a table",
        of: &[OneDatabase],
        when: |case| case.services == ServiceOwners::SeveralTeams,
        what: "Tables that several teams write couple their releases. What must change together is \
               best owned by one service and one team.",
        sources: &[DATABASE_EACH],
    },
    Care {
        name: "a database that is down",
        of: &[OneDatabase],
        when: |case| case.outage == Outage::GoOn,
        what: "The database is the one part that must be up. Replicate it, and let a second machine \
               take over.",
        sources: &[REPLICATION],
    },
    Care {
        name: "in doubt",
        of: &[TwoPhase],
        when: ALWAYS,
        what: "While the coordinator is down, prepared participants are in doubt and keep their \
               locks. Alert on the age of prepared branches, and restart the coordinator on the \
               same log.",
        sources: &[MOHAN, COMMIT, CONSENSUS],
    },
    Care {
        name: "reads across participants",
        of: &[TwoPhase, Tcc],
        when: |case| case.readers == Readers::Strict,
        what: "The commits arrive one after the other. A reader who asks the participants in turn \
               can see one before and one after: let it ask twice, and believe two equal answers \
               with nothing held.",
        sources: &[TRANSACTIONS],
    },
    Care {
        name: "outages add up",
        of: &[TwoPhase, Tcc],
        when: ALWAYS,
        what: "A change waits while any participant is down, and is aborted at its deadline. Set \
               the deadline to what a client can wait for.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Care {
        name: "held until the decision",
        of: &[Tcc],
        when: ALWAYS,
        what: "A reservation is a promise: a participant that lets it expire may break what is \
               already decided. It asks the coordinator for the outcome instead.",
        sources: &[MOHAN, COMMIT],
    },
    Care {
        name: "what is reserved is missing",
        of: &[Tcc],
        when: ALWAYS,
        what: "Until the decision nobody knows whether what is reserved will be sold. Others are \
               refused for it, even if it is cancelled later: count them.",
        sources: &[HELLAND],
    },
    Care {
        name: "undone is not unhappened",
        of: SAGAS_BOTH,
        when: ALWAYS,
        what: "A compensation is a new change, not a rollback: others may have seen and used what \
               it takes back. Agree with the business what a cancelled order looks like.",
        sources: &[SAGAS, SAGAS_OF_SERVICES],
    },
    Care {
        name: "no refused compensation",
        of: SAGAS_BOTH,
        when: ALWAYS,
        what: "A compensation must not be refused. It is repeated until it is done, and an operator is \
               called where that takes too long.",
        sources: &[SAGAS, SAGAS_OF_SERVICES],
    },
    Care {
        name: "more than once",
        of: &[TwoPhase, Choreography, Saga, Tcc],
        when: ALWAYS,
        what: "Each message can arrive twice, late and out of order. Every operation has to be \
               idempotent, which the barrier and the inbox of Wholly do.",
        sources: &[HELLAND],
    },
    Care {
        name: "sagas that outlive a release",
        of: &[Saga],
        when: |case| case.duration == HowLong::Longer,
        what: "Some will run while a new version is deployed. Old operations and events have to be \
               understood until the last of them has ended.",
        sources: &[EVOLUTION],
    },
    Care {
        name: "calls to other companies",
        of: &[Saga, Tcc],
        when: |case| case.services == ServiceOwners::OtherCompanies,
        what: "A call that was not answered may have taken effect. Send a key that makes it \
               idempotent, or ask what became of it before you repeat it.",
        sources: &[HELLAND],
    },
    Care {
        name: "where it stands",
        of: &[Choreography],
        when: ALWAYS,
        what: "No single place knows where a change stands. Follow the events by correlation: \
               `wholly serve` observes feeds, and `wholly check` finds events that nobody reacts to.",
        sources: &[SAGAS_OF_SERVICES],
    },
];

/// The countermeasures.
pub static COUNTERMEASURES: &[Care] = &[
    Care {
        name: "outbox",
        of: &[OneDatabase, Choreography],
        when: ALWAYS,
        what: "Write the event into a table of the same database, in the transaction that makes it \
               true, and send it from there. So neither happens without the other.",
        sources: &[OUTBOX],
    },
    Care {
        name: "semantic lock",
        of: SAGAS_BOTH,
        when: ALWAYS,
        what: "Mark what is not final yet, for example by a state `pending`, so that others wait, \
               refuse or warn. The last step or the compensation removes the mark.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Care {
        name: "pivot order",
        of: &[Saga],
        when: |case| case.undo == Undo::AllButOne,
        what: "Put the step that cannot be undone, the pivot, after all steps that can be undone, \
               and after it only steps that nobody refuses: they are repeated until they are done.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Care {
        name: "pessimistic view",
        of: &[Saga],
        when: |case| case.duration != HowLong::Seconds,
        what: "Order the steps so that what would hurt most if it were seen too early comes last: \
               take stock away first, raise a credit last.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Care {
        name: "commutative updates",
        of: &[OneDatabase, Choreography, Saga, Tcc],
        when: |case| case.contention == Contention::Hot,
        what: "Add and subtract with a check (stock >= 2), and never write a value that was read \
               before: then the order of the updates does not matter, and the row is locked briefly.",
        sources: &[ISOLATION, SAGAS_OF_SERVICES],
    },
    Care {
        name: "re-read value",
        of: &[Saga],
        when: |case| case.duration != HowLong::Seconds,
        what: "Before a step overwrites a row, read it again, and start over where another has \
               changed it meanwhile: optimistic locking within a step.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Care {
        name: "version file",
        of: &[Choreography],
        when: ALWAYS,
        what: "Record operations that arrive out of order, so that a cancellation which comes first \
               wins over the action that it cancels. The barrier of Wholly does it.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Care {
        name: "by value",
        of: SAGAS_BOTH,
        when: |case| case.prepare != Prepare::NotAll && case.outage == Outage::MayWait,
        what: "Decide by what is at risk: run the few changes of high value in two phases, or by \
               TCC, and the others as sagas.",
        sources: &[SAGAS_OF_SERVICES],
    },
    Care {
        name: "short locks",
        of: &[TwoPhase],
        when: ALWAYS,
        what: "Do all other work before the first prepare, so that locks last only for the votes. \
               Let all changes lock rows in the same order, so that they do not wait for each other \
               in a circle.",
        sources: &[ISOLATION],
    },
    Care {
        name: "read-only votes",
        of: &[TwoPhase, Tcc],
        when: |case| case.participants == HowMany::Many,
        what: "A participant that changed nothing votes read-only, and has no part in the second \
               phase.",
        sources: &[MOHAN],
    },
    Care {
        name: "tentative operations",
        of: &[Tcc],
        when: ALWAYS,
        what: "Keep what is reserved beside what is there: available is the stock less what is \
               reserved. Confirming and cancelling change both, and nobody refuses them.",
        sources: &[HELLAND],
    },
];
