//! The embedded deployment that the drill and the tests share, with fault injection: a trading back end, its database,
//! logs and backups in one folder, stand-ins for what a deployment reaches over the network, and an intruder.

mod back_end;
mod database;
mod issuer;
mod log_lines;
mod random;
mod secrets_manager;
mod state;

pub use back_end::{Answer, BackEnd, Login, Order, sign_token};
pub use issuer::EmbeddedIssuer;
pub use log_lines::Origin;
pub use random::Seeded;
pub use secrets_manager::EmbeddedSecretsManager;
