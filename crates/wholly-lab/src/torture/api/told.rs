//! All that clients were ever told, and where it contradicts itself.
//!
//! A decision that was told is never told otherwise, whoever asks and in whatever order. What else
//! is told only grows: an answer to what was asked after something was known must know it, too.
//! Answers to what was asked before may be older, for answers overtake each other.

use std::collections::BTreeMap;

use serde_json::Value;

/// An answer's word on one transaction. What the answer does not say is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) id: String,
    pub(super) key: Option<String>,
    pub(super) state: Option<String>,
    /// A transaction that has come so far, or further.
    pub(super) at_least: bool,
    pub(super) settled: Option<bool>,
    /// Every record, as text.
    pub(super) history: Option<Vec<String>>,
}

impl Statement {
    /// The word of a submission's answer, of a transaction or of a row of a list.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let history = value.get("history").and_then(Value::as_array);
        Some(Self {
            id: value.as_str().map(str::to_owned).or_else(|| text("id"))?,
            key: text("key"),
            state: text("state"),
            at_least: false,
            settled: value.get("settled").and_then(Value::as_bool),
            history: history.map(|records| records.iter().map(Value::to_string).collect()),
        })
    }

    /// The answer to who turned it back, whether it was back already or not.
    pub(super) fn turned_back(id: &str, is_saga: bool) -> Self {
        let state = if is_saga { "compensating" } else { "aborted" };
        Self { id: id.to_owned(), state: Some(state.to_owned()), at_least: true, ..Self::default() }
    }

    pub(super) fn for_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }
}

/// A moment in the order in which clients asked and heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Moment {
    /// A question of before any answer: anything that ever was may be told.
    pub(super) const BEFORE_ALL: Self = Self(0);
}

#[derive(Debug, Default)]
pub(super) struct Testimony {
    heard: u64,
    by_id: BTreeMap<String, KnownSince>,
    by_key: BTreeMap<String, String>,
    contradictions: Vec<String>,
}

/// The knowledge of a transaction, and since when.
#[derive(Debug)]
struct KnownSince {
    since: Moment,
    key: Option<String>,
    /// The decision, once and for all.
    decision: Option<String>,
    /// The furthest state.
    state: Option<(Moment, String)>,
    settled: Option<Moment>,
    history: Vec<String>,
    /// The length that it had, when.
    lengths: Vec<(Moment, usize)>,
}

impl Testimony {
    /// The moment in which somebody asks.
    pub(super) fn now(&self) -> Moment {
        Moment(self.heard)
    }

    /// The number of answers that were kept.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// The answers to each client, by its key.
    pub(super) fn id_of(&self, key: &str) -> Option<&str> {
        self.by_key.get(key).map(String::as_str)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(String::as_str)
    }

    /// The state that was told last, of those that go furthest.
    pub(super) fn state_of(&self, id: &str) -> Option<&str> {
        let known = self.by_id.get(id)?;
        known.state.as_ref().map(|(_, state)| state.as_str()).or(known.decision.as_deref())
    }

    pub(super) fn contradictions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.contradictions)
    }

    /// There is none with this id, says an answer to what was asked then.
    pub(super) fn hear_unknown(&mut self, asked: Moment, id: &str) {
        self.heard += 1;
        if self.by_id.get(id).is_some_and(|known| known.since < asked) {
            self.contradict(id, "it was known, and is not any more");
        }
    }

    /// Adds an answer to what was asked then.
    pub(super) fn hear(&mut self, asked: Moment, told: &Statement) {
        let now = Moment(self.heard);
        self.heard += 1;
        let id = told.id.as_str();
        if let Some(key) = &told.key {
            let first = self.by_key.entry(key.clone()).or_insert_with(|| told.id.clone());
            if *first != told.id {
                let other = first.clone();
                self.contradict(id, &format!("its key {key} gave {other}, too"));
            }
        }
        let known = self.by_id.entry(told.id.clone()).or_insert_with(|| KnownSince {
            since: now,
            key: None,
            decision: None,
            state: None,
            settled: None,
            history: Vec::new(),
            lengths: Vec::new(),
        });
        let found = known.hear(now, asked, told);
        found.into_iter().for_each(|found| self.contradict(id, &format!("{found}: {told:?}")));
    }

    /// There are so many records, or more, says what was heard last.
    pub(super) fn hear_length(&mut self, id: &str, length: usize) {
        let now = Moment(self.heard.saturating_sub(1));
        if let Some(known) = self.by_id.get_mut(id) {
            known.hear_length(now, length);
        }
    }

    pub(super) fn contradict(&mut self, id: &str, what: &str) {
        self.contradictions.push(format!("what was told of {id} changed: {what}"));
    }
}

