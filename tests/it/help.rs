//! The help of every command, in one snapshot: a change of a name or of a word is seen when it is made.

use std::fmt::Write as _;

use clap::Command;

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
