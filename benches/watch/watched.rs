//! A watch that is run as a program, and what it tells.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One alert.
pub struct Alert {
    /// When its line was read.
    pub at: Instant,
    /// Its rule.
    pub rule: String,
    /// The id of the row that it is about.
    pub row: Option<String>,
    /// The whole record.
    pub text: String,
}

/// What a watch told until it ended.
pub struct Told {
    pub alerts: Vec<Alert>,
    pub summary: Option<Value>,
}

/// How the program's clock runs: `libfaketime` and its `FAKETIME`.
pub struct Pace {
    pub preload: String,
    pub faketime: String,
}

/// The program, in a folder, with nothing of this process's environment.
pub fn program(folder: &Path, pace: Option<&Pace>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
    command.env("PORTCULLIS_OPERATOR", "bench").current_dir(folder).stdin(Stdio::null());
    if let Some(pace) = pace {
        command.env("LD_PRELOAD", &pace.preload).env("FAKETIME", &pace.faketime);
    }
    command
}

/// An embedded deployment whose drill is over: trading goes on, and its incident waits to be watched.
pub fn deployment() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let ran =
        program(folder.path(), None).args(["--format", "json", "drill", "--keep", "--seed", "7"]).output().unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let case = folder.path().join(summary["case"].as_str().unwrap());
    let root = case.ancestors().nth(3).unwrap().to_owned();
    (folder, root)
}

pub struct Watched {
    child: Child,
    alerts: Receiver<Alert>,
    summary: Receiver<Value>,
}

impl Watched {
    /// Starts one, and waits until it watches. An embedded deployment is known by its folder.
    pub fn start(root: &Path, words: &[&str], pace: Option<&Pace>) -> Self {
        let mut command = program(root, pace);
        if root.join("embedded").exists() {
            command.arg("--embedded").arg(root);
        }
        command.args(["--format", "json", "watch"]).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let (mut said, mut line) = (String::new(), String::new());
        while !line.contains("watching") {
            line.clear();
            assert_ne!(err.read_line(&mut line).unwrap(), 0, "it ended before it began: {said}");
            said.push_str(&line);
        }
        std::thread::spawn(move || err.read_to_end(&mut Vec::new()));
        let out = BufReader::new(child.stdout.take().unwrap());
        let ((tell, alerts), (end, summary)) = (channel(), channel());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let at = Instant::now();
                let Ok(record) = serde_json::from_str::<Value>(&line) else { continue };
                if record["type"] == "finding" {
                    let row = record["source"]["key"]["id"].as_str().map(String::from);
                    let rule = record["rule"]["id"].as_str().unwrap_or_default().to_owned();
                    let _ = tell.send(Alert { at, rule, row, text: line });
                } else if record["type"] == "summary" && record.get("pauses").is_some() {
                    let _ = end.send(record);
                }
            }
        });
        Self { child, alerts, summary }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// The most memory that it held, in MB.
    pub fn peak_memory(&mut self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes / 1024.0
    }

    /// Asks it to stop; all that it told.
    pub fn stop(mut self) -> Told {
        self.signal("TERM");
        self.child.wait().unwrap();
        let summary = self.summary.recv_timeout(Duration::from_secs(10)).ok();
        Told { alerts: self.alerts.iter().collect(), summary }
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) -> Told {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Told { alerts: self.alerts.iter().collect(), summary: None }
    }
}

pub fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// A line of an access log; a probe is what a shipped rule looks for, and holds the number so that it can be told.
pub fn line(number: u64, probe: bool, time: jiff::Timestamp) -> String {
    let what = if probe { format!("order={number}'%20UNION%20SELECT%201--") } else { format!("order={number}") };
    let stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
    format!(
        "198.51.100.{} - - [{stamp}] \"GET /api/trades?{what} HTTP/1.1\" 200 162 \"-\" \"Mozilla/5.0\"\n",
        number % 250
    )
}

pub fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let place = ((values.len().saturating_sub(1)) as f64 * percent / 100.0).ceil() as usize;
    values.get(place).copied().unwrap_or(f64::NAN)
}
