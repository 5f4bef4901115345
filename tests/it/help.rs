//! The help of every command, in one snapshot: a change of a name or of a word is seen when it is made.

use std::fmt::Write as _;

use clap::Command;

use crate::support::{folder, run};

fn walk(command: &mut Command, path: &str, out: &mut String) {
    let help = command.clone().bin_name(path).term_width(100).render_long_help();
    writeln!(out, "==== {path}\n{help}").unwrap();
    for inner in command.get_subcommands_mut() {
        let path = format!("{path} {}", inner.get_name());
        walk(inner, &path, out);
    }
}

#[test]
fn the_help_of_every_command() {
    let mut command = portcullis::cli::command();
    let mut out = String::new();
    walk(&mut command, "portcullis", &mut out);
    let lines: Vec<_> = out.lines().map(str::trim_end).collect();
    insta::assert_snapshot!("help", lines.join("\n"));
}

#[test]
fn the_command_tree_is_sound() {
    portcullis::cli::command().debug_assert();
}

/// Names of the manual pages of a command and of those below it.
fn manual_pages(command: &Command, name: &str, out: &mut Vec<String>) {
    out.push(format!("{name}.1"));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        manual_pages(inner, &format!("{name}-{}", inner.get_name()), out);
    }
}

#[test]
fn shells_and_man_are_told_of_every_command() {
    let folder = folder();
    let mut expected = Vec::new();
    manual_pages(&portcullis::cli::command(), "portcullis", &mut expected);
    let into = folder.path().display().to_string();
    run(folder.path(), &["completions", "man", "--into", &into]).expect(0);
    let mut written: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("portcullis"))
        .collect();
    expected.sort();
    written.sort();
    assert_eq!(written, expected);
    let page = std::fs::read_to_string(folder.path().join("portcullis-lockdown.1")).unwrap();
    assert!(page.contains("\\-\\-compromised"), "{page}");
    let whole = run(folder.path(), &["completions", "man"]).expect(0).stdout;
    assert!(whole.contains("portcullis\\-lockdown"), "{whole}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(folder.path(), &["completions", shell]).expect(0).stdout;
        assert!(script.contains("lockdown") && script.contains("compromised"), "{shell}: {script}");
    }
    let refused = run(folder.path(), &["completions", "bash", "--into", &into]).expect(2);
    assert!(refused.stderr.contains("--into is for manual pages"), "{}", refused.stderr);
    let missing = run(folder.path(), &["completions", "man", "--into", "not/there"]).expect(1);
    assert!(missing.stderr.contains("mkdir -p"), "{}", missing.stderr);
}
