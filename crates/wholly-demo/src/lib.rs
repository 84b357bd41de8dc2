//! The demo of Wholly: a small shop, and the commands that show and measure.

pub mod bench;
pub mod shop;
