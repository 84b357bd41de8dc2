//! All cases, and the properties of each.

use std::collections::BTreeSet;

use super::advice::{Advice, Recommendation, ranked};
use super::approach::Approach::{self, Choreography, OneDatabase, Saga, Tcc, TwoPhase};
use super::care::{COUNTERMEASURES, WATCH};
use super::case::{
    Answer, Answers, Case, Contention, Databases, HowLong, HowMany, Outage, PartialAnswers,
    Prepare, Question, Readers, ServiceOwners, Undo,
};
use super::considered::{Considered, OptionVerdict};
use super::file;
use super::rules::{Effect, RULES, Rule};

fn all_cases() -> Vec<Case> {
    Answers::UNKNOWN.completions()
}

/// The answers of a case, of which these are not known.
fn answers(case: &Case, unknown: &[Question]) -> Answers {
    let mut given = PartialAnswers::default();
    for question in Question::ALL {
        let word = case.word(*question);
        let word = if unknown.contains(question) { super::case::UNKNOWN } else { &word };
        given.answer(*question, word).unwrap();
    }
    given.complete().unwrap()
}

/// All answers, and each question's are unknown in some.
fn all_answers() -> Vec<Answers> {
    let sets = (0..1_u32 << Question::ALL.len()).map(|set| {
        let unknown = |nth: &usize| set & (1 << nth) != 0;
        (0..Question::ALL.len()).filter(unknown).map(|nth| Question::ALL[nth]).collect::<Vec<_>>()
    });
    let of = |unknown: Vec<Question>| {
        let read_as = Answers::UNKNOWN.carefully();
        let same = move |case: &Case, unknown: &[Question]| {
            unknown.iter().all(|question| case.word(*question) == read_as.word(*question))
        };
        let cases = all_cases().into_iter().filter(|case| same(case, &unknown));
        cases.map(|case| answers(&case, &unknown)).collect::<Vec<_>>()
    };
    sets.flat_map(of).collect()
}

fn rules_out(rule: &Rule, approach: Approach, case: &Case) -> bool {
    rule.effect == Effect::RulesOut && rule.approaches.contains(&approach) && (rule.when)(case)
}

fn differences(one: &Case, other: &Case) -> usize {
    Question::ALL.iter().filter(|question| one.word(**question) != other.word(**question)).count()
}

#[test]
fn each_case_has_one_outcome_with_a_reason_that_has_a_source() {
    let cases = all_cases();
    assert_eq!(cases.len(), 5_832);
    assert_eq!(cases.iter().collect::<std::collections::HashSet<_>>().len(), cases.len());
    let mut outcomes = BTreeSet::new();
    for case in cases {
        let advice = Advice::on(answers(&case, &[]));
        assert_eq!(advice.outcome, Recommendation::of(&case));
        assert!(advice.unknowns.is_empty() && !advice.too_little_known);
        match advice.outcome {
            Recommendation::Advised(approach) => {
                assert!(!approach.promise().is_empty() && !approach.sources().is_empty());
                assert!(!advice.countermeasures.is_empty() || approach == OneDatabase, "{case:?}");
                assert!(RULES.iter().all(|rule| !rules_out(rule, approach, &case)));
                assert!(advice.ways_out.is_empty());
            }
            Recommendation::NothingFits => {
                for approach in Approach::ALL {
                    let ruled_out = advice.against(approach).iter();
                    let mut ruled_out =
                        ruled_out.filter(|one| rules_out(one.rule, approach, &case));
                    assert!(ruled_out.any(|one| !one.rule.sources.is_empty()), "{case:?}");
                }
                assert!(!advice.ways_out.is_empty() && advice.watch.is_empty());
            }
        }
        outcomes.insert(advice.outcome);
    }
    let all = Approach::ALL.map(Recommendation::Advised);
    let all: BTreeSet<Recommendation> =
        all.into_iter().chain([Recommendation::NothingFits]).collect();
    assert_eq!(outcomes, all, "an outcome that no case has");
}

#[test]
fn each_rule_decides_a_case_and_each_care_is_taken_in_one() {
    let cases = all_cases();
    for rule in RULES {
        let without = || RULES.iter().filter(|other| other.name != rule.name);
        let decides = |case: &&Case| ranked(case, without()).first() != ranked(case, RULES).first();
        assert!(cases.iter().any(|case| decides(&case)), "{} decides nothing", rule.name);
        assert!(!rule.sources.is_empty(), "{}", rule.name);
    }
    for care in WATCH.iter().chain(COUNTERMEASURES) {
        for approach in care.of {
            let needed = |case: &Case| {
                Recommendation::of(case) == Recommendation::Advised(*approach) && (care.when)(case)
            };
            assert!(cases.iter().any(needed), "{} with {approach:?}", care.name);
        }
        assert!(!care.sources.is_empty(), "{}", care.name);
    }
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
}

