//! Recovery: which backup is clean, what would be lost, and the steps that put it back and validate it.

mod choose;
mod listing;
mod logged;
mod reconcile;
pub mod records;
mod rehearse;
mod replay;
mod steps;
mod text;
mod verify;

use std::sync::Arc;

pub use choose::{choose, fetched, newest};
pub use reconcile::{Reconciled, reconcile};
pub use rehearse::{take, test_restore};
pub(super) use steps::build;
use steps::compare;
pub use verify::{remember, verify, verify_set};

use super::Deployment;
use super::scan_trades::TradeScan;
use crate::ports::{BackupStore, Fault, FaultKind};

fn store(deployment: &Deployment) -> Result<&Arc<dyn BackupStore>, Fault> {
    deployment
        .backups
        .as_ref()
        .ok_or_else(|| Fault::new(FaultKind::Invalid, "no database is configured, so its backups can't be judged"))
}

/// The trade table, as policy names it.
pub fn trade_scan(deployment: &Deployment) -> TradeScan {
    let guard = deployment.policies.pause.guard.as_ref();
    TradeScan {
        schema: guard.and_then(|guard| guard.schema.clone()),
        table: guard.map_or("Trade".to_owned(), |guard| guard.table.clone()),
        // A file that can't be read stops `scan trades`, which says so; here the names of the columns must do.
        roles: crate::detect::trades::roles::RoleOverrides::from_texts(&deployment.policies.texts).unwrap_or_default(),
        ..TradeScan::default()
    }
}
