//! The advice for people: a page for the terminal.

use super::AdviceReport;
use super::advice::{Applied, Objection, Recommendation, Turn, Unknown};
use super::approach::Approach;
use super::care::Care;
use super::case::Question;
use super::considered::OptionVerdict;
use super::figures::Figures;
use super::works::{Source, Work};
use crate::cli::screen::{Paint, Screen, wrapped};

/// The columns of an option that was considered.
const OPTION: usize = 20;

/// The most lines of one kind that would have to change.
const WAYS_SHOWN: usize = 10;

/// A stand-in for a space at which a line is not broken.
const TOGETHER: char = '\u{a0}';

/// A page that is being written.
pub struct AdvicePage<'a> {
    screen: &'a Screen,
    told: &'a AdviceReport,
    width: usize,
    text: String,
    cited: Vec<Work>,
}

impl<'a> AdvicePage<'a> {
    /// The page that tells an advice.
    pub fn of(told: &'a AdviceReport, screen: &'a Screen) -> String {
        // Without a terminal, 80 columns are right for documents and mails.
        let width = screen.width().unwrap_or(80).clamp(40, 100);
        let mut page = Self { screen, told, width, text: String::new(), cited: Vec::new() };
        page.outcome();
        page.considered();
        page.others();
        page.turns();
        page.unknowns();
        page.care("What to watch for", &told.advice.watch, |_| None);
        page.care("Countermeasures", &told.advice.countermeasures, |care| Some(care.name));
        page.figures();
        page.end();
        page.text
    }

    fn outcome(&mut self) {
        let advice = &self.told.advice;
        match advice.outcome {
            Recommendation::Advised(approach) => {
                let painted = self.screen.paint(Paint::Good, approach.in_words());
                self.line(&format!("Advice: {painted}"));
                self.line("");
                self.item("", Paint::Plain, approach.promise(), approach.sources());
                for Objection { rule, .. } in advice.against(approach) {
                    self.line("");
                    let text = format!("In spite of this: {}", rule.reason);
                    self.item("", Paint::Plain, &text, rule.sources);
                }
            }
            Recommendation::NothingFits if advice.too_little_known => {
                self.line(&self.screen.paint(Paint::Undone, "Too little is known."));
                let text = "What is unknown may rule out each of the approaches.";
                self.item("", Paint::Plain, text, &[]);
            }
            Recommendation::NothingFits => {
                self.line(&self.screen.paint(Paint::Bad, "Nothing fits."));
                let text = "Each approach is ruled out. Something in the case has to change first.";
                self.item("", Paint::Plain, text, &[]);
            }
        }
        self.ways_out();
    }

    fn ways_out(&mut self) {
        let ways = &self.told.advice.ways_out;
        if ways.is_empty() {
            return;
        }
        let unknown = self.told.advice.too_little_known;
        self.heading(if unknown { "What to find out" } else { "What would have to change" });
        let flags = |way: &Vec<Turn>| way.iter().map(flag).collect::<Vec<_>>().join(" ");
        let shown = &ways[..ways.len().min(WAYS_SHOWN)];
        let columns = shown.iter().map(|way| flags(way).len()).max().unwrap_or(0);
        for way in shown {
            let outcome = way.first().map_or(Recommendation::NothingFits, |turn| turn.outcome);
            let head = format!("  {:<columns$}  ", flags(way));
            // Beside many flags there is no room.
            if columns + 30 <= self.width {
                self.item(&head, Paint::Plain, &outcome.to_string(), &[]);
            } else {
                self.item("  ", Paint::Plain, &format!("{}: {outcome}", head.trim()), &[]);
            }
        }
        if ways.len() > WAYS_SHOWN {
            let more = format!("and {} more, which --json shows", ways.len() - WAYS_SHOWN);
            self.item("  ", Paint::Plain, &more, &[]);
        }
    }

