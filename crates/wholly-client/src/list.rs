//! The transactions, page by page.

use std::collections::VecDeque;

use wholly_core::Timestamp;
use wholly_dns::https::percent_encoded;

use crate::answer::{Listed, Page};
use crate::client::Client;
use crate::error::AskError;
use crate::http::Ask;
use crate::words::{Pattern, State};

/// Which transactions: those that pass all that is set.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Filter {
    /// Where they stand.
    pub state: Option<State>,
    /// How they go about it.
    pub pattern: Option<Pattern>,
    /// What they are called.
    pub name: Option<String>,
    /// Who takes part.
    pub participant: Option<String>,
    /// Whether nothing is left to do.
    pub settled: Option<bool>,
    /// Whether a person is needed.
    pub stuck: Option<bool>,
    /// Accepted then or later.
    pub since: Option<Timestamp>,
    /// Accepted before then.
    pub until: Option<Timestamp>,
}

/// A list of transactions, newest first. It stays right while transactions come in: none is shown
/// twice, and none that was there at the beginning is left out.
#[must_use = "nothing is asked before its first row or page is"]
pub struct Rows {
    client: Client,
    filter: Filter,
    page_size: Option<usize>,
    cursor: Option<String>,
    ended: bool,
    page: VecDeque<Listed>,
}

impl Rows {
    pub(crate) fn new(client: Client, filter: Filter) -> Self {
        let page = VecDeque::new();
        Self { client, filter, page_size: None, cursor: None, ended: false, page }
    }

    /// At most how many transactions a page has; the server's own measure unless it is set.
    pub fn page_size(self, page_size: usize) -> Self {
        Self { page_size: Some(page_size), ..self }
    }

    /// Goes on where another list stopped: at a [page](Page)'s `next`.
    pub fn after(self, cursor: impl Into<String>) -> Self {
        Self { cursor: Some(cursor.into()), ..self }
    }

    /// The next transaction, or none at the end.
    ///
    /// # Errors
    /// When a page is not answered. It can be asked for again.
    pub async fn next(&mut self) -> Result<Option<Listed>, AskError> {
        loop {
            if let Some(row) = self.page.pop_front() {
                return Ok(Some(row));
            }
            match self.next_page().await? {
                Some(page) => self.page = page.transactions.into(),
                None => return Ok(None),
            }
        }
    }

    /// The next page, or none after the last one. A page may be short or empty and not the last.
    ///
    /// # Errors
    /// When it is not answered. It can be asked for again.
    pub async fn next_page(&mut self) -> Result<Option<Page>, AskError> {
        if self.ended {
            return Ok(None);
        }
        let path = format!("/v1/transactions{}", self.query());
        let page: Page = self.client.read(Ask::get(path)).await?;
        self.ended = page.next.is_none();
        self.cursor.clone_from(&page.next);
        Ok(Some(page))
    }

    fn query(&self) -> String {
        let Filter { state, pattern, name, participant, settled, stuck, since, until } =
            &self.filter;
        let time = |time: &Option<Timestamp>| time.map(|time| time.as_millis().to_string());
        let parts = [
            ("state", state.as_ref().map(|state| state.as_str().to_owned())),
            ("pattern", pattern.as_ref().map(|pattern| pattern.as_str().to_owned())),
            ("name", name.clone()),
            ("participant", participant.clone()),
            ("settled", settled.map(|settled| settled.to_string())),
            ("stuck", stuck.map(|stuck| stuck.to_string())),
            ("since", time(since)),
            ("until", time(until)),
            ("limit", self.page_size.map(|limit| limit.to_string())),
            ("cursor", self.cursor.clone()),
        ];
        let said = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let query: Vec<_> =
            said.map(|(name, value)| format!("{name}={}", percent_encoded(&value))).collect();
        if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) }
    }
}
