//! Adapters: the ports, on real systems. They never import each other, the engine or the command line.

pub mod database_url;
pub mod policy_files;
pub mod process;
pub mod sqlite;
