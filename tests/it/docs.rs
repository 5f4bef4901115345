//! What the documentation tells people to type can be typed.

use std::path::{Path, PathBuf};

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
