//! What people and scripts see: the printer (text or JSON), progress, the live table, neutralised text.

mod printer;
mod progress;
mod screen;
mod table;
mod wrap;

pub use crate::domain::{clean, clean_json};
pub use printer::{ColorChoice, Format, Printer, Record, Style, Watched};
pub use progress::Progress;
pub use screen::Screen;
pub use table::{Frame, Row, Stand, Table, render};
pub use wrap::wrap;
