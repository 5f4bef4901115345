//! Following the systemd journal by `journalctl`, in its export format ("Journal Export Formats" of systemd), from entry to entry.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Piece;
use crate::domain::Timestamp;

/// What events of the journal name as their file.
pub const NAME: &str = "journald";

/// Bytes that are read at a time, and how many of these may wait.
const BLOCK: usize = 1 << 16;
const WAITING: usize = 64;
/// Most bytes that are given at a time; a longer entry is left out.
const LONGEST: usize = 16 << 20;
/// Between the end of a `journalctl` and the start of the next.
const AGAIN: Duration = Duration::from_secs(5);

/// How far the journal was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalMark {
    /// The cursor of the last entry that was read; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Entries read so far.
    pub entries: u64,
}

/// Whole entries at the start of some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Whole {
    /// Where the last one ends.
    end: usize,
    entries: u64,
    /// The cursor of the last one.
    cursor: Option<String>,
    /// The cursor of the one that is cut off.
    cut: Option<String>,
}

/// Finds whole entries. A field is a line `NAME=text`, or a line `NAME`, a length of 8 bytes, that many bytes and a line end.
fn whole(bytes: &[u8]) -> Whole {
    let (mut whole, mut at, mut start) = (Whole::default(), 0, 0);
    while let Some(length) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let line = &bytes[at..at + length];
        at += length + 1;
        if line.is_empty() {
            if at - 1 > start {
                whole.entries += 1;
                whole.cursor = whole.cut.take().or(whole.cursor);
            }
            (whole.end, start) = (at, at);
        } else if let Some(cursor) = line.strip_prefix(b"__CURSOR=") {
            whole.cut = Some(String::from_utf8_lossy(cursor).into_owned());
        } else if !line.contains(&b'=') {
            let Some(size) = bytes.get(at..at + 8).and_then(|size| <[u8; 8]>::try_from(size).ok()) else { break };
            let size = usize::try_from(u64::from_le_bytes(size)).unwrap_or(usize::MAX);
            at = at.saturating_add(8).saturating_add(size).saturating_add(1);
        }
    }
    whole
}

/// The number, from 0, of the entry in which a line (from 1) of those bytes stands.
pub fn entry_of_line(bytes: &[u8], line: u64) -> u64 {
    let lines = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let start = match lines.checked_sub(1) {
        None => 0,
        Some(before) => memchr::memchr_iter(b'\n', bytes).nth(before).map_or(bytes.len(), |end| end + 1),
    };
    whole(bytes.get(..start).unwrap_or_default()).entries
}

/// A `journalctl` that runs, and what it has written.
struct Running {
    child: Child,
    blocks: Receiver<Vec<u8>>,
    said: Option<JoinHandle<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Follows the journal.
pub struct JournalFollower {
    arguments: Vec<String>,
    since: Timestamp,
    mark: JournalMark,
    running: Option<Running>,
    rest: Vec<u8>,
    again: Option<Instant>,
}

impl JournalFollower {
    /// Entries of those units (none: of all) from `since` on, of this machine's journal or of the files in a folder.
    pub fn new(units: &[String], directory: Option<&str>, since: Timestamp) -> Self {
        let mut arguments: Vec<String> =
            ["--follow", "--no-pager", "--quiet", "--output=export"].map(ToOwned::to_owned).into();
        arguments.extend(directory.map(|directory| format!("--directory={directory}")));
        arguments.extend(units.iter().map(|unit| format!("--unit={unit}")));
        Self { arguments, since, mark: JournalMark::default(), running: None, rest: Vec::new(), again: None }
    }

    /// Goes on where an earlier run ended.
    pub fn go_on(&mut self, mark: JournalMark) {
        self.mark = mark;
    }

    /// How far it was read.
    pub fn mark(&self) -> &JournalMark {
        &self.mark
    }

    /// Whole entries that were added since the last time. An error says what may be missing; it is tried again.
    pub fn poll(&mut self) -> Result<Option<Piece>, String> {
        if self.running.is_none() && self.again.is_none_or(|again| again <= Instant::now()) {
            self.again = Some(Instant::now() + AGAIN);
            self.running = Some(self.start().map_err(|error| format!("journalctl can't be started: {error}"))?);
        }
        let ended = self.gather();
        let whole = whole(&self.rest);
        if whole.end > 0 {
            let after = self.rest.split_off(whole.end);
            let bytes = std::mem::replace(&mut self.rest, after);
            let first = self.mark.entries;
            self.mark.entries += whole.entries;
            self.mark.cursor = whole.cursor.or(self.mark.cursor.take());
            return Ok((whole.entries > 0).then(|| Piece { path: NAME.to_owned(), first, bytes, journal: true }));
        }
        if self.rest.len() > LONGEST {
            // Begun anew behind that entry.
            self.mark.cursor = whole.cut.or(self.mark.cursor.take());
            (self.running, self.again) = (None, None);
            self.rest.clear();
            return Err(format!("an entry of more than {} MB was left out", LONGEST >> 20));
        }
        match ended {
            Some(reason) => Err(format!("journalctl ended: {reason}")),
            None => Ok(None),
        }
    }