impl KnownSince {
    fn hear(&mut self, now: Moment, asked: Moment, told: &Statement) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(key) = &told.key
            && self.key.get_or_insert_with(|| key.clone()) != key
        {
            found.push(format!("its key was {:?} and is {key}", self.key));
        }
        if let Some(state) = &told.state {
            found.extend(self.hear_state(now, asked, state, told.at_least));
        }
        match (told.settled, self.settled) {
            (Some(true), None) => self.settled = Some(now),
            (Some(false), Some(since)) if since < asked => {
                found.push("it had settled, and has not".to_owned());
            }
            _ => {}
        }
        if let Some(history) = &told.history {
            found.extend(self.hear_history(now, asked, history));
        }
        found
    }

    fn hear_state(
        &mut self,
        now: Moment,
        asked: Moment,
        state: &str,
        at_least: bool,
    ) -> Option<String> {
        if let Some(decision) = decision(state) {
            let before = self.decision.get_or_insert_with(|| decision.to_owned());
            if before != decision {
                return Some(format!("{before} was decided, and it is {state}"));
            }
        }
        match &self.state {
            Some((_, before)) if progress(state) > progress(before) => {}
            Some((since, before)) => {
                let is_less = !at_least && progress(state) < progress(before) && *since < asked;
                return is_less.then(|| format!("it was {before}, and is {state}"));
            }
            None => {}
        }
        self.state = Some((now, state.to_owned()));
        None
    }

    fn hear_history(&mut self, now: Moment, asked: Moment, history: &[String]) -> Option<String> {
        let common = self.history.len().min(history.len());
        if self.history[..common] != history[..common] {
            let (was, is) = (&self.history, history);
            return Some(format!("its history was {was:?}, and is {is:?}"));
        }
        let due = self.lengths.iter().rev().find(|(since, _)| *since < asked);
        if let Some((_, due)) = due.filter(|(_, due)| history.len() < *due) {
            return Some(format!("its history had {due} records, and has {}", history.len()));
        }
        if history.len() > self.history.len() {
            self.history = history.to_vec();
        }
        self.hear_length(now, history.len());
        None
    }

    fn hear_length(&mut self, now: Moment, length: usize) {
        if self.lengths.last().is_none_or(|(_, known)| *known < length) {
            self.lengths.push((now, length));
        }
    }
}

/// The decision of this state, once and for all.
fn decision(state: &str) -> Option<&str> {
    match state {
        "compensating" => Some("compensated"),
        "committed" | "aborted" | "completed" | "compensated" => Some(state),
        _ => None,
    }
}

pub(super) fn progress(state: &str) -> u8 {
    match state {
        "committed" | "aborted" | "completed" | "compensated" => 3,
        "compensating" => 2,
        "prepared" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(value: Value) -> Statement {
        Statement::of(&value).unwrap()
    }

    /// The contradictions when this is told, each asked after the last was heard.
    fn after_each_other(told: &[Statement]) -> Vec<String> {
        let mut testimony = Testimony::default();
        for told in told {
            testimony.hear(testimony.now(), told);
        }
        testimony.contradictions()
    }

    #[test]
    fn what_only_grows_is_no_contradiction() {
        let told = [
            told(json!({"id": "a"})).for_key("k"),
            told(json!("a")),
            told(json!({"id": "a", "key": "k", "state": "init", "settled": false,
                "history": [1]})),
            told(json!({"id": "a", "state": "committed", "settled": false, "history": [1, 2]})),
            told(json!({"id": "a", "state": "committed", "settled": true, "history": [1, 2, 3]})),
            told(json!({"id": "b", "state": "compensating"})).for_key("l"),
            told(json!({"id": "b", "state": "compensated", "settled": true})),
            Statement::turned_back("b", true),
        ];
        assert_eq!(after_each_other(&told), [""; 0]);
    }

    #[test]
    fn what_is_taken_back_is_a_contradiction() {
        let cases = [
            (json!({"id": "a", "state": "committed"}), json!({"id": "a", "state": "aborted"})),
            (json!({"id": "a", "state": "committed"}), json!({"id": "a", "state": "init"})),
            (json!({"id": "a", "state": "compensating"}), json!({"id": "a", "state": "completed"})),
            (json!({"id": "a", "settled": true}), json!({"id": "a", "settled": false})),
            (json!({"id": "a", "history": [1, 2]}), json!({"id": "a", "history": [1]})),
            (json!({"id": "a", "history": [1, 2]}), json!({"id": "a", "history": [1, 3]})),
            (json!({"id": "a", "key": "k"}), json!({"id": "b", "key": "k"})),
            (json!({"id": "a", "key": "k"}), json!({"id": "a", "key": "l"})),
        ];
        let running = told(json!({"id": "a", "state": "running"}));
        assert_eq!(after_each_other(&[Statement::turned_back("a", true), running]).len(), 1);
        let completed = told(json!({"id": "a", "state": "completed"}));
        assert_eq!(after_each_other(&[Statement::turned_back("a", true), completed]).len(), 1);
        for (first, second) in cases {
            let found = after_each_other(&[told(first.clone()), told(second.clone())]);
            assert_eq!(found.len(), 1, "{first}, {second}: {found:?}");
        }
    }

    #[test]
    fn an_older_answer_may_come_later_but_not_decide_otherwise() {
        let mut testimony = Testimony::default();
        let asked = testimony.now();
        let committed =
            json!({"id": "a", "state": "committed", "settled": true, "history": [1, 2]});
        testimony.hear(asked, &told(committed));
        testimony.hear_unknown(asked, "a");
        let older = json!({"id": "a", "state": "init", "settled": false, "history": [1]});
        testimony.hear(asked, &told(older));
        assert_eq!(testimony.contradictions(), [""; 0]);
        testimony.hear(asked, &told(json!({"id": "a", "state": "aborted"})));
        assert_eq!(testimony.contradictions().len(), 1);
        testimony.hear_unknown(testimony.now(), "a");
        assert_eq!(testimony.contradictions().len(), 1);
    }
}