    fn considered(&mut self) {
        let told = self.told;
        if told.considered.is_empty() {
            return;
        }
        self.heading("The options that were considered");
        for option in &told.considered {
            let judged = option.judged(&told.advice);
            let (paint, verdict) = verdict(&judged.verdict, told.advice.outcome);
            let head = self.screen.cell(paint, &option.name(), OPTION);
            let (mut head, mut verdict) = (format!("  {head}"), verdict);
            // The reasons of the advice stand above.
            if judged.verdict == OptionVerdict::Advised || judged.reasons.is_empty() {
                self.hanging(&head, OPTION + 2, Paint::Plain, &verdict, &[]);
                continue;
            }
            for (reason, sources) in judged.reasons {
                self.hanging(&head, OPTION + 2, Paint::Plain, &(verdict + reason), sources);
                (head, verdict) = (" ".repeat(OPTION + 2), String::new());
            }
        }
    }

    fn others(&mut self) {
        let told = self.told;
        let shown = |one: &Approach| {
            told.advice.outcome != Recommendation::Advised(*one)
                && !told.advice.against(*one).is_empty()
                && !told.considered.iter().any(|other| other.is().ok() == Some(*one))
        };
        let others: Vec<Approach> = Approach::ALL.into_iter().filter(shown).collect();
        // One database needs no reasons against larger approaches.
        if others.is_empty()
            || told.advice.outcome == Recommendation::Advised(Approach::OneDatabase)
        {
            return;
        }
        let nothing = told.advice.outcome == Recommendation::NothingFits;
        self.heading(if nothing { "Why none fits" } else { "Why not another" });
        for approach in others {
            let mut head = format!("  {:<14}", approach.name());
            for Objection { rule, assumes } in told.advice.against(approach) {
                let reason = format!("{}{}", self.supposed(assumes), rule.reason);
                self.item(&head, Paint::Plain, &reason, rule.sources);
                head = " ".repeat(16);
            }
        }
    }

    fn care(&mut self, title: &str, all: &[Applied], name: impl Fn(&Care) -> Option<&'static str>) {
        if !all.is_empty() {
            self.heading(title);
        }
        for Applied { care, assumes } in all {
            let name = name(care).map(|name| format!("{name}: ")).unwrap_or_default();
            let text = format!("{name}{}{}", self.supposed(assumes), care.what);
            self.item("  - ", Paint::Plain, &text, care.sources);
        }
    }

    fn unknowns(&mut self) {
        let told = self.told;
        if told.advice.unknowns.is_empty() {
            return;
        }
        self.heading("What is not known");
        for Unknown { question, turns, matters } in &told.advice.unknowns {
            let says = match (turns.as_slice(), matters) {
                ([], false) => "makes no difference to the advice".to_owned(),
                ([], true) => "makes a difference with certain other answers".to_owned(),
                (turns, _) => {
                    let turned = |turn: &Turn| format!("with {}: {}", turn.to, turn.outcome);
                    turns.iter().map(turned).collect::<Vec<_>>().join("; ")
                }
            };
            let read_as = told.advice.read_as.word(*question);
            let head = format!("  {:<14}", question.key());
            self.item(&head, Paint::Plain, &format!("read as {read_as}; {says}"), &[]);
        }
    }

    fn turns(&mut self) {
        let turns = &self.told.advice.turns;
        // If nothing fits, the necessary changes stand above.
        if turns.is_empty() || self.told.advice.outcome == Recommendation::NothingFits {
            return;
        }
        self.heading("What would turn the advice");
        for turn in turns {
            self.item(
                &format!("  {:<30}", flag(turn)),
                Paint::Plain,
                &turn.outcome.to_string(),
                &[],
            );
        }
    }

    fn figures(&mut self) {
        if let Some(note) = &self.told.note {
            self.line("");
            self.item("", Paint::Quiet, note, &[]);
        }
        let Some(figures) = &self.told.figures else { return };
        let Figures { age, quick, complete, regimes, lines } = figures;
        let age = age.as_ref().map(|age| format!(", {age} ago")).unwrap_or_default();
        let kind = match (quick, complete) {
            (false, true) => "",
            (true, true) => " (a quick run)",
            (_, false) => " (a run that was broken off)",
        };
        self.heading(&format!("Measured on this machine by wholly compare{age}{kind}"));
        let row = |what: &str, [one, other]: [&str; 2]| format!("  {what:<36}{one:<18}{other}");
        self.line(&self.screen.paint(Paint::Quiet, &row("", *regimes)));
        for line in lines {
            let [one, other] = &line.values;
            let values = [one, other].map(|value| value.as_deref().unwrap_or("-"));
            self.line(&row(line.what, values));
        }
    }

