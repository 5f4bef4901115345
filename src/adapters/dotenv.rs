//! `.env` files: one value is replaced, every other byte stays.

use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::whole_file::{ONE_WRITER, read_file, replace_file};
use crate::policy::credentials::StorePolicy;
use crate::ports::{Fault, FaultKind, SecretStore};

/// `.env` files below a root.
#[derive(Debug, Clone)]
pub struct DotenvStore {
    root: PathBuf,
}

impl DotenvStore {
    /// Relative paths start at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn slot<'a>(&self, slot: &'a StorePolicy) -> Result<(PathBuf, &'a str), Fault> {
        match slot {
            StorePolicy::Dotenv { path, key, .. } => Ok((self.root.join(path), key)),
            _ => Err(Fault::new(FaultKind::Invalid, "this slot is not a .env file")),
        }
    }
}

/// How a value stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
    Back,
}

/// Where a key's value lies, quotes not included.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    value: Range<usize>,
    quote: Quote,
}

/// All places of a key, in order: the last one counts for most readers, so all are changed.
fn places(text: &str, key: &str) -> Vec<Place> {
    let mut found = Vec::new();
    let mut offset = 0;
    while offset < text.len() {
        let end = text[offset..].find('\n').map_or(text.len(), |at| offset + at);
        let (next, place) = read_line(text, offset, end, key);
        found.extend(place);
        offset = next;
    }
    found
}

/// Reads the line at `start..end`; returns where the next one starts (a quoted value may span lines).
fn read_line(text: &str, start: usize, end: usize, key: &str) -> (usize, Option<Place>) {
    let line = &text[start..end];
    let next = (end + 1).min(text.len());
    let trimmed = line.trim_start();
    if trimmed.starts_with('#') {
        return (next, None);
    }
    let Some(equals) = line.find('=') else { return (next, None) };
    let name = line[..equals].trim();
    let name = name.strip_prefix("export ").map_or(name, str::trim_start);
    let mut from = start + equals + 1;
    while text[from..end].starts_with([' ', '\t']) {
        from += 1;
    }
    let quote = match text[from..end].chars().next() {
        Some('\'') => Quote::Single,
        Some('"') => Quote::Double,
        Some('`') => Quote::Back,
        _ => Quote::None,
    };
    let closing = if quote == Quote::None { None } else { closing(text, from + 1, quote) };
    let place = match closing {
        Some(close) => Place { value: from + 1..close, quote },
        // No quote, or one that is never closed: the value goes to the end of the line or to a comment.
        None => Place { value: from..bare_end(text, from, end), quote: Quote::None },
    };
    let after = place.value.end.max(end);
    let next = text[after..].find('\n').map_or(text.len(), |at| after + at + 1);
    (next, (name == key).then_some(place))
}

fn closing(text: &str, from: usize, quote: Quote) -> Option<usize> {
    let mark = match quote {
        Quote::Single => '\'',
        Quote::Back => '`',
        Quote::Double | Quote::None => '"',
    };
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        match c {
            '\\' if quote == Quote::Double && !escaped => escaped = true,
            c if c == mark && !escaped => return Some(from + at),
            _ => escaped = false,
        }
    }
    None
}

fn bare_end(text: &str, from: usize, end: usize) -> usize {
    let value = &text[from..end];
    let comment = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
    let comment = if value.starts_with('#') { 0 } else { comment };
    from + value[..comment].trim_end().len()
}

/// The value as the service reads it.
fn value(text: &str, place: &Place) -> Zeroizing<String> {
    let raw = &text[place.value.clone()];
    if place.quote != Quote::Double {
        return Zeroizing::new(raw.to_owned());
    }
    let mut out = Zeroizing::new(String::with_capacity(raw.len()));
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(c @ ('"' | '\\' | '$')) => out.push(c),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// The file's text with the key's value replaced everywhere; `None` if the key is not there.
fn replaced(text: &str, key: &str, new: &str) -> Result<Option<Zeroizing<String>>, Fault> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() + new.len() * 2));
    let mut done = 0;
    let places = places(text, key);
    for place in &places {
        out.push_str(&text[done..place.value.start]);
        out.push_str(&written(new, place.quote)?);
        done = place.value.end;
    }
    out.push_str(&text[done..]);
    if places.is_empty() {
        return Ok(None);
    }
    // A quote left open on another line could close inside the new value: what is written must be what is read.
    let read_back = self::places(&out, key);
    if read_back.len() != places.len() || read_back.iter().any(|place| value(&out, place).as_str() != new) {
        let message = format!("the new value of {key} would not be read back: a quote is left open in the file");
        return Err(Fault::new(FaultKind::Invalid, message));
    }
    Ok(Some(out))
}

/// The value as it must stand between these quotes.
fn written(new: &str, quote: Quote) -> Result<Zeroizing<String>, Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?@%&=+,!*()[]{}|^;<>".contains(c);
    let fits = match quote {
        Quote::None if new.chars().all(plain) => Some(new.to_owned()),
        Quote::None => Some(format!("\"{}\"", escaped(new))),
        Quote::Double => Some(escaped(new)),
        Quote::Single => (!new.contains(['\'', '\n'])).then(|| new.to_owned()),
        Quote::Back => (!new.contains('`')).then(|| new.to_owned()),
    };
    fits.map(Zeroizing::new).ok_or_else(|| {
        Fault::new(FaultKind::Invalid, "the new value can't be written between the quotes that are there")
    })
}

