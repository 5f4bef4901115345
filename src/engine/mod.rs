//! The engine: executes plans step by step, intent before effect, outcome after. Knows ports, never adapters.

mod deployment;
pub mod findings;
mod journal;
pub mod scan_trades;

pub use deployment::Deployment;
pub use journal::{CHECKPOINT, Journal, JournalError, LEDGER};
