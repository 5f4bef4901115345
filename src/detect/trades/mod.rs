//! Trade rows against policies, through logical roles.
//!
//! [`roles`] maps columns to roles, [`policy`] reads `policies/trades/*.yml`, [`Evaluation`] takes rows one by one in the
//! order of their time and keeps only what its windows need.

mod evaluate;
mod gaps;
/// The policy files of `policies/trades/`.
pub mod policy;
/// Columns to logical roles.
pub mod roles;
/// Numbers and moments as databases write them.
pub mod value;

pub use evaluate::{Evaluation, KeyInfo, Reference, Uncovered};
