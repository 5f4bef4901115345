//! What people and scripts see: the printer (text or JSON), progress, sanitising of hostile text.

mod printer;
mod progress;
mod sanitize;

pub use printer::{ColorChoice, Format, Printer, Record, Style};
pub use progress::Progress;
pub use sanitize::{clean, clean_json};
