//! The advice for programs: one JSON document.

use std::collections::BTreeMap;

use serde::Serialize;

use super::AdviceReport;
use super::advice::{Applied, Objection, Recommendation, Turn};
use super::approach::Approach;
use super::case::Question;
use super::figures::Figures;
use super::rules::Effect;
use super::works::Source;

/// The document.
#[derive(Serialize)]
pub struct AdviceDocument<'a> {
    advice: &'static str,
    in_words: String,
    too_little_known: bool,
    answers: BTreeMap<&'static str, String>,
    read_as: BTreeMap<&'static str, String>,
    reasons: Vec<ReasonDocument>,
    against: Vec<Against>,
    considered: Vec<OptionDocument>,
    watch_for: Vec<CareDocument>,
    countermeasures: Vec<CareDocument>,
    unknown: Vec<UnknownDocument>,
    turns: Vec<TurnDocument>,
    ways_out: Vec<Vec<TurnDocument>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<&'a Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct ReasonDocument {
    reason: &'static str,
    sources: Vec<String>,
}

#[derive(Serialize)]
struct Against {
    approach: Approach,
    rule: &'static str,
    effect: Effect,
    #[serde(flatten)]
    reason: ReasonDocument,
    assumes: Vec<&'static str>,
}

#[derive(Serialize)]
struct OptionDocument {
    option: String,
    verdict: &'static str,
    reasons: Vec<ReasonDocument>,
}

#[derive(Serialize)]
struct CareDocument {
    name: &'static str,
    what: &'static str,
    sources: Vec<String>,
    assumes: Vec<&'static str>,
}

#[derive(Serialize)]
struct UnknownDocument {
    question: &'static str,
    matters: bool,
    turns: Vec<TurnDocument>,
}

#[derive(Serialize)]
struct TurnDocument {
    question: &'static str,
    to: String,
    advice: &'static str,
}

impl<'a> AdviceDocument<'a> {
    /// The document that tells an advice.
    pub fn of(report: &'a AdviceReport) -> Self {
        let advice = &report.advice;
        let words = |word: &dyn Fn(Question) -> String| {
            Question::ALL.iter().map(|question| (question.key(), word(*question))).collect()
        };
        let reasons = match advice.outcome {
            Recommendation::Advised(one) => vec![reason(one.promise(), one.sources())],
            Recommendation::NothingFits => Vec::new(),
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
            considered: judged(report),
            watch_for: advice.watch.iter().map(care_told).collect(),
            countermeasures: advice.countermeasures.iter().map(care_told).collect(),
            unknown: (advice.unknowns.iter())
                .map(|unknown| UnknownDocument {
                    question: unknown.question.key(),
                    matters: unknown.matters,
                    turns: unknown.turns.iter().map(turn).collect(),
                })
                .collect(),
            turns: advice.turns.iter().map(turn).collect(),
            ways_out: advice.ways_out.iter().map(|way| way.iter().map(turn).collect()).collect(),
            figures: report.figures.as_ref(),
            note: report.note.as_deref(),
        }
    }
}

fn reason(reason: &'static str, sources: &[Source]) -> ReasonDocument {
    ReasonDocument { reason, sources: sources.iter().map(ToString::to_string).collect() }
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

fn judged(report: &AdviceReport) -> Vec<OptionDocument> {
    let each = report.considered.iter().map(|option| {
        let judged = option.judged(&report.advice);
        OptionDocument {
            option: option.name(),
            verdict: judged.verdict.name(),
            reasons: judged.reasons.iter().map(|(why, sources)| reason(why, sources)).collect(),
        }
    });
    each.collect()
}

fn care_told(Applied { care, assumes }: &Applied) -> CareDocument {
    let sources = care.sources.iter().map(ToString::to_string).collect();
    CareDocument { name: care.name, what: care.what, sources, assumes: keys(assumes) }
}

fn turn(turn: &Turn) -> TurnDocument {
    let Turn { question, to, outcome } = turn;
    TurnDocument { question: question.key(), to: to.clone(), advice: outcome.name() }
}
