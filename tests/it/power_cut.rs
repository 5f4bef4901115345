//! What a power cut could leave: a lockdown notes every write, rename and sync; from the notes each state is built that the
//! disk could hold at each moment, and from each the next run ends well. Without any one of the syncs, something is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::embedded::FAULTS_VARIABLE;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::invariants::When;
use crate::small::Small;
use crate::support::{copy, finish, folder, program};

/// What is in the file system's memory, and how much of it is on the disk.
#[derive(Clone, Default)]
struct Disk {
    files: Vec<File>,
    /// Names as programs see them, and as they would be after a cut.
    seen: Names,
    safe: Names,
    /// Changes of names, by folder, that are not synced.
    pending: Vec<(PathBuf, Name)>,
    /// Copy of what lies beyond this machine.
    beyond: Option<PathBuf>,
}

#[derive(Clone, Default)]
struct File {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Length before the last write that is not synced.
    before: usize,
}

#[derive(Clone, Default, PartialEq)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
}

#[derive(Clone)]
enum Name {
    Folder(PathBuf),
    Is(PathBuf, usize),
    Gone(PathBuf),
    Moved(PathBuf, PathBuf, usize),
}

impl Names {
    fn apply(&mut self, change: &Name) {
        match change {
            Name::Folder(path) => drop(self.folders.insert(path.clone())),
            Name::Is(path, file) => drop(self.files.insert(path.clone(), *file)),
            Name::Gone(path) => drop(self.files.remove(path)),
            Name::Moved(from, to, file) => {
                self.files.remove(from);
                self.files.insert(to.clone(), *file);
            }
        }
    }
}

impl Disk {
    fn rename(&mut self, path: &Path, change: Name) {
        self.seen.apply(&change);
        self.pending.push((path.parent().unwrap().to_owned(), change));
    }

    fn step(&mut self, note: &Value) {
        let path = PathBuf::from(note["path"].as_str().unwrap());
        let number = |name: &str| usize::try_from(note[name].as_u64().unwrap()).unwrap();
        match note["op"].as_str().unwrap() {
            "beyond" => self.beyond = Some(path),
            "make-folder" => self.rename(&path, Name::Folder(path.clone())),
            "make" => {
                self.files.push(File::default());
                self.rename(&path, Name::Is(path.clone(), self.files.len() - 1));
            }
            "write" => {
                let file = &mut self.files[self.seen.files[&path]];
                assert_eq!(file.now.len(), number("offset"), "{}", path.display());
                file.before = file.now.len();
                file.now.extend(hex::decode(note["bytes"].as_str().unwrap()).unwrap());
            }
            "cut" => self.files[self.seen.files[&path]].now.truncate(number("length")),
            "sync" => {
                let file = &mut self.files[self.seen.files[&path]];
                file.synced.clone_from(&file.now);
            }
            "rename" | "link" => {
                let to = PathBuf::from(note["to"].as_str().unwrap());
                let file = self.seen.files[&path];
                let moved = note["op"] == "rename";
                let change = if moved { Name::Moved(path.clone(), to, file) } else { Name::Is(to, file) };
                self.rename(&path, change);
            }
            "remove" => self.rename(&path, Name::Gone(path.clone())),
            "sync-folder" => {
                for (_, change) in self.pending.extract_if(.., |(folder, _)| *folder == path) {
                    self.safe.apply(&change);
                }
            }
            other => panic!("{other}"),
        }
    }

    /// The states that the disk could hold now: files by path.
    fn states(&self) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
        let mut states = Vec::new();
        for names in [&self.safe, &self.seen] {
            let reachable = |path: &Path| {
                let mut above = path.ancestors().skip(1);
                above.all(|folder| !self.seen.folders.contains(folder) || names.folders.contains(folder))
            };
            let there: Vec<_> = names.files.iter().filter(|(path, _)| reachable(path)).collect();
            for data in 0..3 {
                let bytes = |file: &File| match data {
                    0 => file.synced.clone(),
                    1 => file.now.clone(),
                    // The last write is torn.
                    _ if file.now.len() > file.synced.len() => {
                        file.now[..usize::midpoint(file.before.max(file.synced.len()), file.now.len())].to_vec()
                    }
                    _ => file.synced.clone(),
                };
                states.push(there.iter().map(|(path, file)| ((*path).clone(), bytes(&self.files[**file]))).collect());
            }
        }
        states
    }
}

/// A lockdown whose writes were noted.
struct Noted {
    small: Arc<Small>,
    folder: tempfile::TempDir,
    notes: Vec<Value>,
}

impl Noted {
    fn new(small: &Arc<Small>, more: &str) -> Self {
        let folder = folder();
        let (root, notes) = (folder.path().join("d"), folder.path().join("notes"));
        copy(&small.pristine, &root).unwrap();
        let plan = format!("record={}{more}", notes.display());
        let words = ["lockdown", "--reason", "x", "--compromised", "trading-api-key", "--yes"];
        finish(program(&root).env(FAULTS_VARIABLE, plan).arg("--embedded").arg(&root).args(words)).expect(0);
        let text = std::fs::read_to_string(notes.join("notes.jsonl")).unwrap();
        let notes = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { small: Arc::clone(small), folder, notes }
    }

