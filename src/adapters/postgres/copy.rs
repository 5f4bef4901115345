//! Rows in COPY's text format (PostgreSQL's manual, "COPY", File Formats) without a copy of each cell.

use crate::domain::RawRow;
use crate::ports::{Fault, FaultKind, RowSink};

/// Longest row that is read.
const MAX_ROW: usize = 1 << 30;

/// Cuts what the server sends into rows and cells.
pub(super) struct CopyReader {
    columns: usize,
    cells: Vec<(u32, u32)>,
    /// The beginning of a row whose end was not sent yet.
    rest: Vec<u8>,
    plain: Vec<u8>,
    pub(super) rows: u64,
}

impl CopyReader {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, cells: Vec::with_capacity(columns), rest: Vec::new(), plain: Vec::new(), rows: 0 }
    }

    /// Takes what the server sent: most often exactly one row.
    pub(super) fn take(&mut self, mut bytes: &[u8], sink: &mut dyn RowSink) -> Result<(), Fault> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            if self.rest.is_empty() {
                self.line(&bytes[..end], sink)?;
            } else {
                let mut line = std::mem::take(&mut self.rest);
                line.extend_from_slice(&bytes[..end]);
                self.line(&line, sink)?;
            }
            bytes = &bytes[end + 1..];
        }
        if self.rest.len() + bytes.len() > MAX_ROW {
            return Err(Fault::new(FaultKind::Invalid, "a row is longer than 1 GB"));
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8], sink: &mut dyn RowSink) -> Result<(), Fault> {
        self.cells.clear();
        self.rows += 1;
        let place = |at: usize| u32::try_from(at).unwrap_or(RawRow::NULL - 1);
        if memchr::memchr(b'\\', line).is_none() {
            let mut start = 0;
            for end in memchr::memchr_iter(b'\t', line).chain(std::iter::once(line.len())) {
                self.cells.push((place(start), place(end)));
                start = end + 1;
            }
            return self.give(line, sink);
        }
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        for cell in line.split(|byte| *byte == b'\t') {
            if cell == b"\\N" {
                self.cells.push((RawRow::NULL, 0));
                continue;
            }
            let start = place(plain.len());
            unescape(cell, &mut plain);
            self.cells.push((start, place(plain.len())));
        }
        let given = self.give(&plain, sink);
        self.plain = plain;
        given
    }

    fn give(&self, bytes: &[u8], sink: &mut dyn RowSink) -> Result<(), Fault> {
        if self.cells.len() != self.columns {
            let message =
                format!("the server sent a row of {} columns, {} were asked for", self.cells.len(), self.columns);
            return Err(Fault::new(FaultKind::Corrupt, message));
        }
        sink.row(RawRow::new(bytes, &self.cells))
    }
}

/// `\b \f \n \r \t \v`, `\` before any other byte stands for that byte; the server writes no other form.
fn unescape(cell: &[u8], plain: &mut Vec<u8>) {
    let mut bytes = cell.iter();
    while let Some(byte) = bytes.next() {
        let byte = if *byte == b'\\' {
            bytes.next().unwrap_or(byte)
        } else {
            plain.push(*byte);
            continue;
        };
        plain.push(match byte {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => *other,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<Vec<Option<String>>>);

    impl RowSink for Seen {
        fn row(&mut self, row: RawRow<'_>) -> Result<(), Fault> {
            self.0.push(
                (0..2).map(|index| row.cell(index).map(|cell| String::from_utf8_lossy(&cell).into_owned())).collect(),
            );
            Ok(())
        }
        fn end(&mut self) -> Result<(), Fault> {
            Ok(())
        }
    }

    #[test]
    fn rows_are_cut_wherever_the_server_cuts_them() {
        let text = b"1\tab\n2\t\\N\n3\t\\\\N\\t\\n\\x\n\t\n";
        let expected =
            [[Some("1"), Some("ab")], [Some("2"), None], [Some("3"), Some("\\N\t\nx")], [Some(""), Some("")]];
        for size in 1..text.len() {
            let (mut reader, mut seen) = (CopyReader::new(2), Seen::default());
            for chunk in text.chunks(size) {
                reader.take(chunk, &mut seen).unwrap();
            }
            let expected: Vec<Vec<_>> =
                expected.iter().map(|row| row.iter().map(|cell| cell.map(String::from)).collect()).collect();
            assert_eq!(seen.0, expected, "{size}");
            assert_eq!(reader.rows, 4);
        }
        assert!(CopyReader::new(3).take(b"1\t2\n", &mut Seen::default()).is_err());
    }
}
