//! Rows in COPY's binary format (PostgreSQL's manual, "COPY", File Formats): the server writes no text of numbers and times, which costs it more
//! than reading the rows.

use crate::domain::{Form, RawRow};
use crate::ports::{Fault, FaultKind, RowSink};

/// The form of a type by its OID; `None` for one that is read as text.
pub(super) fn form_of(oid: i64, is_enum: bool) -> Option<Form> {
    match oid {
        _ if is_enum => Some(Form::Text),
        19 | 25 | 1042 | 1043 => Some(Form::Text),
        20 | 21 | 23 => Some(Form::Whole),
        1114 | 1184 => Some(Form::Time),
        1700 => Some(Form::Number),
        701 => Some(Form::Double),
        16 => Some(Form::Truth),
        2950 => Some(Form::Uuid),
        _ => None,
    }
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Longest row that is read.
const MAX_ROW: usize = 1 << 30;

/// Cuts what the server sends into rows and cells.
pub(super) struct BinaryReader {
    forms: Vec<Form>,
    cells: Vec<(u32, u32)>,
    /// The beginning of a row whose end was not sent yet.
    rest: Vec<u8>,
    begun: bool,
    pub(super) rows: u64,
}

fn corrupt(what: &str) -> Fault {
    Fault::new(FaultKind::Corrupt, format!("the server sent {what}"))
}

impl BinaryReader {
    pub(super) fn new(forms: Vec<Form>) -> Self {
        Self { cells: Vec::with_capacity(forms.len()), forms, rest: Vec::new(), begun: false, rows: 0 }
    }

    /// A new COPY begins with a header again.
    pub(super) fn begin(&mut self) {
        self.begun = false;
        self.rest.clear();
    }

    /// Takes what the server sent: most often exactly one row.
    pub(super) fn take(&mut self, bytes: &[u8], sink: &mut dyn RowSink) -> Result<(), Fault> {
        if self.rest.is_empty() {
            let used = self.rows_of(bytes, sink)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let used = self.rows_of(&all, sink)?;
            all.drain(..used);
            self.rest = all;
        }
        if self.rest.len() > MAX_ROW {
            return Err(Fault::new(FaultKind::Invalid, "a row is longer than 1 GB"));
        }
        Ok(())
    }

    /// Takes all whole rows; gives the bytes used.
    fn rows_of(&mut self, bytes: &[u8], sink: &mut dyn RowSink) -> Result<usize, Fault> {
        let mut at = 0;
        if !self.begun {
            if bytes.len() < SIGNATURE.len() + 8 {
                return Ok(0);
            }
            if !bytes.starts_with(SIGNATURE) {
                return Err(corrupt("no binary rows"));
            }
            let more = number(&bytes[SIGNATURE.len() + 4..]).and_then(|more| usize::try_from(more).ok());
            at = SIGNATURE.len() + 8 + more.ok_or_else(|| corrupt("a header of no length"))?;
            if bytes.len() < at {
                return Ok(0);
            }
            self.begun = true;
        }
        loop {
            match self.row(&bytes[at..])? {
                None => return Ok(at),
                Some(0) => return Ok(bytes.len()),
                Some(used) => {
                    self.rows += 1;
                    sink.row(RawRow::of_forms(&bytes[at..at + used], &self.cells, &self.forms))?;
                    at += used;
                }
            }
        }
    }

    /// Finds the cells of one row; gives its length, 0 at the end of all, `None` if it is not whole.
    fn row(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Some(count) = bytes.first_chunk::<2>() else { return Ok(None) };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            return Ok(Some(0));
        }
        if usize::try_from(count) != Ok(self.forms.len()) {
            return Err(corrupt(&format!("a row of {count} columns, {} were asked for", self.forms.len())));
        }
        self.cells.clear();
        let mut at = 2;
        for form in &self.forms {
            let Some(length) = number(&bytes[at..]) else { return Ok(None) };
            at += 4;
            let Ok(length) = usize::try_from(length) else {
                self.cells.push((RawRow::NULL, 0));
                continue;
            };
            let Some(cell) = bytes.get(at..at.saturating_add(length)) else { return Ok(None) };
            if !form.fits(cell) {
                return Err(corrupt("a value of another form than its type's"));
            }
            self.cells.push((place(at), place(at + length)));
            at += length;
        }
        Ok(Some(at))
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(RawRow::NULL - 1)
}

fn number(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<Vec<Option<String>>>);

    impl RowSink for Seen {
        fn row(&mut self, row: RawRow<'_>) -> Result<(), Fault> {
            let text = |index| row.cell(index).map(|cell| String::from_utf8_lossy(&cell).into_owned());
            self.0.push((0..2).map(text).collect());
            Ok(())
        }
        fn end(&mut self) -> Result<(), Fault> {
            Ok(())
        }
    }

    fn stream() -> Vec<u8> {
        let mut bytes = [SIGNATURE, &[0; 8]].concat();
        for (id, text) in [(1_i64, Some("ab")), (2, None), (3, Some(""))] {
            bytes.extend_from_slice(&2_i16.to_be_bytes());
            bytes.extend_from_slice(&8_i32.to_be_bytes());
            bytes.extend_from_slice(&id.to_be_bytes());
            let length = text.map_or(-1, |text| i32::try_from(text.len()).unwrap());
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        bytes
    }

    #[test]
    fn rows_are_cut_wherever_the_server_cuts_them() {
        let bytes = stream();
        for size in 1..bytes.len() {
            let (mut reader, mut seen) = (BinaryReader::new(vec![Form::Whole, Form::Text]), Seen::default());
            // Two COPYs one after the other.
            for _ in 0..2 {
                reader.begin();
                bytes.chunks(size).for_each(|chunk| reader.take(chunk, &mut seen).unwrap());
            }
            let once = [[Some("1"), Some("ab")], [Some("2"), None], [Some("3"), Some("")]];
            let expected: Vec<Vec<_>> =
                once.iter().chain(&once).map(|row| row.iter().map(|cell| cell.map(String::from)).collect()).collect();
            assert_eq!((seen.0, reader.rows), (expected, 6), "{size}");
        }
        let mut three = BinaryReader::new(vec![Form::Whole; 3]);
        assert!(three.take(&bytes, &mut Seen::default()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            let all = [SIGNATURE, &[0; 8], &bytes].concat();
            for form in [Form::Text, Form::Whole, Form::Time, Form::Number, Form::Uuid] {
                let _ = BinaryReader::new(vec![form]).take(&all, &mut Seen::default());
            }
        }
    }
}
