//! The questions, in the terminal.

use std::io::{self, BufRead, Write};

use clap::builder::PossibleValue;

use super::case::{PartialAnswers, Question, UNKNOWN};
use crate::cli::screen::wrapped;

/// The columns that the questions take at most.
const COLUMNS: usize = 79;

/// Asks each of the questions, and keeps the answers. False if the input ends before.
///
/// # Errors
/// When the input cannot be read, or the questions cannot be written.
pub fn ask(
    questions: &[Question],
    given: &mut PartialAnswers,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> io::Result<bool> {
    writeln!(
        output,
        "A number or a word answers. ? says why it is asked; an empty line: not known."
    )?;
    for (nth, question) in questions.iter().enumerate() {
        let options = question.options();
        writeln!(output)?;
        show(&format!("{}/{} ", nth + 1, questions.len()), question.asks(), output)?;
        for (number, option) in options.iter().enumerate() {
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            let head = format!("    {}  {:<16}", number + 1, option.get_name());
            show(&head, &help, output)?;
        }
        loop {
            write!(output, "  > ")?;
            output.flush()?;
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                writeln!(output)?;
                return Ok(false);
            }
            if line.trim() == "?" {
                show("    ", question.why(), output)?;
                continue;
            }
            match given.answer(*question, &meant(line.trim(), &options)) {
                Ok(()) => break,
                Err(why) => show("    ", &why, output)?,
            }
        }
    }
    writeln!(output)?;
    Ok(true)
}

/// The word for a typed answer.
fn meant(typed: &str, options: &[PossibleValue]) -> String {
    if typed.is_empty() {
        return UNKNOWN.to_owned();
    }
    let number = typed.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let option = number.and_then(|nth| options.get(nth));
    option.map_or(typed.to_lowercase(), |option| option.get_name().to_owned())
}

/// A text behind a head, that goes on under itself.
fn show(head: &str, text: &str, output: &mut impl Write) -> io::Result<()> {
    let indent = head.chars().count();
    for (nth, part) in wrapped(text, COLUMNS - indent).iter().enumerate() {
        let head = if nth == 0 { head } else { "" };
        writeln!(output, "{head:indent$}{part}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::case::{Answer, HowMany, Readers, Undo};
    use super::*;

    fn asked(typed: &str) -> (PartialAnswers, bool, String) {
        let (mut given, mut output) = (PartialAnswers::default(), Vec::new());
        let questions = [Question::HowMany, Question::Readers, Question::Undo];
        let all = ask(&questions, &mut given, &mut typed.as_bytes(), &mut output).unwrap();
        (given, all, String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_number_a_word_or_an_empty_line_answers() {
        let (given, all, said) = asked("2\n Strict \n\n");
        assert!(all, "{said}");
        assert_eq!(given.participants, Some(Answer::Known(HowMany::Few)));
        assert_eq!(given.readers, Some(Answer::Known(Readers::Strict)));
        assert_eq!(given.undo, Some(Answer::<Undo>::Unknown));
        let long: Vec<&str> = said.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(long, [""; 0]);
    }

    #[test]
    fn a_question_is_explained_and_asked_again() {
        let (given, all, said) = asked("?\n9\nfwe\nfew\nstrict\n2\n");
        assert!(all, "{said}");
        assert!(said.contains("One alone needs no distributed transaction"), "{said}");
        assert!(said.contains("`9` is no answer here; there are `one`"), "{said}");
        assert!(said.contains("`fwe` is no answer here; did you mean `few`?"), "{said}");
        assert_eq!(given.undo, Some(Answer::Known(Undo::AllButOne)));
    }

    #[test]
    fn the_end_of_the_input_ends_the_questions() {
        for typed in ["", "2\n", "2\n\n?\n"] {
            let (given, all, _) = asked(typed);
            assert!(!all && given.undo.is_none());
        }
        // Typed without a line feed before the end.
        let (given, all, _) = asked("2\n1\n1");
        assert!(all && given.undo == Some(Answer::Known(Undo::EveryStep)));
    }
}
