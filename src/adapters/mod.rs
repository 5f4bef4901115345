//! Adapters: the ports, on real systems.

pub mod case_files;
mod confined;
pub mod machine_key;
pub mod vault;
