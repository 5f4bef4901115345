//! Objects that are written once and read in all their versions: what was written over, or deleted, is still seen where the bucket
//! keeps versions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::list::{element, parse_versions};
use super::{Ask, MAX_OBJECTS, Place, S3};
use crate::domain::{Digest, Timestamp};
use crate::policy::resume::RetainMode;
use crate::ports::{Fault, FaultKind};

pub use super::list::Version;

/// For how long an object can be neither changed nor deleted (Object Lock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retain {
    /// Days.
    pub days: u32,
    /// Whether anybody may break it.
    pub mode: RetainMode,
}

impl Retain {
    /// Until when, from a moment on; to the second, as S3 takes it.
    fn until(self, now: Timestamp) -> Result<String, Fault> {
        let until = now.checked_add(jiff::SignedDuration::from_hours(24 * i64::from(self.days)));
        let until = until
            .map_err(|error| Fault::with(FaultKind::Invalid, "retain_days leads beyond the end of time", error))?;
        Ok(until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }
}

impl S3 {
    /// Writes an object where there is none yet; `Conflict` if there is one. With [`Retain`] it is locked from that moment on.
    pub fn put_new(&self, place: &Place, body: &[u8], retain: Option<Retain>) -> Result<(), Fault> {
        let mut headers = vec![("if-none-match", "*".to_owned())];
        if let Some(retain) = retain {
            // S3 wants a checksum with a lock.
            headers.push(("x-amz-checksum-sha256", STANDARD.encode(Digest::of(body).0)));
            headers.push(("x-amz-object-lock-mode", retain.mode.as_str().to_owned()));
            headers.push(("x-amz-object-lock-retain-until-date", retain.until(Timestamp::now())?));
        }
        let ask = Ask { method: "PUT", place, query: &[], headers, body };
        self.whole(&format!("write {place}"), &ask).map(drop).map_err(|fault| match (fault.kind, retain) {
            (FaultKind::Invalid, Some(_)) => {
                Fault::new(fault.kind, format!("{} (was the bucket made with Object Lock?)", fault.message))
            }
            _ => fault,
        })
    }

    /// Every version of every object whose key begins with the place's, in the order of the keys.
    pub fn versions(&self, place: &Place) -> Result<Vec<Version>, Fault> {
        let bucket = Place { bucket: place.bucket.clone(), key: String::new() };
        let mut found = Vec::new();
        let mut marker: Option<(String, String)> = None;
        loop {
            let mut query = vec![("encoding-type", "url"), ("prefix", place.key.as_str()), ("versions", "")];
            if let Some((key, id)) = &marker {
                query.insert(1, ("key-marker", key));
                query.insert(3, ("version-id-marker", id));
            }
            let ask = Ask { method: "GET", place: &bucket, query: &query, headers: Vec::new(), body: &[] };
            let page = self.whole(&format!("list the versions of {place}"), &ask)?;
            let page = parse_versions(&String::from_utf8_lossy(&page)).ok_or_else(|| {
                let message = format!("failed to list the versions of {place}: the answer is no such listing");
                Fault::new(FaultKind::Invalid, message)
            })?;
            found.extend(page.versions);
            if found.len() > MAX_OBJECTS {
                return Err(Fault::new(FaultKind::Invalid, format!("{place} holds more than {MAX_OBJECTS} objects")));
            }
            marker = page.next;
            if marker.is_none() {
                return Ok(found);
            }
        }
    }

    /// Reads all of one version of a small object.
    pub fn get_version(&self, bucket: &str, version: &Version) -> Result<Vec<u8>, Fault> {
        let place = Place { bucket: bucket.to_owned(), key: version.key.clone() };
        let query = [("versionId", version.id.as_str())];
        let ask = Ask { method: "GET", place: &place, query: &query, headers: Vec::new(), body: &[] };
        self.whole(&format!("read version {} of {place}", version.id), &ask)
    }

    /// Until when one version is locked, and in which mode; `None` if it is not.
    pub fn retention(&self, bucket: &str, version: &Version) -> Result<Option<(String, Timestamp)>, Fault> {
        let place = Place { bucket: bucket.to_owned(), key: version.key.clone() };
        let query = [("retention", ""), ("versionId", version.id.as_str())];
        let ask = Ask { method: "GET", place: &place, query: &query, headers: Vec::new(), body: &[] };
        let answer = match self.whole(&format!("read the retention of {place}"), &ask) {
            Ok(answer) => String::from_utf8_lossy(&answer).into_owned(),
            Err(fault) if fault.kind == FaultKind::NotFound => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let until = element(&answer, "RetainUntilDate").and_then(|text| text.parse().ok());
        Ok(element(&answer, "Mode").zip(until))
    }
}
