//! Sigma rules (specification 2.1): text to typed rules to matchers.

mod condition;
mod matcher;
pub(in crate::detect) mod modifier;
mod parse;
mod pattern;

pub use matcher::Record;
pub use parse::{LogSource, Rule, Skipped, parse_file};
