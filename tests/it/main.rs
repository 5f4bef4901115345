//! Integration tests: one binary, one module per part.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so by its panic")]

mod case_folder;
