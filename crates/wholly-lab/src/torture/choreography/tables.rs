//! The contents of a service's tables of events, read beside the service.

use std::collections::BTreeMap;

use wholly_events::Cursor;

use super::TortureError;
use super::databases::Databases;
use wholly_demo::fleet::Fleet;
use wholly_demo::shop::ServiceKind;

/// All that a service's tables have.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// By position; without one at the end.
    pub(super) outbox: Vec<Published>,
    pub(super) inbox: Vec<Dealt>,
    pub(super) waiting: OpenWork,
}

/// An event that a service published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) position: Option<u64>,
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) correlation: String,
    pub(super) causation: Option<String>,
}

/// A reaction that has dealt with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dealt {
    pub(super) reaction: String,
    pub(super) source: String,
    pub(super) id: String,
    pub(super) outcome: String,
}

/// The counts that say whether a service still has something to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenWork {
    /// The last event that has a position.
    pub(super) head: Cursor,
    pub(super) without_position: u64,
    /// Each parked event in a sentence.
    pub(super) parked: Vec<String>,
    /// Each item that is no event in a sentence.
    pub(super) set_aside: Vec<String>,
    /// The place up to which each feed was read.
    pub(super) cursors: BTreeMap<String, Cursor>,
}

/// The events that all services wait for.
pub(super) type AllWaiting = BTreeMap<ServiceKind, OpenWork>;

/// PostgreSQL names a column that is cast like the column: each is sorted by with its table's name.
const WAITING: [&str; 5] = [
    "SELECT CAST(position AS TEXT), id FROM wholly_outbox WHERE position IS NOT NULL
        ORDER BY wholly_outbox.position DESC LIMIT 1",
    "SELECT CAST(count(*) AS TEXT) FROM wholly_outbox WHERE position IS NULL",
    "SELECT reaction || ' of ' || correlation || ' is ' || state || ': ' || coalesce(error, '')
        FROM wholly_parked",
    "SELECT source || ' at ' || CAST(position AS TEXT) || ': ' || error FROM wholly_set_aside",
    "SELECT source, CAST(position AS TEXT), id FROM wholly_cursor",
];
const OUTBOX: &str = "SELECT CAST(position AS TEXT), id, type, correlation, causation
    FROM wholly_outbox ORDER BY wholly_outbox.position";
const INBOX: &str = "SELECT reaction, source, id, outcome FROM wholly_inbox";

/// A row as texts.
pub(super) type Row = Vec<Option<String>>;

impl Tables {
    pub(super) async fn read(
        databases: &Databases,
        fleet: &Fleet,
        kind: ServiceKind,
    ) -> Result<Self, TortureError> {
        let statements = WAITING.into_iter().chain([OUTBOX, INBOX]).collect::<Vec<_>>();
        let mut rows = databases.rows(fleet, kind, &statements).await?;
        let inbox = rows.pop().unwrap_or_default().into_iter().map(dealt);
        let outbox = rows.pop().unwrap_or_default().into_iter().map(published);
        Ok(Self {
            inbox: inbox.collect::<Result<_, _>>()?,
            outbox: outbox.collect::<Result<_, _>>()?,
            waiting: waiting(rows)?,
        })
    }
}

impl OpenWork {
    pub(super) async fn of_all(
        databases: &Databases,
        fleet: &Fleet,
    ) -> Result<AllWaiting, TortureError> {
        let mut all = AllWaiting::new();
        for kind in ServiceKind::ALL {
            all.insert(kind, waiting(databases.rows(fleet, kind, &WAITING).await?)?);
        }
        Ok(all)
    }
}

fn waiting(rows: Vec<Vec<Row>>) -> Result<OpenWork, TortureError> {
    let [head, without_position, parked, set_aside, cursors] =
        <[_; 5]>::try_from(rows).map_err(|rows| TortureError::Unreadable(format!("{rows:?}")))?;
    let head = match head.into_iter().next() {
        None => Cursor::START,
        Some(row) => cursor(row)?,
    };
    let without_position = without_position.into_iter().next().map(fields::<1>).transpose()?;
    let without_position = without_position.and_then(|[count]| count?.parse().ok()).unwrap_or(0);
    let texts = |rows: Vec<Row>| rows.into_iter().flatten().flatten().collect();
    let cursors = cursors.into_iter().map(|mut row| {
        let source = row.drain(..1).next().flatten().unwrap_or_default();
        Ok((source, cursor(row)?))
    });
    Ok(OpenWork {
        head,
        without_position,
        parked: texts(parked),
        set_aside: texts(set_aside),
        cursors: cursors.collect::<Result<_, TortureError>>()?,
    })
}

fn cursor(row: Row) -> Result<Cursor, TortureError> {
    let [position, id] = fields(row)?;
    let (position, id) = (position.unwrap_or_default(), id.unwrap_or_default());
    let text = if position == "0" { position } else { format!("{position}.{id}") };
    text.parse().map_err(|_| TortureError::Unreadable(text))
}

fn published(row: Row) -> Result<Published, TortureError> {
    let [position, id, kind, correlation, causation] = fields(row)?;
    let text = |text: Option<String>| text.unwrap_or_default();
    Ok(Published {
        position: position.and_then(|position| position.parse().ok()),
        id: text(id),
        kind: text(kind),
        correlation: text(correlation),
        causation,
    })
}

fn dealt(row: Row) -> Result<Dealt, TortureError> {
    let [reaction, source, id, outcome] = fields(row)?.map(Option::unwrap_or_default);
    Ok(Dealt { reaction, source, id, outcome })
}

fn fields<const N: usize>(row: Row) -> Result<[Option<String>; N], TortureError> {
    row.try_into().map_err(|row| TortureError::Unreadable(format!("{row:?}")))
}
