//! A bucket as a witness of checkpoints: copies are added below `<prefix>/<incident>/`, and every version of each is read back.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::{Place, Retain, S3, Version};
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
    let ours = |versions: &[Version]| versions.iter().find(|version| version.key == place.key).cloned();
    let mut versions = s3.versions(folder)?;
    if ours(&versions).is_none() {
        match s3.put_new(&place, note, retain) {
            Ok(()) => {}
            // Somebody was faster: what it holds is looked at below.
            Err(fault) if fault.kind == FaultKind::Conflict => {}
            Err(fault) => return Err(fault),
        }
        versions = s3.versions(folder)?;
    }
    if versions.len() > MAX_COPIES {
        return Err(Fault::new(FaultKind::Invalid, format!("{folder} holds more than {MAX_COPIES} copies")));
    }
    let gone = || Fault::new(FaultKind::NotFound, format!("{place} was written, and is not there"));
    let ours = ours(&versions).ok_or_else(gone)?;
    if let Some(retain) = retain {
        let locked = s3.retention(&folder.bucket, &ours)?;
        let holds = |(mode, until): &(String, Timestamp)| mode == retain.mode.as_str() && *until > Timestamp::now();
        if !locked.as_ref().is_some_and(holds) {
            let message = format!("{place} is not locked in mode {}, as `retain_days` asks for", retain.mode.as_str());
            return Err(Fault::new(FaultKind::Conflict, message));
        }
    }
    read(s3, folder, &versions)
}

/// Reads versions on several threads; the order stays.
fn read(s3: &S3, folder: &Place, versions: &[Version]) -> Result<Vec<Vec<u8>>, Fault> {
    let one = |version: &Version| {
        let bytes = s3.get_version(&folder.bucket, version)?;
        if is_copy(&version.key, &bytes) {
            return Ok(bytes);
        }
        let message = format!("version {} of s3://{}/{} was written over", version.id, folder.bucket, version.key);
        Err(Fault::new(FaultKind::Corrupt, message))
    };
    let mut copies: Vec<Result<Vec<u8>, Fault>> = Vec::new();
    copies.resize_with(versions.len(), || Ok(Vec::new()));
    let part = versions.len().div_ceil(THREADS).max(1);
    // A thread that dies takes the scope with it: no copy can be missing.
    std::thread::scope(|scope| {
        for (versions, copies) in versions.chunks(part).zip(copies.chunks_mut(part)) {
            scope.spawn(move || {
                for (version, copy) in versions.iter().zip(copies) {
                    *copy = one(version);
                }
            });
        }
    });
    copies.into_iter().collect()
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
