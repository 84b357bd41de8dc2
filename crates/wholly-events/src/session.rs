//! A session: the caller's database transaction, reduced to statements with values.
//!
//! Each driver implements it in one file. The futures of a blocking driver are ready at once.

use std::fmt;

use serde::de::value::Error;
use serde::de::{DeserializeOwned, IntoDeserializer};

use crate::sql::Dialect;

/// A value of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlValue<'a> {
    /// `NULL`, of a text or a number.
    Null,
    /// A whole number.
    Int(i64),
    /// A text.
    Text(&'a str),
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlCell {
    /// `NULL`.
    Null,
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

/// A row of a statement's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlRow(pub Vec<SqlCell>);

/// A database error: the message of the database or its driver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database failed: {0}")]
pub struct SqlError(pub String);

/// The result of a statement.
pub type SqlResult<T> = Result<T, SqlError>;

impl SqlError {
    /// The error with all its causes, in one line.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(one) = cause {
            let said = one.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            cause = one.source();
        }
        Self(text)
    }

    pub(crate) fn unexpected(what: impl fmt::Display) -> Self {
        Self(format!("{what}; check whether another program has changed the tables"))
    }
}

/// The caller's transaction. Its statements are committed together or not at all.
#[expect(async_fn_in_trait, reason = "each driver's futures are as `Send` as the driver is")]
pub trait Session {
    /// The dialect of the session's database.
    const DIALECT: Dialect;

    /// Executes a statement; returns the number of changed rows.
    ///
    /// # Errors
    /// The database's error.
    async fn execute(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> SqlResult<u64>;

    /// Executes a statement without waiting for its result. An error may then surface at a later
    /// statement, or at the end of the transaction.
    ///
    /// # Errors
    /// The database's error.
    async fn pipeline(&mut self, sql: &'static str, values: &[SqlValue<'_>]) -> SqlResult<()> {
        self.execute(sql, values).await.map(drop)
    }

    /// Executes a statement that returns rows.
    ///
    /// # Errors
    /// The database's error.
    async fn query(&mut self, sql: &'static str, values: &[SqlValue<'_>])
    -> SqlResult<Vec<SqlRow>>;

    /// Executes statements without values, separated by semicolons. Like [`pipeline`], a driver
    /// may continue before the result has arrived.
    ///
    /// [`pipeline`]: Self::pipeline
    ///
    /// # Errors
    /// The database's error.
    async fn batch(&mut self, sql: &'static str) -> SqlResult<()>;
}

impl From<&SqlValue<'_>> for SqlCell {
    fn from(value: &SqlValue<'_>) -> Self {
        match value {
            SqlValue::Null => Self::Null,
            SqlValue::Int(number) => Self::Int(*number),
            SqlValue::Text(text) => Self::Text((*text).to_owned()),
        }
    }
}

impl<'a> From<&'a SqlCell> for SqlValue<'a> {
    fn from(cell: &'a SqlCell) -> Self {
        match cell {
            SqlCell::Null => Self::Null,
            SqlCell::Int(number) => Self::Int(*number),
            SqlCell::Text(text) => Self::Text(text),
        }
    }
}

impl<'a> From<Option<&'a str>> for SqlValue<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, SqlValue::Text)
    }
}

impl From<u64> for SqlValue<'_> {
    /// Saturates at the database's largest integer, far beyond any position or time.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

const NO_TEXT: &str = "a column that should hold text does not";
const NO_NUMBER: &str = "a column that should hold a number does not";

impl SqlRow {
    /// The text in this column.
    pub(crate) fn text(&mut self, column: usize) -> SqlResult<String> {
        self.optional_text(column)?.ok_or_else(|| SqlError::unexpected(NO_TEXT))
    }

    /// The text in this column, or none for `NULL`.
    pub(crate) fn optional_text(&mut self, column: usize) -> SqlResult<Option<String>> {
        match self.0.get_mut(column).map(|cell| std::mem::replace(cell, SqlCell::Null)) {
            Some(SqlCell::Text(text)) => Ok(Some(text)),
            Some(SqlCell::Null) => Ok(None),
            Some(SqlCell::Int(_)) | None => Err(SqlError::unexpected(NO_TEXT)),
        }
    }

    /// The number in this column.
    pub(crate) fn number(&self, column: usize) -> SqlResult<u64> {
        self.optional_number(column)?.ok_or_else(|| SqlError::unexpected(NO_NUMBER))
    }

    /// The number in this column, or none for `NULL`.
    pub(crate) fn optional_number(&self, column: usize) -> SqlResult<Option<u64>> {
        let number = match self.0.get(column) {
            Some(SqlCell::Null) => return Ok(None),
            Some(SqlCell::Int(number)) => u64::try_from(*number).ok(),
            Some(SqlCell::Text(_)) | None => None,
        };
        number.map(Some).ok_or_else(|| SqlError::unexpected(NO_NUMBER))
    }

    /// The name in this column.
    pub(crate) fn name<T: std::str::FromStr<Err = crate::InvalidName>>(
        &mut self,
        column: usize,
    ) -> SqlResult<T> {
        self.text(column)?.parse().map_err(SqlError::unexpected)
    }

    /// The enum variant that this column names.
    pub(crate) fn word<T: DeserializeOwned>(&mut self, column: usize) -> SqlResult<T> {
        self.optional_word(column)?.ok_or_else(|| SqlError::unexpected(NO_TEXT))
    }

    /// The enum variant that this column names, or none for `NULL`.
    pub(crate) fn optional_word<T: DeserializeOwned>(
        &mut self,
        column: usize,
    ) -> SqlResult<Option<T>> {
        let read = |text: String| T::deserialize(text.into_deserializer());
        let word = self.optional_text(column)?.map(read).transpose();
        word.map_err(|why: Error| SqlError::unexpected(why))
    }

    /// The name in this column, or none for `NULL`.
    pub(crate) fn optional_name<T: std::str::FromStr<Err = crate::InvalidName>>(
        &mut self,
        column: usize,
    ) -> SqlResult<Option<T>> {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse().map_err(SqlError::unexpected)).transpose()
    }
}
