//! The database scan over any database: the live one, a scratch copy of a backup.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::detect::database::{DatabasePolicy, Known, RULES, findings_since};
use crate::domain::Finding;
use crate::ports::{Database, Fault};

/// What a scan gave.
#[derive(Debug, Clone, Serialize)]
pub struct DatabaseScanResult {
    /// Findings.
    pub findings: Vec<Finding>,
    /// Objects looked at.
    pub objects: usize,
    /// Objects that the baseline or the migrations excuse.
    pub excused: usize,
    /// Classes of objects that could not be read, with the reason.
    pub uncovered: Vec<(String, String)>,
}

impl DatabaseScanResult {
    /// Whether every class was read.
    pub fn complete(&self) -> bool {
        self.uncovered.is_empty()
    }

    /// The fields of the scan's summary record.
    pub fn summary(&self) -> Map<String, Value> {
        let uncovered: Vec<_> =
            self.uncovered.iter().map(|(class, reason)| json!({"policy": class, "reason": reason})).collect();
        let mut summary = Map::new();
        summary.insert("scan".into(), "database".into());
        summary.insert("events".into(), self.objects.into());
        summary.insert("findings".into(), self.findings.len().into());
        summary.insert("rules".into(), RULES.into());
        summary.insert("known".into(), self.excused.into());
        // The gate looks here for what was found and is still there.
        let present: Vec<_> = self.findings.iter().map(|finding| Value::from(finding.id.clone())).collect();
        summary.insert("present".into(), Value::Array(present));
        summary.insert("uncovered".into(), Value::Array(uncovered));
        summary
    }
}

/// Reads the catalog and judges every object.
pub async fn run(database: &dyn Database, policy: &DatabasePolicy) -> Result<DatabaseScanResult, Fault> {
    run_since(database, policy, &Known::default()).await
}

/// The same, less what is known.
pub async fn run_since(
    database: &dyn Database,
    policy: &DatabasePolicy,
    known: &Known,
) -> Result<DatabaseScanResult, Fault> {
    let list = database.objects().await?;
    let (findings, excused) = findings_since(&list, database.dialect(), policy, known);
    Ok(DatabaseScanResult { findings, objects: list.objects.len(), excused, uncovered: list.uncovered })
}