    /// Every state after every note, once; the last of all only as it is on the disk.
    fn states(&self) -> (Vec<State>, State) {
        let root = self.folder.path().join("d");
        let mut disk = Disk::default();
        // `.env` was there before.
        let env = std::fs::read(self.small.pristine.join(".env")).unwrap();
        disk.files.push(File { now: env.clone(), synced: env, before: 0 });
        disk.seen.files.insert(root.join(".env"), 0);
        disk.safe = disk.seen.clone();
        let mut known = BTreeSet::new();
        let mut states = Vec::new();
        for (number, note) in self.notes.iter().enumerate() {
            disk.step(note);
            for files in disk.states() {
                let state = State { number, files: relative(&root, files), beyond: disk.beyond.clone() };
                if known.insert((state.files.clone(), state.beyond.clone())) {
                    states.push(state);
                }
            }
        }
        let last = disk.states().swap_remove(0);
        let last = State { number: self.notes.len(), files: relative(&root, last), beyond: disk.beyond };
        (states, last)
    }

    /// What is wrong after a cut at any moment; `enough` of it is enough.
    async fn wrong(&self, enough: usize) -> (usize, Vec<String>) {
        let (states, last) = self.states();
        let number = states.len();
        // The run said that all is well: a cut right after must leave it so, without another run.
        let copy = last.build(&self.small);
        let mut wrong = self.small.violations(copy.path(), When::Final).await;
        wrong.extend(self.small.unverifiable(copy.path()));
        for why in &mut wrong {
            why.insert_str(0, "at the end: ");
        }
        let places = Arc::new(Semaphore::new(48));
        let mut flying = JoinSet::new();
        for state in states {
            if wrong.len() >= enough {
                break;
            }
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let small = Arc::clone(&self.small);
            flying.spawn(async move {
                let copy = state.build(&small);
                let mut wrong = small.violations(copy.path(), When::Between).await;
                wrong.extend(small.finish(copy.path()).await);
                drop(place);
                wrong.into_iter().map(|why| format!("after {}: {why}", state.number)).collect::<Vec<_>>()
            });
            while let Some(joined) = flying.try_join_next() {
                wrong.extend(joined.unwrap());
            }
        }
        while let Some(joined) = flying.join_next().await {
            wrong.extend(joined.unwrap());
        }
        (number, wrong)
    }
}

fn relative(root: &Path, files: BTreeMap<PathBuf, Vec<u8>>) -> BTreeMap<PathBuf, Vec<u8>> {
    files.into_iter().map(|(path, bytes)| (path.strip_prefix(root).unwrap().to_owned(), bytes)).collect()
}

struct State {
    number: usize,
    files: BTreeMap<PathBuf, Vec<u8>>,
    beyond: Option<PathBuf>,
}

impl State {
    fn build(&self, small: &Small) -> tempfile::TempDir {
        let built = Small::copy_of(&small.pristine);
        let root = built.path();
        std::fs::remove_file(root.join(".env")).unwrap();
        for (path, bytes) in &self.files {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), bytes).unwrap();
        }
        if let Some(beyond) = &self.beyond {
            for name in ["trading.db-wal", "trading.db-shm"] {
                let _ = std::fs::remove_file(root.join(name));
            }
            copy(beyond, root).unwrap();
        }
        built
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn a_power_cut_at_any_moment_leaves_what_the_next_run_ends_well() {
    let small = Arc::new(Small::new());
    let noted = Noted::new(&small, "");
    let (states, wrong) = runtime().block_on(noted.wrong(usize::MAX));
    println!("{} notes, {states} states", noted.notes.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(states > 100, "{states}");
}

#[test]
fn each_sync_that_is_left_out_is_noticed() {
    let small = Arc::new(Small::new());
    let mut unnoticed = Vec::new();
    for sync in SYNCS {
        let noted = Noted::new(&small, &format!(",skip-sync={sync}"));
        let (_, wrong) = runtime().block_on(noted.wrong(1));
        println!("{sync}: {}", wrong.first().map_or("NOT NOTICED", |why| why));
        if wrong.is_empty() {
            unnoticed.push(sync);
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

/// Every sync of a lockdown, by what is synced. What the flag file holds does not matter, only that it is there.
const SYNCS: [&str; 11] = [
    "file:ledger.jsonl",
    "file:.checkpoint",
    "file:.credentials.yml",
    "file:.portcullis/sealed",
    "file:.env",
    "folder:inc-",
    "folder:incidents",
    "folder:evidence",
    "folder:policies",
    "folder:.portcullis/sealed",
    "folder:root",
];
