//! Values kept in files: a key pair as PEM, a key with an id in a JSON document, a Docker secret. No server is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::run;

const CREDENTIALS: &str = "version: 1
credentials:
  - id: tokens
    issuer: { kind: self_made }
    kept:
      - { store: file, path: keys/jwt.pem }
      - { store: file, path: keys/jwt.pub.pem, part: public_key }
    generate: { kind: ed25519_pem }
    proof: { kind: store }
  - id: webhook
    issuer: { kind: self_made }
    kept:
      - { store: file, path: config.json, pointer: /webhook/id, part: key_id }
      - { store: file, path: config.json, pointer: /webhook/secret, part: key_secret }
      - { store: file, path: run/webhook_secret, part: key_secret }
    proof: { kind: store }
";

fn deployment() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["policies", "keys", "run"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    let shipped = portcullis::policy::shipped::SHIPPED.iter().find(|(path, _)| *path == "resume.yml").unwrap().1;
    for (path, text) in [
        ("policies/credentials.yml", CREDENTIALS),
        ("policies/pause.yml", "version: 1\nswitches: [{ kind: file, name: flag, path: PAUSED }]\n"),
        ("policies/recovery.yml", "version: 1\n"),
        ("policies/resume.yml", shipped),
        ("keys/jwt.pem", "old private key\nof two lines\n"),
        ("keys/jwt.pub.pem", "old public key\n"),
        ("config.json", "{ \"webhook\" : {\"id\":\"old-id\",\n  \"secret\":\"old-secret\"}, \"n\": 1e3 }\n"),
        ("run/webhook_secret", "old-secret\n"),
    ] {
        fs::write(root.path().join(path), text).unwrap();
    }
    fs::set_permissions(root.path().join("run/webhook_secret"), fs::Permissions::from_mode(0o440)).unwrap();
    root
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap()
}

#[test]
fn keys_in_files_are_replaced_with_both_halves() {
    let root = deployment();
    let root = root.path();
    let ran = run(root, &["--format", "json", "lockdown", "--yes", "--reason", "rehearsal"]).expect(0);
    assert_eq!(ran.of_type("summary")[0]["contained"], true, "{}", ran.stdout);
    // openssl derives from the new private key what the other file holds.
    let derived = Command::new("openssl").args(["pkey", "-in", "keys/jwt.pem", "-pubout"]).current_dir(root).output();
    assert_eq!(String::from_utf8(derived.unwrap().stdout).unwrap(), read(root, "keys/jwt.pub.pem"));
    let config: Value = serde_json::from_str(&read(root, "config.json")).unwrap();
    let (id, secret) = (config["webhook"]["id"].as_str().unwrap(), config["webhook"]["secret"].as_str().unwrap());
    assert!(id.len() == 16 && secret.len() == 40 && id != "old-id", "{config}");
    let unchanged = format!("{{ \"webhook\" : {{\"id\":\"{id}\",\n  \"secret\":\"{secret}\"}}, \"n\": 1e3 }}\n");
    assert_eq!(read(root, "config.json"), unchanged);
    assert_eq!(read(root, "run/webhook_secret"), format!("{secret}\n"));
    let mode = fs::metadata(root.join("run/webhook_secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o440);
    // Neither old nor new stands in what was said or recorded.
    let key = read(root, "keys/jwt.pem");
    let body = key.lines().nth(1).unwrap();
    for file in crate::support::files(&root.join(".portcullis/incidents")) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        for value in ["old-secret", "old private key", secret, body] {
            assert!(!text.contains(value), "{}", file.display());
        }
    }
    for value in ["old-secret", secret, body] {
        assert!(!ran.stdout.contains(value) && !ran.stderr.contains(value));
    }
    // Again: what was proven stays as it is.
    let before = read(root, "config.json");
    run(root, &["lockdown", "--yes", "--reason", "rehearsal"]).expect(0);
    assert_eq!(read(root, "config.json"), before);
}

#[test]
fn a_document_that_is_no_json_is_named_and_left_alone() {
    let root = deployment();
    fs::write(root.path().join("config.json"), "{ \"webhook\": old-secret }\n").unwrap();
    let ran = run(root.path(), &["--format", "json", "lockdown", "--yes", "--reason", "rehearsal"]).expect(5);
    assert!(
        ran.stdout.contains("config.json /webhook/id") && ran.stdout.contains("no JSON at line 1"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("old-secret") && !ran.stderr.contains("old-secret"));
    assert_eq!(read(root.path(), "config.json"), "{ \"webhook\": old-secret }\n");
    assert_ne!(
        read(root.path(), "keys/jwt.pem"),
        "old private key\nof two lines\n",
        "the other credential is replaced"
    );
}
