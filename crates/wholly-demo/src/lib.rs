//! The demo of Wholly: a small shop, and soon the stories that are told with it.

pub mod shop;
