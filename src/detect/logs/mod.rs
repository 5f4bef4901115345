//! Log events against Sigma rules and indicators.
//!
//! [`Ruleset`] compiles the rules. [`Blocks`] decodes a stream, finds its format and cuts it; [`scan`] filters a block's raw
//! bytes, parses what could match and runs the rules; [`Ordered`] puts the results together. [`scan_reader`] does it all.

mod block;
mod buffer;
mod commands;
mod correlate;
mod decode;
mod ends;
mod events;
pub mod formats;
mod gates;
mod link;
mod live;
pub mod logsource;
mod merge;
mod need;
mod ordered;
mod part;
mod percent;
mod placeholders;
mod records;
mod ruleset;
mod scan;
mod segments;
mod shard;
mod sightings;
pub mod sigma;
mod utf16;
mod window;

#[cfg(test)]
mod shipped_cases;
#[cfg(test)]
mod shipped_cloud;
#[cfg(test)]
mod shipped_host;
#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod sightings_tests;
#[cfg(test)]
mod wrapped_tests;

pub use block::{Block, Blocks};
pub use commands::commands;
pub use correlate::{Correlator, Fed, WAITING};
pub use decode::{Decoded, decode};
pub use events::Aside;
pub use live::Live;
pub use logsource::{SOURCES, Sources};
pub use merge::{Covered, Header, Inputs, Line, Merge, Merged, Mismatch, Options, Unreadable, VERSION, missing};
pub use ordered::Ordered;
pub use part::{Head, Range};
pub use placeholders::{PLACEHOLDERS, Placeholders};
pub use ruleset::{Ruleset, Terms};
pub use scan::{Coverage, ScanOptions, Scanned, scan, scan_feeding, scan_reader};
pub use shard::{Piece, Shard, Size, pieces};
pub use sightings::log_finding_id;
