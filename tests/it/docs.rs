//! What the documentation tells people to type can be typed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

fn pages(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            out.push(path);
        }
    }
}

/// Words of a line as a shell splits them: blanks outside quotes; a comment, a pipe or a redirection ends the command.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some('"') | None, '\\') => word.extend(letters.next()),
            (None, '"' | '\'') => (quote, begun) = (Some(letter), true),
            (None, '#') if word.is_empty() && !begun => break,
            (None, '|' | '>' | '<' | ';' | '&') => break,
            (None, ' ') => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (Some(_) | None, _) => word.push(letter),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// The `$ portcullis ...` lines in fenced blocks marked `console`, with their line numbers; a trailing backslash goes on.
pub fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(mark) = line.strip_prefix("```") {
            inside = !inside && mark.trim() == "console";
            goes_on = false;
            continue;
        }
        let part = line.strip_suffix('\\').unwrap_or(line);
        if goes_on && let Some((_, whole)) = found.last_mut() {
            whole.push(' ');
            whole.push_str(part.strip_prefix("> ").unwrap_or(part).trim());
        } else if inside && let Some(at) = line.strip_prefix("$ ").and_then(|line| line.find("portcullis ")) {
            let part = &part[2..];
            // Variables may be set, and something piped in, before it.
            let before = part[..at].trim_end();
            if before.is_empty() || before.ends_with('|') || before.split(' ').all(|word| word.contains('=')) {
                found.push((number, part[at..].to_owned()));
            } else {
                continue;
            }
        } else {
            continue;
        }
        goes_on = line.ends_with('\\');
    }
    found
}

#[test]
fn every_command_in_the_documentation_parses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![root.join("README.md")];
    pages(&root.join("docs"), &mut all);
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for page in all {
        let Ok(text) = std::fs::read_to_string(&page) else { continue };
        for (line, command) in commands(&text) {
            tried += 1;
            if let Err(error) = portcullis::cli::command().try_get_matches_from(words(&command)) {
                use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
                if !matches!(error.kind(), DisplayHelp | DisplayVersion) {
                    let page = page.strip_prefix(root).unwrap().display();
                    wrong.push(format!("{page}:{line}: {command}\n{error}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{tried} commands");
}

#[test]
fn commands_are_found_and_split_as_a_shell_does() {
    let text = "$ portcullis no\n```console\n$ portcullis audit verify 'a b' # why\nportcullis no\n$ X=1 portcullis scan \\\n    logs /x | head\n$ cat y | portcullis scan logs -\n```\n$ portcullis no\n";
    let found = commands(text);
    let split: Vec<_> = found.iter().map(|(line, command)| (*line, words(command).join("_"))).collect();
    let want = [(3, "portcullis_audit_verify_a b"), (5, "portcullis_scan_logs_/x"), (7, "portcullis_scan_logs_-")];
    assert_eq!(split, want.map(|(line, words)| (line, words.to_owned())));
}

/// Keys and words that a policy file can hold: fields and variants of the types that are read from them.
fn keys_of_policies(root: &Path) -> Vec<(String, String)> {
    let item = Regex::new(r"(?s)#\[derive\([^)]*\bDeserialize\b[^)]*\)\](?:\s*#\[[^\]]*\]|\s*///[^\n]*)*\s*pub(?:\([a-z]+\))? (struct|enum) (\w+)[^{;]*\{(.*?)\n\}").unwrap();
    let tests = Regex::new(r"(?m)^#\[cfg\(test\)\]").unwrap();
    let field = Regex::new(r"(?m)^    pub(?:\([a-z]+\))? (\w+):").unwrap();
    let inner = Regex::new(r"(?m)^        (\w+):").unwrap();
    let variant = Regex::new(r"(?m)^    ([A-Z]\w*)").unwrap();
    let hump = Regex::new(r"([A-Z])").unwrap();
    let detect = ["trades/policy.rs", "trades/expression.rs", "trades/roles/mod.rs", "database/mod.rs"];
    let mut files: Vec<PathBuf> = detect.iter().map(|path| root.join("src/detect").join(path)).collect();
    files.extend(crate::support::files(&root.join("src/policy")));
    let mut keys = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = tests.find(&text).map_or(text.as_str(), |start| &text[..start.start()]);
        for found in item.captures_iter(code) {
            let owner = format!("{}: {}", path.strip_prefix(root).unwrap().display(), &found[2]);
            let body = &found[3];
            let mut names: Vec<String> = field.captures_iter(body).map(|key| key[1].to_owned()).collect();
            if &found[1] == "enum" {
                names.extend(inner.captures_iter(body).map(|key| key[1].to_owned()));
                let snake = |name: &str| hump.replace_all(name, "_$1").trim_start_matches('_').to_lowercase();
                names.extend(variant.captures_iter(body).map(|name| snake(&name[1])));
            }
            keys.extend(names.into_iter().map(|name| (owner.clone(), name)));
        }
    }
    keys
}

#[test]
fn every_key_of_every_policy_is_in_its_reference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference = std::fs::read_to_string(root.join("docs/POLICIES.md")).unwrap();
    let word = Regex::new(r"[A-Za-z_][A-Za-z0-9_]*").unwrap();
    let known: BTreeSet<&str> = word.find_iter(&reference).map(|word| word.as_str()).collect();
    let keys = keys_of_policies(root);
    assert!(keys.len() > 400, "{}", keys.len());
    // Words with a hyphen or without a gap stand in the files as their types rename them.
    let written = |key: &str| {
        known.contains(key)
            || known.contains(key.replace('_', "").as_str())
            || reference.contains(&key.replace('_', "-"))
    };
    let missing: Vec<_> = keys.iter().filter(|(_, key)| !written(key)).collect();
    assert!(missing.is_empty(), "docs/POLICIES.md does not name {missing:?}");
}

/// Lines without what differs from run to run: numbers, blanks, the names of folders and incidents.
fn lines_of_a_session(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"portcullis-drill-\w+|inc-\w+-\w+").unwrap();
    let number = Regex::new(r"[0-9]+(\.[0-9]+)?").unwrap();
    let line = |line: &str| {
        let blanks = line.split_whitespace().collect::<Vec<_>>().join(" ");
        number.replace_all(&name.replace_all(&blanks, "NAME"), "0").into_owned()
    };
    text.lines().map(line).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_recorded_session_is_what_the_drill_prints() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SESSION.md")).unwrap();
    let recorded = page.split_once("```text\n").unwrap().1.split_once("\n```").unwrap().0;
    let folder = crate::support::folder();
    let mut command = crate::support::program(folder.path());
    let printed = crate::support::finish(command.env("TMPDIR", "/tmp").arg("drill")).expect(0).stdout;
    assert_eq!(lines_of_a_session(recorded), lines_of_a_session(&printed));
}
