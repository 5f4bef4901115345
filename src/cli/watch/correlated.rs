//! Correlations while things happen. The events that they need are kept across restarts in `watch-events.jsonl` below the home.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::detect::logs::{Fed, Live, Ruleset};
use crate::domain::Finding;

/// Lines after which the file is written anew, without what is no longer needed.
const ANEW: usize = 20_000;
/// Longest line that is read back.
const LONGEST: usize = 1 << 20;

/// The correlations of a watch.
pub(super) struct Correlated {
    live: Live,
    path: PathBuf,
    file: Option<File>,
    lines: usize,
    evaluated: Option<Instant>,
    pause: Duration,
}

impl Correlated {
    /// With what an earlier watch left.
    pub(super) fn begin(home: &Path, rules: &Ruleset) -> Self {
        let path = home.join("watch-events.jsonl");
        let mut live = Live::new(rules);
        if let Ok(file) = File::open(&path) {
            // A line that a crash cut off, or of another version, is left out.
            for line in BufReader::new(file).split(b'\n').map_while(Result::ok).filter(|line| line.len() <= LONGEST) {
                if let Ok(fed) = serde_json::from_slice::<Fed>(&line) {
                    live.remember(fed);
                }
            }
        }
        Self { live, path, file: None, lines: usize::MAX, evaluated: None, pause: Duration::ZERO }
    }

    /// Takes an event, to be judged with the next evaluation.
    pub(super) fn add(&mut self, fed: Fed) -> io::Result<()> {
        let line = serde_json::to_vec(&fed)?;
        if !self.live.add(fed) {
            return Ok(());
        }
        if self.lines >= ANEW {
            return self.write_anew();
        }
        self.lines += 1;
        match &mut self.file {
            Some(file) => file.write_all(&[line.as_slice(), b"\n"].concat()),
            None => Ok(()),
        }
    }

    fn write_anew(&mut self) -> io::Result<()> {
        self.lines = 0;
        self.file = None;
        let beside = self.path.with_extension("jsonl.new");
        let mut text = Vec::new();
        for fed in self.live.kept() {
            serde_json::to_writer(&mut text, fed)?;
            text.push(b'\n');
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        std::fs::rename(&beside, &self.path)?;
        self.file = Some(file);
        Ok(())
    }

    /// Evaluates if something came in, and not more often than every fifth of the time goes into it.
    pub(super) fn evaluate(&mut self, rules: &Ruleset) -> (Vec<Finding>, Vec<String>) {
        let mut found = Vec::new();
        if !self.live.is_fresh() || self.evaluated.is_some_and(|last| last.elapsed() < self.pause) {
            return (found, Vec::new());
        }
        let began = Instant::now();
        let notes = self.live.evaluate(rules, &mut |finding| found.push(finding));
        self.pause = began.elapsed() * 5;
        self.evaluated = Some(Instant::now());
        (found, notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::logs::{ScanOptions, scan_feeding};

    const RULES: &str = "title: Failed\nid: failed\nname: failed\nlevel: low\ndetection:\n  s:\n    event: failed\n  condition: s\n---\ntitle: Many\nid: many\nlevel: high\ncorrelation:\n  type: event_count\n  rules: [failed]\n  group-by: [user]\n  timespan: 10s\n  condition:\n    gte: 3\n";

    fn event(second: i64) -> Fed {
        let line = format!("{{\"ts\":{},\"event\":\"failed\",\"user\":\"a\"}}\n", 1_700_000_000 + second);
        let rules = Ruleset::from_texts([("r.yml", RULES)]);
        let mut fed = None;
        scan_feeding(&rules, "x.log", line.as_bytes(), &ScanOptions::default(), &mut |_| {}, &mut |one| {
            fed = Some(one);
        });
        let mut fed = fed.unwrap();
        let crate::domain::Source::File { record, .. } = &mut fed.source else { panic!("a file") };
        *record = second.unsigned_abs();
        fed
    }

    #[test]
    fn what_came_before_a_restart_counts_and_is_not_told_again() {
        let folder = tempfile::tempdir().unwrap();
        let rules = Ruleset::from_texts([("r.yml", RULES)]);
        let mut first = Correlated::begin(folder.path(), &rules);
        first.add(event(0)).unwrap();
        first.add(event(1)).unwrap();
        assert_eq!(first.evaluate(&rules).0.len(), 0);
        drop(first);
        // A line that was cut off.
        let path = folder.path().join("watch-events.jsonl");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"rule\":\"fai").unwrap();
        let mut second = Correlated::begin(folder.path(), &rules);
        assert_eq!(second.evaluate(&rules).0.len(), 0, "nothing came in yet");
        second.add(event(2)).unwrap();
        let (found, notes) = second.evaluate(&rules);
        assert_eq!((found.len(), found[0].rule.id.as_str(), notes.len()), (1, "many", 0));
        drop(second);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
