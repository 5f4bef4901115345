//! The war-room page and the report in a real browser: Chromium, driven by Playwright, judged by axe-core.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::peers::{address, optional};
use crate::serve::Serving;
use crate::support::{embedded, finished_drill};

/// Runs as soon as it is markup, anywhere.
const HOSTILE: &str = "<img src=x onerror='window.harmed=1;alert(1)'><script>window.harmed=1</script>";

/// Starts the look at a page.
fn look(kind: &str, page: &str) -> Option<Child> {
    let (python, chromium) = (address("PORTCULLIS_TEST_PYTHON")?, optional("PORTCULLIS_TEST_CHROMIUM")?);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/browser.py");
    let mut command = Command::new(python);
    command.arg(script).args([kind, page, &chromium, HOSTILE]).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command.spawn().unwrap())
}

/// What the look has found, which must be nothing.
fn verdict(child: Child, out: &mut impl Read) {
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    let ended = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    let seen: Value = said.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    assert!(ended.status.success() && seen["wrong"] == serde_json::json!([]), "{seen:#}\n{errors}");
}

#[test]
fn the_war_room_follows_a_hostile_incident_unharmed() {
    let (_folder, root, _case) = finished_drill();
    let serving = Serving::start(&root);
    let Some(mut child) = look("room", &serving.url()) else { return };
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    if line == "ready\n" {
        // Open pages show the new incident without being asked again.
        embedded(&root, &["--yes", "pause", "on", "--reason", HOSTILE]).expect(0);
    }
    verdict(child, &mut out);
    assert_eq!(line, "ready\n");
}

#[test]
fn the_report_of_a_hostile_incident_is_text() {
    let (_folder, root, _case) = finished_drill();
    embedded(&root, &["--yes", "pause", "on", "--reason", HOSTILE]).expect(0);
    let page = root.join("page.html");
    embedded(&root, &["incident", "report", "--as", "html", "--copy", &page.display().to_string()]).expect(0);
    let Some(mut child) = look("report", &format!("file://{}", page.display())) else { return };
    let mut out = child.stdout.take().unwrap();
    verdict(child, &mut out);
}
