//! Objects that are written once, locked, and read by their versions: what was written over or deleted is still seen where the bucket
//! keeps versions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::facts::Version;
use super::list::element;
use super::{Ask, Place, S3};
use crate::domain::{Digest, Timestamp};
use crate::policy::resume::RetainMode;
use crate::ports::{Fault, FaultKind};

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
    pub(super) fn put_locked(&self, place: &Place, body: &[u8], retain: Option<Retain>) -> Result<(), Fault> {
        let Some(retain) = retain else { return self.put_new(place, body, Vec::new()) };
        let headers = vec![
            // S3 wants a checksum with a lock.
            ("x-amz-sdk-checksum-algorithm", "SHA256".to_owned()),
            ("x-amz-checksum-sha256", STANDARD.encode(Digest::of(body).0)),
            ("x-amz-object-lock-mode", retain.mode.as_str().to_owned()),
            ("x-amz-object-lock-retain-until-date", retain.until(Timestamp::now())?),
        ];
        self.put_new(place, body, headers).map_err(|fault| match fault.kind {
            FaultKind::Invalid => {
                Fault::new(fault.kind, format!("{} (was the bucket made with Object Lock?)", fault.message))
            }
            _ => fault,
        })
    }

    /// Reads all of one version of a small object.
    pub(super) fn get_version(&self, place: &Place, version: &Version) -> Result<Vec<u8>, Fault> {
        let Some(id) = &version.id else { return self.get(place) };
        let query = [("versionId", id.as_str())];
        let ask = Ask { method: "GET", place, query: &query, headers: Vec::new(), body: &[] };
        self.whole(&format!("read version {id} of {place}"), &ask)
    }

    /// In which mode one version is locked, and until when; `None` if it is not.
    pub(super) fn retention(&self, place: &Place, version: &Version) -> Result<Option<(String, Timestamp)>, Fault> {
        let mut query = vec![("retention", "")];
        query.extend(version.id.as_deref().map(|id| ("versionId", id)));
        let answer = match self.asked(&format!("read the retention of {place}"), place, &query) {
            // Neither this version nor its bucket has one.
            Err(fault) if matches!(fault.kind, FaultKind::NotFound | FaultKind::Invalid) => return Ok(None),
            answer => answer?,
        };
        let until = element(&answer, "RetainUntilDate").and_then(|text| text.parse().ok());
        Ok(element(&answer, "Mode").zip(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_days_later_to_the_second() {
        let now: Timestamp = "2026-11-24T01:02:03.456Z".parse().unwrap();
        let retain = |days| Retain { days, mode: RetainMode::Compliance };
        assert_eq!(retain(30).until(now).unwrap(), "2026-12-24T01:02:03Z");
        assert!(retain(u32::MAX).until(now).is_err());
    }
}
