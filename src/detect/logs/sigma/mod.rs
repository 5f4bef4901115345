//! Sigma rules (specification 2.1): text to typed rules to matchers.

mod condition;
mod correlation;
mod expression;
mod literal;
mod many;
mod matcher;
pub(in crate::detect) mod modifier;
mod parse;
mod pattern;
mod site;
mod text;

pub use correlation::{Comparison, Correlation, Kind};
pub(super) use literal::Family;
pub use matcher::Record;
pub use parse::{Document, Filter, LogSource, Rule, Skipped, parse_file};
pub(super) use site::{Literal, Part, Site};
