//! What S3 knows of an object beside its bytes: older versions of it, and whether others may read it.

use jiff::Timestamp;

use super::list::element;
use super::{Ask, Place, S3};
use crate::ports::{Fault, FaultKind};

/// Groups to which everybody belongs (Amazon S3 User Guide, access control lists).
const EVERYBODY: [&str; 2] = ["/groups/global/AllUsers", "/groups/global/AuthenticatedUsers"];

/// A version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When it was written.
    pub written: Option<Timestamp>,
    /// Its id; `None` where the bucket keeps no versions.
    pub id: Option<String>,
    /// Whether this is no version, but the mark that the object was deleted.
    pub deleted: bool,
}

impl S3 {
    fn asked(&self, what: &str, place: &Place, query: &[(&str, &str)]) -> Result<String, Fault> {
        let ask = Ask { method: "GET", place, query, headers: Vec::new(), body: &[] };
        Ok(String::from_utf8_lossy(&self.whole(what, &ask)?).into_owned())
    }

    /// The versions of an object that are kept, newest first; of more than a thousand the newest.
    pub fn versions(&self, place: &Place) -> Result<Vec<Version>, Fault> {
        let bucket = Place { bucket: place.bucket.clone(), key: String::new() };
        let query = [("encoding-type", "url"), ("prefix", place.key.as_str()), ("versions", "")];
        let text = self.asked(&format!("list the versions of {place}"), &bucket, &query)?;
        let mut versions = versions(&text, &place.key);
        versions.sort_by_key(|version| std::cmp::Reverse(version.written));
        Ok(versions)
    }

    /// Whether everybody may read the object, by its own list or by the bucket's policy. A server that knows no such policies says nothing.
    pub fn is_public(&self, place: &Place) -> Result<bool, Fault> {
        let list = self.asked(&format!("read who may read {place}"), place, &[("acl", "")])?;
        if granted_to_everybody(&list) {
            return Ok(true);
        }
        let bucket = Place { bucket: place.bucket.clone(), key: String::new() };
        match self.asked(&format!("read who may read {bucket}"), &bucket, &[("policyStatus", "")]) {
            Ok(text) => element(&text, "IsPublic").map(|value| value.eq_ignore_ascii_case("true")).ok_or_else(|| {
                Fault::new(FaultKind::Invalid, format!("{bucket} does not say whether its policy opens it"))
            }),
            // The bucket has no policy.
            Err(fault) if fault.kind == FaultKind::NotFound => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

/// The versions of a key in an answer to `ListObjectVersions`.
fn versions(text: &str, key: &str) -> Vec<Version> {
    let mut found = Vec::new();
    for (name, deleted) in [("Version", false), ("DeleteMarker", true)] {
        for part in text.split(&format!("<{name}>")).skip(1) {
            let part = part.split(&format!("</{name}>")).next().unwrap_or_default();
            if element(part, "Key").and_then(|encoded| super::list::decoded(&encoded)).as_deref() != Some(key) {
                continue;
            }
            let written = element(part, "LastModified").and_then(|text| text.parse().ok());
            let id = element(part, "VersionId").filter(|id| id != "null");
            found.push(Version { written, id, deleted });
        }
    }
    found
}

fn granted_to_everybody(list: &str) -> bool {
    let readable = |grant: &str| {
        element(grant, "Permission").is_some_and(|permission| matches!(permission.as_str(), "READ" | "FULL_CONTROL"))
    };
    list.split("<Grant>").skip(1).any(|grant| {
        let grant = grant.split("</Grant>").next().unwrap_or_default();
        readable(grant) && EVERYBODY.iter().any(|group| element(grant, "URI").is_some_and(|uri| uri.ends_with(group)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_another_key_are_left_out() {
        let text = "<ListVersionsResult><Version><Key>a%2Fb.gz.manifest.json</Key><VersionId>x</VersionId></Version>\
            <Version><Key>a%2Fb.gz</Key><VersionId>2</VersionId><LastModified>2026-11-24T01:00:00.000Z</LastModified></Version>\
            <Version><Key>a%2Fb.gz</Key><VersionId>null</VersionId></Version>\
            <DeleteMarker><Key>a%2Fb.gz</Key><VersionId>3</VersionId></DeleteMarker></ListVersionsResult>";
        let seen: Vec<_> = versions(text, "a/b.gz").into_iter().map(|version| (version.id, version.deleted)).collect();
        assert_eq!(seen, [(Some("2".into()), false), (None, false), (Some("3".into()), true)]);
    }

    #[test]
    fn everybody_is_a_group() {
        let grant = |group: &str, right: &str| {
            format!(
                "<AccessControlList><Grant><Grantee><URI>http://acs.amazonaws.com/groups/{group}</URI></Grantee><Permission>{right}</Permission></Grant></AccessControlList>"
            )
        };
        assert!(granted_to_everybody(&grant("global/AllUsers", "READ")));
        assert!(!granted_to_everybody(&grant("global/AllUsers", "READ_ACP")));
        assert!(!granted_to_everybody(&grant("s3/LogDelivery", "READ")));
    }
}