    fn end(&mut self) {
        self.cited.sort();
        self.cited.dedup();
        self.heading("Sources");
        for work in std::mem::take(&mut self.cited) {
            self.item("  - ", Paint::Quiet, work.title(), &[]);
        }
        self.heading("This case again");
        let answers = &self.told.advice.answers;
        let mut flags: Vec<String> = Question::ALL
            .iter()
            .map(|question| format!("{}{TOGETHER}{}", question.flag(), answers.word(*question)))
            .collect();
        let considered: Vec<String> = self.told.considered.iter().map(|one| one.name()).collect();
        if !considered.is_empty() {
            flags.push(format!("--considered{TOGETHER}{}", considered.join(",")));
        }
        let command = format!("wholly{TOGETHER}choose {}", flags.join(" "));
        // A shell reads a line that goes on behind a backslash.
        let lines = wrapped(&command, self.width - 6);
        for (nth, line) in lines.iter().enumerate() {
            let indent = if nth == 0 { "  " } else { "    " };
            let end = if nth + 1 == lines.len() { "" } else { " \\" };
            self.line(&format!("{indent}{}{end}", line.replace(TOGETHER, " ")));
        }
    }

    fn heading(&mut self, title: &str) {
        self.line("");
        self.line(&self.screen.paint(Paint::Title, title));
    }

    fn line(&mut self, line: &str) {
        self.text += line.trim_end();
        self.text += "\n";
    }

    /// The unknown answers for which something holds.
    fn supposed(&self, assumes: &[Question]) -> String {
        let read_as = &self.told.advice.read_as;
        let each = assumes.iter().map(|one| format!("{} {}", one.key(), read_as.word(*one)));
        let each: Vec<String> = each.collect();
        if each.is_empty() { String::new() } else { format!("With {}: ", each.join(" and ")) }
    }

    /// A text with its sources behind a plain head.
    fn item(&mut self, head: &str, paint: Paint, text: &str, sources: &[Source]) {
        self.hanging(head, head.chars().count(), paint, text, sources);
    }

    /// A text with its sources behind a head of `indent` columns, that goes on under itself.
    fn hanging(&mut self, head: &str, indent: usize, paint: Paint, text: &str, sources: &[Source]) {
        self.cited.extend(sources.iter().map(|source| source.work));
        let cited: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let text = match cited.as_slice() {
            [] => text.to_owned(),
            cited => format!("{text} [{}]", cited.join("; ")),
        };
        let mut head = head.to_owned();
        for part in wrapped(&text, self.width - indent) {
            self.line(&format!("{head}{}", self.screen.paint(paint, &part)));
            head = " ".repeat(indent);
        }
    }
}

fn flag(turn: &Turn) -> String {
    format!("{} {}", turn.question.flag(), turn.to)
}

fn keys(questions: &[Question]) -> String {
    let keys: Vec<&str> = questions.iter().map(|question| question.key()).collect();
    keys.join(", ")
}

/// The colour of an option, and the beginning of its reasons.
fn verdict(verdict: &OptionVerdict, outcome: Recommendation) -> (Paint, String) {
    match verdict {
        OptionVerdict::Advised => (Paint::Good, "Yes, this is the advice.".to_owned()),
        OptionVerdict::WouldDo => {
            let says = format!("It would do, with more to write and to run than {outcome}.");
            (Paint::Undone, says)
        }
        OptionVerdict::LessSuited => (Paint::Undone, "It would do, but suits less. ".to_owned()),
        OptionVerdict::MayBeRuledOut(assumed) => {
            (Paint::Undone, format!("Not as long as this is unknown: {}. ", keys(assumed)))
        }
        OptionVerdict::No => (Paint::Bad, "No. ".to_owned()),
    }
}
