//! The demo of Wholly: a small shop, the stories that are told with it, and what they have in common
//! with the laboratory, `wholly-lab`, which tortures and measures the same shop.
//!
//! | module | contents |
//! |---|---|
//! | [`shop`] | three services, each with its own database |
//! | [`service`] | one of them as a process |
//! | [`choreography`] | the same services by events alone |
//! | [`process`], [`fleet`], [`client`] | services and coordinator as processes, and their client |
//! | [`network`] | the network between the processes, which cuts and delays |
//! | [`order`] | an order of a client, and the books after it |
//! | [`random`] | random numbers from a seed |
//! | [`demo`] | `wholly demo`: what goes wrong without a coordinator, and what goes right with one |
//! | [`compare`] | `wholly compare`: the patterns side by side, in fair and in bad weather |
//! | [`mod@bench`] | `wholly bench`: how fast it is, beside what the machine could do at best |

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bench;
pub mod choreography;
pub mod client;
pub mod compare;
pub mod demo;
pub mod fleet;
pub mod network;
pub mod order;
pub mod process;
pub mod random;
pub mod service;
pub mod shop;
