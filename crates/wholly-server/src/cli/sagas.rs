//! `wholly sagas` and `wholly define`: the definitions that sagas are submitted by.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use wholly_client::{Client, SagaVersion};
use wholly_core::saga::Graph;

use super::ask::Ask;
use super::exit::{Exit, Failed};
use super::screen::{Paint, Screen};
use crate::check::Understood;
use crate::definition::read_file;

/// List the stored definitions of sagas, or show one of them.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly sagas
  wholly sagas 'create order'
  wholly sagas 'create order' 2 --json > create-order.json

With --json, the list is {\"sagas\": [{\"name\", \"version\"}]},
and one saga is its definition.")]
pub struct Sagas {
    /// The name of the saga to show.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The version to show. The default is the newest.
    #[arg(value_name = "VERSION")]
    version: Option<u32>,
    #[command(flatten)]
    ask: Ask,
}

/// Store the definition of a saga, to submit it by name and version.
///
/// The definition is checked first, as by `wholly check`. A stored definition never changes: to
/// store the same one again does nothing, and for another one with its name and version the exit
/// code is 2.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly define sagas/create-order.toml
  wholly sagas 'create order' 2 --json |
    wholly define - --server https://wholly.example:7400")]
pub struct Define {
    /// The file with the definition, in TOML or JSON. - is the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    ask: Ask,
}

impl Sagas {
    pub fn run(self) -> ExitCode {
        let Self { name, version, ask } = self;
        ask.run(async |client, screen| {
            match name {
                None => list(&client.sagas().await?, screen)?,
                Some(name) => show(client, &name, version, screen).await?,
            }
            Ok(Exit::Done)
        })
    }
}

impl Define {
    pub fn run(self) -> ExitCode {
        let Self { file, ask } = self;
        ask.run(async |client, screen| {
            let graph = read_file(&file).map_err(|why| Failed::Usage(why.to_string()))?;
            let defined = client.define(graph.definition()).await?;
            match screen.json() {
                true => screen.document(&defined)?,
                false => screen.line(&format!("{}, version {}", defined.name, defined.version))?,
            }
            Ok(Exit::Done)
        })
    }
}

fn list(sagas: &[SagaVersion], screen: &Screen) -> io::Result<()> {
    if screen.json() {
        return screen.document(&json!({"sagas": sagas}));
    }
    let names = sagas.iter().map(|saga| saga.name.as_str().len());
    let Some(widest) = names.max() else {
        screen.hint("There are none; store one with: wholly define FILE");
        return Ok(());
    };
    let widest = widest.max("NAME".len());
    screen.line(&format!("{}  VERSION", screen.cell(Paint::Plain, "NAME", widest)))?;
    for SagaVersion { name, version, .. } in sagas {
        let name = screen.cell(Paint::Plain, name.as_str(), widest);
        screen.line(&format!("{name}  {version:>7}"))?;
    }
    Ok(())
}

async fn show(
    client: &Client,
    name: &str,
    version: Option<u32>,
    screen: &Screen,
) -> Result<(), Failed> {
    let version = match version {
        Some(version) => version,
        None => newest(client, name).await?,
    };
    let definition = client.definition(name, version).await?;
    if screen.json() {
        return Ok(screen.document(&definition)?);
    }
    let graph = Graph::new(definition).map_err(|why| Failed::Usage(why.to_string()))?;
    Ok(screen.line(&Understood(&graph).to_string())?)
}

async fn newest(client: &Client, name: &str) -> Result<u32, Failed> {
    let sagas = client.sagas().await?.into_iter().filter(|saga| saga.name.as_str() == name);
    let newest = sagas.map(|saga| saga.version).max();
    newest
        .ok_or_else(|| Failed::Usage(format!("there is no saga {name:?}; wholly sagas lists them")))
}
