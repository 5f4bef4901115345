//! A finished drill's case folder, damaged byte by byte: verifying it must never hold.
//!
//! `case_folder` damages every single byte of a small case; a drill's is a hundred times as long, so that the long files
//! are damaged at both ends and at even distances between, and most of its hundred policies, which are bound alike, at
//! three places. `PORTCULLIS_TEST_EVERY_BYTE=1` leaves no byte out (minutes in a release build). Copies are held in memory,
//! so that no disk is waited for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use portcullis::adapters::case_files::open_read_only;
use portcullis::engine::verify_case;
use portcullis::ports::{CaseStore, Fault, FaultKind};

use crate::support::{embedded, files, finished_drill};

/// Files up to this length are damaged at every byte: checkpoint, signatures and roster are.
const EVERY: usize = 320;
/// Of longer ones, every byte this near to either end, and one in so many between.
const ENDS: usize = 8;
const STRIDE: usize = 397;

/// One of so many policies is damaged as other files are.
const POLICIES: usize = 12;

fn all() -> bool {
    std::env::var_os("PORTCULLIS_TEST_EVERY_BYTE").is_some()
}

/// Where a file of that length is damaged.
fn places(length: usize) -> Vec<usize> {
    let every = length <= EVERY || all();
    (0..length).filter(|at| every || *at < ENDS || *at >= length - ENDS || at % STRIDE == 0).collect()
}

/// A case folder in memory, with one file in another state than the rest.
#[derive(Clone)]
struct Copy {
    files: Arc<BTreeMap<String, Vec<u8>>>,
    /// A path, and what lies there now; none: nothing.
    changed: Option<(String, Option<Vec<u8>>)>,
}

impl Copy {
    fn of(case: &Path) -> Self {
        let read = |path: PathBuf| {
            let name = path.strip_prefix(case).unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        };
        let files = files(case).into_iter().map(read).filter(|(name, _)| name != "lock").collect();
        Self { files: Arc::new(files), changed: None }
    }

    fn with(&self, path: &str, bytes: Option<Vec<u8>>) -> Self {
        Self { files: Arc::clone(&self.files), changed: Some((path.to_owned(), bytes)) }
    }

    fn holds(&self) -> bool {
        verify_case(&(Arc::new(self.clone()) as Arc<dyn CaseStore>)).holds()
    }

    fn get(&self, path: &str) -> Option<Vec<u8>> {
        match &self.changed {
            Some((changed, bytes)) if changed == path => bytes.clone(),
            _ => self.files.get(path).cloned(),
        }
    }
}

impl CaseStore for Copy {
    fn location(&self) -> &Path {
        Path::new("memory")
    }
    fn read_ledger(&self) -> Result<Vec<u8>, Fault> {
        self.get("ledger.jsonl").ok_or_else(|| Fault::new(FaultKind::NotFound, "there is no ledger"))
    }
    fn append_ledger(&self, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Denied, "reading only"))
    }
    fn truncate_ledger(&self, _: u64) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Denied, "reading only"))
    }
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.get(path))
    }
    fn write(&self, _: &str, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Denied, "reading only"))
    }
    fn list(&self, _: &str) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }
    fn walk(&self) -> Result<Vec<String>, Fault> {
        Ok(self.files.keys().filter(|path| self.get(path).is_some()).cloned().collect())
    }
}

/// A kind of damage at a place of a file.
#[derive(Debug, Clone)]
enum Damage {
    Flip(usize),
    Cut(usize),
    Swap(usize),
    Gone,
}

impl Damage {
    /// What the damage leaves, if anything.
    fn done(&self, whole: &[u8]) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Flip(at) => {
                let mut bytes = whole.to_vec();
                bytes[*at] ^= 1 << (at % 8);
                bytes
            }
            Self::Cut(at) => whole[..*at].to_vec(),
            Self::Swap(line) => {
                let mut lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
                lines.swap(*line, line + 1);
                lines.concat()
            }
            Self::Gone => return None,
        };
        Some(bytes)
    }
}

