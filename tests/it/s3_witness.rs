//! A bucket that keeps copies of checkpoints, on moto: what is kept and locked there, and what a ledger meets that was cut, forked or
//! sealed anew, or a copy that was written over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use portcullis::domain::{Digest, copy_name};
use portcullis::ledger::{Checkpoint, VerifierKey};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::peers::address;
use crate::support::{Ran, case_folder, copy as copy_folder, deployment, finish, folder, program};

/// A deployment whose witness is a bucket on moto.
struct Scene {
    _folder: tempfile::TempDir,
    root: PathBuf,
    moto: String,
    bucket: String,
}

impl Scene {
    /// With that bucket; `lock` makes it with Object Lock, `words` are more of the witness's policy.
    fn new(name: &str, lock: bool, words: &str) -> Option<Self> {
        let moto = address("PORTCULLIS_TEST_MOTO_URL")?.trim_start_matches("http://").to_owned();
        let bucket = format!("{name}-{}", std::process::id());
        let folder = folder();
        let root = folder.path().join("d");
        deployment(&root, 5);
        let policy = root.join("policies/resume.yml");
        let text = std::fs::read_to_string(&policy).unwrap();
        let witness = format!("witnesses: [{{ kind: s3, name: vault, bucket: {bucket}, prefix: copies/{words} }}]\n");
        std::fs::write(&policy, format!("{text}\n{witness}")).unwrap();
        let scene = Self { _folder: folder, root, moto, bucket };
        let locked: &[&str] = if lock { &["x-amz-bucket-object-lock-enabled: true"] } else { &[] };
        scene.ask("PUT", "", locked, b"").expect("a bucket");
        Some(scene)
    }

    /// One request to moto, as anybody who holds a key: the body of a good answer.
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(&self.moto).unwrap();
        let headers: Vec<&str> = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
        let headers = headers.concat();
        let head = format!(
            "{method} /{}{path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\
             authorization: AWS4-HMAC-SHA256 Credential=a/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
            self.bucket,
            self.moto,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        head.starts_with("HTTP/1.1 20").then(|| body.to_owned())
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = program(&self.root);
        command
            .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "us-east-1")])
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.moto))
            .arg("--embedded")
            .arg(&self.root)
            .args(words);
        finish(&mut command)
    }

    /// Verdict and reason of the gate's check of the witness.
    fn gate(&self) -> (String, String) {
        let ran = self.run(&["--format", "json", "audit", "show", "--gate"]).expect(4);
        let check = ran.of_type("gate").into_iter().find(|check| check["check"] == "witness.vault").unwrap();
        let word = |name: &str| check[name].as_str().unwrap().to_owned();
        (word("verdict"), word("reason"))
    }

    fn refuses(&self, word: &str) {
        let (verdict, reason) = self.gate();
        assert!(verdict == "refuse" && reason.contains(word), "{verdict}: {reason}");
    }

    fn fits(&self) {
        let (verdict, reason) = self.gate();
        assert!(verdict == "pass" && reason.contains("which fits"), "{verdict}: {reason}");
    }

    fn case(&self) -> PathBuf {
        case_folder(&self.root)
    }

    /// Path of the copy of the checkpoint that lies in the case folder now.
    fn copy(&self) -> String {
        let note = std::fs::read(self.case().join("checkpoint")).unwrap();
        self.path_of(&note)
    }

    fn path_of(&self, note: &[u8]) -> String {
        let size = std::str::from_utf8(note).unwrap().lines().nth(1).unwrap().parse().unwrap();
        let case = self.case();
        format!("/copies/{}/{}", case.file_name().unwrap().to_str().unwrap(), copy_name(size, note))
    }

    fn replace_case(&self, with: &Path) {
        std::fs::remove_dir_all(self.case()).unwrap();
        let home = self.root.join(".portcullis/incidents");
        let name = with.file_name().unwrap();
        copy_folder(with, &home.join(name)).unwrap();
    }
}