fn escaped(new: &str) -> String {
    let mut out = String::with_capacity(new.len() + 8);
    for c in new.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '"' | '\\' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// The value of a key in `.env` below `root`; `None` if the file or the key is not there.
pub fn dotenv_value(root: &Path, key: &str) -> Result<Option<SecretString>, Fault> {
    let Some(text) = read_file(&root.join(".env"))? else { return Ok(None) };
    Ok(places(&text, key).last().map(|place| SecretString::from(value(&text, place).as_str())))
}

#[async_trait]
impl SecretStore for DotenvStore {
    fn describe(&self, slot: &StorePolicy) -> String {
        slot.to_string()
    }

    async fn read(&self, slot: &StorePolicy) -> Result<Option<SecretString>, Fault> {
        let (path, key) = self.slot(slot)?;
        let Some(text) = read_file(&path)? else { return Ok(None) };
        Ok(places(&text, key).last().map(|place| SecretString::from(value(&text, place).as_str())))
    }

    async fn write(&self, slot: &StorePolicy, new: &SecretString, _token: &str) -> Result<(), Fault> {
        let (path, key) = self.slot(slot)?;
        let writing = ONE_WRITER.lock().await;
        let text = read_file(&path)?
            .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("{} does not exist", path.display())))?;
        let text = replaced(&text, key, new.expose_secret())?
            .ok_or_else(|| Fault::new(FaultKind::NotFound, format!("{} holds no key {key}", path.display())))?;
        replace_file(writing, path, text).await
    }

    async fn has_previous(&self, _slot: &StorePolicy) -> Result<bool, Fault> {
        Ok(false)
    }

    async fn retire_previous(&self, _slot: &StorePolicy) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::policy::credentials::ValuePart;

    const FILE: &str = "# JWT_SECRET=comment\r\nexport A = 'one two' # c\r\nJWT_SECRET=\"o\\\"l\\nd\"  # keep\nB=plain # c\nM=\"two\nJWT_SECRET=inside\"\nJWT_SECRET=last\nE=\n";

    #[test]
    fn values_are_read_as_services_read_them() {
        let read = |key: &str| places(FILE, key).last().map(|place| value(FILE, place).to_string());
        assert_eq!(read("A").unwrap(), "one two");
        assert_eq!(read("B").unwrap(), "plain");
        assert_eq!(read("M").unwrap(), "two\nJWT_SECRET=inside");
        assert_eq!(read("JWT_SECRET").unwrap(), "last");
        assert_eq!(read("E").unwrap(), "");
        assert_eq!(read("NONE"), None);
        assert_eq!(value(FILE, &places(FILE, "JWT_SECRET")[0]).as_str(), "o\"l\nd");
    }

    #[test]
    fn only_the_value_changes_and_all_duplicates_do() {
        let text = replaced(FILE, "JWT_SECRET", "new").unwrap().unwrap();
        let expected = FILE.replacen("o\\\"l\\nd", "new", 1).replace("=last", "=new");
        assert_eq!(text.as_str(), expected);
        assert!(replaced(FILE, "NONE", "new").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_the_rest_stays(
            before in "([A-Z]{1,4}=[a-z0-9 #'\"]{0,8}\n|# [a-z=]{0,8}\r?\n|\n){0,4}",
            quote in prop::sample::select(vec!["", "\"", "`"]),
            new in "[ -~&&[^`]]{0,24}",
            after in "(\n[A-Z]{1,4}=[a-z]{0,8}){0,3}\n?",
        ) {
            // An unclosed quote in front may swallow the line: then it is not our key's line at all.
            let file = format!("{before}KEY={quote}old{quote}{after}");
            let at = places(&file, "KEY");
            prop_assume!(at.len() == 1 && &file[at[0].value.clone()] == "old");
            let Ok(changed) = replaced(&file, "KEY", &new) else {
                prop_assert!(before.contains(['\'', '"']), "only an open quote in front may stand in the way");
                return Ok(());
            };
            let changed = changed.unwrap();
            let place = places(&changed, "KEY").pop().unwrap();
            let got = value(&changed, &place);
            prop_assert_eq!(got.as_str(), new.as_str());
            prop_assert!(changed.starts_with(&file[..at[0].value.start]));
            prop_assert!(changed.ends_with(&file[at[0].value.end..]));
        }
    }

    #[tokio::test]
    async fn a_file_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.env");
        fs::write(&real, "KEY=old\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join(".env")).unwrap();
        let store = DotenvStore::new(folder.path());
        let slot = StorePolicy::Dotenv { path: ".env".into(), key: "KEY".into(), part: ValuePart::Whole };
        store.write(&slot, &SecretString::from("n w"), "t").await.unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "KEY=\"n w\"\n");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(folder.path().join(".env")).unwrap().is_symlink());
        assert_eq!(store.read(&slot).await.unwrap().unwrap().expose_secret(), "n w");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays");
    }
}