#[test]
fn the_laws_hold_in_each_case() {
    for case in all_cases() {
        let outcome = Recommendation::of(&case);
        let is = |approaches: &[Approach]| {
            approaches.iter().any(|approach| outcome == Recommendation::Advised(*approach))
        };
        let law = |name: &str, holds: bool| assert!(holds, "{name}: {case:?} gives {outcome}");
        let one = case.participants == HowMany::One || case.databases == Databases::CouldBeOne;
        law("one database, where there can be one", one == is(&[OneDatabase]));
        if case.readers == Readers::Strict || case.undo == Undo::SeveralCannot {
            law("no saga where steps are seen or cannot be undone", !is(&[Saga, Choreography]));
        }
        if case.outage == Outage::GoOn {
            law("nothing that waits for all", !is(&[TwoPhase, Tcc]));
        }
        if case.prepare != Prepare::All || case.duration != HowLong::Seconds {
            law("no locks without a promise, or for long", !is(&[TwoPhase]));
        }
        if case.services == ServiceOwners::OtherCompanies || case.contention == Contention::Hot {
            law("no locks of others, or on hot rows", !is(&[TwoPhase]));
        }
        if case.prepare == Prepare::NotAll {
            law("no reservation that nobody makes", !is(&[TwoPhase, Tcc]));
        }
        if case.undo == Undo::AllButOne {
            law("the pivot's order is in one place", !is(&[Choreography]));
        }
        if case.readers == Readers::Tolerant && case.undo != Undo::SeveralCannot {
            law(
                "a saga always fits where steps may be seen and undone",
                outcome != Recommendation::NothingFits,
            );
        }
    }
}

/// A case that demands less is never worse off.
#[test]
fn who_demands_less_is_never_left_without_advice() {
    for case in
        all_cases().iter().filter(|case| Recommendation::of(case) != Recommendation::NothingFits)
    {
        for easier in [
            Case { readers: Readers::Tolerant, ..*case },
            Case { undo: Undo::EveryStep, ..*case },
            Case { prepare: Prepare::All, ..*case },
            Case { outage: Outage::MayWait, ..*case },
            Case { duration: HowLong::Seconds, ..*case },
            Case { contention: Contention::Rare, ..*case },
            Case { databases: Databases::CouldBeOne, ..*case },
        ] {
            assert_ne!(
                Recommendation::of(&easier),
                Recommendation::NothingFits,
                "{case:?} to {easier:?}"
            );
        }
    }
}

#[test]
fn what_is_unknown_never_turns_out_to_rule_the_advice_out() {
    let all = all_answers();
    assert_eq!(all.len(), 3 * 3 * 3 * 4_usize.pow(6));
    for answers in all {
        let Recommendation::Advised(approach) = Recommendation::of(&answers.carefully()) else {
            continue;
        };
        for case in answers.completions() {
            let mut rules = RULES.iter();
            assert!(rules.all(|rule| !rules_out(rule, approach, &case)), "{answers:?}: {case:?}");
        }
    }
}

#[test]
fn an_unknown_answer_matters_where_it_can_turn_the_outcome() {
    // Each pair of questions, in cases that are far from each other.
    for case in all_cases().iter().step_by(97) {
        for (nth, one) in Question::ALL.iter().enumerate() {
            for other in &Question::ALL[nth..] {
                let answers = answers(case, &[*one, *other]);
                let outcomes: BTreeSet<Recommendation> =
                    answers.completions().iter().map(Recommendation::of).collect();
                let advice = Advice::on(answers);
                let matters = advice.unknowns.iter().any(|unknown| unknown.matters);
                assert_eq!(matters, outcomes.len() > 1, "{answers:?}");
                let fits = outcomes.iter().any(|outcome| *outcome != Recommendation::NothingFits);
                let nothing = advice.outcome == Recommendation::NothingFits;
                assert_eq!(advice.too_little_known, nothing && fits, "{answers:?}");
            }
        }
    }
}

