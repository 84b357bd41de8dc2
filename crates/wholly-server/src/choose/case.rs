//! A case: the answers that decide between the approaches.
//!
//! A case is read in three steps, each a type: [`PartialAnswers`] may lack answers, in [`Answers`] there is one
//! to each question, which may be "I do not know", and a [`Case`] knows all. The list at the end of
//! this file is the only one: flags, keys of the file, questions in the terminal and the tests are
//! made of it.

use std::fmt;
use std::marker::PhantomData;

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::considered::Considered;

/// The word of "I do not know".
pub const UNKNOWN: &str = "unknown";

/// The place of the data that must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Databases {
    /// All of it could live in one database; others only have to be told.
    CouldBeOne,
    /// In several databases that one owner operates.
    OneOwner,
    /// In databases with an owner each, who alone may look into them and repair them.
    SeveralOwners,
}

/// The number of services or databases that change together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum HowMany {
    /// One.
    One,
    /// Two to four.
    Few,
    /// Five or more.
    Many,
}

/// The tolerance of readers for intermediate states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Readers {
    /// Yes: an order may be seen as pending for a while.
    Tolerant,
    /// No: nobody may see one part changed and another not yet.
    Strict,
}

/// The steps that can be undone afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Undo {
    /// Every step can: by a refund, a release, a cancellation.
    EveryStep,
    /// One step cannot. It would be the pivot, after which there is no way back.
    AllButOne,
    /// Two or more steps cannot.
    SeveralCannot,
}

/// The participants' ability to promise a commit, and to keep the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Prepare {
    /// Each can prepare: by XA, by PREPARE TRANSACTION, or by an operation of its own.
    All,
    /// Not each, but each could reserve what it is asked for: stock, money, a seat.
    CouldReserve,
    /// At least one can do neither.
    NotAll,
}

/// The demand on a change while a participant is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Outage {
    /// The change must be accepted, and go on as far as it can.
    GoOn,
    /// The change may wait, or be refused.
    MayWait,
}

/// The time that the whole change takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum HowLong {
    /// Milliseconds to seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours or days, for instance where people take part.
    Longer,
}

/// The rivalry of changes for the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Contention {
    /// Two changes rarely want the same row.
    Rare,
    /// Many want the same row at once: a best-seller, one account of the house.
    Hot,
}

/// The owners of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum ServiceOwners {
    /// One team.
    OneTeam,
    /// Several teams of one company.
    SeveralTeams,
    /// Other companies own some.
    OtherCompanies,
}

/// An answer, which may be that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer<T> {
    Known(T),
    Unknown,
}

impl<T: ValueEnum> Answer<T> {
    /// The answer that a word gives.
    fn of(word: &str) -> Result<Self, String> {
        if word == UNKNOWN { Ok(Self::Unknown) } else { read(word, &[UNKNOWN]).map(Self::Known) }
    }

    fn word(&self) -> String {
        match self {
            Self::Known(value) => word(value),
            Self::Unknown => UNKNOWN.to_owned(),
        }
    }
}

impl<'de, T: ValueEnum> Deserialize<'de> for Answer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word<T>(PhantomData<T>);
        impl<T: ValueEnum> Visitor<'_> for Word<T> {
            type Value = Answer<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "one of {}", words::<T>(&[UNKNOWN]))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Answer<T>, E> {
                Answer::of(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Word(PhantomData))
    }
}

/// Reads a word of a list; the message of a wrong one names the word that was meant, or all.
pub fn read<T: ValueEnum>(text: &str, besides: &[&str]) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let known: Vec<String> = T::value_variants().iter().map(word).collect();
        let all = known.iter().map(String::as_str).chain(besides.iter().copied());
        match wholly_core::nearest(text, all) {
            Some((_, right)) => format!("`{text}` is no answer here; did you mean `{right}`?"),
            None => format!("`{text}` is no answer here; there are {}", words::<T>(besides)),
        }
    })
}

/// The word of a value, as flags and files have it.
pub fn word<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}

fn words<T: ValueEnum>(besides: &[&str]) -> String {
    let words = T::value_variants().iter().map(|value| format!("`{}`", word(value)));
    let all: Vec<String> = words.chain(besides.iter().map(|word| format!("`{word}`"))).collect();
    all.join(", ")
}

/// The parser of a flag.
fn parser<T: ValueEnum + Send + Sync + 'static>() -> impl TypedValueParser<Value = Answer<T>> {
    let unknown = PossibleValue::new(UNKNOWN).help("I do not know");
    let all = options::<T>().into_iter().chain([unknown]);
    PossibleValuesParser::new(all).try_map(|word| Answer::of(&word))
}

fn options<T: ValueEnum>() -> Vec<PossibleValue> {
    T::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect()
}

