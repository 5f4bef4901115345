//! The rules of the house, which no compiler checks: which room may know which, what pure rooms never touch, who prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::support::files;

/// Who may import whom. A room that is not here fails the test: a new one is a decision.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("settings", &[]),
    ("ui", &["domain"]),
    ("report", &["domain", "ledger", "gate"]),
    ("policy", &["domain"]),
    ("ledger", &["domain"]),
    ("playbook", &["domain", "policy"]),
    ("detect", &["domain", "policy"]),
    ("gate", &["domain", "policy", "ledger"]),
    ("ports", &["domain", "policy", "detect"]),
    ("engine", &["domain", "policy", "ledger", "gate", "playbook", "detect", "ports"]),
    ("adapters", &["domain", "policy", "detect", "ports"]),
    ("embedded", &["domain", "policy", "detect", "gate", "engine", "ports", "adapters"]),
    ("world", &["domain", "policy", "engine", "ports", "settings", "adapters", "embedded"]),
    (
        "cli",
        &[
            "domain", "policy", "ledger", "playbook", "detect", "gate", "engine", "ports", "settings", "adapters",
            "embedded", "world", "ui", "report",
        ],
    ),
    ("main", &[]),
    ("lib", &[]),
];

/// Rooms whose results follow from their arguments alone.
const PURE: [&str; 7] = ["domain", "policy", "ledger", "gate", "playbook", "detect", "report"];

/// What would make them depend on the world.
const IMPURE: &str = r"\b(tokio|sqlx|aws_\w+::|rustix|ureq|tempfile|rand\b|getrandom|ring::rand|std::fs|std::env|std::process|std::io::std\w+|std::net::(?:Tcp|Udp|ToSocket)\w*|SystemTime\b|Instant\b|SystemRandom|Timestamp::now|Zoned::now|async fn)";

/// Adapters that others stand on: a confined folder, an address of a database, the process's own command runner.
const COMMON_ADAPTERS: [&str; 12] = [
    "aws",
    "confined",
    "durable",
    "command",
    "database_url",
    "http",
    "login",
    "s3",
    "sqlite",
    "scratch",
    "whole_file",
    "write_pace",
];

/// Longest file of production code, in lines.
const LONGEST: usize = 450;

struct Source {
    /// Path below `src/`.
    path: String,
    room: String,
    /// Lines of production code with their numbers: no tests, no comments.
    lines: Vec<(usize, String)>,
    /// Number of lines of the whole file but for tests inside it.
    length: usize,
}

impl Source {
    fn places(&self, pattern: &Regex) -> Vec<String> {
        let hits = self.lines.iter().filter(|(_, line)| pattern.is_match(line));
        hits.map(|(number, line)| format!("src/{}:{number}: {}", self.path, line.trim())).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Files that are compiled only for tests: `#[cfg(test)] mod x;`, perhaps with a path of its own, and all below them.
fn test_files(texts: &BTreeMap<PathBuf, String>) -> BTreeSet<PathBuf> {
    let declared =
        Regex::new(r#"#\[cfg\(test\)\]\s*(?:#\[path = "([^"]+)"\]\s*)?(?:pub(?:\([a-z]+\))? )?mod (\w+);"#).unwrap();
    let mut found = BTreeSet::new();
    for (path, text) in texts {
        let folder = path.parent().unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let own = if matches!(stem, "mod" | "lib" | "main") { folder.to_owned() } else { folder.join(stem) };
        for declaration in declared.captures_iter(text) {
            match declaration.get(1) {
                Some(named) => found.insert(folder.join(named.as_str())),
                None => found.insert(own.join(format!("{}.rs", &declaration[2]))),
            };
        }
    }
    found
}

fn sources() -> Vec<Source> {
    let folder = root();
    let rust = files(&folder).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let texts: BTreeMap<PathBuf, String> =
        rust.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect();
    let only_tests = test_files(&texts);
    assert!(only_tests.len() > 5 && only_tests.iter().all(|path| path.exists()), "{only_tests:?}");
    let inline = Regex::new(r"(?m)^#\[cfg\(test\)\]\s*mod \w+ \{").unwrap();
    let mut found = Vec::new();
    for (path, text) in texts.iter().filter(|(path, _)| !only_tests.contains(*path)) {
        let path = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let room = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        // Tests inside a file are its end.
        let text = &text[..inline.find(text).map_or(text.len(), |hit| hit.start())];
        let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.to_owned()));
        let lines: Vec<_> = lines.filter(|(_, line)| !line.trim_start().starts_with("//")).collect();
        found.push(Source { path, room, lines, length: text.lines().count() });
    }
    assert!(found.len() > 100, "{}", found.len());
    found
}

static SINGLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bcrate::(\w+)").unwrap());
static SUPERS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:super::){2,}(\w+)").unwrap());
static GROUP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?s)\bcrate::\{(.*?)\};").unwrap());
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|,)\s*(\w+)").unwrap());