/// Against all other cases, not by turning one answer.
#[test]
fn what_would_turn_the_advice_is_all_that_would() {
    let cases = all_cases();
    for case in cases.iter().step_by(61) {
        let advice = Advice::on(answers(case, &[]));
        let neighbours = cases.iter().filter(|other| differences(case, other) == 1);
        let turned = neighbours.filter(|other| Recommendation::of(other) != advice.outcome);
        assert_eq!(advice.turns.len(), turned.count(), "{case:?}");
        if advice.outcome == Recommendation::NothingFits {
            let fitting =
                cases.iter().filter(|one| Recommendation::of(one) != Recommendation::NothingFits);
            let nearest = fitting.map(|other| differences(case, other)).min().unwrap();
            assert_eq!(advice.ways_out[0].len(), nearest, "{case:?}");
        }
    }
}

/// Cases that the literature has an answer to.
#[test]
fn known_cases_have_the_known_answer() {
    let shop = Case {
        participants: HowMany::Few,
        databases: Databases::OneOwner,
        readers: Readers::Tolerant,
        undo: Undo::EveryStep,
        prepare: Prepare::All,
        outage: Outage::MayWait,
        duration: HowLong::Seconds,
        contention: Contention::Rare,
        services: ServiceOwners::OneTeam,
    };
    let strict = Case { readers: Readers::Strict, ..shop };
    let available = Case { outage: Outage::GoOn, ..shop };
    let teams = Case { services: ServiceOwners::SeveralTeams, ..available };
    let fits = Recommendation::Advised;
    for (name, case, outcome) in [
        ("two databases of one team", shop, fits(TwoPhase)),
        ("the same on hot rows", Case { contention: Contention::Hot, ..shop }, fits(Saga)),
        ("money between two ledgers", strict, fits(TwoPhase)),
        ("the same on hot rows", Case { contention: Contention::Hot, ..strict }, fits(Tcc)),
        ("the same for minutes", Case { duration: HowLong::Minutes, ..strict }, fits(Tcc)),
        (
            "seats and rooms of other companies",
            Case {
                services: ServiceOwners::OtherCompanies,
                prepare: Prepare::CouldReserve,
                undo: Undo::SeveralCannot,
                ..shop
            },
            fits(Tcc),
        ),
        ("a shop that stays open", available, fits(Saga)),
        ("three independent teams", teams, fits(Choreography)),
        ("the same with a pivot", Case { undo: Undo::AllButOne, ..teams }, fits(Saga)),
        ("the same for days", Case { duration: HowLong::Longer, ..teams }, fits(Saga)),
        ("seven teams", Case { participants: HowMany::Many, ..teams }, fits(Saga)),
        ("one service and a mail", Case { participants: HowMany::One, ..shop }, fits(OneDatabase)),
        (
            "strict readers of what cannot prepare",
            Case { prepare: Prepare::NotAll, ..strict },
            Recommendation::NothingFits,
        ),
        (
            "two steps that cannot be undone, and no prepare",
            Case { undo: Undo::SeveralCannot, prepare: Prepare::NotAll, ..shop },
            Recommendation::NothingFits,
        ),
        (
            "atomic and available in an outage",
            Case { outage: Outage::GoOn, ..strict },
            Recommendation::NothingFits,
        ),
    ] {
        assert_eq!(Recommendation::of(&case), outcome, "{name}");
    }
}

#[test]
fn the_lesson_has_the_lessons_answer() {
    let given = file::lesson().unwrap();
    let answers = given.complete().unwrap();
    let advice = Advice::on(answers);
    assert_eq!(advice.outcome, Recommendation::Advised(Saga));
    // Questions that the lesson leaves open make no difference to its answer.
    for case in answers.completions() {
        let outcome = Recommendation::of(&case);
        assert!([Saga, Choreography].map(Recommendation::Advised).contains(&outcome), "{outcome}");
    }
    let verdict = |option: Considered| option.judged(&advice).verdict;
    let options = given.considered.unwrap();
    let verdicts: Vec<OptionVerdict> = options.iter().copied().map(verdict).collect();
    let no = OptionVerdict::No;
    assert_eq!(verdicts, [no.clone(), OptionVerdict::Advised, no.clone(), no]);
    for option in options {
        let reasons = option.judged(&advice).reasons;
        assert!(
            reasons.iter().any(|(_, sources)| !sources.is_empty()) || option == Considered::Saga
        );
    }
    assert_eq!(answers.services, Answer::Unknown);
}
