//! Backups in S3: listed, streamed, brought to this machine, written.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

use super::{archive_of, matches, started};
use crate::adapters::aws::Aws;
use crate::adapters::s3::{Listed, PartWriter, Place, S3};
use crate::domain::Backup;
use crate::ports::{BackupAccess, BackupFacts, Fault, FaultKind, ObjectVersions};

/// Backups in S3, as the identity that the deployment has. Connected to when first used.
pub(super) struct Buckets {
    aws: Arc<Aws>,
    s3: OnceLock<Arc<S3>>,
}

/// The place that an address names.
pub(super) fn place(address: &str) -> Result<Place, Fault> {
    let wrong = || Fault::new(FaultKind::Invalid, format!("`{address}` is no s3://BUCKET/KEY"));
    Place::parse(address).ok_or_else(wrong)
}

/// Whether a path is the address of an object.
pub(super) fn is_object(path: &str) -> bool {
    path.starts_with("s3://")
}

/// What a place's keys begin with: the names of backups follow.
fn prefix(place: &Place) -> String {
    if place.key.is_empty() || place.key.ends_with('/') { place.key.clone() } else { format!("{}/", place.key) }
}

impl Buckets {
    pub(super) fn new(aws: Arc<Aws>) -> Self {
        Self { aws, s3: OnceLock::new() }
    }

    fn s3(&self) -> Result<&Arc<S3>, Fault> {
        if let Some(s3) = self.s3.get() {
            return Ok(s3);
        }
        let runtime =
            Handle::try_current().map_err(|error| Fault::with(FaultKind::Invalid, "S3 can't be asked here", error))?;
        let s3 = tokio::task::block_in_place(|| runtime.block_on(Box::pin(S3::connect(&self.aws))));
        Ok(self.s3.get_or_init(|| s3))
    }

    /// The backups of a place that a pattern names. Several objects below a name, `toc.dat` among them, are one in directory format.
    pub(super) fn list(&self, address: &str, pattern: &str) -> Result<Vec<Backup>, Fault> {
        let mut below = place(address)?;
        below.key = prefix(&below);
        let mut files = Vec::new();
        let mut folders: BTreeMap<String, (u64, bool)> = BTreeMap::new();
        for listed in self.s3()?.list(&below)? {
            let name = listed.key.get(below.key.len()..).unwrap_or_default();
            match name.split_once('/') {
                None => files.push((name.to_owned(), listed.bytes)),
                Some((folder, file)) => {
                    let (bytes, archive) = folders.entry(folder.to_owned()).or_default();
                    *bytes += listed.bytes;
                    *archive |= archive_of(file);
                }
            }
        }
        let folders = folders.into_iter().filter(|(_, (_, archive))| *archive).map(|(name, (bytes, _))| (name, bytes));
        let named = files.into_iter().chain(folders).filter(|(name, _)| matches(pattern, name));
        Ok(named
            .map(|(name, bytes)| Backup {
                started: started(&name),
                path: format!("s3://{}/{}{name}", below.bucket, below.key),
                bytes,
                sha256: None,
            })
            .collect())
    }

    /// The objects that a backup is: one, or those of a directory format, each with its name (empty for the one).
    pub(super) fn objects(&self, address: &str) -> Result<Vec<(String, Place, Listed)>, Fault> {
        let place = place(address)?;
        if let Some(listed) = self.s3()?.find(&place)? {
            return Ok(vec![(String::new(), place, listed)]);
        }
        let folder = Place { bucket: place.bucket.clone(), key: format!("{}/", place.key) };
        let listed = self.s3()?.list(&folder)?;
        let one = |listed: Listed| {
            let name = listed.key.get(folder.key.len()..).unwrap_or_default().to_owned();
            (name, Place { bucket: folder.bucket.clone(), key: listed.key.clone() }, listed)
        };
        let parts: Vec<_> = listed.into_iter().map(one).filter(|(name, ..)| !name.contains('/')).collect();
        if parts.iter().any(|(name, ..)| archive_of(name)) {
            return Ok(parts);
        }
        Err(Fault::new(FaultKind::NotFound, format!("there is no {address}")))
    }

    /// Reads an object from a byte on.
    pub(super) fn read(&self, place: &Place, listed: &Listed, from: u64) -> Result<Box<dyn Read + Send>, Fault> {
        let reader = self.s3()?.read(place, listed, from);
        let reader =
            reader.map_err(|error| Fault::with(FaultKind::Unavailable, format!("failed to read {place}"), error))?;
        Ok(Box::new(reader))
    }

    /// A new object.
    pub(super) fn create(&self, address: &str) -> Result<PartWriter, Fault> {
        let place = place(address)?;
        if self.s3()?.find(&place)?.is_some() {
            return Err(Fault::new(FaultKind::Conflict, format!("{place} is there already")));
        }
        Ok(PartWriter::new(Arc::clone(self.s3()?), place))
    }

    pub(super) fn put(&self, address: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.s3()?.put(&place(address)?, bytes)
    }

    /// All of a small object; `None` if there is none.
    pub(super) fn get(&self, address: &str, most: u64) -> Result<Option<Vec<u8>>, Fault> {
        let place = place(address)?;
        match self.s3()?.find(&place)? {
            None => Ok(None),
            Some(listed) if listed.bytes > most => {
                Err(Fault::new(FaultKind::Corrupt, format!("{place} is larger than {most} bytes")))
            }
            Some(_) => self.s3()?.get(&place).map(Some),
        }
    }

    pub(super) fn facts(&self, address: &str) -> Result<BackupFacts, Fault> {
        let objects = self.objects(address)?;
        // Of several, the newest change counts, and the table of contents for the rest.
        let modified = objects.iter().filter_map(|(.., listed)| listed.written).max();
        let (_, place, _) = objects
            .iter()
            .find(|(name, ..)| name.is_empty() || archive_of(name))
            .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("there is no {address}")))?;
        let s3 = self.s3()?;
        let versions = s3.versions(place).map_err(|fault| fault.chain()).map(|versions| ObjectVersions {
            kept: versions.iter().any(|version| version.id.is_some()),
            count: versions.iter().filter(|version| !version.deleted).count(),
            oldest: versions.iter().filter_map(|version| version.written).min(),
        });
        let public = s3.is_public(place).map_err(|fault| fault.chain());
        Ok(BackupFacts { access: BackupAccess::Object { public, versions }, modified })
    }
}
