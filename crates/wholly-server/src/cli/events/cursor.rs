//! `wholly events cursor`: the place up to which a service has read a feed.

use std::time::Duration;

use clap::Args;
use wholly_events::feed::{Feed, FeedRequest, HttpFeed, StartFrom};
use wholly_events::{Cursor, ServiceName};
use wholly_terminal::write_line;

use super::database::{Database, DatabaseError, database, with_operator};
use crate::cli::secret::{Unrepeated, secret};
use crate::config::secret::Secret;

/// Show or set a service's cursor: the position up to which it has read a feed.
///
/// A feed refuses an unknown position. Its publisher's database was then restored to an earlier
/// state, or the service was away for longer than events are kept. Find out which events were
/// missed, then set the position to go on from, with the reason.
#[derive(Args)]
#[command(after_help = "Examples:
  wholly events cursor inventory.db --feed order
  wholly events cursor inventory.db --feed order --to earliest \\
    --url http://127.0.0.1:7501/feed --reason 'order was restored, ticket 4711'")]
pub struct CursorCommand {
    /// The database of the service that reads the feed.
    #[arg(value_parser = Unrepeated(database))]
    database: Database,
    /// The service that publishes the feed.
    #[arg(long, value_name = "SERVICE")]
    feed: ServiceName,
    /// The position to go on after: earliest, now, or POSITION.ID of an event.
    #[arg(long, value_name = "PLACE", requires = "reason")]
    to: Option<NewCursor>,
    /// The reason, which is recorded.
    #[arg(long, requires = "to")]
    reason: Option<String>,
    /// The feed's address, to find the positions of earliest and now.
    #[arg(long)]
    url: Option<String>,
    /// The token for the feed, as env:NAME or file:/PATH.
    #[arg(long, value_name = "SECRET", value_parser = Unrepeated(secret), requires = "url")]
    bearer: Option<Secret>,
}

#[derive(Clone, Debug)]
enum NewCursor {
    Earliest,
    Now,
    After(Cursor),
}

impl std::str::FromStr for NewCursor {
    type Err = wholly_events::InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "earliest" => Self::Earliest,
            "now" => Self::Now,
            place => Self::After(place.parse()?),
        })
    }
}

impl CursorCommand {
    pub fn run(self) -> Result<(), DatabaseError> {
        let database = self.database.clone();
        database.operate(None, async |either| {
            let source = self.feed.clone();
            if let (Some(to), Some(reason)) = (&self.to, &self.reason) {
                let to = self.place(to).await?;
                let reason = reason.clone();
                with_operator!(&either, one => one.set_cursor(source.clone(), to, reason).await)?;
            }
            let cursor = with_operator!(&either, one => one.cursor(source).await)?;
            let told = match cursor {
                Some(cursor) => write_line(cursor),
                None => write_line(format_args!("nothing of {} was read yet", self.feed)),
            };
            told.map_err(DatabaseError::Output)
        })
    }

    /// The place as a cursor, for which the feed is asked where only it knows.
    async fn place(&self, to: &NewCursor) -> Result<Cursor, DatabaseError> {
        let start = match to {
            NewCursor::After(cursor) => return Ok(cursor.clone()),
            NewCursor::Earliest => StartFrom::Earliest,
            NewCursor::Now => StartFrom::Now,
        };
        let usage = |why: String| DatabaseError::Usage(why);
        let missing = || usage("earliest and now need the feed's address: --url".to_owned());
        let url = self.url.as_ref().ok_or_else(missing)?;
        let mut feed = HttpFeed::at(url).map_err(|why| usage(why.to_string()))?;
        if let Some(token) = &self.bearer {
            feed = feed.token(token.expose()).map_err(|why| usage(why.to_string()))?;
        }
        let ask = FeedRequest { start, limit: 0, wait: Duration::ZERO };
        let (info, page) =
            feed.read(ask).await.map_err(|why| DatabaseError::Open(why.to_string()))?;
        if info.source != self.feed {
            return Err(usage(format!(
                "{url} is the feed of {}, and not of {}",
                info.source, self.feed
            )));
        }
        if !page.events.is_empty() {
            // Its cursor is behind them: they would be stepped over.
            let what = "gives events where none are asked for (limit=0): name a place yourself";
            return Err(DatabaseError::Open(format!("{url} {what}")));
        }
        Ok(page.cursor)
    }
}
