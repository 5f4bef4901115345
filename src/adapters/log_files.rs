//! Log files: paths to readable inputs.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Most files of one scan.
const MAX_FILES: usize = 1_000_000;
/// Deepest folder.
const MAX_DEPTH: usize = 64;

/// Something to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input, named `-`.
    Stdin,
    /// A file, its size in bytes, and when it was last written, for times that name no year.
    File {
        /// Path, as given or below the folder that was given.
        path: PathBuf,
        /// Size.
        size: u64,
        /// When it was last written.
        written: Option<jiff::Timestamp>,
    },
}

pub use crate::detect::logs::Unreadable;

impl Input {
    /// Name for findings: the path, or `-`.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".into(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }

    /// Size in bytes, as far as it is known.
    pub fn size(&self) -> u64 {
        if let Self::File { size, .. } = self { *size } else { 0 }
    }

    /// When it was last written.
    pub fn written(&self) -> Option<jiff::Timestamp> {
        if let Self::File { written, .. } = self { *written } else { None }
    }

    /// Opens it at a byte.
    pub fn open_at(&self, byte: u64) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Stdin => Err(io::Error::other("standard input can't be read from the middle")),
            Self::File { path, .. } => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(byte))?;
                Ok(Box::new(file))
            }
        }
    }

    /// Opens it.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Stdin => Ok(Box::new(io::stdin())),
            Self::File { path, .. } => Ok(Box::new(File::open(path)?)),
        }
    }
}

/// Expands paths: folders to the regular files below them, sorted; links inside folders are not followed and are named.
pub fn expand(paths: &[String]) -> (Vec<Input>, Vec<Unreadable>) {
    let mut inputs = Vec::new();
    let mut unreadable = Vec::new();
    for path in paths {
        if path == "-" {
            inputs.push(Input::Stdin);
        } else if path.starts_with("s3://") {
            let reason = "s3:// is not supported by this version: copy the objects here first (aws s3 sync)";
            unreadable.push(Unreadable { path: path.clone(), reason: reason.into() });
        } else {
            given(Path::new(path), &mut inputs, &mut unreadable);
        }
    }
    // A file named twice would be found twice.
    let mut seen = std::collections::HashSet::new();
    inputs.retain(|input| seen.insert(input.name()));
    (inputs, unreadable)
}

fn given(path: &Path, inputs: &mut Vec<Input>, unreadable: &mut Vec<Unreadable>) {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => below(path, 0, inputs, unreadable),
        Ok(meta) => add(path, &meta, inputs, unreadable),
        Err(error) => unreadable.push(fault(path, error)),
    }
}

fn below(folder: &Path, depth: usize, inputs: &mut Vec<Input>, unreadable: &mut Vec<Unreadable>) {
    if depth > MAX_DEPTH || inputs.len() > MAX_FILES {
        return unreadable
            .push(fault(folder, format!("deeper than {MAX_DEPTH} folders or more than {MAX_FILES} files")));
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return unreadable.push(fault(folder, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => unreadable.push(fault(folder, error)),
        }
    }
    paths.sort();
    for path in paths {
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => below(&path, depth + 1, inputs, unreadable),
            Ok(meta) if meta.is_symlink() => unreadable.push(fault(&path, "a symbolic link, which is not followed")),
            Ok(meta) => add(&path, &meta, inputs, unreadable),
            Err(error) => unreadable.push(fault(&path, error)),
        }
    }
}

fn add(path: &Path, meta: &fs::Metadata, inputs: &mut Vec<Input>, unreadable: &mut Vec<Unreadable>) {
    if !meta.is_file() {
        return unreadable.push(fault(path, "not a regular file"));
    }
    let written = meta.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok());
    inputs.push(Input::File { path: path.to_owned(), size: meta.len(), written });
}

fn fault(path: &Path, reason: impl std::fmt::Display) -> Unreadable {
    Unreadable { path: path.display().to_string(), reason: format!("{reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_sorted_links_and_missing_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["z.log", "b/x.log", "a.log"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let root = folder.path().display().to_string();
        let asked = [root.clone(), format!("{root}/gone"), "s3://bucket/x".into(), "-".into(), format!("{root}/a.log")];
        let (inputs, unreadable) = expand(&asked);
        let names: Vec<_> = inputs.iter().map(|input| input.name().replace(&root, "")).collect();
        assert_eq!(names, ["/a.log", "/b/x.log", "/z.log", "-"]);
        let refused: Vec<_> = unreadable.iter().map(|u| u.path.replace(&root, "")).collect();
        assert_eq!(refused, ["/link", "/gone", "s3://bucket/x"]);
    }
}
