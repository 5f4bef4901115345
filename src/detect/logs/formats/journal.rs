//! journald's export format (systemd's "Journal Export Formats"): `FIELD=value` lines, or for data that is no text
//! `FIELD`, a length of 8 bytes, the data and a line end; a blank line ends an entry.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use super::lines::{Chunk, Lines, Split};
use super::syslog;

/// What stands in a record for the line ends inside data, so that its fields stay lines.
const INNER_LINE: u8 = 0x0b;

/// Splits a stream into entries; binary fields become `FIELD=value` lines.
pub(super) struct Entries<R>(Lines<R>);

impl<R: BufRead> Entries<R> {
    pub(super) fn new(reader: R, offset: u64) -> Self {
        Self(Lines::new(reader, offset))
    }
}

impl<R: BufRead> Split for Entries<R> {
    fn next_record(&mut self) -> io::Result<Option<Chunk>> {
        let (mut line, mut offset) = (self.0.line + 1, self.0.offset);
        let mut bytes = Vec::new();
        let mut too_long = false;
        loop {
            let start = bytes.len();
            if !self.0.add_line(&mut bytes, &mut too_long)? {
                let any = !bytes.is_empty() || too_long;
                return Ok(any.then(|| Chunk { line, offset, bytes: (!too_long).then_some(bytes) }));
            }
            let read = bytes.get(start..).unwrap_or_default();
            if read == b"\n" {
                if start > 0 || too_long {
                    return Ok(Some(Chunk { line, offset, bytes: (!too_long).then_some(bytes) }));
                }
                bytes.clear();
                (line, offset) = (self.0.line + 1, self.0.offset);
            } else if !too_long
                && !read.contains(&b'=')
                && read.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'\n'))
            {
                self.binary(&mut bytes, &mut too_long)?;
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.0.offset
    }

    fn lines(&self) -> u64 {
        self.0.line
    }
}

impl<R: BufRead> Entries<R> {
    /// The data of a field whose name was just read.
    fn binary(&mut self, bytes: &mut Vec<u8>, too_long: &mut bool) -> io::Result<()> {
        let mut length = Vec::new();
        self.0.add_bytes(8, &mut length, &mut false)?;
        let Ok(length) = <[u8; 8]>::try_from(length.as_slice()) else { return Ok(()) };
        bytes.pop();
        bytes.push(b'=');
        let start = bytes.len();
        self.0.add_bytes(u64::from_le_bytes(length), bytes, too_long)?;
        for byte in bytes.get_mut(start..).unwrap_or_default() {
            if *byte == b'\n' {
                *byte = INNER_LINE;
            }
        }
        self.0.add_line(bytes, too_long)?;
        Ok(())
    }
}

/// Parses an entry; the usual fields also get the names that syslog's have.
pub(super) fn parse(record: &str) -> Option<Map<String, Value>> {
    let mut event = Map::new();
    for line in record.lines() {
        let (name, value) = line.split_once('=')?;
        let value = value.replace(char::from(INNER_LINE), "\n");
        let known = match name {
            "MESSAGE" => "message",
            "SYSLOG_IDENTIFIER" => "program",
            "_HOSTNAME" => "host",
            "_PID" => "pid",
            "__REALTIME_TIMESTAMP" => "time",
            other => other,
        };
        event.insert(known.to_owned(), value.into());
    }
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    if let (Some(program), Some(message)) = (text("program"), text("message")) {
        syslog::put_who(&program, &message, &mut event);
    }
    (!event.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_with_text_and_data_are_read() {
        let mut text = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1700000000123456\nMESSAGE\n".to_vec();
        text.extend_from_slice(&8_u64.to_le_bytes());
        text.extend_from_slice(b"two\n=\nok\nSYSLOG_IDENTIFIER=sshd\n\n__CURSOR=x\nMESSAGE=second\n");
        let mut entries = Entries::new(&text[..], 0);
        let first = entries.next_record().unwrap().unwrap();
        let event = parse(std::str::from_utf8(&first.bytes.unwrap()).unwrap().trim_end()).unwrap();
        assert_eq!((&event["message"], &event["program"]), (&"two\n=\nok".into(), &"sshd".into()));
        let second = entries.next_record().unwrap().unwrap();
        assert_eq!(second.offset, text.len() as u64 - 26);
        assert!(entries.next_record().unwrap().is_none());
    }
}
