//! Portcullis: breach response for a trading back end.
//!
//! It contains (an enforced pause proven by a refused trade, every credential rotated and the old value proven dead),
//! investigates (logs, the trade table, leaked secrets, persistence in the database), recovers (a backup shown to be
//! clean) and gates the resume on an audit record that enough of the right people have signed.
//!
//! `docs/ARCHITECTURE.md` in the repository is the map: rooms, directions between them, invariants.

pub mod adapters;
pub mod cli;
pub mod detect;
pub mod domain;
pub mod embedded;
pub mod engine;
pub mod gate;
pub mod ledger;
pub mod playbook;
pub mod policy;
pub mod ports;
pub mod report;
pub mod settings;
pub mod ui;
pub mod world;
