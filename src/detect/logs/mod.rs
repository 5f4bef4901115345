//! Log events against Sigma rules.
//!
//! [`Ruleset`] compiles the rules, [`scan_reader`] decodes a stream, finds its format, and gives each finding to a sink.

mod decode;
pub mod formats;
pub mod logsource;
mod ruleset;
mod scan;
pub mod sigma;

#[cfg(test)]
mod shipped_tests;

pub use decode::{Decoded, decode};
pub use ruleset::Ruleset;
pub use scan::{Coverage, ScanOptions, scan_reader};
