//! `wholly participants`: the health of the participants.

use std::io;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use wholly_client::{Health, Participant};

use super::ask::Ask;
use super::exit::Exit;
use super::screen::{Paint, Screen};
use super::{last_answer, time};

/// Show the participants' health, calls and errors, as the coordinator sees them.
///
/// Calls and errors are counted from the server's start.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly participants
  wholly participants --json |
    jq '.participants[] | select(.health == \"failing\")'")]
pub struct Participants {
    #[command(flatten)]
    ask: Ask,
}

impl Participants {
    pub fn run(self) -> ExitCode {
        self.ask.run(async |client, screen| {
            let participants = client.participants().await?;
            match screen.json() {
                true => screen.document(&json!({"participants": participants}))?,
                false => show(&participants, screen)?,
            }
            if participants.is_empty() {
                screen.hint("There are none; name them in the server's configuration.");
            }
            Ok(Exit::Done)
        })
    }
}

fn show(participants: &[Participant], screen: &Screen) -> io::Result<()> {
    let names = participants.iter().map(|participant| participant.name.as_str().len());
    let Some(widest) = names.max() else { return Ok(()) };
    let widest = widest.max("NAME".len());
    let line = |name: &str, health: String, numbers: [String; 5], url: &str| {
        let [calls, errors, busy, waiting, in_flight] = numbers;
        let numbers = format!("{calls:>9}  {errors:>7}  {busy:>7}  {waiting:>7}  {in_flight:>13}");
        let head = format!("{name:<widest$}  {health}  {numbers}");
        let used = widest + 2 + 7 + 2 + 51 + 2;
        let quiet = screen.paint(Paint::Quiet, url);
        match screen.width().is_none_or(|width| used + url.chars().count() <= width) {
            true => screen.line(&format!("{head}  {quiet}")),
            false => screen.line(&head).and_then(|()| screen.line(&format!("  {quiet}"))),
        }
    };
    let head = ["CALLS", "ERRORS", "BUSY", "WAITING", "IN FLIGHT"].map(str::to_owned);
    line("NAME", screen.cell(Paint::Plain, "HEALTH", 7), head, "URL")?;
    for participant in participants {
        let paint = match participant.health {
            Health::Up => Paint::Good,
            Health::Failing => Paint::Bad,
            _ => Paint::Quiet,
        };
        let Participant { calls, errors, in_progress, waiting, slots, .. } = participant;
        let of = |limit: Option<u64>| limit.map_or(String::new(), |limit| format!("/{limit}"));
        let busy = format!("{in_progress}{}", of(slots.as_ref().map(|slots| slots.total)));
        let in_flight = format!("{}{}", participant.in_flight, of(participant.in_flight_limit));
        // Without a count there is no number.
        let counted = |count: &Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        let numbers = [counted(calls), counted(errors), busy, waiting.to_string(), in_flight];
        let health = screen.cell(paint, &participant.health.to_string(), 7);
        let url = participant.url.as_deref().unwrap_or_default();
        line(participant.name.as_str(), health, numbers, url)?;
        if let Some(last) = participant.last_answer.as_ref().filter(|_| participant.unanswered > 0)
        {
            let next = participant.next_at.map(|at| format!(", asked again at {}", time::date(at)));
            let (calls, next) = (participant.unanswered, next.unwrap_or_default());
            let text = format!(
                "{calls} calls in a row had no final answer{next}; last, {}",
                last_answer::in_words(last)
            );
            screen.hanging("  ", 2, Paint::Plain, &text)?;
        } else if let Some(error) = &participant.last_error
            && participant.health != Health::Up
        {
            let head = format!("  {} ago: ", time::age(error.at));
            screen.hanging(
                &screen.paint(Paint::Quiet, &head),
                head.len(),
                Paint::Plain,
                &error.why,
            )?;
        }
    }
    Ok(())
}