    fn start(&self) -> std::io::Result<Running> {
        let from = match &self.mark.cursor {
            Some(cursor) => format!("--after-cursor={cursor}"),
            None => format!("--since=@{}", self.since.as_second()),
        };
        let mut child = Command::new("journalctl")
            .args(&self.arguments)
            .args(self.mark.cursor.is_none().then_some("--no-tail"))
            .arg(from)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("it has no output");
        let (out, err) = (child.stdout.take().ok_or_else(missing)?, child.stderr.take().ok_or_else(missing)?);
        let (sender, blocks) = sync_channel(WAITING);
        std::thread::spawn(move || read(out, &sender));
        let said = Some(std::thread::spawn(move || last_line(err)));
        Ok(Running { child, blocks, said })
    }

    /// Takes what was written; why it ended, if it did.
    fn gather(&mut self) -> Option<String> {
        let running = self.running.as_mut()?;
        while self.rest.len() <= LONGEST {
            match running.blocks.try_recv() {
                Ok(block) => self.rest.extend_from_slice(&block),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    let mut running = self.running.take()?;
                    let status = running.child.wait().map_or_else(|error| error.to_string(), |code| code.to_string());
                    // What is cut off is read again behind the cursor.
                    let whole = whole(&self.rest).end;
                    self.rest.truncate(whole);
                    let said = running.said.take().and_then(|said| said.join().ok());
                    return Some(said.filter(|said| !said.is_empty()).unwrap_or(status));
                }
            }
        }
        None
    }
}

/// Hands on what comes, until nobody wants it any more.
fn read(mut from: impl Read, to: &SyncSender<Vec<u8>>) {
    let mut block = vec![0; BLOCK];
    while let Ok(length @ 1..) = from.read(&mut block) {
        if to.send(block[..length].to_vec()).is_err() {
            return;
        }
    }
}

/// The last line that was written, as text of one line.
fn last_line(mut from: impl Read) -> String {
    // Reads to the end whatever it is, and keeps little.
    let (mut bytes, mut block) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = from.read(&mut block) {
        bytes.extend_from_slice(&block[..length]);
        let surplus = bytes.len().saturating_sub(4096);
        bytes.drain(..surplus);
    }
    let text = String::from_utf8_lossy(&bytes);
    text.trim().lines().next_back().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"__CURSOR=a\nMESSAGE=first\n\n__CURSOR=b\nMESSAGE=second\n\n";

    #[test]
    fn whole_entries_are_found_wherever_the_bytes_end() {
        for end in 0..=TWO.len() {
            let seen = whole(&TWO[..end]);
            let entries = [26, 53].iter().filter(|last| **last <= end).count();
            assert_eq!(seen.entries, entries as u64, "{end}");
            assert_eq!(seen.cursor.as_deref(), [None, Some("a"), Some("b")][entries], "{end}");
            assert_eq!(seen.end, [0, 26, 53][entries], "{end}");
        }
    }

    #[test]
    fn data_may_hold_what_looks_like_an_end() {
        let mut bytes = b"__CURSOR=a\nMESSAGE\n".to_vec();
        bytes.extend_from_slice(&6_u64.to_le_bytes());
        bytes.extend_from_slice(b"x\n\n\ny\n\n\n");
        let entry = bytes.len();
        bytes.extend_from_slice(TWO);
        assert_eq!(whole(&bytes), Whole { end: bytes.len(), entries: 3, cursor: Some("b".into()), cut: None });
        assert_eq!(whole(&bytes[..entry - 1]).entries, 0);
        assert_eq!(whole(b"NAME\n\xff\xff\xff\xff\xff\xff\xff\xff\n\n").entries, 0, "a length that can't be");
    }

    #[test]
    fn a_line_is_in_its_entry() {
        let entries = (1..=6).map(|line| entry_of_line(TWO, line)).collect::<Vec<_>>();
        assert_eq!(entries, [0, 0, 0, 1, 1, 1]);
        assert_eq!(entry_of_line(TWO, u64::MAX), 2);
    }

    #[test]
    fn what_can_not_be_started_is_said_once_in_a_while() {
        let mut follower = JournalFollower::new(&[], Some("/nowhere/at/all"), Timestamp::UNIX_EPOCH);
        let until = Instant::now() + Duration::from_secs(10);
        let error = loop {
            match follower.poll() {
                Err(error) => break error,
                Ok(piece) => assert!(piece.is_none() && Instant::now() < until),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(error.starts_with("journalctl "), "{error}");
        assert_eq!(follower.poll(), Ok(None), "not begun anew at once");
    }
}
