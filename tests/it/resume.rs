//! `resume` at a terminal: what changes while it waits for a person.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::{deployment, embedded, folder};

/// Asks to resume at a terminal, does `meanwhile` while the question waits, and answers yes. What was said, and the code.
fn answered_late(root: &std::path::Path, meanwhile: impl FnOnce()) -> (String, Option<i32>) {
    let words = format!("{} --embedded {} resume", env!("CARGO_BIN_EXE_portcullis"), root.display());
    let mut child = Command::new("script")
        .args(["-qefc", &words, "/dev/null"])
        .env("PORTCULLIS_OPERATOR", "tester")
        .env("TERM", "dumb")
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut said, mut buffer, mut meanwhile) = (Vec::new(), [0; 4096], Some(meanwhile));
    loop {
        let read = output.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            break;
        }
        said.extend_from_slice(&buffer[..read]);
        let asked = String::from_utf8_lossy(&said).contains("to go on: ");
        if let Some(act) = meanwhile.take_if(|_| asked) {
            act();
            input.write_all(b"yes\n").unwrap();
            input.flush().unwrap();
        }
    }
    assert!(meanwhile.is_none(), "{}", String::from_utf8_lossy(&said));
    (String::from_utf8_lossy(&said).into_owned(), child.wait().unwrap().code())
}

#[test]
fn an_approver_revoked_while_the_question_waits_is_noticed() {
    let folder = folder();
    let root = folder.path().join("d");
    deployment(&root, 5);
    embedded(&root, &["--yes", "pause", "on"]).expect(0);
    let policy = root.join("policies/resume.yml");
    let whole = std::fs::read_to_string(&policy).unwrap();
    let revoked = whole.replacen("name: \"ada\"", "revoked: true\n    name: \"ada\"", 1);
    assert_ne!(revoked, whole);
    let (said, code) = answered_late(&root, || std::fs::write(&policy, &revoked).unwrap());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the policies were changed while this waited for you"), "{said}");
    let (said, code) = answered_late(&root, || std::fs::write(&policy, &revoked).unwrap());
    assert_eq!(code, Some(4), "the same bytes are no change: {said}");
}
