//! What S3 knows of an object beside its bytes: older versions of it, and whether others may read it.

use jiff::Timestamp;

use super::list::{element, parse_versions};
use super::{Ask, MAX_OBJECTS, Place, S3};
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
    pub(super) fn asked(&self, what: &str, place: &Place, query: &[(&str, &str)]) -> Result<String, Fault> {
        let ask = Ask { method: "GET", place, query, headers: Vec::new(), body: &[] };
        Ok(String::from_utf8_lossy(&self.whole(what, &ask)?).into_owned())
    }

    /// The versions of an object that are kept, newest first.
    pub fn versions(&self, place: &Place) -> Result<Vec<Version>, Fault> {
        let found = self.versions_below(place)?.into_iter().filter(|(key, _)| *key == place.key);
        let mut versions: Vec<Version> = found.map(|(_, version)| version).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.written));
        Ok(versions)
    }

    /// Every version, and mark of deletion, of every object whose key begins with the place's, with its key.
    pub fn versions_below(&self, place: &Place) -> Result<Vec<(String, Version)>, Fault> {
        let bucket = Place { bucket: place.bucket.clone(), key: String::new() };
        let what = format!("list the versions of {place}");
        let mut found = Vec::new();
        let mut marker: Option<(String, String)> = None;
        loop {
            let mut query = vec![("encoding-type", "url"), ("prefix", place.key.as_str()), ("versions", "")];
            if let Some((key, id)) = &marker {
                query.insert(1, ("key-marker", key));
                query.insert(3, ("version-id-marker", id));
            }
            let page = parse_versions(&self.asked(&what, &bucket, &query)?).ok_or_else(|| {
                Fault::new(FaultKind::Invalid, format!("failed to {what}: the answer is no such listing"))
            })?;
            found.extend(page.versions);
            if found.len() > MAX_OBJECTS {
                return Err(Fault::new(FaultKind::Invalid, format!("{place} holds more than {MAX_OBJECTS} versions")));
            }
            marker = page.next;
            if marker.is_none() {
                return Ok(found);
            }
        }
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
