//! Detection: pure evaluation of events and rows against rules. No clock, no environment, no I/O.

pub mod backup;
pub mod database;
pub mod logs;
pub mod secrets;
pub mod trades;
