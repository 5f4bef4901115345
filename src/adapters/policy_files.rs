//! Reads the texts of a policies folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use crate::ports::{Fault, FaultKind};

/// Largest policy file that is read.
const MAX_BYTES: u64 = 4 << 20;
/// Most files that are read.
const MAX_FILES: usize = 5_000;
/// Deepest folder below the policies folder.
const MAX_DEPTH: usize = 8;

/// The text of every `.yml` and `.yaml` file below `folder`, by its `/`-separated path. Symbolic links are followed for
/// files (deployments link them), not for folders.
pub fn read(folder: &Path) -> Result<BTreeMap<String, String>, Fault> {
    if !folder.is_dir() {
        return Err(Fault::new(FaultKind::NotFound, format!("{} is not a folder", folder.display())));
    }
    let mut texts = BTreeMap::new();
    read_below(folder, "", 0, &mut texts)?;
    Ok(texts)
}

fn read_below(folder: &Path, prefix: &str, depth: usize, texts: &mut BTreeMap<String, String>) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::new(FaultKind::Invalid, format!("{} lies too deep", folder.display())));
    }
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Fault::new(FaultKind::Invalid, format!("{} has a name that is not UTF-8", path.display())));
        };
        let kind = entry.file_type().map_err(|error| unreadable(&path, error))?;
        let below = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if kind.is_dir() {
            read_below(&path, &below, depth + 1, texts)?;
        } else if is_yaml(&name) && path.is_file() {
            if texts.len() >= MAX_FILES {
                return Err(Fault::new(FaultKind::Invalid, format!("more than {MAX_FILES} policy files")));
            }
            texts.insert(below, read_text(&path)?);
        }
    }
    Ok(())
}

fn is_yaml(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "yml" || ending == "yaml")
}

fn read_text(path: &Path) -> Result<String, Fault> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| unreadable(path, error))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| unreadable(path, error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Fault::new(FaultKind::Invalid, format!("{} is larger than {MAX_BYTES} bytes", path.display())));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: std::io::Error) -> Fault {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => FaultKind::NotFound,
        std::io::ErrorKind::PermissionDenied => FaultKind::Denied,
        _ => FaultKind::Invalid,
    };
    Fault::with(kind, format!("failed to read {}", path.display()), error)
}
