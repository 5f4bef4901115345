//! `findings.jsonl`: every finding of the case, once.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Journal, JournalError};
use crate::domain::{Digest, Finding, Timestamp, malicious_span};
use crate::ledger::Event;
use crate::ports::{Fault, FaultKind};

/// Path of the findings below the case folder.
pub const FINDINGS: &str = "findings.jsonl";

/// All findings of a case, in the order of the file.
pub fn read(bytes: &[u8]) -> Result<Vec<Finding>, Fault> {
    let mut findings = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let finding = serde_json::from_slice(line).map_err(|error| {
            Fault::with(FaultKind::Corrupt, format!("{FINDINGS} line {} is not a finding", number + 1), error)
        })?;
        findings.push(finding);
    }
    Ok(findings)
}

/// Adds a scan's findings to the case: each id once, in the order of first sight, and the entry that binds the file.
/// `summary` is the scan's summary record; `complete` says whether everything that was asked for was read.
pub fn record_scan(
    journal: &Journal,
    scan: &str,
    found: &[Finding],
    summary: Map<String, Value>,
    complete: bool,
) -> Result<(), JournalError> {
    let old = journal.store().read(FINDINGS)?.unwrap_or_default();
    let bound = journal.state().files.get(FINDINGS).map(|file| (file.bytes, file.sha256));
    let old = match bound {
        None => old,
        Some((_, sha256)) if Digest::of(&old) == sha256 => old,
        // A scan that died between the file and its entry has only added to the file: what was bound is still its head.
        Some((bytes, sha256)) => match usize::try_from(bytes).ok().and_then(|bytes| old.get(..bytes)) {
            Some(head) if Digest::of(head) == sha256 => head.to_vec(),
            _ => {
                let message = format!("{FINDINGS} is not the file that the ledger names: somebody changed it");
                return Err(Fault::new(FaultKind::Corrupt, message).into());
            }
        },
    };
    let mut known: BTreeSet<String> = read(&old)?.into_iter().map(|finding| finding.id).collect();
    let mut bytes = old;
    for finding in found {
        if !known.insert(finding.id.clone()) {
            continue;
        }
        let line = serde_json::to_vec(finding)
            .map_err(|error| Fault::with(FaultKind::Invalid, "failed to encode a finding", error))?;
        bytes.extend_from_slice(&line);
        bytes.push(b'\n');
    }
    let file = journal.write_file(FINDINGS, &bytes)?;
    journal.record(Event::ScanCompleted {
        scan: scan.to_owned(),
        findings: found.len() as u64,
        highest: found.iter().map(|finding| finding.rule.level).max(),
        first_malicious: malicious_span(found.iter()).map(|(first, _)| first),
        complete,
        coverage: summary,
        file,
    })?;
    Ok(())
}

/// First and last malicious event of the case, without the findings that somebody called benign: what a clean backup has to
/// be older than.
pub fn malicious(journal: &Journal) -> Result<Option<(Timestamp, Timestamp)>, JournalError> {
    let bytes = journal.store().read(FINDINGS)?.unwrap_or_default();
    let state = journal.state();
    // Nobody but the ledger says which findings there are.
    let bound = state.files.get(FINDINGS).map(|file| (usize::try_from(file.bytes).unwrap_or(usize::MAX), file.sha256));
    let known = match bound {
        None => &[][..],
        Some((length, sha256)) => match bytes.get(..length) {
            Some(head) if Digest::of(head) == sha256 => head,
            _ => {
                let message = format!("{FINDINGS} is not the file that the ledger names: somebody changed it");
                return Err(Fault::new(FaultKind::Corrupt, message).into());
            }
        },
    };
    let findings = read(known)?;
    let benign =
        |finding: &&Finding| state.dispositions.get(&finding.id).is_some_and(|decision| decision.verdict == "benign");
    Ok(malicious_span(findings.iter().filter(|finding| !benign(finding))))
}
