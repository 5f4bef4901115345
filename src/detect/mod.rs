//! Detection: pure evaluation of events and rows against rules. No clock, no environment, no I/O.

pub mod backup;
pub mod database;
mod grams;
pub mod indicators;
pub mod logs;
pub mod secrets;
pub mod trades;
