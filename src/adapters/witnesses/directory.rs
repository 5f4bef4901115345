use std::path::PathBuf;

use async_trait::async_trait;

use crate::adapters::confined::Confined;
use crate::domain::{copy_name, is_copy};
use crate::ports::{CheckpointWitness, Fault, FaultKind, Head};

/// Most copies of one ledger that are read.
const MAX_COPIES: usize = 10_000;

/// A folder, best on another host. Copies are added below `<incident>/`, never changed: a fork leaves two.
#[derive(Debug)]
pub struct DirectoryWitness {
    name: String,
    path: PathBuf,
}

impl DirectoryWitness {
    /// A witness of that name over a folder, which is made if it is missing.
    pub fn new(name: &str, path: PathBuf) -> Self {
        Self { name: name.to_owned(), path }
    }

    fn keep(folder: &std::path::Path, name: &str, note: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        let copies = Confined::open(folder, true)?;
        copies.write_new(name, note)?;
        let names = copies.list("", false)?;
        if names.len() > MAX_COPIES {
            let message = format!("{} holds more than {MAX_COPIES} copies", folder.display());
            return Err(Fault::new(FaultKind::Invalid, message));
        }
        let read = |name: &String| -> Result<Option<Vec<u8>>, Fault> {
            let bytes = copies.read(name)?;
            match bytes {
                Some(bytes) if !is_copy(name, &bytes) => {
                    let message = format!("{} was changed since it was written", folder.join(name).display());
                    Err(Fault::new(FaultKind::Corrupt, message))
                }
                bytes => Ok(bytes),
            }
        };
        names.iter().filter_map(|name| read(name).transpose()).collect()
    }
}

#[async_trait]
impl CheckpointWitness for DirectoryWitness {
    fn name(&self) -> &str {
        &self.name
    }

    async fn witness(&self, head: &Head<'_>) -> Result<Vec<Vec<u8>>, Fault> {
        let (folder, name, note) =
            (self.path.join(head.incident.as_str()), copy_name(head.size, head.note), head.note.to_vec());
        // A mounted folder of another host may hang.
        tokio::task::spawn_blocking(move || Self::keep(&folder, &name, &note))
            .await
            .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, "the copy died", error))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn copies_are_added_and_never_changed() {
        let home = tempfile::tempdir().unwrap();
        let witness = DirectoryWitness::new("nas", home.path().join("copies"));
        let incident = "inc-1".parse().unwrap();
        let consistency = |_| None;
        let head = |size, note: &'static [u8]| Head { incident: &incident, size, note, consistency: &consistency };
        assert_eq!(witness.witness(&head(2, b"two")).await.unwrap(), [b"two".to_vec()]);
        assert_eq!(witness.witness(&head(2, b"two")).await.unwrap().len(), 1);
        assert_eq!(witness.witness(&head(1, b"one")).await.unwrap(), [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(witness.witness(&head(2, b"fork")).await.unwrap().len(), 3, "both sides of a fork stay");
        let kept = home.path().join("copies/inc-1").join(copy_name(2, b"two"));
        std::fs::write(kept, b"one").unwrap();
        let changed = witness.witness(&head(2, b"two")).await.unwrap_err();
        assert_eq!(changed.kind, FaultKind::Corrupt, "{changed}");
        std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(DirectoryWitness::new("bad", file).witness(&head(1, b"one")).await.is_err());
    }
}
