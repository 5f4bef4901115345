//! A finished drill's case folder, damaged byte by byte: verifying it must never hold.
//!
//! `case_folder` damages every single byte of a small case; a drill's is a hundred times as long, so that the long files
//! are damaged at both ends and at even distances between. `PORTCULLIS_TEST_EVERY_BYTE=1` leaves no byte out (minutes).

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use portcullis::adapters::case_files::open_read_only;
use portcullis::engine::verify_case;

use crate::support::{copy, embedded, files, finished_drill};

/// Files up to this length are damaged at every byte: checkpoint, signatures and roster are.
const EVERY: usize = 320;
/// Of longer ones, every byte this near to either end, and one in so many between.
const ENDS: usize = 8;
const STRIDE: usize = 397;

/// Where a file of that length is damaged.
fn places(length: usize) -> Vec<usize> {
    let every = length <= EVERY || std::env::var_os("PORTCULLIS_TEST_EVERY_BYTE").is_some();
    (0..length).filter(|at| every || *at < ENDS || *at >= length - ENDS || at % STRIDE == 0).collect()
}

fn bound(case: &Path) -> Vec<PathBuf> {
    let all = files(case).into_iter().map(|path| path.strip_prefix(case).unwrap().to_owned());
    all.filter(|path| path != Path::new("lock")).collect()
}

fn holds(case: &Path) -> bool {
    verify_case(&open_read_only(case).unwrap()).holds()
}

/// Damages one byte in place and puts it back.
fn noticed(case: &Path, path: &Path, at: usize) -> bool {
    let file = case.join(path);
    let whole = std::fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    bytes[at] ^= 1 << (at % 8);
    std::fs::write(&file, bytes).unwrap();
    let held = holds(case);
    std::fs::write(&file, whole).unwrap();
    !held
}

#[test]
fn no_flipped_byte_of_a_finished_case_goes_unnoticed() {
    let (folder, _, case) = finished_drill();
    assert!(holds(&case));
    let mut work = Vec::new();
    for path in bound(&case) {
        let length = std::fs::metadata(case.join(&path)).unwrap().len();
        let places = places(usize::try_from(length).unwrap());
        println!("{}: {} of {length} bytes", path.display(), places.len());
        work.extend(places.into_iter().map(|at| (path.clone(), at)));
    }
    for needed in ["audit-record.json", "checkpoint", "audit-record.dsse.json", "allowed_signers", "ledger.jsonl"] {
        assert!(work.iter().any(|(path, _)| path == Path::new(needed)), "{needed}");
    }
    for folder in ["approvals", "policies", "evidence"] {
        assert!(work.iter().any(|(path, _)| path.starts_with(folder)), "{folder}");
    }
    let began = Instant::now();
    let (next, unnoticed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (own, work, next, unnoticed) = (folder.path().join(format!("copy-{thread}")), &work, &next, &unnoticed);
            copy(&case, &own).unwrap();
            scope.spawn(move || {
                while let Some((path, at)) = work.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if !noticed(&own, path, *at) {
                        println!("unnoticed: {} byte {at}", path.display());
                        unnoticed.lock().unwrap().push(format!("{} byte {at}", path.display()));
                    }
                }
                assert!(holds(&own), "what was put back is whole");
            });
        }
    });
    println!("{} places, {:.1} s", work.len(), began.elapsed().as_secs_f64());
    assert_eq!(unnoticed.into_inner().unwrap(), Vec::<String>::new());
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
