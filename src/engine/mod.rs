//! The engine: executes plans step by step, intent before effect, outcome after. Knows ports, never adapters.

pub mod audit;
mod case;
pub mod checklist;
mod deployment;
pub mod dispose;
mod executor;
pub mod findings;
mod gate_input;
mod journal;
mod known_values;
mod lanes;
pub mod lockdown;
pub mod notice_words;
pub mod notices;
pub mod recovery;
pub mod resume;
mod retry;
pub mod scan_database;
pub mod scan_trades;
pub mod spill;
mod steps;
mod verify;

pub use case::{Opening, open_incident};
pub use deployment::{Deployment, LeftOut};
pub use executor::{Run, StepEvent, execute};
pub use gate_input::{gather, witnessed};
pub use journal::{CHECKPOINT, Journal, JournalError, LEDGER};
pub use known_values::known_values;
pub use verify::{CaseVerdict, verify_case, verify_case_against};
