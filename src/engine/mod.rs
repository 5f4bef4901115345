//! The engine: executes plans step by step, intent before effect, outcome after. Knows ports, never adapters.

mod deployment;
mod executor;
pub mod findings;
mod journal;
mod recovery;
pub mod scan_trades;
mod steps;

pub use deployment::Deployment;
pub use executor::{Run, StepEvent, execute};
pub use journal::{CHECKPOINT, Journal, JournalError, LEDGER};
