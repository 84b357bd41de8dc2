//! The demo of Wholly: a small shop, the stories that are told with it, its torture, and the benchmarks.
//!
//! | module | what it is |
//! |---|---|
//! | [`shop`] | three services, each with its own database |
//! | [`service`] | one of them as a process |
//! | [`choreography`] | the same services by events alone |
//! | [`kill`] | a process that kills itself at an exact point |
//! | [`proxy`] | the network between the processes, as a process that cuts and delays it |
//! | `process`, `fleet`, `client` | services and coordinator as processes, and what they are asked |
//! | [`postgres`] | a PostgreSQL server for a test, a torture or a benchmark alone |
//! | [`demo`] | `wholly demo`: what goes wrong without a coordinator, and what goes right with one |
//! | [`compare`] | `wholly compare`: the patterns side by side, in fair and in bad weather |
//! | [`torture`] | `wholly torture`: SIGKILL at every point and at random, and the books afterwards |
//! | [`mod@bench`] | `wholly bench`: how fast it is, beside what the machine could do at best |

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bench;
pub mod choreography;
pub mod compare;
pub mod demo;
pub mod kill;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod service;
pub mod shop;
pub mod torture;

mod client;
mod fleet;
mod order;
mod random;
