//! Integration tests: modules are named for the commands that they try.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod back_end;
mod breach;
mod case_folder;
mod peers;
mod postgres;
