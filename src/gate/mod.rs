//! The resume gate: pure decisions, each written once.
