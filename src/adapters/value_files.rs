//! Files that hold one value (a PEM key, a Docker secret) or a JSON document with one: every other byte stays.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::whole_file::{ONE_WRITER, read_file, replace_file};
use crate::policy::credentials::StorePolicy;
use crate::ports::{Fault, FaultKind, SecretStore};

/// Files below a root.
#[derive(Debug, Clone)]
pub struct ValueFiles {
    root: PathBuf,
}

impl ValueFiles {
    /// Relative paths start at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn slot<'a>(&self, slot: &'a StorePolicy) -> Result<(PathBuf, Option<&'a str>), Fault> {
        match slot {
            StorePolicy::File { path, pointer, .. } => Ok((self.root.join(path), pointer.as_deref())),
            _ => Err(Fault::new(FaultKind::Invalid, "this slot is not a file")),
        }
    }
}

/// Where the JSON value that the pointer (RFC 6901) names stands in the document, quotes included; `None` if it is not there.
fn place(text: &str, pointer: &str) -> Result<Option<Range<usize>>, Fault> {
    let invalid = |error: serde_json::Error| {
        // The place only: the parser's own words could quote what it read.
        Fault::new(FaultKind::Invalid, format!("it is no JSON at line {}, column {}", error.line(), error.column()))
    };
    let mut raw: &RawValue = serde_json::from_str(text).map_err(invalid)?;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let next = if raw.get().starts_with('{') {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).map_err(invalid)?;
            fields.get(&token).copied()
        } else if raw.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(invalid)?;
            token.parse().ok().and_then(|index: usize| items.get(index).copied())
        } else {
            None
        };
        let Some(next) = next else { return Ok(None) };
        raw = next;
    }
    // A raw value is a slice of the text: its address says where it stands.
    let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
    Ok(Some(start..start + raw.get().len()))
}

/// The value in the file's text.
fn value(text: &str, pointer: Option<&str>) -> Result<Option<SecretString>, Fault> {
    let Some(pointer) = pointer else {
        return Ok(Some(SecretString::from(whole(text))));
    };
    let Some(range) = place(text, pointer)? else { return Ok(None) };
    let string: Zeroizing<String> = serde_json::from_str(&text[range])
        .map(Zeroizing::new)
        .map_err(|_| Fault::new(FaultKind::Invalid, format!("what stands at {pointer} is no string")))?;
    Ok(Some(SecretString::from(string.as_str())))
}

/// A file of one line is read without its line feed, as programs read secrets; PEM keeps its lines.
fn whole(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(line) if !line.contains('\n') => line.strip_suffix('\r').unwrap_or(line),
        _ => text,
    }
}

/// The file's text with another value; `None` if the place is not there.
fn replaced(text: &str, pointer: Option<&str>, new: &str) -> Result<Option<Zeroizing<String>>, Fault> {
    let Some(pointer) = pointer else {
        let end = if new.ends_with('\n') { "" } else { &text[whole(text).len()..] };
        return Ok(Some(Zeroizing::new(format!("{new}{end}"))));
    };
    let Some(range) = place(text, pointer)? else { return Ok(None) };
    let json = Zeroizing::new(serde_json::Value::from(new).to_string());
    Ok(Some(Zeroizing::new(format!("{}{}{}", &text[..range.start], json.as_str(), &text[range.end..]))))
}

#[async_trait]
impl SecretStore for ValueFiles {
    fn describe(&self, slot: &StorePolicy) -> String {
        slot.to_string()
    }

    async fn read(&self, slot: &StorePolicy) -> Result<Option<SecretString>, Fault> {
        let (path, pointer) = self.slot(slot)?;
        let Some(text) = read_file(&path)? else { return Ok(None) };
        value(&text, pointer).map_err(|fault| named(slot, &fault))
    }

    async fn write(&self, slot: &StorePolicy, new: &SecretString, _token: &str) -> Result<(), Fault> {
        let (path, pointer) = self.slot(slot)?;
        let writing = ONE_WRITER.lock().await;
        let missing = |what: &str| Fault::new(FaultKind::NotFound, format!("{} {what}", path.display()));
        let text = read_file(&path)?.ok_or_else(|| missing("does not exist"))?;
        let text = replaced(&text, pointer, new.expose_secret())
            .map_err(|fault| named(slot, &fault))?
            .ok_or_else(|| missing(&format!("holds nothing at {}", pointer.unwrap_or_default())))?;
        replace_file(writing, path, text).await
    }

    async fn has_previous(&self, _slot: &StorePolicy) -> Result<bool, Fault> {
        Ok(false)
    }

    async fn retire_previous(&self, _slot: &StorePolicy) -> Result<(), Fault> {
        Ok(())
    }
}

fn named(slot: &StorePolicy, fault: &Fault) -> Fault {
    Fault::new(fault.kind, format!("failed to use {slot}: {}", fault.message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOCUMENT: &str = "{\n  \"a/b\": [ {\"k\" : \"o\\u006cd\" , \"n\":1e3} ],\r\n\t\"z\": \"old\" }\n";

    fn read(text: &str, pointer: Option<&str>) -> Option<String> {
        value(text, pointer).unwrap().map(|value| value.expose_secret().to_owned())
    }

    #[test]
    fn only_the_string_that_is_named_changes() {
        assert_eq!(read(DOCUMENT, Some("/a~1b/0/k")).as_deref(), Some("old"));
        let new = replaced(DOCUMENT, Some("/a~1b/0/k"), "n\"ew").unwrap().unwrap();
        assert_eq!(new.as_str(), DOCUMENT.replace("\"o\\u006cd\"", "\"n\\\"ew\""));
        assert_eq!(replaced(DOCUMENT, Some("/no/such"), "x").unwrap(), None);
    }

    #[test]
    fn a_line_keeps_its_end_and_a_pem_its_lines() {
        assert_eq!(read("old\n", None).as_deref(), Some("old"));
        assert_eq!(replaced("old\r\n", None, "new").unwrap().unwrap().as_str(), "new\r\n");
        assert_eq!(replaced("old", None, "new").unwrap().unwrap().as_str(), "new");
        let pem = "-----BEGIN X-----\nAA\n-----END X-----\n";
        assert_eq!(read(pem, None).as_deref(), Some(pem));
        assert_eq!(replaced(pem, None, pem).unwrap().unwrap().as_str(), pem);
    }

    #[test]
    fn errors_name_the_place_and_never_the_value() {
        let fault = value("{\"a\": \"hunter2\", }", Some("/a")).unwrap_err();
        assert!(fault.message.contains("line 1, column"), "{}", fault.message);
        assert!(!fault.chain().contains("hunter2"));
        let fault = value("{\"a\": [\"hunter2\"]}", Some("/a")).unwrap_err();
        assert!(fault.message.contains("no string") && !fault.chain().contains("hunter2"));
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_read_back(new in "\\PC{0,40}", before in "\\PC{0,10}") {
            let document = serde_json::json!({ "x": before, "y": [before, { "z": before }] });
            for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
                for pointer in ["/x", "/y/0", "/y/1/z"] {
                    let after = replaced(&text, Some(pointer), &new).unwrap().unwrap();
                    prop_assert_eq!(read(&after, Some(pointer)), Some(new.clone()));
                    let mut wanted = document.clone();
                    *wanted.pointer_mut(pointer).unwrap() = new.clone().into();
                    let after: serde_json::Value = serde_json::from_str(&after).unwrap();
                    prop_assert_eq!(after, wanted);
                }
            }
        }
    }
}
