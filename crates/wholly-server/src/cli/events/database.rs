//! A service's database, as the command line names it.

use std::path::PathBuf;

use tokio::runtime::Runtime;
use wholly_events::choreography::{OperateError, Operator};
use wholly_events::store::{Pool, SqliteFile, StoreError, pool};
use wholly_events::{Declaration, ServiceName, SqlError};

/// The address of a database.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A connection string.
    Postgres(String),
}

/// The error of a command on a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// It cannot be reached.
    #[error("the database cannot be opened: {0}")]
    Open(String),
    /// It failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change was not made.
    #[error(transparent)]
    Operate(#[from] OperateError),
    /// The answer cannot be written.
    #[error("cannot write to the standard output: {0}")]
    Output(std::io::Error),
    /// The system gives no thread, or no input and output.
    #[error("the system denies what every program needs: {0}")]
    System(#[from] std::io::Error),
}

/// An operator of either kind of database.
pub enum Either {
    Sqlite(Operator<SqliteFile>),
    Postgres(Operator<Pool>),
}

/// Does the same with an operator of either kind.
macro_rules! with_operator {
    ($either:expr, $operator:ident => $work:expr) => {
        match $either {
            $crate::cli::events::database::Either::Sqlite($operator) => $work,
            $crate::cli::events::database::Either::Postgres($operator) => $work,
        }
    };
}
pub(super) use with_operator;

/// The database that an argument names. An address may hold a password, so no error repeats it.
pub fn database(text: &str) -> Result<Database, String> {
    let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
    match is_postgres {
        true => Ok(Database::Postgres(text.to_owned())),
        false if text.contains("://") || text.contains("password=") => {
            Err("it is a SQLite file, or begins with postgres://".to_owned())
        }
        false => Ok(Database::Sqlite(text.strip_prefix("sqlite:").unwrap_or(text).into())),
    }
}

impl Database {
    /// Makes the tables; of SQLite also the file.
    pub fn create_tables(&self) -> Result<(), DatabaseError> {
        if let Self::Sqlite(file) = self {
            let create = std::fs::File::options().create(true).append(true).open(file);
            create.map_err(|why| DatabaseError::Open(format!("{}: {why}", file.display())))?;
        }
        self.operate(
            None,
            async |either| with_operator!(either, operator => Ok(operator.create_tables().await?)),
        )
    }

    /// Does `work` as an operator of the service that declares this.
    pub fn operate<T>(
        &self,
        declaration: Option<Declaration>,
        work: impl AsyncFnOnce(Either) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let runtime: Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { work(self.operator(declaration)?).await })
    }

    fn operator(&self, declaration: Option<Declaration>) -> Result<Either, DatabaseError> {
        let declaration = match declaration {
            Some(declaration) => declaration,
            None => undeclared()?,
        };
        Ok(match self {
            Self::Sqlite(file) => {
                let wrong =
                    |why: SqlError| DatabaseError::Open(format!("{}: {}", file.display(), why.0));
                Either::Sqlite(Operator::of(SqliteFile::open(file).map_err(wrong)?, declaration))
            }
            Self::Postgres(url) => {
                // The reason may repeat a part of the password.
                let wrong = "the database's address is none; write postgres://USER@HOST/NAME";
                let pool = pool(url, 1).map_err(|_| DatabaseError::Usage(wrong.to_owned()))?;
                Either::Postgres(Operator::of(pool, declaration))
            }
        })
    }
}

/// A service without a declaration: enough for operations that emit nothing.
fn undeclared() -> Result<Declaration, DatabaseError> {
    let service =
        ServiceName::new("unknown").map_err(|why| DatabaseError::Usage(why.to_string()))?;
    Ok(Declaration {
        service,
        begins: Vec::new(),
        reactions: Vec::new(),
        timeouts: Vec::new(),
        ends: Vec::new(),
        within: None,
    })
}
