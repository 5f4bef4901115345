//! Rows in COPY's binary format (PostgreSQL's manual, "COPY", File Formats; the types' forms are those of their send functions): the server writes no
//! text of numbers and times, which costs it more than reading the rows. Cells are given as the text that the text format would have, but for zeros at
//! the end of a fraction and what is below a millisecond.

use std::io::Write as _;

use crate::domain::RawRow;
use crate::ports::{Fault, FaultKind, RowSink};

/// What a column's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Whole,
    Transaction,
    Time,
    Number,
    Double,
    Truth,
    Uuid,
}

impl Form {
    /// Of a type by its OID; `None` for one that is read as text.
    pub(super) fn of(oid: i64, is_enum: bool) -> Option<Self> {
        match oid {
            _ if is_enum => Some(Self::Text),
            19 | 25 | 1042 | 1043 => Some(Self::Text),
            20 | 21 | 23 => Some(Self::Whole),
            1114 | 1184 => Some(Self::Time),
            1700 => Some(Self::Number),
            701 => Some(Self::Double),
            16 => Some(Self::Truth),
            2950 => Some(Self::Uuid),
            _ => None,
        }
    }
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Longest row that is read.
const MAX_ROW: usize = 1 << 30;
/// 2000-01-01, in milliseconds since 1970.
const EPOCH: i64 = 946_684_800_000;

/// Cuts what the server sends into rows and cells.
pub(super) struct BinaryReader {
    forms: Vec<Form>,
    cells: Vec<(u32, u32)>,
    /// The beginning of a row whose end was not sent yet.
    rest: Vec<u8>,
    plain: Vec<u8>,
    begun: bool,
    day: (i64, [u8; 10]),
    pub(super) rows: u64,
}

fn corrupt(what: &str) -> Fault {
    Fault::new(FaultKind::Corrupt, format!("the server sent {what}"))
}

impl BinaryReader {
    pub(super) fn new(forms: Vec<Form>) -> Self {
        Self {
            cells: Vec::with_capacity(forms.len()),
            forms,
            rest: Vec::new(),
            plain: Vec::new(),
            begun: false,
            day: (i64::MIN, [0; 10]),
            rows: 0,
        }
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
                    at += used;
                    self.rows += 1;
                    sink.row(RawRow::new(&self.plain, &self.cells))?;
                }
            }
        }
    }

    /// Decodes one row; gives its length, 0 at the end of all, `None` if it is not whole.
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
        self.plain.clear();
        let mut at = 2;
        for index in 0..self.forms.len() {
            let Some(length) = number(&bytes[at..]) else { return Ok(None) };
            at += 4;
            let Ok(length) = usize::try_from(length) else {
                self.cells.push((RawRow::NULL, 0));
                continue;
            };
            let Some(cell) = bytes.get(at..at.saturating_add(length)) else { return Ok(None) };
            at += length;
            let start = place(self.plain.len());
            self.cell(self.forms[index], cell).ok_or_else(|| corrupt("a value of another form than its type's"))?;
            self.cells.push((start, place(self.plain.len())));
        }
        Ok(Some(at))
    }

    fn cell(&mut self, form: Form, cell: &[u8]) -> Option<()> {
        match form {
            Form::Text => self.plain.extend_from_slice(cell),
            Form::Whole => {
                let number = match cell.len() {
                    2 => i64::from(i16::from_be_bytes(cell.try_into().ok()?)),
                    4 => i64::from(i32::from_be_bytes(cell.try_into().ok()?)),
                    _ => i64::from_be_bytes(cell.try_into().ok()?),
                };
                if number < 0 {
                    self.plain.push(b'-');
                }
                digits(number.unsigned_abs(), &mut self.plain);
            }
            Form::Transaction => digits(u32::from_be_bytes(cell.try_into().ok()?).into(), &mut self.plain),
            Form::Time => self.time(i64::from_be_bytes(cell.try_into().ok()?)),
            Form::Number => numeric(cell, &mut self.plain)?,
            Form::Double => {
                let value = f64::from_be_bytes(cell.try_into().ok()?);
                if value.is_infinite() {
                    self.plain.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
                } else {
                    write!(self.plain, "{value}").ok()?;
                }
            }
            Form::Truth => self.plain.push(if cell == [0] { b'f' } else { b't' }),
            Form::Uuid => {
                let hex = hex::encode(cell);
                let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
                for (index, part) in parts.into_iter().enumerate() {
                    if index > 0 {
                        self.plain.push(b'-');
                    }
                    self.plain.extend_from_slice(hex.as_bytes().get(part)?);
                }
            }
        }
        Some(())
    }

    /// `2026-11-24 10:55:41.123`, UTC. What is no moment of the years 1 to 9999 is written as one that never comes.
    fn time(&mut self, micros: i64) {
        let millis = micros.div_euclid(1000).saturating_add(EPOCH);
        let (day, mut left) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        if self.day.0 != day {
            let Some(text) = date(day) else {
                self.plain.extend_from_slice(if micros == i64::MIN { b"-infinity" } else { b"infinity" });
                return;
            };
            self.day = (day, text);
        }
        self.plain.extend_from_slice(&self.day.1);
        for (unit, before, width) in [(3_600_000, b' ', 2), (60_000, b':', 2), (1000, b':', 2), (1, b'.', 3)] {
            self.plain.push(before);
            padded((left / unit).unsigned_abs(), width, &mut self.plain);
            left %= unit;
        }
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(RawRow::NULL - 1)
}

