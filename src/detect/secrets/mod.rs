//! Leaked secret values and known key shapes in text. What is found is never said, only where and whose it is.

mod encode;
mod git;
mod needles;
mod redact;
mod scan;
mod shapes;

pub use needles::{MIN_VALUE, Needles};
pub use redact::Redactor;
pub use scan::{SecretCoverage, scan_secrets};
