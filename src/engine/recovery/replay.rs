//! Putting legitimate trades back that the backup did not hold.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::Digest;
use crate::engine::Run;
use crate::engine::steps::{Effect, Seen, StepError};
use crate::ports::{Fault, FaultKind, Row};

/// The list of rows to be put back, as it lies in the case's evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayList {
    /// Columns.
    pub columns: Vec<String>,
    /// Rows, a text for each column.
    pub rows: Vec<Row>,
}

/// The step.
pub(super) struct Replay {
    pub run: Arc<Run>,
    pub list: Digest,
}

#[async_trait]
impl Effect for Replay {
    async fn observe(&self) -> Result<Seen, Fault> {
        // Rows that are there already are left alone: doing it again changes nothing.
        Ok(Seen::Needed)
    }

    async fn act(&self) -> Result<String, StepError> {
        let guard = self.run.deployment.guard.as_ref();
        let guard =
            guard.ok_or_else(|| Fault::new(FaultKind::Invalid, "without a guard there is no pause to go through"))?;
        let path = format!("evidence/{}", self.list);
        let bytes = self.run.journal.store().read(&path)?.unwrap_or_default();
        if Digest::of(&bytes) != self.list {
            return Err(Fault::new(FaultKind::Corrupt, format!("{path} is not the list that the ledger names")).into());
        }
        let list: ReplayList = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::with(FaultKind::Corrupt, "the list of rows can't be read", error))?;
        let count = guard.insert_through(&list.columns, &list.rows).await?;
        Ok(format!("{count} of {} rows put back through the pause, the others were there", list.rows.len()))
    }

    async fn verify(&self) -> Result<(), Fault> {
        Ok(())
    }
}
