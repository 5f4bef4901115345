//! Configuration in an encrypted bundle: the age format (age-encryption.org/v1), for recipients or a passphrase, so that `age -d` opens it
//! too. Inside is one JSON document with the files, their modes and owners.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ports::{Fault, FaultKind};

/// Most that a bundle holds, in bytes.
const MOST: u64 = 32 << 20;
/// What the document inside says of itself.
const FORMAT: &str = "portcullis-config-v1";

/// Who can open a bundle.
pub enum Lock {
    /// Whoever knows the passphrase.
    Passphrase(SecretString),
    /// Whoever holds one of these age keys (`age1...`).
    Recipients(Vec<String>),
}

/// What opens a bundle.
pub enum Key {
    /// The passphrase.
    Passphrase(SecretString),
    /// An age identity (`AGE-SECRET-KEY-1...`).
    Identity(SecretString),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    files: Vec<Packed>,
}

/// A file of a bundle.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    path: String,
    mode: u32,
    owner: u32,
    group: u32,
    content: Zeroizing<String>,
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Invalid, message)
}

/// Only plain relative paths: a bundle must not write anywhere else.
fn plain(path: &str) -> Result<&Path, Fault> {
    let inside = Path::new(path);
    let fine = !path.is_empty() && inside.components().all(|part| matches!(part, Component::Normal(_)));
    fine.then_some(inside)
        .ok_or_else(|| invalid(format!("`{}` is not a path below the deployment", path.escape_debug())))
}

fn collect(root: &Path, path: &str, files: &mut Vec<Packed>, total: &mut u64) -> Result<(), Fault> {
    let full = root.join(plain(path.trim_end_matches('/'))?);
    let failed = |error: io::Error| Fault::with(FaultKind::Denied, format!("failed to read {}", full.display()), error);
    let found = fs::symlink_metadata(&full).map_err(failed)?;
    if found.is_dir() {
        let mut names: Vec<_> = fs::read_dir(&full).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            let name =
                entry.file_name().into_string().map_err(|_| invalid(format!("a name in {path} is not UTF-8")))?;
            collect(root, &format!("{}/{name}", path.trim_end_matches('/')), files, total)?;
        }
        return Ok(());
    }
    if !found.is_file() {
        return Err(invalid(format!("{} is neither a file nor a folder", full.display())));
    }
    *total += found.len();
    if *total > MOST {
        return Err(invalid("the configuration is larger than 32 MiB"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(&full).and_then(|file| file.take(MOST).read_to_end(&mut bytes)).map_err(failed)?;
    files.push(Packed {
        path: path.to_owned(),
        mode: found.mode() & 0o7777,
        owner: found.uid(),
        group: found.gid(),
        content: Zeroizing::new(STANDARD.encode(bytes.as_slice())),
    });
    Ok(())
}

/// Seals files and folders below `root` into `out`, which must not be there. Returns the paths that it holds.
pub fn seal(root: &Path, paths: &[String], lock: Lock, out: &Path) -> Result<Vec<String>, Fault> {
    let (mut files, mut total) = (Vec::new(), 0);
    for path in paths {
        collect(root, path, &mut files, &mut total)?;
    }
    let names = files.iter().map(|file| file.path.clone()).collect();
    let document = serde_json::to_vec(&Document { format: FORMAT.into(), files })
        .map(Zeroizing::new)
        .map_err(|error| Fault::with(FaultKind::Invalid, "failed to encode the bundle", error))?;
    let encryptor = match lock {
        Lock::Passphrase(passphrase) => age::Encryptor::with_user_passphrase(passphrase),
        Lock::Recipients(recipients) => {
            let parse = |text: &String| {
                age::x25519::Recipient::from_str(text)
                    .map_err(|error| invalid(format!("`{text}` is no age recipient: {error}")))
            };
            let keys = recipients.iter().map(parse).collect::<Result<Vec<_>, Fault>>()?;
            age::Encryptor::with_recipients(keys.iter().map(|key| key as &dyn age::Recipient))
                .map_err(|error| Fault::with(FaultKind::Invalid, "failed to encrypt for these recipients", error))?
        }
    };
    let failed =
        |error: io::Error| Fault::with(FaultKind::Unavailable, format!("failed to write {}", out.display()), error);
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if out.exists() {
        return Err(Fault::new(FaultKind::Conflict, format!("{} is there already", out.display())));
    }
    let _ = fs::remove_file(&partial);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial).and_then(|file| {
        let mut sealed = encryptor.wrap_output(file)?;
        sealed.write_all(&document)?;
        sealed.finish()?.sync_all()?;
        fs::rename(&partial, out)?;
        sync_folder(out)
    });
    written.map_err(failed)?;
    Ok(names)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// An opened bundle, its files in a private folder that goes with it.
pub struct Opened {
    folder: tempfile::TempDir,
    files: Vec<Packed>,
}

/// Opens a bundle into a folder that only we can read.
pub fn open(bundle: &Path, key: Key) -> Result<Opened, Fault> {
    let failed =
        |error: io::Error| Fault::with(FaultKind::Denied, format!("failed to read {}", bundle.display()), error);
    let file = File::open(bundle).map_err(failed)?;
    let refused = |error: age::DecryptError| {
        Fault::new(FaultKind::Denied, format!("{} can't be opened with this: {error}", bundle.display()))
    };
    let decryptor = age::Decryptor::new_buffered(io::BufReader::new(file)).map_err(refused)?;
    let mut document = Zeroizing::new(Vec::new());
    let text = match key {
        Key::Passphrase(passphrase) => {
            let identity = age::scrypt::Identity::new(passphrase);
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(refused)?
        }
        Key::Identity(text) => {
            let line =
                text.expose_secret().lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
            let identity = age::x25519::Identity::from_str(line.unwrap_or_default())
                .map_err(|error| invalid(format!("this is no age identity: {error}")))?;
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(refused)?
        }
    };
    text.take(MOST * 2).read_to_end(&mut document).map_err(failed)?;
    let document: Document = serde_json::from_slice(&document)
        .map_err(|_| Fault::new(FaultKind::Corrupt, format!("{} holds no configuration", bundle.display())))?;
    if document.format != FORMAT {
        return Err(Fault::new(FaultKind::Corrupt, format!("{} has another format than {FORMAT}", bundle.display())));
    }
    let folder =
        tempfile::Builder::new().prefix("portcullis-config-").permissions(Permissions::from_mode(0o700)).tempdir();
    let folder = folder.map_err(failed)?;
    for file in &document.files {
        let content = STANDARD.decode(file.content.as_bytes());
        let content =
            Zeroizing::new(content.map_err(|_| Fault::new(FaultKind::Corrupt, "a file of the bundle is damaged"))?);
        let path = folder.path().join(plain(&file.path)?);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?.write_all(&content)
        });
        made.map_err(failed)?;
    }
    Ok(Opened { folder, files: document.files })
}

