//! The embedded deployment that the drill and the tests share, with fault injection: a trading back end, its database,
//! logs and backups in one folder, stand-ins for what a deployment reaches over the network, and an intruder.

mod approver;
mod back_end;
mod database;
mod deployment;
mod faults;
mod intruder;
mod issuer;
mod log_lines;
mod loss;
mod notifier;
mod planted;
mod policies;
mod population;
mod random;
mod secrets_manager;
mod state;
#[cfg(test)]
mod tests;

pub use approver::RehearsedApprover;
pub use back_end::{Answer, BackEnd, Login, Order, sign_token};
pub use deployment::EmbeddedDeployment;
pub use faults::{FAULTS_VARIABLE, FaultPlan, inject};
pub use intruder::{Breach, Intruder};
pub use issuer::EmbeddedIssuer;
pub use log_lines::Origin;
pub use loss::Lost;
pub use notifier::FileNotifier;
pub use planted::{Expect, Planted};
pub use policies::Approver;
pub use random::Seeded;
pub use secrets_manager::EmbeddedSecretsManager;
