//! The advice for programs: one JSON document.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Told;
use super::advice::{Applied, Objection, Outcome, Turn};
use super::approach::Approach;
use super::case::Question;
use super::figures::Figures;
use super::rules::Effect;
use super::works::Source;

/// The document.
#[derive(Serialize)]
pub struct Document<'a> {
    advice: &'static str,
    in_words: String,
    too_little_known: bool,
    answers: BTreeMap<&'static str, String>,
    read_as: BTreeMap<&'static str, String>,
    reasons: Vec<Reason>,
    against: Vec<Against>,
    considered: Vec<OptionJudged>,
    watch_for: Vec<CareTold>,
    countermeasures: Vec<CareTold>,
    unknown: Vec<UnknownTold>,
    turns: Vec<TurnTold>,
    ways_out: Vec<Vec<TurnTold>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<&'a Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct Reason {
    reason: &'static str,
    sources: Vec<String>,
}

#[derive(Serialize)]
struct Against {
    approach: Approach,
    rule: &'static str,
    effect: Effect,
    #[serde(flatten)]
    reason: Reason,
    assumes: Vec<&'static str>,
}

#[derive(Serialize)]
struct OptionJudged {
    option: String,
    verdict: &'static str,
    reasons: Vec<Reason>,
}

#[derive(Serialize)]
struct CareTold {
    name: &'static str,
    what: &'static str,
    sources: Vec<String>,
    assumes: Vec<&'static str>,
}

#[derive(Serialize)]
struct UnknownTold {
    question: &'static str,
    matters: bool,
    turns: Vec<TurnTold>,
}

#[derive(Serialize)]
struct TurnTold {
    question: &'static str,
    to: String,
    advice: &'static str,
}

impl<'a> Document<'a> {
    /// The document that tells an advice.
    pub fn of(told: &'a Told) -> Self {
        let advice = &told.advice;
        let words = |word: &dyn Fn(Question) -> String| {
            Question::ALL.iter().map(|question| (question.key(), word(*question))).collect()
        };
        let reasons = match advice.outcome {
            Outcome::Advised(one) => vec![reason(one.promise(), one.sources())],
            Outcome::NothingFits => Vec::new(),
        };
        let objections = Approach::ALL.into_iter().flat_map(|approach| {
            advice.against(approach).iter().map(move |objection| against(approach, objection))
        });
        Self {
            advice: advice.outcome.name(),
            in_words: advice.outcome.to_string(),
            too_little_known: advice.too_little_known,
            answers: words(&|question| advice.answers.word(question)),
            read_as: words(&|question| advice.read_as.word(question)),
            reasons,
            against: objections.collect(),
            considered: judged(told),
            watch_for: advice.watch.iter().map(care_told).collect(),
            countermeasures: advice.countermeasures.iter().map(care_told).collect(),
            unknown: (advice.unknowns.iter())
                .map(|unknown| UnknownTold {
                    question: unknown.question.key(),
                    matters: unknown.matters,
                    turns: unknown.turns.iter().map(turn).collect(),
                })
                .collect(),
            turns: advice.turns.iter().map(turn).collect(),
            ways_out: advice.ways_out.iter().map(|way| way.iter().map(turn).collect()).collect(),
            figures: told.figures.as_ref(),
            note: told.note.as_deref(),
        }
    }
}

fn reason(reason: &'static str, sources: &[Source]) -> Reason {
    Reason { reason, sources: sources.iter().map(ToString::to_string).collect() }
}

fn against(approach: Approach, Objection { rule, assumes }: &Objection) -> Against {
    Against {
        approach,
        rule: rule.name,
        effect: rule.effect,
        reason: reason(rule.reason, rule.sources),
        assumes: keys(assumes),
    }
}

fn keys(questions: &[Question]) -> Vec<&'static str> {
    questions.iter().map(|question| question.key()).collect()
}

fn judged(told: &Told) -> Vec<OptionJudged> {
    let each = told.considered.iter().map(|option| {
        let judged = option.judged(&told.advice);
        OptionJudged {
            option: option.name(),
            verdict: judged.verdict.name(),
            reasons: judged.reasons.iter().map(|(why, sources)| reason(why, sources)).collect(),
        }
    });
    each.collect()
}

fn care_told(Applied { care, assumes }: &Applied) -> CareTold {
    let sources = care.sources.iter().map(ToString::to_string).collect();
    CareTold { name: care.name, what: care.what, sources, assumes: keys(assumes) }
}

fn turn(turn: &Turn) -> TurnTold {
    let Turn { question, to, outcome } = turn;
    TurnTold { question: question.key(), to: to.clone(), advice: outcome.name() }
}