impl Opened {
    /// The folder in which the files lie, as they lay below the deployment.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The paths that it holds.
    pub fn paths(&self) -> Vec<String> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    /// Puts every file back below `root` with its mode and, as root, its owner. What lies there and differs is kept beside it under
    /// `suffix`. Returns the paths that were written.
    pub fn put_back(&self, root: &Path, suffix: &str) -> Result<Vec<String>, Fault> {
        let mut written = Vec::new();
        for file in &self.files {
            let (from, to) = (self.folder.path().join(&file.path), root.join(plain(&file.path)?));
            let failed = |error: io::Error| {
                Fault::with(FaultKind::Denied, format!("failed to put {} back", to.display()), error)
            };
            let bytes = Zeroizing::new(fs::read(&from).map_err(failed)?);
            if fs::read(&to).map(Zeroizing::new).is_ok_and(|there| there.as_slice() == bytes.as_slice()) {
                continue;
            }
            put(&to, &bytes, file, suffix).map_err(failed)?;
            written.push(file.path.clone());
        }
        Ok(written)
    }
}

fn put(to: &Path, bytes: &[u8], file: &Packed, suffix: &str) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::symlink_metadata(to).is_ok() {
        let mut aside = to.as_os_str().to_owned();
        aside.push(format!(".before-restore-{suffix}"));
        let aside = PathBuf::from(aside);
        if fs::symlink_metadata(&aside).is_err() {
            fs::hard_link(to, &aside)?;
        }
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".restoring");
    let partial = PathBuf::from(partial);
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut fresh = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    fresh.write_all(bytes)?;
    if rustix::process::geteuid().is_root() {
        chown(&partial, Some(file.owner), Some(file.group))?;
    }
    // Never a program that runs as somebody else.
    fresh.set_permissions(Permissions::from_mode(file.mode & 0o777))?;
    fresh.sync_all()?;
    fs::rename(&partial, to)?;
    sync_folder(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_deployment_are_written() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "./.env"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
        assert!(plain("certs/a.pem").is_ok() && plain(".env").is_ok());
    }

    #[test]
    fn a_bundle_gives_back_what_it_was_given() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(root.path().join(".env"), "A=1\n").unwrap();
        fs::create_dir(root.path().join("certs")).unwrap();
        fs::write(root.path().join("certs/key.pem"), "secret").unwrap();
        fs::set_permissions(root.path().join("certs/key.pem"), Permissions::from_mode(0o640)).unwrap();
        let identity = age::x25519::Identity::generate();
        let out = root.path().join("c.age");
        let lock = Lock::Recipients(vec![identity.to_public().to_string()]);
        let sealed = seal(root.path(), &[".env".into(), "certs/".into()], lock, &out).unwrap();
        assert_eq!(sealed, [".env", "certs/key.pem"]);
        let bytes = fs::read(&out).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n") && !bytes.windows(6).any(|part| part == b"secret"));
        let other_key = age::x25519::Identity::generate();
        let key = |identity: &age::x25519::Identity| {
            Key::Identity(SecretString::from(identity.to_string().expose_secret().to_owned()))
        };
        assert!(open(&out, key(&other_key)).is_err());
        let opened = open(&out, key(&identity)).unwrap();
        fs::write(other.path().join(".env"), "A=2\n").unwrap();
        assert_eq!(opened.put_back(other.path(), "x").unwrap(), [".env", "certs/key.pem"]);
        assert_eq!(fs::read_to_string(other.path().join(".env.before-restore-x")).unwrap(), "A=2\n");
        assert_eq!(fs::metadata(other.path().join("certs/key.pem")).unwrap().mode() & 0o777, 0o640);
        assert!(opened.put_back(other.path(), "x").unwrap().is_empty(), "what is as it was is left alone");
        fs::write(&out, &bytes[..bytes.len() - 5]).unwrap();
        assert!(open(&out, key(&identity)).is_err(), "a bundle that was cut is refused");
    }
}
