//! The server and the shop's services as the torture stages them: they take the arguments of the
//! same commands of `wholly`, and further ones.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use clap::{Args, ValueEnum};
use wholly::Endpoint;
use wholly::log::Log;
use wholly_demo::choreography::{self, EventService, Staging};
use wholly_demo::fleet::{FleetError, StandIn, name_of};
use wholly_demo::service::{Service, operation};
use wholly_server::{Decorators, Serve};

use crate::faulty::{Faulty, Wrong};
use crate::kill::{KillAt, Killer};

/// Run the coordinator as a server that kills itself.
#[derive(Args)]
pub struct StagedServe {
    #[command(flatten)]
    serve: Serve,
    /// Kill the process at this point, like before-append:committed.
    #[arg(long, value_name = "POINT")]
    kill_at: KillAt,
}

/// Run one of the shop's services, which kills itself or does something wrong.
#[derive(Args, Debug)]
pub struct StagedService {
    #[command(flatten)]
    service: Service,
    /// Kill the process at this point, like before-call:commit.
    #[arg(long, value_name = "POINT")]
    kill_at: Option<KillAt>,
    /// Do this wrong: a torture must find it.
    #[arg(long)]
    wrong: Option<Wrong>,
}

/// Run one of the shop's services by events, which kills itself or does something wrong.
#[derive(Args, Debug)]
pub struct StagedEventService {
    #[command(flatten)]
    service: EventService,
    /// Kill the process at this point, like after-commit:3 or before-call:feed.
    #[arg(long, value_name = "POINT")]
    kill_at: Option<KillAt>,
    /// Do this wrong: a torture must find it.
    #[arg(long)]
    wrong: Option<choreography::Wrong>,
}

impl StagedServe {
    /// Serves until the point, a signal, or the end of the standard input.
    pub fn run(self) -> ExitCode {
        self.serve.run_decorated(&Killing(Killer::new(self.kill_at)))
    }
}

struct Killing(Killer);

impl Decorators for Killing {
    fn log(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        self.0.log(log)
    }

    fn endpoint(&self, endpoint: Arc<dyn Endpoint>) -> Arc<dyn Endpoint> {
        self.0.endpoint(endpoint)
    }
}

impl StagedService {
    /// Serves until the point, or the end of the standard input.
    pub fn run(self) -> ExitCode {
        let (faulty, killer) = (self.wrong.map(Faulty::new), self.kill_at.map(Killer::new));
        self.service.run_around(move |mut routes| {
            if let Some(faulty) = faulty {
                routes = routes.layer(from_fn_with_state(faulty, Faulty::run));
            }
            match killer {
                Some(killer) => routes.layer(from_fn_with_state(killer, around_operation)),
                None => routes,
            }
        })
    }
}

impl StagedEventService {
    /// Serves until the point, or the end of the standard input.
    pub fn run(self) -> ExitCode {
        let Self { service, kill_at, wrong } = self;
        let Some(killer) = kill_at.map(Killer::new) else {
            return service.run_staged(Staging { wrong, ..Staging::default() });
        };
        let committed = killer.clone();
        service.run_staged(Staging {
            around: Box::new(|routes: Router| {
                routes.layer(from_fn_with_state(killer, around_path))
            }),
            wrong,
            after_commit: Box::new(move |reaction| committed.after_commit(reaction)),
        })
    }
}

/// Puts the point at which the process dies around each call of a coordinator.
async fn around_operation(State(killer): State<Killer>, request: Request, next: Next) -> Response {
    match operation(request.headers()) {
        Some(operation) => killer.around(&operation, next.run(request)).await,
        None => next.run(request).await,
    }
}

/// Puts the point at which the process dies around each call that the service answers.
async fn around_path(State(killer): State<Killer>, request: Request, next: Next) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    killer.around(&path, next.run(request)).await
}

/// A process that kills itself at this point.
pub fn killed(at: &KillAt) -> Result<StandIn, FleetError> {
    stand_in(format!("--kill-at={at}"))
}

/// A service that does this wrong.
pub fn faulty(wrong: impl ValueEnum) -> Result<StandIn, FleetError> {
    stand_in(format!("--wrong={}", name_of(&wrong)))
}

/// This program in the place of `wholly`, with a further argument.
fn stand_in(argument: String) -> Result<StandIn, FleetError> {
    let program = std::env::current_exe()
        .map_err(|why| FleetError::System { what: "find this program", why })?;
    Ok(StandIn { program, arguments: vec![argument] })
}
