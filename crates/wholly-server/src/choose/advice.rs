//! Advice: the rules' word on a case, its reasons, and the answers that would turn it.
//!
//! INVARIANT: what is unknown is read carefully, so no rule rules out the advised approach, whatever
//! the unknown answers turn out to be.

use std::fmt;

use super::approach::Approach;
use super::care::{COUNTERMEASURES, Care, WATCH};
use super::case::{Answers, Case, Question};
use super::rules::{Effect, RULES, Rule};

/// The outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Recommendation {
    Advised(Approach),
    NothingFits,
}

impl Recommendation {
    /// The outcome of a case.
    pub fn of(case: &Case) -> Self {
        ranked(case, RULES).first().map_or(Self::NothingFits, |best| Self::Advised(*best))
    }

    /// The name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Advised(approach) => approach.name(),
            Self::NothingFits => "nothing-fits",
        }
    }
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Advised(approach) => approach.in_words(),
            Self::NothingFits => "nothing fits",
        })
    }
}

/// The approaches that no rule rules out, the best first.
pub fn ranked<'a>(case: &Case, rules: impl IntoIterator<Item = &'a Rule>) -> Vec<Approach> {
    let holding: Vec<&Rule> = rules.into_iter().filter(|rule| (rule.when)(case)).collect();
    let count = |approach: Approach, effect: Effect| {
        let of = |rule: &&&Rule| rule.effect == effect && rule.approaches.contains(&approach);
        holding.iter().filter(of).count()
    };
    let mut left: Vec<Approach> = Approach::ALL.to_vec();
    left.retain(|approach| count(*approach, Effect::RulesOut) == 0);
    // Equals keep their order.
    left.sort_by_key(|approach| count(*approach, Effect::SpeaksAgainst));
    left
}

/// The advice on a case.
pub struct Advice {
    pub answers: Answers,
    /// The careful reading of the answers.
    pub read_as: Case,
    pub outcome: Recommendation,
    /// Nothing fits for certain, but something would with certain answers to what is unknown.
    pub too_little_known: bool,
    /// The approach to compare it with.
    pub alternative: Option<Approach>,
    /// The rules that speak against each approach.
    objections: Vec<(Approach, Vec<Objection>)>,
    pub watch: Vec<Applied>,
    pub countermeasures: Vec<Applied>,
    /// Single known answers that would turn the advice.
    pub turns: Vec<Turn>,
    pub unknowns: Vec<Unknown>,
    /// The fewest other answers with which an approach fits, where none does, the smallest first;
    /// only to what is unknown, where that can be enough.
    pub ways_out: Vec<Vec<Turn>>,
}

/// A rule that holds, and the unknown answers by whose careful reading it does.
pub struct Objection {
    pub rule: &'static Rule,
    pub assumes: Vec<Question>,
}

/// Care to take, and the unknown answers by whose careful reading it applies.
pub struct Applied {
    pub care: &'static Care,
    pub assumes: Vec<Question>,
}

/// Another answer to a question, and the outcome with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub question: Question,
    pub to: String,
    pub outcome: Recommendation,
}

/// A question whose answer is unknown.
pub struct Unknown {
    pub question: Question,
    /// Its answers that would turn the advice by themselves.
    pub turns: Vec<Turn>,
    /// Its answer makes a difference, at least with certain answers to the other unknown questions.
    pub matters: bool,
}

impl Advice {
    /// The advice on these answers.
    pub fn on(answers: Answers) -> Self {
        let read_as = answers.carefully();
        let outcome = Recommendation::of(&read_as);
        let unknown: Vec<Question> = answers.unknown().collect();
        let advised = match outcome {
            Recommendation::Advised(approach) => Some(approach),
            Recommendation::NothingFits => None,
        };
        let objections = |approach| (approach, objections(approach, &read_as, &unknown));
        let care = |of: &'static [Care]| {
            advised.map(|one| applied(of, one, &read_as, &unknown)).unwrap_or_default()
        };
        let known = Question::ALL.iter().filter(|question| !unknown.contains(question));
        let completions = answers.completions();
        let too_little_known =
            advised.is_none() && completions.iter().any(|case| Recommendation::of(case) != outcome);
        Self {
            answers,
            outcome,
            too_little_known,
            alternative: advised.and_then(alternative),
            objections: Approach::ALL.map(objections).into(),
            watch: care(WATCH),
            countermeasures: care(COUNTERMEASURES),
            turns: known.flat_map(|question| turns(&read_as, *question)).collect(),
            unknowns: (unknown.iter().copied())
                .map(|question| Unknown {
                    question,
                    turns: turns(&read_as, question),
                    matters: completions.iter().any(|case| !turns(case, question).is_empty()),
                })
                .collect(),
            ways_out: match outcome {
                Recommendation::Advised(_) => Vec::new(),
                Recommendation::NothingFits if too_little_known => ways_out(&read_as, &unknown),
                Recommendation::NothingFits => ways_out(&read_as, Question::ALL),
            },
            read_as,
        }
    }
}

