//! The record in the hands of other people's programs: `ssh-keygen` with every kind of key, securesystemslib and
//! in-toto-attestation, a JSON schema validator.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis::gate::{NAMESPACE, PublicKey, Purpose, SshSignature};

use crate::peers::address;
use crate::support::{embedded, finished_drill, folder, program};

fn ssh_keygen(folder: &Path, args: &[&str], provider: Option<&str>) -> Output {
    let mut command = Command::new("ssh-keygen");
    command.args(args).current_dir(folder).stdin(std::process::Stdio::null());
    if let Some(provider) = provider {
        command.env("SSH_SK_PROVIDER", provider);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    output
}

#[test]
fn hardware_keys_of_openssh_sign_what_we_accept() {
    let Some(provider) = address("PORTCULLIS_TEST_SK_PROVIDER") else { return };
    let folder = folder();
    std::fs::write(folder.path().join("record.json"), b"{}\n").unwrap();
    for (kind, verified) in [("ed25519-sk", false), ("ecdsa-sk", false), ("ed25519-sk", true), ("ecdsa-sk", true)] {
        let name = format!("{kind}-{verified}");
        let mut words = vec!["-q", "-t", kind, "-w", &provider, "-N", "", "-f", &name];
        if verified {
            words.extend(["-O", "verify-required"]);
        }
        ssh_keygen(folder.path(), &words, Some(&provider));
        let _ = std::fs::remove_file(folder.path().join("record.json.sig"));
        let words = ["-q", "-Y", "sign", "-f", &name, "-n", NAMESPACE, "record.json"];
        ssh_keygen(folder.path(), &words, Some(&provider));
        let file = std::fs::read(folder.path().join("record.json.sig")).unwrap();
        let signature = SshSignature::parse(&file, Purpose::Resume).unwrap();
        signature.verify(b"{}\n", false).unwrap();
        assert!(signature.verify(b"{ }\n", false).is_err());
        assert!(signature.key().is_hardware());
        let line = std::fs::read_to_string(folder.path().join(format!("{name}.pub"))).unwrap();
        assert_eq!(signature.key(), &PublicKey::parse(&line).unwrap());
        assert!(SshSignature::parse(&file, Purpose::Refuse).is_err());
    }
}

/// An agent of the test's own, ended with it.
struct Agent {
    socket: PathBuf,
    child: std::process::Child,
}

impl Agent {
    fn start(folder: &Path) -> Self {
        let socket = folder.join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self { socket, child }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn an_agent_approves_and_refuses_after_showing_what() {
    let folder = folder();
    let root = folder.path().join("d");
    crate::support::deployment(&root, 5);
    let policy = root.join("policies/resume.yml");
    let mut text = std::fs::read_to_string(&policy).unwrap();
    ssh_keygen(folder.path(), &["-q", "-t", "ed25519", "-N", "", "-f", "key"], None);
    let line = std::fs::read_to_string(folder.path().join("key.pub")).unwrap();
    let person = format!("approvers:\n  - {{ name: eve, roles: [security], keys: [\"{}\"] }}\n", line.trim());
    text = text.replacen("approvers:\n", &person, 1);
    assert!(text.contains("name: eve"), "{text}");
    std::fs::write(&policy, text).unwrap();
    embedded(&root, &["--yes", "pause", "on"]).expect(0);
    embedded(&root, &["audit", "prepare"]).expect(0);
    let agent = Agent::start(folder.path());
    let approve = |words: &[&str]| {
        let mut command = program(&root);
        command.env("SSH_AUTH_SOCK", &agent.socket).arg("--embedded").arg(&root).args(["--yes", "approve", "--agent"]);
        crate::support::finish(command.args(words))
    };
    let empty = approve(&["--approver", "eve"]).expect(2);
    assert!(empty.stderr.contains("holds no key"), "{}", empty.stderr);
    let added =
        Command::new("ssh-add").arg(folder.path().join("key")).env("SSH_AUTH_SOCK", &agent.socket).output().unwrap();
    assert!(added.status.success(), "{added:?}");
    let approved = approve(&["--approver", "eve"]).expect(0);
    assert!(approved.stdout.contains("fingerprint") && approved.stdout.contains("approved"), "{}", approved.stdout);
    let refused = approve(&["--approver", "eve", "--refuse"]).expect(0);
    assert!(refused.stdout.contains("the gate stays shut for this record"), "{}", refused.stdout);
    assert_eq!(approve(&["--approver", "ada"]).code, Some(2), "the agent holds none of ada's keys");
    let gate = embedded(&root, &["--format", "json", "audit", "show", "--gate"]).expect(4);
    let refusals = gate.of_type("gate").into_iter().find(|check| check["check"] == "refusals").unwrap();
    assert!(refusals["reason"].as_str().unwrap().contains("refused by eve"), "{refusals}");
    let verified = embedded(&root, &["audit", "verify"]).expect(0);
    assert!(verified.stdout.contains("REFUSED by eve"), "{}", verified.stdout);
    // The next record shows that there was a refusal.
    let next = embedded(&root, &["audit", "prepare"]).expect(0);
    assert!(next.stdout.contains("refused      record"), "{}", next.stdout);
}

const PYTHON: &str = r#"
import json, sys
case, schema = sys.argv[1], sys.argv[2]
record = open(case + "/audit-record.json", "rb").read()
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
import base64
envelope = json.load(open(case + "/audit-record.dsse.json"))
line = open(case + "/ledger.jsonl").readline()
key = base64.b64decode(json.loads(line)["event"]["machine_key"].split("+", 2)[2])[1:]
keyid = envelope["signatures"][0]["keyid"]
public = SSlibKey(keyid, "ed25519", "ed25519", {"public": key.hex()})
parsed = Envelope.from_dict(envelope)
assert parsed.verify([public], 1), "securesystemslib"
assert parsed.payload == record
other = SSlibKey(keyid, "ed25519", "ed25519", {"public": "11" * 32})
try:
    parsed.verify([other], 1)
    raise SystemExit("another key verifies")
except Exception as error:
    if "verifies" in str(error): raise
from in_toto_attestation.v1 import statement_pb2
from google.protobuf import json_format
statement = json_format.Parse(record, statement_pb2.Statement())
assert getattr(statement, "type") == "https://in-toto.io/Statement/v1"
assert statement.predicate_type == "https://portcullis.dev/resume/v1"
assert statement.subject[0].name.startswith("portcullis/inc-")
from in_toto_attestation.v1.statement import Statement
Statement.copy_from_pb(statement).validate()
import jsonschema
schema = json.load(open(schema))
jsonschema.Draft202012Validator.check_schema(schema)
value = json.loads(record)
jsonschema.Draft202012Validator(schema).validate(value)
for change in (lambda v: v.pop("subject"), lambda v: v["predicate"].update(more=1), lambda v: v["predicate"]["pause"].pop("proven")):
    bad = json.loads(record)
    change(bad)
    assert not jsonschema.Draft202012Validator(schema).is_valid(bad)
print("all agree")
"#;

#[test]
fn python_reads_verifies_and_validates_the_record() {
    let Some(python) = address("PORTCULLIS_TEST_PYTHON") else { return };
    let (_folder, _, case) = finished_drill();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit-record.schema.json");
    let output = Command::new(python).args(["-c", PYTHON]).arg(&case).arg(schema).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