fn number(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

fn digits(number: u64, into: &mut Vec<u8>) {
    let mut width = 1;
    let mut rest = number / 10;
    while rest > 0 {
        width += 1;
        rest /= 10;
    }
    padded(number, width, into);
}

/// A number below ten to the width, with zeros before it.
fn padded(number: u64, width: usize, into: &mut Vec<u8>) {
    let end = into.len() + width;
    into.resize(end, b'0');
    let mut rest = number;
    for letter in into[end - width..].iter_mut().rev() {
        *letter = digit(rest);
        rest /= 10;
    }
}

/// The date of a day since 1970; `None` beyond the years 1 to 9999.
fn date(day: i64) -> Option<[u8; 10]> {
    let day = i32::try_from(day).ok()?;
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()?;
    if date.year() < 1 {
        return None;
    }
    let mut text = Vec::with_capacity(10);
    padded(date.year().unsigned_abs().into(), 4, &mut text);
    for part in [date.month(), date.day()] {
        text.push(b'-');
        padded(part.unsigned_abs().into(), 2, &mut text);
    }
    text.try_into().ok()
}

/// `numeric_send`: digits to the base of 10,000, the weight of the first, sign, scale.
fn numeric(cell: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let word = |index: usize| cell.get(index * 2..index * 2 + 2)?.try_into().ok().map(i16::from_be_bytes);
    let (count, weight, sign) = (word(0)?, word(1)?, word(2)?.cast_unsigned());
    match sign {
        0xc000 => into.extend_from_slice(b"NaN"),
        0xd000 => into.extend_from_slice(b"Infinity"),
        0xf000 => into.extend_from_slice(b"-Infinity"),
        _ => {
            if sign == 0x4000 {
                into.push(b'-');
            }
            let count = i32::from(count);
            let group = |index: i32| if index < count { word(4 + usize::try_from(index).ok()?) } else { Some(0) };
            let weight = i32::from(weight);
            if weight < 0 {
                into.push(b'0');
            }
            for index in 0..=weight {
                let group = u64::from(group(index)?.unsigned_abs());
                if index == 0 { digits(group, into) } else { padded(group, 4, into) }
            }
            if weight + 1 < count {
                into.push(b'.');
                // Groups of zeros that are not sent lie before the first one.
                for _ in weight + 1..0 {
                    into.extend_from_slice(b"0000");
                }
                for index in (weight + 1).max(0)..count {
                    padded(group(index)?.unsigned_abs().into(), 4, into);
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Form, cell: &[u8]) -> String {
        let mut reader = BinaryReader::new(vec![form]);
        reader.cell(form, cell).unwrap();
        String::from_utf8(reader.plain).unwrap()
    }

    #[test]
    fn values_become_the_text_of_the_text_format() {
        let numeric = |words: &[i16]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            read(Form::Number, &bytes)
        };
        assert_eq!(numeric(&[2, 1, 0, 2, 1, 2345]), "12345");
        assert_eq!(numeric(&[3, 0, 0x4000, 5, 12, 3400, 500]), "-12.34000500");
        assert_eq!(numeric(&[1, -2, 0, 8, 7]), "0.00000007");
        assert_eq!(numeric(&[1, 2, 0, 0, 9]), "900000000");
        assert_eq!(numeric(&[0, 0, 0, 0]), "0");
        assert_eq!(numeric(&[0, 0, -0x4000, 0]), "NaN");
        assert_eq!(read(Form::Whole, &i64::MIN.to_be_bytes()), i64::MIN.to_string());
        assert_eq!(read(Form::Whole, &(-7_i16).to_be_bytes()), "-7");
        assert_eq!(read(Form::Transaction, &u32::MAX.to_be_bytes()), u32::MAX.to_string());
        assert_eq!(read(Form::Time, &0_i64.to_be_bytes()), "2000-01-01 00:00:00.000");
        assert_eq!(read(Form::Time, &(-1_i64).to_be_bytes()), "1999-12-31 23:59:59.999");
        assert_eq!(read(Form::Time, &i64::MAX.to_be_bytes()), "infinity");
        assert_eq!(read(Form::Time, &i64::MIN.to_be_bytes()), "-infinity");
        assert_eq!(read(Form::Double, &0.1_f64.to_be_bytes()), "0.1");
        assert_eq!(read(Form::Double, &f64::NEG_INFINITY.to_be_bytes()), "-Infinity");
        assert_eq!(read(Form::Uuid, &[0xab; 16]), "abababab-abab-abab-abab-abababababab");
        assert_eq!((read(Form::Truth, &[0]), read(Form::Truth, &[1])), ("f".into(), "t".into()));
    }

    #[derive(Default)]
    struct Seen(Vec<Vec<Option<String>>>);

    impl RowSink for Seen {
        fn row(&mut self, row: RawRow<'_>) -> Result<(), Fault> {
            let text = |index| row.cell(index).map(|cell| String::from_utf8_lossy(cell).into_owned());
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
