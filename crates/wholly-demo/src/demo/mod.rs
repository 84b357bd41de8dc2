//! `wholly demo`: what goes wrong with nothing between services, what goes right with a coordinator
//! or with events, and all of it side by side.
//!
//! Everything is real: services and coordinator are processes, votes and decisions are shown as
//! they happen, crashes are SIGKILL. Nothing is claimed that was not checked: where the books are
//! not as the story says, it stops, says so, and exits with 1.

mod choreography;
mod compare;
mod crash;
mod problem;
mod saga;
mod teller;
mod two_phase;

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tokio::task::JoinHandle;

use crate::compare::CompareError;
use crate::fleet::{Books, Fleet, FleetError, Role, StandIn, Transaction, eventually};
use crate::order::{Order, PlaceError, Placed, Shopper};
use crate::process::until_interrupted;
use crate::service::{Answered, Said};
use crate::shop::ServiceKind;
use teller::Teller;
use wholly_core::wire::Operation;

/// See it work: a small shop, with crashes.
///
/// Starts an order, a payment and an inventory service, each with its own database, and (but for
/// the choreography) a coordinator, as processes of their own on free ports of this machine; tells
/// what happens; checks the books; and cleans up. Without a part it plays them all, in about a
/// minute.
#[derive(Args, Debug)]
pub struct Demo {
    /// Play this part only.
    part: Option<DemoPart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DemoPart {
    /// Three services and no coordinator: the books end up wrong.
    Problem,
    /// Two-phase commit: an order that happens wholly, and one that does not happen at all.
    TwoPhase,
    /// A saga: an order that is confirmed, and one that is taken back step by step.
    Saga,
    /// The same order by events alone, with no coordinator: away, killed, overtaken.
    Choreography,
    /// SIGKILL to coordinator and services, at the worst moments.
    Crash,
    /// All of them side by side, in bad weather, measured.
    Compare,
}

/// Why a story stopped.
#[derive(Debug, thiserror::Error)]
enum StoryError {
    /// A claim of the story is not so.
    #[error("this should not be: {0}")]
    Wrong(String),
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("the client ended: {0}")]
    Client(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error("cannot tell the story: {0}")]
    Tell(#[from] std::io::Error),
}

impl Demo {
    /// Plays; 0 when everything that was claimed was so.
    pub fn run(self) -> ExitCode {
        until_interrupted(async {
            match play(self.part, &Teller::new()).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    wholly_terminal::report(format_args!("wholly: {error}"));
                    ExitCode::FAILURE
                }
            }
        })
    }
}

async fn play(part: Option<DemoPart>, teller: &Teller) -> Result<(), StoryError> {
    let is_played = |one: DemoPart| part.is_none_or(|part| part == one);
    if is_played(DemoPart::Problem) {
        problem::play(teller).await?;
    }
    if is_played(DemoPart::TwoPhase) {
        two_phase::play(teller).await?;
    }
    if is_played(DemoPart::Saga) {
        let mut fleet = saga::play(teller).await?;
        // Among all parts this one is told with the other crashes.
        if part.is_some() {
            let before = saga::books_after();
            saga::killed_while_compensating(teller, &mut fleet, "ORD003", before).await?;
        }
    }
    if is_played(DemoPart::Choreography) {
        choreography::play(teller).await?;
    }
    if is_played(DemoPart::Crash) {
        crash::play(teller).await?;
    }
    if is_played(DemoPart::Compare) {
        compare::play(teller).await?;
    }
    if part.is_none() {
        teller.title("Where to go next")?;
        teller.say("README.md              what Wholly is, and how to embed it in a program")?;
        teller.say("docs/choosing.md       which pattern suits which case, and why")?;
        teller.say("docs/protocols.md      what it does in every case, and why that is right")?;
        teller.say("wholly serve --help    the coordinator as a server for your own services")?;
        teller.say("wholly bench --help    how fast it is on this machine")?;
    }
    Ok(())
}

/// The books as they are, checked against what they must be.
async fn check(teller: &Teller, fleet: &Fleet, expected: &Books) -> Result<(), StoryError> {
    let books = fleet.books().await?;
    teller.books(&books)?;
    if books != *expected {
        return Err(StoryError::Wrong(format!("the books must be {expected:?} and are {books:?}")));
    }
    Ok(())
}

