//! The process itself.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Sets the limit on core dumps to zero: a crash must not write secrets to disk.
pub fn forbid_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "failed to forbid core dumps");
    }
}