/// Every damage to a file that is tried.
fn damages(whole: &[u8]) -> Vec<Damage> {
    let lines = whole.split_inclusive(|byte| *byte == b'\n').count();
    let step = if all() || lines < 40 { 1 } else { lines / 40 };
    let flips = places(whole.len()).into_iter().map(Damage::Flip);
    let cuts = places(whole.len()).into_iter().filter(|at| all() || at % 4 == 0).map(Damage::Cut);
    let swaps = (0..lines.saturating_sub(1)).step_by(step).map(Damage::Swap);
    flips.chain(cuts).chain(swaps).chain([Damage::Gone]).collect()
}

/// Damages to a file that is bound as many others are: each end, the middle, a line, and all of it.
fn few(whole: &[u8]) -> Vec<Damage> {
    let (middle, last) = (whole.len() / 2, whole.len() - 1);
    vec![Damage::Flip(0), Damage::Flip(middle), Damage::Flip(last), Damage::Cut(middle), Damage::Swap(0), Damage::Gone]
}

#[test]
fn no_flipped_byte_cut_or_swapped_line_of_a_finished_case_goes_unnoticed() {
    let (_folder, _, case) = finished_drill();
    let copy = Copy::of(&case);
    assert!(copy.holds() && verify_case(&open_read_only(&case).unwrap()).holds());
    let (mut work, mut policies) = (Vec::new(), 0);
    for (path, whole) in copy.files.iter() {
        policies += usize::from(path.starts_with("policies/"));
        let alike = path.starts_with("policies/") && policies % POLICIES != 1 && !all();
        let damages = if alike { few(whole) } else { damages(whole) };
        println!("{path}: {} damages of {} bytes", damages.len(), whole.len());
        work.extend(damages.into_iter().map(|damage| (path.clone(), damage)));
    }
    for needed in ["audit-record.json", "checkpoint", "audit-record.dsse.json", "allowed_signers", "ledger.jsonl"] {
        assert!(work.iter().any(|(path, _)| path == needed), "{needed}");
    }
    for folder in ["approvals/", "policies/", "evidence/"] {
        assert!(work.iter().any(|(path, _)| path.starts_with(folder)), "{folder}");
    }
    let began = Instant::now();
    let (next, unnoticed, tried) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((path, damage)) = work.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let bytes = damage.done(&copy.files[path]);
                    if bytes.as_ref() == Some(&copy.files[path]) {
                        continue;
                    }
                    tried.fetch_add(1, Ordering::SeqCst);
                    if copy.with(path, bytes).holds() {
                        unnoticed.lock().unwrap().push(format!("{path}: {damage:?}"));
                    }
                }
            });
        }
    });
    let (tried, unnoticed) = (tried.into_inner(), unnoticed.into_inner().unwrap());
    println!("{} of {tried} damages noticed, {:.1} s", tried - unnoticed.len(), began.elapsed().as_secs_f64());
    assert_eq!(unnoticed, Vec::<String>::new());
}

#[test]
fn ten_thousand_junk_signatures_are_refused_at_once() {
    let (_folder, root, case) = finished_drill();
    let words = case.display().to_string();
    let before = Instant::now();
    embedded(&root, &["audit", "verify", &words]).expect(0);
    let alone = before.elapsed();
    for number in 0..10_000 {
        std::fs::write(case.join(format!("approvals/junk-{number}.sig")), [b'x'; 600]).unwrap();
    }
    let before = Instant::now();
    let ran = embedded(&root, &["--format", "json", "audit", "verify", &words]).expect(0);
    println!("without junk {alone:?}, with 10,000 files {:?}", before.elapsed());
    let unbound = ran.of_type("summary").remove(0)["unbound"].as_array().unwrap().len();
    assert_eq!(unbound, 10_000, "each is named, none is counted");
}

#[test]
fn the_program_says_so_with_exit_code_6() {
    let (_folder, root, case) = finished_drill();
    let words = case.display().to_string();
    for path in ["audit-record.json", "checkpoint", "ledger.jsonl", "findings.jsonl", "policies/resume.yml"] {
        let file = case.join(path);
        let whole = std::fs::read(&file).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let ran = embedded(&root, &["audit", "verify", &words]).expect(6);
        assert!(ran.stdout.contains("DOES NOT HOLD"), "{path}: {}", ran.stdout);
        std::fs::write(&file, whole).unwrap();
    }
    std::fs::remove_file(case.join("approvals/ada.sig")).unwrap();
    let ran = embedded(&root, &["audit", "verify", &words]).expect(6);
    assert!(ran.stdout.contains("approvals/ada.sig"), "{}", ran.stdout);
}