type Placing = JoinHandle<Result<Placed, PlaceError>>;

/// A client that stays until it has its answer.
fn place(fleet: &Fleet, order: &Order) -> Placing {
    let (shopper, order) = (Shopper::of(fleet), order.clone());
    tokio::spawn(async move { shopper.place(&order).await })
}

/// The client's answer at the end.
async fn told(teller: &Teller, placed: Placing, expected: &str) -> Result<Placed, StoryError> {
    let placed = placed.await??;
    teller.event("client", "is told", &placed.state)?;
    ensure(placed.state == expected, || format!("the client was told {placed:?}"))?;
    Ok(placed)
}

/// The answer of a service to this operation of two-phase commit, as soon as it says it.
async fn answer(
    teller: &Teller,
    fleet: &mut Fleet,
    kind: ServiceKind,
    operation: Operation,
) -> Result<Answered, StoryError> {
    let answered = heard(fleet, kind, operation.as_str()).await?;
    teller.answered(kind, &answered)?;
    Ok(answered)
}

/// The answers of these services, one after the other.
async fn answers(
    teller: &Teller,
    fleet: &mut Fleet,
    kinds: &[ServiceKind],
    operation: Operation,
) -> Result<Vec<Said>, StoryError> {
    let mut said = Vec::new();
    for &kind in kinds {
        said.push(answer(teller, fleet, kind, operation).await?.said);
    }
    Ok(said)
}

async fn heard(
    fleet: &mut Fleet,
    kind: ServiceKind,
    operation: &str,
) -> Result<Answered, StoryError> {
    loop {
        let answered = line(fleet, kind).await?;
        // An operation may be asked twice, where an answer was lost; it is told once.
        if answered.operation == operation && answered.said != Said::Withheld {
            return Ok(answered);
        }
    }
}

/// The arguments of a service that does not handle calls, or handles them and does not answer.
const BEFORE: &str = "--withhold-before";
const AFTER: &str = "--withhold-after";

/// Restarts a service so that it withholds calls.
async fn withhold(
    fleet: &mut Fleet,
    kind: ServiceKind,
    side: &str,
    operation: &str,
) -> Result<(), StoryError> {
    let arguments = vec![format!("{side}={operation}")];
    let program = fleet.program().to_owned();
    let role = Role::Service(kind);
    fleet.spawn_as(role, &StandIn { program, arguments })?;
    Ok(fleet.ready(role).await?)
}

/// Waits until a service withholds a call of this operation, which is not handled.
async fn withheld(fleet: &mut Fleet, kind: ServiceKind, operation: &str) -> Result<(), StoryError> {
    loop {
        let answered = line(fleet, kind).await?;
        if answered.operation == operation && answered.said == Said::Withheld {
            return Ok(());
        }
    }
}

/// Has a service withhold no calls any more.
fn go_on(fleet: &mut Fleet, kind: ServiceKind) -> Result<(), StoryError> {
    Ok(fleet.tell(Role::Service(kind), "go on")?)
}

async fn line(fleet: &mut Fleet, kind: ServiceKind) -> Result<Answered, StoryError> {
    let line = fleet.line(Role::Service(kind)).await?;
    serde_json::from_str(&line)
        .map_err(|_| StoryError::Wrong(format!("the {kind} service said {line:?}")))
}

/// The newest transaction, once it is decided, and the decision.
async fn decision(
    teller: &Teller,
    fleet: &Fleet,
    expected: &str,
) -> Result<Transaction, StoryError> {
    let transaction = newest(fleet, Transaction::is_decided).await?;
    teller.decided(&transaction)?;
    ensure(transaction.state == expected, || {
        format!("transaction {} must be {expected}, and is {transaction:?}", transaction.id)
    })?;
    Ok(transaction)
}

/// The newest transaction, once it is so.
async fn newest(
    fleet: &Fleet,
    is_so: impl Fn(&Transaction) -> bool,
) -> Result<Transaction, StoryError> {
    let newest = eventually("the coordinator decides", async || {
        let newest = fleet.newest(1).await?;
        let Some(id) = newest.first() else { return Ok(None) };
        Ok(Some(fleet.transaction(id).await?).filter(&is_so))
    });
    Ok(newest.await?)
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), StoryError> {
    if holds { Ok(()) } else { Err(StoryError::Wrong(what())) }
}
