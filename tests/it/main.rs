//! Integration tests: one binary, one module per command or concern. Most run the built program on an embedded deployment.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod aws;
mod back_end;
mod bad_input;
mod breach;
mod browser;
mod case_folder;
#[path = "../../benches/cluster/mod.rs"]
mod cluster;
mod compose;
mod contacts;
mod crash;
mod crash_checks;
mod crash_commands;
mod crash_pairs;
mod docs;
mod drill;
mod exchange;
mod faults;
mod guard;
mod help;
mod house;
mod indicators;
mod invariants;
mod kill_switch;
mod log_terms;
mod newcomer;
mod others;
mod own_login;
mod peers;
mod persistence;
mod postgres;
mod power_cut;
mod proxy;
#[path = "proxy/tests.rs"]
mod proxy_tests;
mod recovery;
mod report;
mod resume;
mod s3;
mod s3_witness;
mod scale;
mod screens;
mod secrets;
mod serve;
mod shards;
#[path = "../../src/detect/logs/shipped_cases.rs"]
mod shipped_cases;
mod sigma;
mod sigma_peer;
mod slurm;
mod small;
mod support;
mod switches;
mod tamper;
mod told;
mod trades;
mod value_files;
mod watch;
mod witness;
