//! A bucket as a witness of checkpoints: copies are added below `<prefix>/<incident>/`, and every version of each is read back.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::facts::Version;
use super::{Place, Retain, S3};
use crate::adapters::aws::Aws;
use crate::domain::{Timestamp, copy_name, is_copy};
use crate::ports::{CheckpointWitness, Fault, FaultKind, Head};

/// Most copies of one ledger that are read.
const MAX_COPIES: usize = 2_000;

/// Threads that read copies: each waits for the network.
const THREADS: usize = 8;

/// The witness.
pub struct S3Witness {
    name: String,
    /// What keys begin with.
    place: Place,
    retain: Option<Retain>,
    aws: Arc<Aws>,
    s3: OnceCell<Arc<S3>>,
}

impl S3Witness {
    /// A witness of that name in that bucket, below that prefix. Nothing is connected to yet.
    pub fn new(name: &str, bucket: &str, prefix: &str, retain: Option<Retain>, aws: Arc<Aws>) -> Self {
        let prefix = prefix.trim_end_matches('/');
        let key = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let place = Place { bucket: bucket.to_owned(), key };
        Self { name: name.to_owned(), place, retain, aws, s3: OnceCell::new() }
    }
}

/// Adds the copy unless it is there, and reads every version of every copy.
fn keep(s3: &S3, folder: &Place, name: &str, note: &[u8], retain: Option<Retain>) -> Result<Vec<Vec<u8>>, Fault> {
    let place = Place { bucket: folder.bucket.clone(), key: format!("{}{name}", folder.key) };
    let mut copies = versions(s3, folder)?;
    if ours(&copies, &place).is_none() {
        match s3.put_locked(&place, note, retain) {
            Ok(()) => {}
            // Somebody was faster: what it holds is looked at below.
            Err(fault) if fault.kind == FaultKind::Conflict => {}
            Err(fault) => return Err(fault),
        }
        copies = versions(s3, folder)?;
    }
    let gone = || Fault::new(FaultKind::NotFound, format!("{place} was written, and is not there"));
    let ours = ours(&copies, &place).ok_or_else(gone)?;
    if let Some(retain) = retain {
        let locked = s3.retention(&place, &ours)?;
        let holds = |(mode, until): &(String, Timestamp)| mode == retain.mode.as_str() && *until > Timestamp::now();
        if !locked.as_ref().is_some_and(holds) {
            let message = format!("{place} is not locked in mode {}, as `retain_days` asks for", retain.mode.as_str());
            return Err(Fault::new(FaultKind::Conflict, message));
        }
    }
    read(s3, &copies)
}

type Copy = (Place, Version);

/// Every version of every copy, in the order of their names.
fn versions(s3: &S3, folder: &Place) -> Result<Vec<Copy>, Fault> {
    let kept = s3.versions_below(folder)?.into_iter().filter(|(_, version)| !version.deleted);
    let mut copies: Vec<Copy> =
        kept.map(|(key, version)| (Place { bucket: folder.bucket.clone(), key }, version)).collect();
    if copies.len() > MAX_COPIES {
        return Err(Fault::new(FaultKind::Invalid, format!("{folder} holds more than {MAX_COPIES} copies")));
    }
    copies.sort_by(|one, other| one.0.key.cmp(&other.0.key));
    Ok(copies)
}

fn ours(copies: &[Copy], place: &Place) -> Option<Version> {
    copies.iter().find(|(at, _)| at == place).map(|(_, version)| version.clone())
}

/// Reads copies on several threads; the order stays.
fn read(s3: &S3, copies: &[Copy]) -> Result<Vec<Vec<u8>>, Fault> {
    let one = |(place, version): &Copy| {
        let bytes = s3.get_version(place, version)?;
        if is_copy(&place.key, &bytes) {
            return Ok(bytes);
        }
        let id = version.id.as_deref().unwrap_or("null");
        Err(Fault::new(FaultKind::Corrupt, format!("{place} was written over: version {id} is not what its name says")))
    };
    let mut notes: Vec<Result<Vec<u8>, Fault>> = Vec::new();
    notes.resize_with(copies.len(), || Ok(Vec::new()));
    let part = copies.len().div_ceil(THREADS).max(1);
    // A thread that dies takes the scope with it: no copy can be missing.
    std::thread::scope(|scope| {
        for (copies, notes) in copies.chunks(part).zip(notes.chunks_mut(part)) {
            scope.spawn(move || {
                for (copy, note) in copies.iter().zip(notes) {
                    *note = one(copy);
                }
            });
        }
    });
    notes.into_iter().collect()
}

#[async_trait]
impl CheckpointWitness for S3Witness {
    fn name(&self) -> &str {
        &self.name
    }

    async fn witness(&self, head: &Head<'_>) -> Result<Vec<Vec<u8>>, Fault> {
        let s3 = Arc::clone(self.s3.get_or_init(|| Box::pin(S3::connect(&self.aws))).await);
        let key = format!("{}{}/", self.place.key, head.incident);
        let folder = Place { bucket: self.place.bucket.clone(), key };
        let (name, note, retain) = (copy_name(head.size, head.note), head.note.to_vec(), self.retain);
        tokio::task::spawn_blocking(move || keep(&s3, &folder, &name, &note, retain))
            .await
            .map_err(|error| Fault::with(FaultKind::OutcomeUnknown, "the copy died", error))?
    }
}
