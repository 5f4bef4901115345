//! Integration tests: one binary, one module per command or concern. Most run the built program on an embedded deployment.

mod bad_input;
mod case_folder;
mod crash;
mod docs;
mod drill;
mod help;
mod house;
mod support;
mod tamper;
