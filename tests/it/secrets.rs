//! `scan secrets`: what leaked is found wherever it lies, and never repeated.

use std::path::Path;
use std::process::Command;

use crate::support::{deployment, embedded, folder};

/// The value of the trading key, as the deployment's `.env` has it.
fn value(root: &Path) -> String {
    let env = std::fs::read_to_string(root.join(".env")).unwrap();
    let line = env.lines().find(|line| line.contains("TRADING_API_KEY=")).unwrap();
    line.split_once('=').unwrap().1.trim_matches('"').to_owned()
}

fn git(folder: &Path, words: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "gc.auto=0"]).args(words);
    let ran = command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").output();
    ran.is_ok_and(|output| output.status.success())
}

#[test]
fn a_value_that_was_committed_once_is_found_in_the_history() {
    let folder = folder();
    deployment(folder.path(), 31);
    let value = value(folder.path());
    let repository = folder.path().join("repo");
    std::fs::create_dir(&repository).unwrap();
    if !git(&repository, &["init", "-q"]) {
        println!("skipped: git is not installed");
        return;
    }
    let filler = "const line = 12345;\n".repeat(400);
    // Loose objects first, then the same as changes of each other in a pack.
    for text in ["nothing", &format!("const key = '{value}';"), "nothing again"] {
        std::fs::write(repository.join("app.ts"), format!("{filler}{text}\n{filler}")).unwrap();
        assert!(git(&repository, &["add", "."]) && git(&repository, &["commit", "-q", "-m", "x"]));
    }
    let found = |wanted: &str| {
        let ran = embedded(folder.path(), &["--format", "json", "scan", "secrets", "repo"]).expect(3);
        assert!(!ran.stdout.contains(&value), "{}", ran.stdout);
        let findings = ran.of_type("finding");
        let values: Vec<_> =
            findings.iter().filter(|finding| finding["matched"]["credential"] == "trading-api-key").collect();
        assert_eq!(values.len(), 1, "{findings:?}");
        let path = values[0]["source"]["path"].as_str().unwrap();
        assert!(path.contains(wanted), "{path}");
        assert_eq!(values[0]["source"]["line"], 401);
        assert_eq!(ran.of_type("summary")[0]["uncovered"].as_array().unwrap().len(), 0, "{}", ran.stdout);
    };
    found("/.git/objects/");
    assert!(git(&repository, &["repack", "-adfq"]) && git(&repository, &["prune-packed"]));
    found("/.git/objects/pack/");
}