macro_rules! questions {
    ($($Type:ident $field:ident, careful $Careful:ident, asks $asks:literal, why $why:literal;)+) => {
        /// A question.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Question { $($Type),+ }

        impl Question {
            /// The questions, in the order in which they are asked.
            pub const ALL: &[Self] = &[$(Self::$Type),+];

            /// The name of the key; the flag's has hyphens.
            pub fn key(self) -> &'static str {
                match self { $(Self::$Type => stringify!($field)),+ }
            }

            /// The question itself.
            pub fn asks(self) -> &'static str {
                match self { $(Self::$Type => $asks),+ }
            }

            /// The reason why it is asked.
            pub fn why(self) -> &'static str {
                match self { $(Self::$Type => $why),+ }
            }

            /// The answers to it, but for "I do not know".
            pub fn options(self) -> Vec<PossibleValue> {
                match self { $(Self::$Type => options::<$Type>()),+ }
            }
        }

        /// All answers, each of which is known.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Case { $(pub $field: $Type),+ }

        impl Case {
            /// The word of an answer.
            pub fn word(&self, question: Question) -> String {
                match question { $(Question::$Type => word(&self.$field)),+ }
            }

            /// The cases with each other answer to a question.
            pub fn turned(&self, question: Question) -> Vec<Self> {
                match question {
                    $(Question::$Type => {
                        let others = $Type::value_variants().iter();
                        let others = others.filter(|value| **value != self.$field);
                        others.map(|value| Self { $field: *value, ..*self }).collect()
                    })+
                }
            }
        }

        /// An answer to each question.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Answers { $(pub $field: Answer<$Type>),+ }

        impl Answers {
            /// Nothing is known.
            #[cfg(test)]
            pub const UNKNOWN: Self = Self { $($field: Answer::Unknown),+ };

            /// The careful reading: in the place of what is unknown, the answer that rules out most.
            pub fn carefully(&self) -> Case {
                Case { $($field: match self.$field {
                    Answer::Known(value) => value,
                    Answer::Unknown => $Type::$Careful,
                }),+ }
            }

            /// The word of an answer.
            pub fn word(&self, question: Question) -> String {
                match question { $(Question::$Type => self.$field.word()),+ }
            }
        }

        /// The answers that were given so far, and the options that somebody considered.
        #[derive(Clone, Debug, Default, clap::Args, serde::Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub struct PartialAnswers {
            $(
                #[arg(long, value_name = "ANSWER", help = $asks, value_parser = parser::<$Type>())]
                pub $field: Option<Answer<$Type>>,
            )+
            /// Options that were considered: the output says of each whether it answers, and why.
            #[arg(long, value_name = "OPTION", value_enum, value_delimiter = ',')]
            pub considered: Option<Vec<Considered>>,
        }

        impl PartialAnswers {
            /// These answers, and the others' where there are none.
            pub fn or(self, others: Self) -> Self {
                Self {
                    $($field: self.$field.or(others.$field),)+
                    considered: self.considered.or(others.considered),
                }
            }

            /// Answers a question by a word.
            pub fn answer(&mut self, question: Question, word: &str) -> Result<(), String> {
                match question {
                    $(Question::$Type => self.$field = Some(Answer::of(word)?)),+
                }
                Ok(())
            }

            /// An answer to each question, or the questions that lack one.
            pub fn complete(&self) -> Result<Answers, Vec<Question>> {
                let answers = (|| Some(Answers { $($field: self.$field?),+ }))();
                answers.ok_or_else(|| {
                    let open = [$((Question::$Type, self.$field.is_none())),+];
                    open.into_iter().filter_map(|(one, is_open)| is_open.then_some(one)).collect()
                })
            }
        }
    };
}

questions! {
    HowMany participants, careful Many,
        asks "How many services or databases must change together?",
        why "One alone needs no distributed transaction. Each further one must be up when all must \
             vote, and makes a flow of events harder to follow.";
    Databases databases, careful SeveralOwners,
        asks "Where does the data live that must agree?",
        why "A local transaction in one database is the simplest answer that there is. Where there \
             are several databases, their owner has to end what a crash leaves in doubt.";
    Readers readers, careful Strict,
        asks "May readers see intermediate states?",
        why "A saga commits step by step, and readers see the steps. Two-phase commit and TCC commit \
             nothing until all participants have agreed.";
    Undo undo, careful SeveralCannot,
        asks "Which steps cannot be undone afterwards? Do not count steps that nobody can refuse, \
              such as sending a mail: they come last and are repeated until they are done.",
        why "A saga goes back by undoing what was done. It can contain one step that cannot be \
             undone, the pivot; after a second one it could neither go on nor go back.";
    Prepare prepare, careful NotAll,
        asks "Can each participant promise to commit, and keep the promise until it is told?",
        why "The promise is what two-phase commit is made of. A database keeps it by locks, a \
             service by a reservation: that is TCC.";
    Outage outage, careful GoOn,
        asks "What must happen while a participant is down?",
        why "Two-phase commit and TCC need the vote of every participant. A saga does what it can, \
             and the rest when the participant is back.";
    HowLong duration, careful Longer,
        asks "How long does the whole change last?",
        why "Two-phase commit holds locks from the first prepare until the end. Others wait for them.";
    Contention contention, careful Hot,
        asks "How contended are the rows that change?",
        why "A row that is locked until all have voted serves one change after the other.";
    ServiceOwners services, careful OtherCompanies,
        asks "Who owns the services?",
        why "Locks reach across teams, and nobody lets another company hold them. Teams that want \
             to stay independent can react to each other's events; other companies answer calls.";
}

impl Question {
    /// The flag that answers it.
    pub fn flag(self) -> String {
        format!("--{}", self.key())
    }
}

impl Answers {
    /// The questions whose answer is unknown.
    pub fn unknown(&self) -> impl Iterator<Item = Question> {
        Question::ALL.iter().copied().filter(|question| self.word(*question) == UNKNOWN)
    }

    /// All cases that these answers can turn out to be; the careful reading is the first.
    pub fn completions(&self) -> Vec<Case> {
        self.unknown().fold(vec![self.carefully()], |cases, question| {
            let each = |case: Case| [vec![case], case.turned(question)].concat();
            cases.into_iter().flat_map(each).collect()
        })
    }
}
