//! Case folders on disk: `$PORTCULLIS_HOME/incidents/<id>/`.

use std::fs::{File, TryLockError};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::IncidentId;
use crate::ports::{CaseFolders, CaseStore, Fault, FaultKind};

use super::confined::{Confined, fault};
use super::durable;

const LEDGER: &str = "ledger.jsonl";
const LOCK: &str = "lock";

/// So much of a ledger is looked through for the end of its first line, in bytes: more than an entry may have.
const MAX_FIRST_LINE: u64 = 8 << 20;

/// All case folders below one folder.
#[derive(Debug, Clone)]
pub struct CaseFiles {
    incidents: PathBuf,
}

impl CaseFiles {
    /// Case folders below `<home>/incidents`.
    pub fn new(home: &Path) -> Self {
        Self { incidents: home.join("incidents") }
    }

    fn folder(&self, incident: &IncidentId) -> PathBuf {
        self.incidents.join(incident.as_str())
    }
}

impl CaseFolders for CaseFiles {
    /// Oldest first by name, since names start with the time. A folder without a whole first entry (a crash before
    /// anything was done) is no incident.
    fn list(&self) -> Result<Vec<IncidentId>, Fault> {
        let folder = match Confined::open(&self.incidents, false) {
            Ok(folder) => folder,
            Err(error) if error.kind == FaultKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut incidents = Vec::new();
        for name in folder.list("", true)? {
            let Ok(incident) = IncidentId::new(name.as_str()) else { continue };
            let path = format!("{name}/{LEDGER}");
            let Some(ledger) = folder.open_file(&path)? else { continue };
            let mut first = Vec::new();
            BufReader::new(ledger)
                .take(MAX_FIRST_LINE)
                .read_until(b'\n', &mut first)
                .map_err(|error| fault("read", &folder.path().join(&path), error))?;
            if first.ends_with(b"\n") {
                incidents.push(incident);
            }
        }
        Ok(incidents)
    }

    fn open(&self, incident: &IncidentId, create: bool) -> Result<Arc<dyn CaseStore>, Fault> {
        let folder = Confined::open(&self.folder(incident), create)?;
        Ok(Arc::new(CaseFolder::lock(folder, create)?))
    }

    fn peek(&self, incident: &IncidentId) -> Result<Arc<dyn CaseStore>, Fault> {
        open_read_only(&self.folder(incident))
    }
}

/// Opens any case folder, for instance a copy, for reading only.
pub fn open_read_only(path: &Path) -> Result<Arc<dyn CaseStore>, Fault> {
    Ok(Arc::new(CaseFolder { folder: Confined::open(path, false)?, writer: None }))
}

/// One case folder.
#[derive(Debug)]
pub struct CaseFolder {
    folder: Confined,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    ledger: Mutex<Ledger>,
    // Held for as long as the folder is open for writing.
    _lock: File,
}

#[derive(Debug)]
struct Ledger {
    file: File,
    // After a failed sync nobody knows what is on disk: the kernel may drop the pages and report success next time.
    poisoned: bool,
}

impl CaseFolder {
    fn lock(folder: Confined, create: bool) -> Result<Self, Fault> {
        let mut lock = folder.append(LOCK, true)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number is a courtesy: that it can't be read changes nothing.
                let _ = (&mut lock).take(20).read_to_string(&mut holder);
                let holder: String = holder.chars().filter(char::is_ascii_digit).collect();
                return Err(Fault::new(
                    FaultKind::Conflict,
                    format!("another portcullis is working on this incident (pid {holder})"),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(fault("lock", &folder.path().join(LOCK), error)),
        }
        let write = lock.set_len(0).and_then(|()| lock.write_all(std::process::id().to_string().as_bytes()));
        write.map_err(|error| fault("write", &folder.path().join(LOCK), error))?;
        let file = folder.append(LEDGER, create)?;
        let ledger = Mutex::new(Ledger { file, poisoned: false });
        Ok(Self { folder, writer: Some(Writer { ledger, _lock: lock }) })
    }

    fn with_ledger(&self, what: &str, act: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<(), Fault> {
        let mut ledger = self.writer()?.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if ledger.poisoned {
            let message = "an earlier write to the ledger failed, and what is on disk is uncertain".to_owned();
            return Err(Fault::new(FaultKind::OutcomeUnknown, message));
        }
        act(&mut ledger.file).map_err(|error| {
            ledger.poisoned = true;
            fault(what, &self.folder.path().join(LEDGER), error)
        })
    }

    fn writer(&self) -> Result<&Writer, Fault> {
        self.writer.as_ref().ok_or_else(|| {
            Fault::new(FaultKind::Denied, format!("{} is open for reading only", self.folder.path().display()))
        })
    }
}

/// Reads a file from its start, wherever others who have it open are.
struct Positioned {
    file: File,
    at: u64,
}

impl Read for Positioned {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl CaseStore for CaseFolder {
    fn location(&self) -> &Path {
        self.folder.path()
    }

    fn read_ledger(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        let mut ledger = self.open_ledger()?;
        ledger.read_to_end(&mut bytes).map_err(|error| fault("read", &self.folder.path().join(LEDGER), error))?;
        Ok(bytes)
    }

    fn open_ledger(&self) -> Result<Box<dyn Read + '_>, Fault> {
        let path = self.folder.path().join(LEDGER);
        let file = match &self.writer {
            // The file that is written to, whatever lies at its place by now.
            Some(writer) => {
                let ledger = writer.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                Some(ledger.file.try_clone().map_err(|error| fault("read", &path, error))?)
            }
            None => self.folder.open_file(LEDGER)?,
        };
        let file = file.ok_or_else(|| {
            Fault::new(FaultKind::NotFound, format!("there is no ledger in {}", self.folder.path().display()))
        })?;
        Ok(Box::new(Positioned { file, at: 0 }))
    }

    fn append_ledger(&self, line: &[u8]) -> Result<(), Fault> {
        let ledger = self.folder.path().join(LEDGER);
        self.with_ledger("append to", |file| {
            durable::write(file, &ledger, line)?;
            durable::sync(file, &ledger)
        })
    }

    fn truncate_ledger(&self, bytes: u64) -> Result<(), Fault> {
        let ledger = self.folder.path().join(LEDGER);
        self.with_ledger("cut", |file| durable::cut(file, &ledger, bytes))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.folder.read(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.writer()?;
        if path == LEDGER || path == LOCK {
            return Err(Fault::new(FaultKind::Invalid, format!("`{path}` is not written as a whole")));
        }
        self.folder.write(path, bytes)
    }

    fn write_all(&self, files: &[(String, &[u8])]) -> Result<(), Fault> {
        self.writer()?;
        if let Some((path, _)) = files.iter().find(|(path, _)| path == LEDGER || path == LOCK) {
            return Err(Fault::new(FaultKind::Invalid, format!("`{path}` is not written as a whole")));
        }
        self.folder.write_all(files)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Fault> {
        self.folder.list(path, false)
    }

    fn walk(&self) -> Result<Vec<String>, Fault> {
        self.folder.walk()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn case() -> (tempfile::TempDir, CaseFiles, IncidentId) {
        let home = tempfile::tempdir().unwrap();
        let cases = CaseFiles::new(home.path());
        (home, cases, IncidentId::new("inc-1").unwrap())
    }

    #[test]
    fn only_one_writer_at_a_time_and_readers_beside_it() {
        let (_home, cases, id) = case();
        assert_eq!(cases.list().unwrap(), []);
        assert_eq!(cases.open(&id, false).err().unwrap().kind, FaultKind::NotFound);
        let store = cases.open(&id, true).unwrap();
        let second = cases.open(&id, false).err().unwrap();
        assert_eq!(second.kind, FaultKind::Conflict);
        assert!(second.message.contains(&format!("(pid {})", std::process::id())), "{second}");
        assert_eq!(cases.list().unwrap(), [], "no entry yet");
        store.append_ledger(b"one\n").unwrap();
        let reader = cases.peek(&id).unwrap();
        assert_eq!(reader.read_ledger().unwrap(), b"one\n");
        assert_eq!(reader.write("x", b"y").unwrap_err().kind, FaultKind::Denied);
        assert_eq!(cases.list().unwrap(), std::slice::from_ref(&id));
        drop(store);
        let store = cases.open(&id, false).unwrap();
        store.append_ledger(b"two\n").unwrap();
        store.truncate_ledger(4).unwrap();
        store.append_ledger(b"three\n").unwrap();
        assert_eq!(store.read_ledger().unwrap(), b"one\nthree\n");
    }

    #[test]
    fn files_that_are_written_together_are_there_as_each_would_be() {
        let (_home, cases, id) = case();
        let store = cases.open(&id, true).unwrap();
        let many: Vec<_> = (0..300).map(|number| (format!("policies/logs/{number}.yml"), number.to_string())).collect();
        let mut files: Vec<_> = many.iter().map(|(path, text)| (path.clone(), text.as_bytes())).collect();
        files.push(("policies/pause.yml".into(), b"one"));
        store.write("policies/pause.yml", b"before").unwrap();
        store.write_all(&files).unwrap();
        assert_eq!(store.list("policies/logs").unwrap().len(), 300);
        for (path, bytes) in &files {
            assert_eq!(store.read(path).unwrap().as_deref(), Some(*bytes), "{path}");
        }
        assert!(store.walk().unwrap().iter().all(|path| !path.contains("tmp")));
        for bad in ["ledger.jsonl", "../outside", "lock"] {
            assert!(store.write_all(&[("fine".into(), b"1"), (bad.into(), b"2")]).is_err(), "{bad}");
            assert_eq!(store.read("fine").unwrap(), None, "nothing is begun if one can't be");
        }
        let reader = cases.peek(&id).unwrap();
        assert_eq!(reader.write_all(&files).unwrap_err().kind, FaultKind::Denied);
    }

    #[test]
    fn folders_are_0700_and_files_0600() {
        let (home, cases, id) = case();
        let store = cases.open(&id, true).unwrap();
        store.append_ledger(b"one\n").unwrap();
        store.write("evidence/deep/x.json", b"{}").unwrap();
        let mode = |path: &str| {
            let path = home.path().join("incidents/inc-1").join(path);
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        for folder in [".", "evidence", "evidence/deep"] {
            assert_eq!(mode(folder), 0o700, "{folder}");
        }
        for file in ["ledger.jsonl", "lock", "evidence/deep/x.json"] {
            assert_eq!(mode(file), 0o600, "{file}");
        }
        store.write("evidence/deep/x.json", b"[]").unwrap();
        assert_eq!(store.read("evidence/deep/x.json").unwrap().unwrap(), b"[]");
        assert_eq!(store.list("evidence/deep").unwrap(), ["x.json"], "no temporary file stays");
        assert_eq!(store.list("evidence").unwrap(), Vec::<String>::new());
        assert_eq!(store.list("nothing").unwrap(), Vec::<String>::new());
        assert_eq!(store.read("nothing/x").unwrap(), None);
        assert_eq!(store.walk().unwrap(), ["evidence/deep/x.json", "ledger.jsonl", "lock"]);
    }

    #[test]
    fn no_path_leads_outside() {
        let (home, cases, id) = case();
        let store = cases.open(&id, true).unwrap();
        for path in ["../x", "/etc/passwd", "a/../../x", "", "a//b", "./a", "a\nb", "a\0b", "a/"] {
            assert_eq!(store.write(path, b"").unwrap_err().kind, FaultKind::Invalid, "{path:?}");
            assert_eq!(store.read(path).unwrap_err().kind, FaultKind::Invalid, "{path:?}");
        }
        assert_eq!(store.write("ledger.jsonl", b"").unwrap_err().kind, FaultKind::Invalid);
        let folder = home.path().join("incidents/inc-1");
        std::fs::write(home.path().join("outside"), "secret").unwrap();
        symlink(home.path().join("outside"), folder.join("link")).unwrap();
        symlink(home.path(), folder.join("linked")).unwrap();
        assert_eq!(store.read("link").unwrap_err().kind, FaultKind::Corrupt);
        assert_eq!(store.read("linked/outside").unwrap_err().kind, FaultKind::Corrupt);
        assert_eq!(store.write("linked/new", b"").unwrap_err().kind, FaultKind::Corrupt);
        assert!(!home.path().join("new").exists());
        // A rename replaces the link itself, never what it points to.
        store.write("link", b"mine").unwrap();
        assert_eq!(std::fs::read(home.path().join("outside")).unwrap(), b"secret");
        assert!(store.walk().unwrap().contains(&"linked".to_owned()));
    }

    #[test]
    fn a_ledger_that_is_a_link_or_a_folder_is_refused() {
        let (home, cases, id) = case();
        let folder = home.path().join("incidents/inc-1");
        std::fs::create_dir_all(&folder).unwrap();
        symlink(home.path().join("elsewhere"), folder.join("ledger.jsonl")).unwrap();
        assert_eq!(cases.open(&id, true).err().unwrap().kind, FaultKind::Corrupt);
        assert!(!home.path().join("elsewhere").exists());
    }

    #[test]
    fn a_failed_append_poisons_the_ledger() {
        let (home, cases, id) = case();
        std::fs::create_dir_all(home.path().join("incidents/inc-1")).unwrap();
        let folder = Confined::open(&home.path().join("incidents/inc-1"), true).unwrap();
        let mut store = CaseFolder::lock(folder, true).unwrap();
        // A device that is always full.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let writer = store.writer.as_mut().unwrap();
        let real = std::mem::replace(&mut writer.ledger.get_mut().unwrap().file, full);
        let error = store.append_ledger(b"one\n").unwrap_err();
        assert!(error.message.contains("the disk is full"), "{error}");
        store.writer.as_mut().unwrap().ledger.get_mut().unwrap().file = real;
        assert_eq!(store.append_ledger(b"one\n").unwrap_err().kind, FaultKind::OutcomeUnknown);
        assert_eq!(store.truncate_ledger(0).unwrap_err().kind, FaultKind::OutcomeUnknown);
        drop(store);
        cases.open(&id, false).unwrap().append_ledger(b"one\n").unwrap();
    }
}
