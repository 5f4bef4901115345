//! The manifests of `docs/SCALE.md` are what they claim to be, and what they run can be run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The fenced blocks of that language.
fn blocks(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SCALE.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

/// The program's words parse.
fn parses(words: &[&str]) {
    let all = [&["portcullis"], words].concat();
    portcullis::cli::command().try_get_matches_from(&all).unwrap_or_else(|error| panic!("{all:?}: {error}"));
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// The value of `--shard` in a list of words.
fn shard<'a>(words: &[&'a str]) -> &'a str {
    words[words.iter().position(|word| *word == "--shard").unwrap() + 1]
}

#[test]
fn the_kubernetes_job_is_indexed_and_knows_its_size() {
    let [text] = blocks("yaml").try_into().unwrap();
    let job: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!((&job["apiVersion"], &job["kind"]), (&"batch/v1".into(), &"Job".into()));
    let spec = &job["spec"];
    assert_eq!(spec["completionMode"], "Indexed");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never", "backoffLimitPerIndex wants it");
    let container = &pod["containers"][0];
    let words = texts(&container["args"]);
    parses(&words);
    assert_eq!(shard(&words), "auto");
    let set = container["env"].as_array().unwrap().iter().find(|one| one["name"] == "PORTCULLIS_SHARDS").unwrap();
    assert_eq!(set["value"].as_str().unwrap(), spec["completions"].to_string());
    assert_eq!(container["volumeMounts"][0]["name"], pod["volumes"][0]["name"]);
}

#[test]
fn the_batch_job_is_an_array() {
    let [text] = blocks("json").try_into().unwrap();
    let job: Value = serde_json::from_str(&text).unwrap();
    assert!((2..=10_000).contains(&job["arrayProperties"]["size"].as_u64().unwrap()));
    let words = texts(&job["containerOverrides"]["command"]);
    parses(&words);
    assert_eq!(shard(&words), "auto");
    for name in ["jobName", "jobQueue", "jobDefinition"] {
        assert!(job[name].is_string(), "{name}");
    }
}

#[test]
fn the_slurm_script_is_an_array_and_bash_reads_it() {
    let [text] = blocks("sbatch").try_into().unwrap();
    assert!(text.starts_with("#!/bin/bash\n") && text.contains("\n#SBATCH --array=1-16\n"));
    let line = text.lines().find_map(|line| line.strip_prefix("exec portcullis ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    parses(&words);
    assert_eq!(shard(&words), "auto");
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}