/// Rooms that a source names: `crate::x`, `use crate::{x, y}`, and enough `super::` to leave the room.
fn named(source: &Source, rooms: &BTreeSet<&str>) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (number, line) in &source.lines {
        for hit in SINGLE.captures_iter(line).chain(SUPERS.captures_iter(line)) {
            found.entry(hit[1].to_owned()).or_insert(*number);
        }
    }
    let whole: String = source.lines.iter().fold(String::new(), |mut all, (_, line)| {
        writeln!(all, "{line}").unwrap();
        all
    });
    for hit in GROUP.captures_iter(&whole) {
        for name in WORD.captures_iter(&hit[1]) {
            found.entry(name[1].to_owned()).or_insert(0);
        }
    }
    found.retain(|name, _| rooms.contains(name.as_str()));
    found
}

#[test]
fn rooms_know_only_whom_they_may() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let rooms: BTreeSet<&str> = allowed.keys().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let may = allowed.get(source.room.as_str()).unwrap_or_else(|| panic!("`{}` is a new room", source.room));
        for (name, line) in named(&source, &rooms) {
            let inside = name == source.room || (source.room == "main" || source.room == "lib");
            if !inside && !may.contains(&name.as_str()) {
                wrong.push(format!("src/{}:{line}: {} may not know {name}", source.path, source.room));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_do_not_touch_the_world() {
    let impure = Regex::new(IMPURE).unwrap();
    let pure = sources().into_iter().filter(|source| PURE.contains(&source.room.as_str()));
    let wrong: Vec<_> = pure.flat_map(|source| source.places(&impure)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn adapters_do_not_import_each_other() {
    let import = Regex::new(r"\b(?:super|crate::adapters)::(\w+)").unwrap();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.room == "adapters") {
        // An adapter is a file or a folder directly below `adapters/`; inside a folder `super` is the adapter itself.
        let own = source.path.split('/').nth(1).unwrap().trim_end_matches(".rs");
        let deep = source.path.matches('/').count() > 1;
        for (number, line) in &source.lines {
            for hit in import.captures_iter(line).filter(|hit| !deep || hit[0].starts_with("crate")) {
                let name = &hit[1];
                let adapter =
                    root().join(format!("adapters/{name}.rs")).exists() || root().join("adapters").join(name).exists();
                if adapter && name != own && !COMMON_ADAPTERS.contains(&name) {
                    wrong.push(format!("src/{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_ui_prints_and_nothing_gives_up() {
    let prints = Regex::new(r"\b(e?println|e?print|dbg)!").unwrap();
    let gives_up =
        Regex::new(r#"\.unwrap\(\)|\.expect\((?:"|&?format)|\b(panic|todo|unimplemented|unreachable)!|process::exit"#)
            .unwrap();
    let later = Regex::new(r"\b(TODO|FIXME|XXX)\b|#\[ignore").unwrap();
    let mut wrong = Vec::new();
    for source in sources() {
        if source.room != "ui" {
            wrong.extend(source.places(&prints));
        }
        wrong.extend(source.places(&gives_up));
        wrong.extend(source.places(&later));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_readable_in_one_sitting() {
    let long = sources().into_iter().filter(|source| source.length > LONGEST);
    let long: Vec<_> = long.map(|source| format!("src/{}: {} lines", source.path, source.length)).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