#[test]
fn a_bucket_holds_the_ledger_to_its_past_and_lets_nobody_delete_it() {
    let Some(scene) = Scene::new("vault", true, ", retain_days: 30") else { return };
    scene.run(&["--yes", "pause", "on"]).expect(0);
    scene.run(&["audit", "prepare"]).expect(0);
    let first = scene.copy();
    let kept = scene.ask("GET", &first, &[], b"").unwrap();
    assert_eq!(kept.as_bytes(), std::fs::read(scene.case().join("checkpoint")).unwrap());
    let lock = scene.ask("GET", &format!("{first}?retention"), &[], b"").unwrap();
    assert!(lock.contains("<Mode>COMPLIANCE</Mode>"), "{lock}");
    scene.fits();
    // Hidden by a marker of deletion, it is read all the same; and not written a second time.
    scene.ask("DELETE", &first, &[], b"").unwrap();
    assert_eq!(scene.ask("GET", &first, &[], b""), None);
    scene.fits();
    let versions = scene.ask("GET", &format!("?versions&prefix={}", first.trim_start_matches('/')), &[], b"").unwrap();
    assert_eq!(versions.matches("<Version>").count(), 1, "{versions}");

    let older = folder();
    let older = older.path().join(scene.case().file_name().unwrap());
    copy_folder(&scene.case(), &older).unwrap();
    scene.run(&["checklist", "--attest", "documented", "--note", "x"]);
    scene.run(&["audit", "prepare"]).expect(0);
    scene.fits();
    scene.replace_case(&older);
    scene.refuses("TRUNCATED");
    for note in ["a", "b", "c", "d"] {
        scene.run(&["checklist", "--attest", "monitoring", "--note", note]);
    }
    scene.run(&["audit", "prepare"]).expect(0);
    scene.refuses("FORKED");
}

#[test]
fn a_history_that_another_key_sealed_is_told() {
    let Some(scene) = Scene::new("sealed", true, ", retain_days: 1, retain_mode: governance") else { return };
    scene.run(&["--yes", "pause", "on"]).expect(0);
    scene.run(&["audit", "prepare"]).expect(0);
    scene.fits();
    let lock = scene.ask("GET", &format!("{}?retention", scene.copy()), &[], b"").unwrap();
    assert!(lock.contains("<Mode>GOVERNANCE</Mode>"), "{lock}");
    // The copy of another history of the same incident, by another machine's key.
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let incident = scene.case().file_name().unwrap().to_str().unwrap().parse().unwrap();
    let key = VerifierKey::new(&incident, pair.public_key().as_ref().try_into().unwrap());
    let head = Checkpoint { origin: key.name().into(), size: 3, root: Digest::of(b"other") };
    let note = head.encode(&key, &pair.sign(head.body().as_bytes()).as_ref().try_into().unwrap());
    scene.ask("PUT", &scene.path_of(note.as_bytes()), &[], note.as_bytes()).unwrap();
    scene.refuses("REWRITTEN");
}

#[test]
fn a_copy_that_was_written_over_is_noticed_and_never_written_again() {
    for lock in [true, false] {
        let Some(scene) = Scene::new(if lock { "over" } else { "plain" }, lock, "") else { return };
        scene.run(&["--yes", "pause", "on"]).expect(0);
        scene.run(&["audit", "prepare"]).expect(0);
        scene.fits();
        let copy = scene.copy();
        let good = scene.ask("GET", &copy, &[], b"").unwrap();
        scene.ask("PUT", &copy, &[], b"other bytes").unwrap();
        scene.refuses("was written over");
        assert_eq!(scene.ask("GET", &copy, &[], b"").unwrap(), "other bytes", "it is evidence: nothing writes over it");
        scene.ask("PUT", &copy, &[], good.as_bytes()).unwrap();
        if lock {
            scene.refuses("was written over");
        } else {
            scene.fits();
        }
    }
}

#[test]
fn a_bucket_that_keeps_nothing_as_policy_asks_is_no_witness() {
    let Some(scene) = Scene::new("unlocked", false, ", retain_days: 30") else { return };
    scene.run(&["--yes", "pause", "on"]).expect(0);
    let prepared = scene.run(&["audit", "prepare"]).expect(0);
    assert!(prepared.stderr.contains("the witness vault holds no copy of this"), "{}", prepared.stderr);
    scene.refuses("was the bucket made with Object Lock?");
    // The copy is there, but whoever put it there did not lock it.
    scene.ask("PUT", &scene.copy(), &[], &std::fs::read(scene.case().join("checkpoint")).unwrap()).unwrap();
    scene.refuses("is not locked in mode COMPLIANCE");

    let Some(scene) = Scene::new("gone", false, "") else { return };
    scene.run(&["--yes", "pause", "on"]).expect(0);
    scene.run(&["audit", "prepare"]).expect(0);
    scene.ask("DELETE", &scene.copy(), &[], b"").unwrap();
    scene.ask("DELETE", "", &[], b"");
    let policy = scene.root.join("policies/resume.yml");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, text.replace(&scene.bucket, &format!("no-{}", scene.bucket))).unwrap();
    scene.refuses("NoSuchBucket");
}
