//! What this program itself saw of backups in peacetime: taken, verified, restored for a test. Each record is signed by the machine, so
//! that a later check does not believe whoever could write the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{BackupCheck, Digest, Timestamp};
use crate::engine::Deployment;
use crate::ports::{Fault, FaultKind, MachineKey};

/// Why a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// `backup take` made it.
    Taken,
    /// `backup verify` read it.
    Verified,
    /// `backup drill` restored it.
    Drilled,
}

/// What was seen of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRecord {
    /// Why it was written.
    pub occasion: Occasion,
    /// When.
    pub time: Timestamp,
    /// The backup.
    pub path: String,
    /// When the dump was started.
    pub started: Option<Timestamp>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Digest of the file.
    pub sha256: Option<Digest>,
    /// Rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// Position in the write-ahead log of the dump's snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Milliseconds that a restore took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Whether every check passed.
    pub passed: bool,
    /// The checks.
    pub checks: Vec<BackupCheck>,
}

/// A line of the file, and a manifest beside a backup: the record's exact bytes and the machine's signature over them.
#[derive(Serialize, Deserialize)]
struct Signed<'a> {
    #[serde(borrow)]
    record: &'a RawValue,
    signature: String,
}

/// Signs a record; one line without its line feed.
pub fn seal(machine: &dyn MachineKey, record: &BackupRecord) -> Result<Vec<u8>, Fault> {
    let failed = |error| Fault::with(FaultKind::Invalid, "failed to encode a record of a backup", error);
    let text = serde_json::to_string(record).map_err(failed)?;
    let signature = hex::encode(machine.sign(text.as_bytes()));
    let record = RawValue::from_string(text).map_err(failed)?;
    serde_json::to_vec(&Signed { record: &record, signature }).map_err(failed)
}

/// What a line says, and whether this machine signed it; `None` if it is no record.
pub fn unseal(machine: &dyn MachineKey, line: &[u8]) -> Option<(BackupRecord, bool)> {
    let signed: Signed<'_> = serde_json::from_slice(line).ok()?;
    let record = serde_json::from_str(signed.record.get()).ok()?;
    let signature = hex::decode(&signed.signature).ok()?;
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, machine.public());
    Some((record, key.verify(signed.record.get().as_bytes(), &signature).is_ok()))
}

/// Every record that this machine signed, oldest first.
pub fn read(deployment: &Deployment) -> Result<Vec<BackupRecord>, Fault> {
    let bytes = deployment.backup_records.read()?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let seen = lines.filter_map(|line| unseal(deployment.machine.as_ref(), line));
    Ok(seen.filter(|(_, ours)| *ours).map(|(record, _)| record).collect())
}

/// Adds a record.
pub fn add(deployment: &Deployment, record: &BackupRecord) -> Result<(), Fault> {
    let mut line = seal(deployment.machine.as_ref(), record)?;
    line.push(b'\n');
    deployment.backup_records.append(&line)
}
