use std::io::Write;

use super::*;

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn texts(pieces: &[Piece]) -> Vec<(u64, String)> {
    pieces.iter().map(|piece| (piece.first, String::from_utf8(piece.bytes.clone()).unwrap())).collect()
}

#[test]
fn every_line_is_read_once_through_renaming_cutting_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    append(&log, "old 1\nold 2\nhal");
    let roots = [folder.path().display().to_string()];
    let mut follower = Follower::new(&roots, false);
    assert_eq!(follower.poll().0, [], "what was there is not read");
    append(&log, "f\nnew\n");
    assert_eq!(texts(&follower.poll().0), [(2, "half\nnew\n".to_owned())], "with the number that a scan gives it");
    // Renamed, written to once more, and a new file made.
    append(&log, "last of the old\n");
    fs::rename(&log, folder.path().join("app.log.1")).unwrap();
    append(&log, "first of the new\n");
    let (pieces, gaps) = follower.poll();
    let mut all = texts(&pieces);
    all.sort();
    assert_eq!(all, [(4, "last of the old\n".to_owned()), (5, "first of the new\n".to_owned())]);
    assert_eq!(gaps, Vec::<String>::new());
    // Compressed by name: nothing is read twice.
    fs::write(folder.path().join("app.log.2.gz"), "not read").unwrap();
    fs::remove_file(folder.path().join("app.log.1")).unwrap();
    assert_eq!(follower.poll(), (vec![], vec![]));
    // Stopped; meanwhile more is written.
    let marks = follower.marks();
    drop(follower);
    append(&log, "while nobody looked\n");
    let mut follower = Follower::new(&roots, false);
    assert_eq!(follower.go_on(marks), (vec![], vec![]));
    assert_eq!(texts(&follower.poll().0), [(6, "while nobody looked\n".to_owned())]);
    // Cut short in place.
    fs::write(&log, "again\n").unwrap();
    let (pieces, gaps) = follower.poll();
    assert_eq!(texts(&pieces), [(7, "again\n".to_owned())]);
    assert!(gaps[0].contains("cut short"), "{gaps:?}");
}

#[test]
fn what_was_rotated_and_compressed_while_nobody_watched_is_caught_up_with() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    append(&log, "one\ntwo\n");
    let roots = [log.display().to_string()];
    let mut follower = Follower::new(&roots, true);
    assert_eq!(texts(&follower.poll().0), [(0, "one\ntwo\n".to_owned())]);
    let marks = follower.marks();
    drop(follower);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"one\ntwo\nthree\n").unwrap();
    // The new file is made before the old one is gone, as logrotate does: no inode is used again.
    let new = folder.path().join("new");
    append(&new, "four\n");
    fs::write(folder.path().join("app.log.1.gz"), gz.finish().unwrap()).unwrap();
    fs::rename(&new, &log).unwrap();
    let mut follower = Follower::new(&roots, true);
    let (pieces, gaps) = follower.go_on(marks.clone());
    assert_eq!((texts(&pieces), gaps), (vec![(2, "three\n".to_owned())], vec![]));
    assert_eq!(texts(&follower.poll().0), [(3, "four\n".to_owned())]);
    fs::remove_file(folder.path().join("app.log.1.gz")).unwrap();
    let (pieces, gaps) = Follower::new(&roots, true).go_on(marks);
    assert!(pieces.is_empty() && gaps[0].contains("rotated away"), "{gaps:?}");
}

#[test]
fn docker_lines_are_unwrapped_and_what_only_looks_like_them_is_kept() {
    let docker = b"{\"log\":\"half \",\"stream\":\"stdout\",\"time\":\"t\"}\n{\"log\":\"whole\\n\",\"stream\":\"stderr\",\"time\":\"t\"}\n";
    assert_eq!(plain(docker.to_vec()), b"half whole\n");
    assert_eq!(plain(b"{\"log\":\"x\"}\n".to_vec()), b"{\"log\":\"x\"}\n");
}

#[test]
fn a_copy_that_was_made_before_the_file_was_emptied_is_read_only_where_the_file_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    append(&log, "one\ntwo\n");
    let roots = [folder.path().display().to_string()];
    let mut follower = Follower::new(&roots, true);
    assert_eq!(texts(&follower.poll().0), [(0, "one\ntwo\n".to_owned())]);
    // `copytruncate`: a line comes in after the last look, then the copy, then the cut.
    append(&log, "three\n");
    let copy = folder.path().join("app.log.1");
    fs::copy(&log, &copy).unwrap();
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
    append(&log, "four\n");
    let (pieces, gaps) = follower.poll();
    let mut all = texts(&pieces);
    all.sort_by(|one, two| one.1.cmp(&two.1));
    assert_eq!(all, [(2, "four\n".to_owned()), (2, "three\n".to_owned())]);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(follower.poll(), (vec![], vec![]));
    // A copy under way is not begun before it is whole.
    append(&log, "five\n");
    follower.poll();
    let second = folder.path().join("app.log.2");
    append(&second, "four\n");
    assert_eq!(follower.poll().0, []);
    append(&second, "five\n");
    assert_eq!(follower.poll().0, []);
    append(&second, "six\n");
    assert_eq!(texts(&follower.poll().0), [(2, "six\n".to_owned())]);
    // A log of its own that only has such a name is read from its start, one look later.
    append(&folder.path().join("app.log.other"), "x\n");
    assert_eq!(follower.poll().0, []);
    assert_eq!(texts(&follower.poll().0), [(0, "x\n".to_owned())]);
}
