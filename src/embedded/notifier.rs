use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::state::fault;
use crate::domain::Notice;
use crate::ports::{Fault, FaultKind, Notifier};

/// Stands in for a channel: each notice is a line of `embedded/notices.jsonl`, with the contact that it was for.
pub struct FileNotifier {
    path: PathBuf,
    contact: String,
    channel: &'static str,
}

impl FileNotifier {
    /// In place of `inner`, in the embedded deployment `root`.
    pub fn new(root: &Path, inner: &Arc<dyn Notifier>) -> Self {
        let path = root.join("embedded/notices.jsonl");
        Self { path, contact: inner.contact().to_owned(), channel: inner.channel() }
    }
}

#[async_trait]
impl Notifier for FileNotifier {
    fn contact(&self) -> &str {
        &self.contact
    }

    fn channel(&self) -> &'static str {
        self.channel
    }

    fn describe(&self) -> String {
        "embedded/notices.jsonl, in place of the network".to_owned()
    }

    fn missing(&self) -> Vec<String> {
        Vec::new()
    }

    async fn send(&self, notice: &Notice) -> Result<String, Fault> {
        let line = json!({ "contact": self.contact, "channel": self.channel, "notice": notice });
        let append = || {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            // One write a line: lines of several tasks must not mix.
            file.write_all(format!("{line}\n").as_bytes())
        };
        append().map_err(|error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull => Fault::new(FaultKind::Unavailable, "the disk is full"),
            _ => fault("write", &self.path, error),
        })?;
        Ok("written to embedded/notices.jsonl".to_owned())
    }
}
