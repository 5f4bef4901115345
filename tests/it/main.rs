//! Integration tests: one binary, one module per command or concern. Most run the built program on an embedded deployment.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod aws;
mod back_end;
mod bad_input;
mod breach;
mod case_folder;
mod crash;
mod docs;
mod drill;
mod help;
mod house;
mod peers;
mod postgres;
mod support;
mod tamper;
