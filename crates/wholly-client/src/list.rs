//! Lists, page by page.

use std::collections::VecDeque;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wholly_core::Timestamp;
use wholly_dns::https::percent_encoded;

use crate::answer::TransactionSummary;
use crate::choreography::ChoreographySummary;
use crate::client::Client;
use crate::error::RequestError;
use crate::http::ApiRequest;
use crate::words::{Pattern, State};

/// The transactions of a list: those that match every member that is set.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TransactionFilter {
    /// Their state.
    pub state: Option<State>,
    /// Their pattern.
    pub pattern: Option<Pattern>,
    /// Their name.
    pub name: Option<String>,
    /// A participant that they involve.
    pub participant: Option<String>,
    /// True if they have settled.
    pub settled: Option<bool>,
    /// True if they need an operator.
    pub stuck: Option<bool>,
    /// The earliest time of acceptance.
    pub since: Option<Timestamp>,
    /// The time of acceptance before which they are.
    pub until: Option<Timestamp>,
}

/// The choreographies of a list: those that match every member that is set.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ChoreographyFilter {
    /// Their state.
    pub state: Option<State>,
    /// True if they are over and need no operator.
    pub settled: Option<bool>,
    /// True if they need an operator.
    pub stuck: Option<bool>,
    /// The correlation of the one.
    pub correlation: Option<String>,
    /// The earliest time of the first event.
    pub since: Option<Timestamp>,
    /// The time of the first event before which they are.
    pub until: Option<Timestamp>,
}

/// A list, newest first. It stays right while rows are added: none is given twice, and none that was
/// there at the beginning is left out.
#[must_use = "nothing is requested before its first row or page"]
pub struct Rows<T> {
    client: Client,
    path: &'static str,
    query: Vec<(&'static str, String)>,
    page_size: Option<usize>,
    cursor: Option<String>,
    ended: bool,
    rows: VecDeque<T>,
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct RowsPage<T> {
    /// Its rows, newest first. It may be short or empty although more pages follow.
    #[serde(alias = "transactions", alias = "choreographies")]
    pub rows: Vec<T>,
    /// The cursor of the next page, for [`Rows::after`]; absent on the last one.
    pub next: Option<String>,
}

impl Client {
    /// The transactions that match the filter, newest first.
    ///
    /// ```no_run
    /// # use wholly_client::{Client, RequestError, TransactionFilter};
    /// # async fn stuck(client: Client) -> Result<(), RequestError> {
    /// let mut filter = TransactionFilter::default();
    /// filter.stuck = Some(true);
    /// let mut rows = client.list(filter);
    /// while let Some(row) = rows.next().await? {
    ///     println!("{} is stuck", row.id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self, filter: TransactionFilter) -> Rows<TransactionSummary> {
        let TransactionFilter { state, pattern, name, participant, settled, stuck, since, until } =
            filter;
        let query = [
            ("state", text(state)),
            ("pattern", text(pattern)),
            ("name", name),
            ("participant", participant),
            ("settled", text(settled)),
            ("stuck", text(stuck)),
            ("since", millis(since)),
            ("until", millis(until)),
        ];
        self.rows("/v1/transactions", query)
    }

    /// The choreographed transactions that match the filter, newest first.
    pub fn choreographies(&self, filter: ChoreographyFilter) -> Rows<ChoreographySummary> {
        let ChoreographyFilter { state, settled, stuck, correlation, since, until } = filter;
        let query = [
            ("state", text(state)),
            ("settled", text(settled)),
            ("stuck", text(stuck)),
            ("correlation", correlation),
            ("since", millis(since)),
            ("until", millis(until)),
        ];
        self.rows("/v1/choreographies", query)
    }

    fn rows<T, const N: usize>(
        &self,
        path: &'static str,
        query: [(&'static str, Option<String>); N],
    ) -> Rows<T> {
        let set = query.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Rows {
            client: self.clone(),
            path,
            query: set.collect(),
            page_size: None,
            cursor: None,
            ended: false,
            rows: VecDeque::new(),
        }
    }
}

impl<T: DeserializeOwned> Rows<T> {
    /// The most rows of a page; the server's own limit unless it is set.
    pub fn page_size(self, page_size: usize) -> Self {
        Self { page_size: Some(page_size), ..self }
    }

    /// Continues another list at the [`next`](RowsPage::next) of its last page.
    pub fn after(self, cursor: impl Into<String>) -> Self {
        Self { cursor: Some(cursor.into()), ..self }
    }

    /// The next row, or none at the end.
    ///
    /// # Errors
    /// When there is no answer. The call can be repeated.
    pub async fn next(&mut self) -> Result<Option<T>, RequestError> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Some(row));
            }
            match self.next_page().await? {
                Some(page) => self.rows = page.rows.into(),
                None => return Ok(None),
            }
        }
    }

    /// The next page, or none after the last one.
    ///
    /// # Errors
    /// When there is no answer. The call can be repeated.
    pub async fn next_page(&mut self) -> Result<Option<RowsPage<T>>, RequestError> {
        if self.ended {
            return Ok(None);
        }
        let page: RowsPage<T> = self.client.read(ApiRequest::get(self.path_and_query())).await?;
        self.ended = page.next.is_none();
        self.cursor.clone_from(&page.next);
        Ok(Some(page))
    }

    fn path_and_query(&self) -> String {
        let limit = self.page_size.map(|limit| ("limit", limit.to_string()));
        let cursor = self.cursor.clone().map(|cursor| ("cursor", cursor));
        let mut path = self.path.to_owned();
        for (name, value) in self.query.iter().cloned().chain(limit).chain(cursor) {
            path.push(if path.contains('?') { '&' } else { '?' });
            path += &format!("{name}={}", percent_encoded(&value));
        }
        path
    }
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn millis(time: Option<Timestamp>) -> Option<String> {
    text(time.map(Timestamp::as_millis))
}
