//! A service's declaration of its part in a choreography, in words.

use std::fmt;

use humantime::format_duration;
use wholly_events::{Declaration, Reaction, Timeout};

/// A declaration in words.
pub struct Declared<'a>(pub &'a Declaration);

impl fmt::Display for Declared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Declaration { service, begins, reactions, timeouts, ends, within } = self.0;
        write!(f, "the service {service}")?;
        if !begins.is_empty() {
            write!(f, "\n  begins with {}", list(begins, "or"))?;
        }
        for (nth, reaction) in reactions.iter().enumerate() {
            write!(f, "\n  {}. {}", nth + 1, InWords(reaction))?;
        }
        for Timeout { after, awaits, within, emits } in timeouts {
            let (within, awaits) = (format_duration(*within), list(awaits, "or"));
            write!(f, "\n  emits {emits} {within} after {after} without {awaits}")?;
        }
        if !ends.is_empty() {
            write!(f, "\n  ends with {}", list(ends, "or"))?;
        }
        match within {
            Some(within) => write!(f, "\n  is over within {}", format_duration(*within)),
            None => Ok(()),
        }
    }
}

struct InWords<'a>(&'a Reaction);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reaction { name, on, emits, refuses, undoes, calls, read_only } = self.0;
        write!(f, "{name}: on {on}")?;
        if !undoes.is_empty() {
            write!(f, ", undoes {}", list(undoes, "and"))?;
        }
        if *calls {
            write!(f, ", calls something")?;
        }
        if *read_only {
            write!(f, ", changes nothing")?;
        }
        match emits {
            Some(event) => write!(f, ", emits {event}")?,
            None => write!(f, ", emits nothing")?,
        }
        match refuses {
            Some(event) => write!(f, ", or refuses with {event}"),
            None => Ok(()),
        }
    }
}

/// Names in a row, with this word before the last one.
fn list(names: &[impl fmt::Display], word: &str) -> String {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    match (names.pop(), names.is_empty()) {
        (Some(last), true) => last,
        (Some(last), false) => format!("{} {word} {last}", names.join(", ")),
        (None, _) => "anything".to_owned(),
    }
}
