//! Log files and objects: paths and addresses to readable inputs.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::s3::{Listed, Place, S3};

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
    /// An object in S3.
    Object(Object),
}

/// An object in S3, as it was listed.
#[derive(Debug, Clone)]
pub struct Object {
    s3: Arc<S3>,
    place: Place,
    listed: Listed,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        (&self.place, &self.listed) == (&other.place, &other.listed)
    }
}

impl Eq for Object {}

pub use crate::detect::logs::Unreadable;

impl Input {
    /// Name for findings: the path, or `-`.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".into(),
            Self::File { path, .. } => path.display().to_string(),
            Self::Object(object) => object.place.to_string(),
        }
    }

    /// Size in bytes, as far as it is known.
    pub fn size(&self) -> u64 {
        match self {
            Self::Stdin => 0,
            Self::File { size, .. } => *size,
            Self::Object(object) => object.listed.bytes,
        }
    }

    /// When it was last written.
    pub fn written(&self) -> Option<jiff::Timestamp> {
        match self {
            Self::Stdin => None,
            Self::File { written, .. } => *written,
            Self::Object(object) => object.listed.written,
        }
    }

    /// What changes with the content, where the place where it lies says so.
    pub fn tag(&self) -> &str {
        if let Self::Object(object) = self { &object.listed.tag } else { "" }
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
            Self::Object(object) => Ok(Box::new(object.s3.read(&object.place, &object.listed, byte)?)),
        }
    }

    /// Opens it.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Stdin => Ok(Box::new(io::stdin())),
            Self::File { path, .. } => Ok(Box::new(File::open(path)?)),
            Self::Object(_) => self.open_at(0),
        }
    }
}

/// Whether a path is the address of objects in S3.
pub fn is_object(path: &str) -> bool {
    path.starts_with("s3://")
}

/// Expands paths: folders to the regular files below them, sorted; links inside folders are not followed and are named.
pub fn expand(paths: &[String]) -> (Vec<Input>, Vec<Unreadable>) {
    expand_with(paths, None)
}

/// The same, and addresses in S3 to the objects whose keys begin with them, in the order of the keys.
pub fn expand_with(paths: &[String], s3: Option<&Arc<S3>>) -> (Vec<Input>, Vec<Unreadable>) {
    let mut inputs = Vec::new();
    let mut unreadable = Vec::new();
    for path in paths {
        if path == "-" {
            inputs.push(Input::Stdin);
        } else if is_object(path) {
            match objects(path, s3) {
                Ok(found) => inputs.extend(found),
                Err(reason) => unreadable.push(Unreadable { path: path.clone(), reason }),
            }
        } else {
            given(Path::new(path), &mut inputs, &mut unreadable);
        }
    }
    // A file named twice would be found twice.
    let mut seen = std::collections::HashSet::new();
    inputs.retain(|input| seen.insert(input.name()));
    (inputs, unreadable)
}

fn objects(address: &str, s3: Option<&Arc<S3>>) -> Result<Vec<Input>, String> {
    let s3 = s3.ok_or("objects in S3 are not read here: copy them first (aws s3 sync)")?;
    let place = Place::parse(address).ok_or("an address in S3 is s3://BUCKET/PREFIX")?;
    let found = s3.list(&place).map_err(|fault| fault.chain())?;
    if found.is_empty() {
        return Err("no object has a key that begins so".into());
    }
    let object = |listed: Listed| {
        let place = Place { bucket: place.bucket.clone(), key: listed.key.clone() };
        Input::Object(Object { s3: s3.clone(), place, listed })
    };
    Ok(found.into_iter().map(object).collect())
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
