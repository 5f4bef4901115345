//! What each command shows a person, in one snapshot a scene: before anything happened, in an open incident, after the resume. Times, ids and
//! digests differ from run to run and are replaced by their kind, with the blanks that align them.

use std::fmt::Write as _;
use std::path::Path;

use crate::support::{deployment, embedded, finished_drill, folder};

/// What differs from run to run, and what stands for it.
const VARIES: [(&str, &str); 19] = [
    (r"inc-\d{8}T\d{6}Z-[0-9a-f]{4}", "[incident]"),
    (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z| UTC)?", "[time]"),
    (r"\d{4}-\d{2}-\d{2}", "[day]"),
    (r"\b\d{8}T\d{6}Z", "[time]"),
    (r" *\b\d+(\.\d+)? (ms|s|min|h|days?)\b( \d+ (s|min|h)\b)?", " [span]"),
    (r"\b\d{2}:\d{2}:\d{2}(\.\d+)?", "[clock]"),
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:[key]"),
    (r"\b[0-9a-f]{4}(-[0-9a-f]{4}){3,}\b", "[print]"),
    (r"\b[0-9a-f]{4}( [0-9a-f]{4}){3}\b", "[print]"),
    (r"\b[0-9a-f]{8,64}\b", "[hex]"),
    (r"\+[A-Za-z0-9+/]{43,44}=?", "+[key]"),
    (r"\bentry \d+", "entry [n]"),
    (r" *\b\d+ entries", " [n] entries"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
    (r"\b\d+(\.\d+)? (B|KB|MB)\b", "[size]"),
    (r"[A-Za-z0-9+/]{43}=", "[digest]"),
    (r"pid \d+", "pid [pid]"),
    (r"db_backup_\d{8}_\d{6}", "db_backup_[time]"),
    (r" *\b\d{3,}\b", " [n]"),
];

fn plain(text: &str, root: &Path) -> String {
    let mut text = text.replace(&root.display().to_string(), "[root]");
    for (varies, kind) in VARIES {
        text = regex::Regex::new(varies).unwrap().replace_all(&text, kind).into_owned();
    }
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A screen whose lines come in an order of their own: those of steps that run beside each other. What aligns them is left out.
fn sorted(root: &Path, words: &[&str]) -> String {
    let ran = embedded(root, words);
    let words_of = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = plain(&format!("{}{}", ran.stdout, ran.stderr), root);
    let mut lines: Vec<_> = said.lines().map(words_of).filter(|line| !line.is_empty()).collect();
    lines.sort();
    let words = plain(&words.join(" "), root);
    format!(
        "$ portcullis {}(lines sorted)\n{}\n-- exit code {}\n\n",
        words.replace('\n', " "),
        lines.join("\n"),
        ran.code.unwrap()
    )
}

/// One command's screen: what it says, on which stream, and its exit code.
fn screen(out: &mut String, root: &Path, words: &[&str]) {
    let ran = embedded(root, words);
    write!(out, "$ portcullis {}", plain(&words.join(" "), root)).unwrap();
    for (stream, said) in [("", &ran.stdout), ("stderr", &ran.stderr)] {
        if stream == "stderr" && !said.is_empty() {
            writeln!(out, "-- on standard error").unwrap();
        }
        out.push_str(&plain(said, root));
    }
    writeln!(out, "-- exit code {}\n", ran.code.unwrap()).unwrap();
}

fn screens(root: &Path, commands: &[&[&str]]) -> String {
    let mut out = String::new();
    for words in commands {
        screen(&mut out, root, words);
    }
    out
}

#[test]
fn before_anything_happened() {
    let folder = folder();
    let _deployment = deployment(folder.path(), 7);
    let shown = screens(
        folder.path(),
        &[
            &["doctor"],
            &["keys", "list"],
            &["contacts", "list"],
            &["backup", "list"],
            &["backup", "verify"],
            &["pause", "status"],
            &["incident", "list"],
            &["resume"],
            &["audit", "show"],
            &["lockdown", "--plan", "--reason", "rehearsal"],
            &["lockdown"],
            &["lokdown"],
        ],
    );
    insta::assert_snapshot!("before", shown);
}

#[test]
fn in_an_open_incident() {
    let folder = folder();
    let _deployment = deployment(folder.path(), 7);
    let root = folder.path();
    let mut shown =
        sorted(root, &["lockdown", "--reason", "key seen in a log", "--compromised", "trading-api-key", "--yes"]);
    shown += &screens(
        root,
        &[
            &["pause", "status"],
            &["scan", "logs", "logs"],
            &["scan", "trades"],
            &["scan", "secrets", "logs"],
            &["scan", "database"],
            &["incident", "show"],
            &["incident", "list"],
            &["incident", "dispose", "f-unknown", "--as", "benign", "--note", "x"],
            &["audit", "prepare"],
            &["audit", "show"],
            &["audit", "show", "--gate"],
            &["approve", "--approver", "ada", "--signature", "missing.sig"],
            &["resume"],
            &["resume", "--yes"],
            &["audit", "verify"],
        ],
    );
    insta::assert_snapshot!("open", shown);
}

#[test]
fn after_the_resume() {
    let (_folder, root, case) = finished_drill();
    let id = case.file_name().unwrap().to_str().unwrap();
    let shown = screens(
        &root,
        &[
            &["incident", "list"],
            &["incident", "show"],
            &["--incident", id, "incident", "show"],
            &["--incident", id, "audit", "show"],
            &["--incident", id, "audit", "show", "--gate"],
            &["--incident", id, "audit", "verify"],
            &["pause", "status"],
            &["--incident", id, "resume", "--yes"],
        ],
    );
    insta::assert_snapshot!("resumed", shown);
}

#[test]
fn in_a_recovery() {
    let folder = folder();
    let _deployment = deployment(folder.path(), 7);
    let root = folder.path();
    let mut shown = screens(
        root,
        &[
            &["recover", "breach", "--compromised", "trading-key", "--plan"],
            &["recover", "breach", "--compromised", "trading-api-key", "--plan"],
            &["recover", "corruption", "--before", "2000-01-01T00:00:00Z", "--plan"],
            &["recover", "server", "--config", "nowhere.age", "--plan"],
            &["incident", "show"],
        ],
    );
    shown += &sorted(root, &["recover", "breach", "--reason", "somebody was in", "--yes"]);
    shown += &sorted(root, &["incident", "timeline"]);
    shown += &screens(
        root,
        &[&["scan", "logs", "logs"], &["backup", "drill"], &["restore", "--clean", "--plan"], &["restore", "--clean"]],
    );
    shown += &sorted(root, &["restore", "--clean", "--yes"]);
    shown += &screens(
        root,
        &[
            &["checklist"],
            &["checklist", "--attest", "documented", "--note", "in the wiki"],
            &["checklist", "--attest", "nothing", "--note", "x"],
            &["incident", "report"],
            &["audit", "export"],
            &["recover", "fire"],
        ],
    );
    insta::assert_snapshot!("recovery", shown);
}

#[test]
fn in_peacetime() {
    let folder = folder();
    let _deployment = deployment(folder.path(), 7);
    let mut shown = sorted(folder.path(), &["contacts", "test"]);
    shown += &screens(
        folder.path(),
        &[
            &["install"],
            &["watch", "logs", "--for", "1s"],
            &["watch", "logs", "--for", "soon"],
            &["keys", "test"],
            &["keys", "rotate"],
            &["scan", "trades", "--explain"],
            &["incident", "show"],
            &["incident", "timeline"],
            &["incident", "report"],
            &["serve", "--listen", "0.0.0.0:1"],
        ],
    );
    insta::assert_snapshot!("peacetime", shown);
}