impl Advice {
    /// The rules that speak against an approach; those against the advised one are outweighed.
    pub fn against(&self, approach: Approach) -> &[Objection] {
        let of = self.objections.iter().find(|(one, _)| *one == approach);
        of.map_or(&[], |(_, objections)| objections)
    }
}

/// The rules that speak against an approach. What is only assumed is left out where something known
/// rules the approach out.
fn objections(approach: Approach, case: &Case, unknown: &[Question]) -> Vec<Objection> {
    let holding =
        RULES.iter().filter(|rule| rule.approaches.contains(&approach) && (rule.when)(case));
    let mut all: Vec<Objection> = holding
        .map(|rule| Objection { rule, assumes: assumed(rule.when, case, unknown) })
        .collect();
    let known = |one: &Objection| one.assumes.is_empty() && one.rule.effect == Effect::RulesOut;
    if all.iter().any(known) {
        all.retain(|one| one.assumes.is_empty());
    }
    all.sort_by_key(|one| one.rule.effect != Effect::RulesOut);
    all
}

/// The care that the approach needs.
fn applied(
    of: &'static [Care],
    approach: Approach,
    case: &Case,
    unknown: &[Question],
) -> Vec<Applied> {
    let applies = |care: &&Care| care.of.contains(&approach) && (care.when)(case);
    let assumed = |care: &'static Care| assumed(care.when, case, unknown);
    of.iter().filter(applies).map(|care| Applied { care, assumes: assumed(care) }).collect()
}

/// The unknown answers without whose careful reading the condition would not hold.
fn assumed(when: fn(&Case) -> bool, case: &Case, unknown: &[Question]) -> Vec<Question> {
    let decides = |question: &Question| case.turned(*question).iter().any(|turned| !when(turned));
    unknown.iter().copied().filter(decides).collect()
}

/// The other answers to a question that turn the outcome.
fn turns(case: &Case, question: Question) -> Vec<Turn> {
    let now = Recommendation::of(case);
    let turned = case.turned(question).into_iter();
    let turned = turned.map(|case| (Recommendation::of(&case), case));
    turned
        .filter(|(outcome, _)| *outcome != now)
        .map(|(outcome, case)| Turn { question, to: case.word(question), outcome })
        .collect()
}

/// The smallest sets of other answers to these questions with which something fits: for each
/// approach, as far as two answers are enough, and else of the first size with which any does.
fn ways_out(case: &Case, questions: &[Question]) -> Vec<Vec<Turn>> {
    let mut ways: Vec<Vec<Turn>> = Vec::new();
    // The questions turned, in their order, and those left to turn.
    let mut tried: Vec<(Vec<Question>, Case, &[Question])> = vec![(Vec::new(), *case, questions)];
    for size in 1..=questions.len() {
        let mut next = Vec::new();
        for (turned, case, rest) in &tried {
            for (nth, question) in rest.iter().enumerate() {
                let turned = [turned.as_slice(), &[*question]].concat();
                let cases = case.turned(*question).into_iter();
                next.extend(cases.map(|case| (turned.clone(), case, &rest[nth + 1..])));
            }
        }
        let fits = next
            .iter()
            .filter(|(_, case, _)| Recommendation::of(case) != Recommendation::NothingFits);
        let new: Vec<Vec<Turn>> = (fits.map(|(turned, case, _)| way(turned, case)))
            .filter(|way| !ways.iter().any(|smaller| says_no_more(smaller, way)))
            .collect();
        ways.extend(new);
        if size >= 2 && !ways.is_empty() {
            break;
        }
        tried = next;
    }
    ways
}

/// True if the larger way has the outcome of the smaller one, or contains it.
fn says_no_more(smaller: &[Turn], way: &[Turn]) -> bool {
    let same = |one: &Turn, other: &Turn| one.question == other.question && one.to == other.to;
    let is_part = smaller.iter().all(|one| way.iter().any(|other| same(one, other)));
    is_part || smaller.iter().zip(way).any(|(one, other)| one.outcome == other.outcome)
}

fn way(turned: &[Question], case: &Case) -> Vec<Turn> {
    let outcome = Recommendation::of(case);
    let turn =
        |question: &Question| Turn { question: *question, to: case.word(*question), outcome };
    turned.iter().map(turn).collect()
}

/// The approach that people would weigh it against, measured under another regime.
fn alternative(advised: Approach) -> Option<Approach> {
    match advised {
        Approach::OneDatabase => None,
        Approach::TwoPhase | Approach::Tcc => Some(Approach::Saga),
        Approach::Choreography | Approach::Saga => Some(Approach::TwoPhase),
    }
}
