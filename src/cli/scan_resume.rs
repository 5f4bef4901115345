//! How far a scan of logs has come, in a file, so that an interrupted one goes on where it stopped.
//!
//! Each line says how many blocks of a file are done, what was covered of it so far, and what was found since the line
//! before. Blocks are cut the same way on every run, so those that are done are read again but not scanned again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::adapters::log_files::Input;
use crate::detect::logs::{Coverage, Fed};
use crate::domain::Finding;

/// How far one file is done.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Blocks that are scanned.
    pub blocks: u64,
    /// What was covered of it.
    pub coverage: Coverage,
    /// Whether that is all of it.
    pub whole: bool,
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    file: usize,
    name: String,
    size: u64,
    written: Option<jiff::Timestamp>,
    blocks: u64,
    whole: bool,
    coverage: Coverage,
    findings: Vec<Finding>,
    fed: Vec<Fed>,
}

/// What an interrupted scan had found.
#[derive(Default)]
pub struct Earlier {
    /// For each file how far it is done.
    pub done: Vec<Done>,
    /// Findings, in order, each with the number of its file.
    pub findings: Vec<(usize, Finding)>,
    /// Events for correlations, likewise.
    pub fed: Vec<(usize, Fed)>,
}

/// The file that progress is kept in.
pub struct Progress {
    path: PathBuf,
    file: File,
    findings: Vec<Finding>,
    fed: Vec<Fed>,
}

fn identity(input: &Input) -> (String, u64, Option<jiff::Timestamp>) {
    (input.name(), input.size(), input.written())
}

impl Progress {
    /// Opens the file of a scan known by `key`, with what an earlier run left in it. A file that changed since is
    /// scanned anew, and all after it.
    pub fn open(folder: &Path, key: &str, inputs: &[Input]) -> io::Result<(Self, Earlier)> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{key}.jsonl"));
        let earlier = match File::open(&path) {
            Ok(file) => read(BufReader::new(file), inputs),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Earlier::default(),
            Err(error) => return Err(error),
        };
        // Written anew, so that a line that was cut off, or of a file that changed, is gone.
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let mut progress = Self { path, file, findings: Vec::new(), fed: Vec::new() };
        let (mut findings, mut fed) = (earlier.findings.iter().peekable(), earlier.fed.iter().peekable());
        for (at, done) in earlier.done.iter().enumerate() {
            while let Some((_, one)) = findings.next_if(|(file, _)| *file == at) {
                progress.finding(one.clone());
            }
            while let Some((_, one)) = fed.next_if(|(file, _)| *file == at) {
                progress.fed(one.clone());
            }
            progress.note(at, &inputs[at], done)?;
        }
        Ok((progress, earlier))
    }

    /// Keeps a finding for the next line.
    pub fn finding(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Keeps an event for the next line.
    pub fn fed(&mut self, fed: Fed) {
        self.fed.push(fed);
    }

    /// Writes how far a file is done.
    pub fn note(&mut self, at: usize, input: &Input, done: &Done) -> io::Result<()> {
        let (name, size, written) = identity(input);
        let line = Line {
            file: at,
            name,
            size,
            written,
            blocks: done.blocks,
            whole: done.whole,
            coverage: done.coverage.clone(),
            findings: std::mem::take(&mut self.findings),
            fed: std::mem::take(&mut self.fed),
        };
        let mut text = serde_json::to_vec(&line).map_err(io::Error::other)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }

    /// The scan is complete: there is nothing to go on with.
    pub fn finish(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn read(lines: impl BufRead, inputs: &[Input]) -> Earlier {
    let mut earlier = Earlier::default();
    // A line that can't be read is where the run was interrupted.
    for line in lines.lines() {
        let Some(line) = line.ok().and_then(|line| serde_json::from_str::<Line>(&line).ok()) else { break };
        let same = inputs.get(line.file).is_some_and(|input| {
            !matches!(input, Input::Stdin) && identity(input) == (line.name, line.size, line.written)
        });
        let follows = match earlier.done.len() {
            known if line.file + 1 == known => !earlier.done[line.file].whole,
            known => line.file == known && earlier.done.last().is_none_or(|last| last.whole),
        };
        if !same || !follows {
            break;
        }
        earlier.done.resize_with(line.file + 1, Done::default);
        earlier.done[line.file] = Done { blocks: line.blocks, coverage: line.coverage, whole: line.whole };
        earlier.findings.extend(line.findings.into_iter().map(|one| (line.file, one)));
        earlier.fed.extend(line.fed.into_iter().map(|one| (line.file, one)));
    }
    earlier
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(folder: &Path, names: &[&str]) -> Vec<Input> {
        let path = |name: &&str| {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            path.display().to_string()
        };
        crate::adapters::log_files::expand(&names.iter().map(path).collect::<Vec<_>>()).0
    }

    #[test]
    fn what_is_done_is_known_again_until_a_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = inputs(folder.path(), &["a", "b", "c"]);
        let state = folder.path().join("scans");
        let (mut progress, earlier) = Progress::open(&state, "key", &inputs).unwrap();
        assert!(earlier.done.is_empty());
        let done = |blocks, whole| Done { blocks, whole, ..Done::default() };
        for (at, done) in [(0, done(1, true)), (1, done(1, true)), (2, done(4, false)), (2, done(7, false))] {
            progress.note(at, &inputs[at], &done).unwrap();
        }
        progress.file.write_all(b"{\"cut off").unwrap();
        let (_, earlier) = Progress::open(&state, "key", &inputs).unwrap();
        let blocks = |earlier: &Earlier| earlier.done.iter().map(|d| (d.blocks, d.whole)).collect::<Vec<_>>();
        assert_eq!(blocks(&earlier), [(1, true), (1, true), (7, false)]);
        fs::write(folder.path().join("b"), "changed").unwrap();
        let changed = crate::adapters::log_files::expand(&inputs.iter().map(Input::name).collect::<Vec<_>>()).0;
        let (progress, earlier) = Progress::open(&state, "key", &changed).unwrap();
        assert_eq!(blocks(&earlier), [(1, true)]);
        progress.finish().unwrap();
        assert!(Progress::open(&state, "key", &changed).unwrap().1.done.is_empty());
    }
}
