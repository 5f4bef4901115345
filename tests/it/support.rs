//! Runs the built program in a clean environment, and reads what it said.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portcullis::domain::Timestamp;
use portcullis::embedded::{EmbeddedDeployment, RehearsedApprover, Seeded};
use portcullis::ports::Clock;
use serde_json::Value;

/// How a run ended and what it said.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// The records of a run with `--format json`, in order.
    pub fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The records of one type.
    pub fn of_type(&self, name: &str) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["type"] == name).collect()
    }

    /// Fails unless the run ended with that code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "signal {:?}\nout: {}\nerr: {}", self.signal, self.stdout, self.stderr);
        self
    }
}

/// The program, to be run in `folder` with an environment that holds nothing of the tester's.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("PORTCULLIS_OPERATOR", "tester")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn finish(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        signal: output.status.signal(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program with those words in `folder`.
pub fn run(folder: &Path, words: &[&str]) -> Ran {
    finish(program(folder).args(words))
}

/// Runs the program with those words on the embedded deployment `root`.
pub fn embedded(root: &Path, words: &[&str]) -> Ran {
    finish(program(root).arg("--embedded").arg(root).args(words))
}

/// A folder of its own, in memory where that can be had: no test here pulls a plug, so no disk need be waited for.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() && tempfile::tempdir_in(memory).is_ok() {
        return tempfile::tempdir_in(memory).unwrap();
    }
    tempfile::tempdir().unwrap()
}

/// The clock of this machine.
pub struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// Builds an embedded deployment in `root`, with three approvers of whom the policies want enough.
pub fn deployment(root: &Path, seed: u64) -> EmbeddedDeployment {
    let random = Seeded::new(seed);
    let people = ["ada", "bo", "cyd"].map(|name| {
        let person = RehearsedApprover::new(name, &random).unwrap();
        (name.to_owned(), vec!["security".to_owned()], person.public_line())
    });
    wait(EmbeddedDeployment::create(root, &random, Arc::new(Now), &people)).unwrap()
}

/// Waits for a future.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Copies a folder and all that is in it.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Every file below a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The only case folder of a deployment. One without a whole first entry, left by a crash before anything was done, is none.
pub fn case_folder(root: &Path) -> PathBuf {
    let folders = std::fs::read_dir(root.join(".portcullis/incidents")).unwrap().map(|entry| entry.unwrap().path());
    let begun = |case: &PathBuf| std::fs::read(case.join("ledger.jsonl")).is_ok_and(|bytes| bytes.contains(&b'\n'));
    let cases: Vec<_> = folders.filter(begun).collect();
    let [case] = cases.as_slice() else { panic!("{cases:?}") };
    case.clone()
}

/// A finished drill, kept: the folder that holds it, the deployment and its case folder.
pub fn finished_drill() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = folder();
    let ran = run(folder.path(), &["--format", "json", "drill", "--keep", "--seed", "7"]).expect(0);
    let summary = ran.of_type("summary").remove(0);
    let case = folder.path().join(summary["case"].as_str().unwrap());
    let root = case.ancestors().nth(3).unwrap().to_owned();
    (folder, root, case)
}
