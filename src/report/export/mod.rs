//! Findings in the forms of other programs.

mod csv;
mod ocsf;
mod stix;
mod timesketch;

pub use csv::csv;
pub use ocsf::ocsf;
pub use stix::stix;
pub use timesketch::timesketch;
