//! Notes of every write and sync of this process, and of what lay beyond this machine at the time: from them a test
//! builds what a power cut could have left.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::FaultPlan;
use crate::adapters::durable::{Change, Witness, set_witness};
use crate::embedded::database;
use crate::ports::{Fault, FaultKind};

/// Name of the notes in their folder: one JSON object a line.
const NOTES: &str = "notes.jsonl";

/// The notes of one run.
pub(super) struct Notes {
    root: PathBuf,
    folder: Option<PathBuf>,
    lines: Option<Mutex<File>>,
    skip: Option<String>,
}

impl Notes {
    /// Begins them, if the plan asks for notes or leaves syncs out: there is one witness in a process.
    pub(super) fn begin(root: &Path, plan: &FaultPlan) -> Result<Option<Arc<Self>>, Fault> {
        if plan.record.is_none() && plan.skip_sync.is_none() {
            return Ok(None);
        }
        let failed = |error| Fault::with(FaultKind::Invalid, "failed to begin the notes of writes", error);
        let mut lines = None;
        if let Some(folder) = &plan.record {
            std::fs::create_dir_all(folder).map_err(failed)?;
            let file = File::options().create(true).append(true).open(folder.join(NOTES)).map_err(failed)?;
            lines = Some(Mutex::new(file));
        }
        let notes =
            Arc::new(Self { root: root.to_owned(), folder: plan.record.clone(), lines, skip: plan.skip_sync.clone() });
        if !set_witness(Box::new(Shared(Arc::clone(&notes)))) {
            return Err(Fault::new(FaultKind::Invalid, "a process notes its writes once"));
        }
        Ok(Some(notes))
    }

    fn note(&self, line: &Value) {
        if let Some(lines) = &self.lines {
            let mut file = lines.lock().unwrap_or_else(PoisonError::into_inner);
            // A line that is missing shows itself: the states that are built do not fit.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Copies what survives a power cut of this machine: the database and the stand-ins for remote systems.
    pub(super) async fn snapshot(&self, number: u64) -> Result<(), Fault> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let copy = folder.join(format!("beyond-{number}"));
        std::fs::create_dir_all(copy.join("embedded")).map_err(|error| failed(&copy, error))?;
        let mut connection = database::open(&self.root, false).await?;
        let target = copy.join("trading.db").display().to_string();
        database::execute(&mut connection, format!("VACUUM INTO {}", database::literal(&target))).await?;
        database::close(connection).await?;
        for name in ["secrets-manager.json", "back-end.json"] {
            let from = self.root.join("embedded").join(name);
            if from.exists() {
                std::fs::copy(&from, copy.join("embedded").join(name)).map_err(|error| failed(&from, error))?;
            }
        }
        self.note(&json!({"op": "beyond", "path": copy}));
        Ok(())
    }
}

fn failed(path: &Path, error: std::io::Error) -> Fault {
    Fault::with(FaultKind::Invalid, format!("failed to copy {}", path.display()), error)
}

struct Shared(Arc<Notes>);

impl Witness for Shared {
    fn saw(&self, change: Change<'_>) {
        self.0.note(&match change {
            Change::Made(path) => json!({"op": "make", "path": path}),
            Change::MadeFolder(path) => json!({"op": "make-folder", "path": path}),
            Change::Wrote(path, offset, bytes) => {
                json!({"op": "write", "path": path, "offset": offset, "bytes": hex::encode(bytes)})
            }
            Change::Cut(path, length) => json!({"op": "cut", "path": path, "length": length}),
            Change::Renamed(path, to) => json!({"op": "rename", "path": path, "to": to}),
            Change::Linked(path, to) => json!({"op": "link", "path": path, "to": to}),
            Change::Removed(path) => json!({"op": "remove", "path": path}),
            Change::Synced(path) => json!({"op": "sync", "path": path}),
            Change::SyncedFolder(path) => json!({"op": "sync-folder", "path": path}),
        });
    }

    fn lets(&self, sync: Change<'_>) -> bool {
        let Some(skip) = &self.0.skip else { return true };
        let (kind, path) = match sync {
            Change::SyncedFolder(path) => ("folder", path),
            Change::Synced(path) => ("file", path),
            _ => return true,
        };
        let path = path.strip_prefix(&self.0.root).unwrap_or(path).display().to_string();
        if path.is_empty() {
            return skip != "folder:root";
        }
        // Below the root: `file:.portcullis/sealed` is every file of the vault.
        !skip.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')).is_some_and(|wanted| {
            path.starts_with(wanted) || path.rsplit('/').next().is_some_and(|name| name.starts_with(wanted))
        })
    }
}
