//! Adapters: the ports, on real systems. They never import the engine or the command line, nor each other but for the
//! plumbing that several need (`aws`, `command`, `confined`, `durable`, `http`, `login`, `whole_file`).

pub mod aws;
pub mod backup_files;
pub mod backup_records;
pub mod baseline_file;
pub mod case_files;
pub mod command;
pub mod config_bundle;
mod confined;
pub mod database_url;
pub mod dotenv;
pub mod durable;
pub mod file_survey;
pub mod file_switch;
pub mod follow;
pub mod http;
pub mod issuers;
pub mod log_files;
pub mod login;
pub mod machine_key;
pub mod notify;
pub mod policy_files;
pub mod postgres;
pub mod process;
pub mod secrets_manager;
pub mod service;
pub mod shard_files;
pub mod sqlite;
pub mod ssh_agent;
pub mod switches;
pub mod system;
pub mod value_files;
pub mod vault;
pub mod web;
mod whole_file;
pub mod witnesses;
mod write_pace;
