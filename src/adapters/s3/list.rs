//! Answers to `ListObjectsV2` (Amazon S3 API Reference), as far as they are needed.

use super::facts::Version;

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Key.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// `ETag`, with its quotes: another after each change.
    pub tag: String,
    /// When it was last written.
    pub written: Option<jiff::Timestamp>,
}

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<Listed>,
    /// How to ask for the next.
    pub(super) next: Option<String>,
}

/// Reads a page; `None` if it is none. Keys are URL-encoded, as they were asked for: no XML can spell all of them.
pub(super) fn parse(text: &str) -> Option<Page> {
    text.contains("<ListBucketResult").then_some(())?;
    let mut objects = Vec::new();
    for part in text.split("<Contents>").skip(1) {
        let part = part.split("</Contents>").next()?;
        let key = decoded(&element(part, "Key")?)?;
        let bytes = element(part, "Size")?.parse().ok()?;
        // The console makes such an object for a folder.
        if bytes == 0 && key.ends_with('/') {
            continue;
        }
        let tag = element(part, "ETag")?;
        let written = element(part, "LastModified").and_then(|text| text.parse().ok());
        objects.push(Listed { key, bytes, tag, written });
    }
    let more = element(text, "IsTruncated").is_some_and(|value| value == "true");
    let next = if more { Some(element(text, "NextContinuationToken")?) } else { None };
    Some(Page { objects, next })
}

/// A page of versions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VersionPage {
    /// With the key of each; marks of deletion behind the versions.
    pub(super) versions: Vec<(String, Version)>,
    /// Key and id after which the next page begins.
    pub(super) next: Option<(String, String)>,
}

/// Reads an answer to `ListObjectVersions` with `encoding-type=url`.
pub(super) fn parse_versions(text: &str) -> Option<VersionPage> {
    text.contains("<ListVersionsResult").then_some(())?;
    let mut versions = Vec::new();
    for (name, deleted) in [("Version", false), ("DeleteMarker", true)] {
        for part in text.split(&format!("<{name}>")).skip(1) {
            let part = part.split(&format!("</{name}>")).next()?;
            let key = decoded(&element(part, "Key")?)?;
            let written = element(part, "LastModified").and_then(|text| text.parse().ok());
            let id = element(part, "VersionId").filter(|id| id != "null");
            versions.push((key, Version { written, id, deleted }));
        }
    }
    let more = element(text, "IsTruncated").is_some_and(|value| value == "true");
    let next = if more {
        Some((decoded(&element(text, "NextKeyMarker")?)?, element(text, "NextVersionIdMarker")?))
    } else {
        None
    };
    Some(VersionPage { versions, next })
}

/// The text of the first element of that name that has no other in it.
pub(super) fn element(text: &str, name: &str) -> Option<String> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = after.split_once(&format!("</{name}>"))?;
    unescaped(inner)
}

/// The five entities of XML, and characters by their number.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (entity, after) = after.split_once(';')?;
        out.push_str(before);
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// A URL-encoded text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let hex = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_is_read() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><Name>b</Name><IsTruncated>true</IsTruncated>\
            <NextContinuationToken>a&amp;b=</NextContinuationToken>\
            <Contents><Key>logs/</Key><Size>0</Size><ETag>&quot;e&quot;</ETag></Contents>\
            <Contents><Key>logs/a+b%2Bc.gz</Key><LastModified>2026-11-24T01:02:03.000Z</LastModified><ETag>&#34;f-2&#x22;</ETag><Size>12</Size></Contents>\
            </ListBucketResult>";
        let page = parse(text).unwrap();
        assert_eq!(page.next.as_deref(), Some("a&b="));
        let written = Some("2026-11-24T01:02:03Z".parse().unwrap());
        let tag = "\"f-2\"".to_owned();
        assert_eq!(page.objects, [Listed { key: "logs/a b+c.gz".into(), bytes: 12, tag, written }]);
        assert_eq!(parse("<Error/>"), None);
        assert_eq!(parse("<ListBucketResult/>"), Some(Page { objects: Vec::new(), next: None }));
    }

    #[test]
    fn versions_and_marks_of_deletion_are_read() {
        let text = "<ListVersionsResult xmlns=\"x\"><IsTruncated>true</IsTruncated>\
            <NextKeyMarker>a%2Fb</NextKeyMarker><NextVersionIdMarker>v&amp;2</NextVersionIdMarker>\
            <Version><Key>a%2Fb</Key><VersionId>2</VersionId><LastModified>2026-11-24T01:00:00.000Z</LastModified></Version>\
            <DeleteMarker><Key>a%2Fb</Key><VersionId>3</VersionId></DeleteMarker>\
            <Version><Key>a%2Fc</Key><VersionId>null</VersionId></Version></ListVersionsResult>";
        let page = parse_versions(text).unwrap();
        let written = Some("2026-11-24T01:00:00Z".parse().unwrap());
        let version = |written, id: Option<&str>, deleted| Version { written, id: id.map(str::to_owned), deleted };
        assert_eq!(
            page.versions,
            [
                ("a/b".to_owned(), version(written, Some("2"), false)),
                ("a/c".to_owned(), version(None, None, false)),
                ("a/b".to_owned(), version(None, Some("3"), true)),
            ]
        );
        assert_eq!(page.next, Some(("a/b".into(), "v&2".into())));
        assert_eq!(parse_versions("<ListBucketResult/>"), None);
        assert_eq!(parse_versions("<ListVersionsResult/>"), Some(VersionPage { versions: Vec::new(), next: None }));
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(text in "(<|</|>|Contents|Key|Size|ETag|ListBucketResult|&|;|#x|%|[a-z0-9%é]){0,40}") {
            let _ = parse(&format!("<ListBucketResult>{text}"));
            let _ = parse_versions(&format!("<ListVersionsResult><Version>{text}"));
        }
    }
}
