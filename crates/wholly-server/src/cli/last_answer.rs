//! The last answer of a participant, in words.

use wholly_client::LastAnswer;

use super::time;

/// An answer: its age, its words, and the target of its redirect.
pub fn in_words(last: &LastAnswer) -> String {
    let LastAnswer { at, operation, answer, status, reason, redirect, .. } = last;
    let mut text = format!("{} ago {answer} to {operation}", time::age(*at));
    // The reason of an unknown answer begins with its status.
    if let Some(status) = status.filter(|_| answer != "unknown") {
        text.push_str(&format!(", status {status}"));
    }
    if let Some(target) = redirect.as_ref().filter(|target| !reason.contains(target.as_str())) {
        text.push_str(&format!(", a redirect to {target}"));
    }
    if !reason.is_empty() {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}
