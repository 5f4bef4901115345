//! What people and scripts see: the printer (text or JSON), progress, the live table, neutralised text.

mod printer;
mod progress;

pub use crate::domain::{clean, clean_json};
pub use printer::{ColorChoice, Format, Printer, Record, Style};
pub use progress::Progress;
