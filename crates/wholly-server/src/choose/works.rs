//! The literature that the rules rest on.

use std::fmt;

/// A work of the literature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    MohanLindsayObermarck,
    GarciaMolinaSalem,
    GrayReuter,
    Helland,
    Kleppmann,
    Richardson,
}

impl Work {
    /// Authors, title and place.
    pub fn title(self) -> &'static str {
        match self {
            Self::MohanLindsayObermarck => {
                "C. Mohan, B. Lindsay, R. Obermarck: Transaction Management in the R* Distributed \
                 Database Management System. ACM TODS 11(4), 1986"
            }
            Self::GarciaMolinaSalem => {
                "H. Garcia-Molina, K. Salem: Sagas. ACM SIGMOD Conference, 1987"
            }
            Self::GrayReuter => {
                "J. Gray, A. Reuter: Transaction Processing: Concepts and Techniques. Morgan \
                 Kaufmann, 1993"
            }
            Self::Helland => {
                "P. Helland: Life beyond Distributed Transactions: an Apostate's Opinion. CIDR, 2007"
            }
            Self::Kleppmann => {
                "M. Kleppmann: Designing Data-Intensive Applications. O'Reilly, 2017"
            }
            Self::Richardson => "C. Richardson: Microservices Patterns. Manning, 2018",
        }
    }

    fn short(self) -> &'static str {
        match self {
            Self::MohanLindsayObermarck => "Mohan, Lindsay & Obermarck 1986",
            Self::GarciaMolinaSalem => "Garcia-Molina & Salem 1987",
            Self::GrayReuter => "Gray & Reuter 1993",
            Self::Helland => "Helland 2007",
            Self::Kleppmann => "Kleppmann 2017",
            Self::Richardson => "Richardson 2018",
        }
    }
}

/// A place in a work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub work: Work,
    /// The chapter of a book.
    pub chapter: Option<u8>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.work.short())?;
        self.chapter.map_or(Ok(()), |chapter| write!(f, ", ch. {chapter}"))
    }
}

const fn paper(work: Work) -> Source {
    Source { work, chapter: None }
}

const fn book(work: Work, chapter: u8) -> Source {
    Source { work, chapter: Some(chapter) }
}

/// Two-phase commit with presumed abort: the prepared state, and how it blocks.
pub const MOHAN: Source = paper(Work::MohanLindsayObermarck);
/// Long-lived transactions cut into steps, each with a compensation.
pub const SAGAS: Source = paper(Work::GarciaMolinaSalem);
/// Entities, messages that come more than once, tentative operations.
pub const HELLAND: Source = paper(Work::Helland);
/// Isolation: locks, hot spots, optimistic methods.
pub const ISOLATION: Source = book(Work::GrayReuter, 7);
/// Commit: prepared participants, and those in doubt.
pub const COMMIT: Source = book(Work::GrayReuter, 10);
/// Encoding and evolution: what is old is still understood.
pub const EVOLUTION: Source = book(Work::Kleppmann, 4);
/// Replication, and taking over.
pub const REPLICATION: Source = book(Work::Kleppmann, 5);
/// Transactions: lost updates, compare-and-set.
pub const TRANSACTIONS: Source = book(Work::Kleppmann, 7);
/// Locks with leases, and fencing tokens.
pub const FENCING: Source = book(Work::Kleppmann, 8);
/// Two-phase commit in practice.
pub const CONSENSUS: Source = book(Work::Kleppmann, 9);
/// A database for each service.
pub const DATABASE_EACH: Source = book(Work::Richardson, 2);
/// Messages that are sent in the transaction which makes them true.
pub const OUTBOX: Source = book(Work::Richardson, 3);
/// Sagas, their coordination and their countermeasures.
pub const SAGAS_OF_SERVICES: Source = book(Work::Richardson, 4);
