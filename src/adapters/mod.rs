//! Adapters: the ports, on real systems. They never import each other, the engine or the command line.

pub mod case_files;
mod confined;
pub mod database_url;
pub mod log_files;
pub mod machine_key;
pub mod policy_files;
pub mod process;
pub mod sqlite;
pub mod vault;
