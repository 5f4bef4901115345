//! `serve`: the page is told only to whom has the token, from its own address, and nothing in it can become markup.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::support::{embedded, finished_drill, program};

/// A hostile reason for an incident: what the page shows as text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// A page that is being served.
pub struct Serving {
    child: Child,
    address: String,
    token: String,
}

impl Serving {
    /// Serves the deployment's cases.
    pub fn start(root: &std::path::Path) -> Self {
        let mut command = program(root);
        command.arg("--embedded").arg(root).args(["--format", "json", "serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (address, token) = record["url"].as_str().unwrap().trim_start_matches("http://").split_once("/#").unwrap();
        let (address, token) = (address.to_owned(), token.to_owned());
        Self { child, address, token }
    }

    /// The page, with the token.
    pub fn url(&self) -> String {
        format!("http://{}/#{}", self.address, self.token)
    }

    /// Asks for a path with more header lines; reads until the end or until `until` was seen.
    fn get(&self, path: &str, headers: &str, until: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address).unwrap();
        let (mut reply, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut buffer).unwrap();
            reply.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&reply);
            if read == 0 || (!until.is_empty() && text.contains(until)) {
                return text.into_owned();
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_page_tells_only_whom_it_should_and_follows_the_case() {
    let (_folder, root, _case) = finished_drill();
    let serving = Serving::start(&root);
    let page = serving.get("/", "", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("default-src 'none'; script-src 'self'"), "{page}");
    assert!(!page.contains("innerHTML") && !serving.get("/page.js", "", "").contains("innerHTML"));
    assert!(serving.get("/events", "", "").starts_with("HTTP/1.1 401"));
    let bearer = format!("Authorization: Bearer {}\r\n", serving.token);
    let elsewhere = format!("{bearer}Origin: http://evil.example\r\n");
    assert!(serving.get("/events", &elsewhere, "").starts_with("HTTP/1.1 403"));
    let news = serving.get("/events", &bearer, "\n\n");
    assert!(news.contains("text/event-stream"), "{news}");
    let news = serving.get("/events", &bearer, "\"blocking\":[]");
    assert!(news.contains("\"status\":\"resumed\""), "{news}");
    // Another incident is opened: the page shows it without being asked again.
    embedded(&root, &["--yes", "pause", "on", "--reason", HOSTILE]).expect(0);
    let news = serving.get("/events", &bearer, "no audit record");
    assert!(news.contains("\"status\":\"open\"") && news.contains("onerror"), "{news}");
}

#[test]
fn it_listens_on_loopback_only() {
    let (_folder, root, _case) = finished_drill();
    let refused = embedded(&root, &["serve", "--listen", "0.0.0.0:0"]).expect(2);
    assert!(refused.stderr.contains("not on loopback") && refused.stderr.contains("ssh -L"), "{}", refused.stderr);
}
