//! Rows of COPY's text format, as its binary format: the server spends a third less on them, and we have the processor time. Types are
//! those of the server's own catalog. A block with anything unusual is left as it is, so that the server judges it, and words its errors,
//! as it would have.
//!
//! Formats: PostgreSQL's documentation of COPY ("Binary Format"), and the `_recv` functions of its types.

use sqlx::postgres::PgConnection;

use super::super::fault;
use crate::ports::Fault;

/// What a binary COPY begins with: the signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: &[u8] = b"\xff\xff";
/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const EPOCH: i64 = 10_957;
/// Digits of a numeric that are looked at: more are left to the server.
const LONGEST: usize = 200;

/// How the values of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Int2,
    Int4,
    Int8,
    Numeric,
    Timestamp,
    TimestampTz,
    Date,
    Uuid,
    Jsonb,
}

impl Kind {
    /// By the type's number, which is the same on every server, and its sort.
    fn of(oid: i64, sort: &str) -> Option<Self> {
        Some(match (oid, sort) {
            // text, varchar, char, json; an enumeration's label.
            (25 | 1043 | 1042 | 114, "b") | (_, "e") => Self::Text,
            (16, "b") => Self::Bool,
            (21, "b") => Self::Int2,
            (23, "b") => Self::Int4,
            (20, "b") => Self::Int8,
            (1700, "b") => Self::Numeric,
            (1114, "b") => Self::Timestamp,
            (1184, "b") => Self::TimestampTz,
            (1082, "b") => Self::Date,
            (2950, "b") => Self::Uuid,
            (3802, "b") => Self::Jsonb,
            _ => return None,
        })
    }
}

/// Writes the rows of one table.
#[derive(Debug, Clone)]
pub(super) struct Encoder {
    columns: Vec<Kind>,
}

impl Encoder {
    /// For the columns of a COPY; `None` where one has a type that is left to the server.
    pub(super) async fn of(
        connection: &mut PgConnection,
        copy: &str,
        columns: &[String],
    ) -> Result<Option<Self>, Fault> {
        let Some(table) = table(copy) else { return Ok(None) };
        let types: Vec<(String, i64, String)> = sqlx::query_as(
            "SELECT a.attname::text, a.atttypid::bigint, t.typtype::text FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped",
        )
        .bind(table)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| fault("failed to look up the columns of a table that is restored", &error))?;
        let kind = |column: &String| {
            let (_, oid, sort) = types.iter().find(|(name, ..)| name == column)?;
            Kind::of(*oid, sort)
        };
        Ok(columns.iter().map(kind).collect::<Option<Vec<_>>>().map(|columns| Self { columns }))
    }

    /// Whole rows with their line feeds, without header and trailer; `None` if a value is not of the plain form that dumps write.
    pub(super) fn rows(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len() + text.len() / 4);
        let count = u16::try_from(self.columns.len()).ok()?.to_be_bytes();
        let mut rest = text;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest)?;
            let mut row = &rest[..end];
            rest = &rest[end + 1..];
            out.extend_from_slice(&count);
            for (at, kind) in self.columns.iter().enumerate() {
                let last = at + 1 == self.columns.len();
                let tab = memchr::memchr(b'\t', row);
                let cell = match (tab, last) {
                    (None, true) => row,
                    (Some(tab), false) => &row[..tab],
                    // Another number of columns.
                    _ => return None,
                };
                row = tab.map_or(&[][..], |tab| &row[tab + 1..]);
                field(*kind, cell, &mut out)?;
            }
        }
        Some(out)
    }
}

/// The table's name as the COPY writes it.
fn table(copy: &str) -> Option<&str> {
    let rest = copy.get(..5).filter(|word| word.eq_ignore_ascii_case("copy ")).and(copy.get(5..))?;
    let mut quoted = false;
    let end = rest.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b'(' && !quoted
    })?;
    Some(rest[..end].trim())
}

fn field(kind: Kind, cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if cell == b"\\N" {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return Some(());
    }
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match kind {
        Kind::Text => text(cell, out)?,
        Kind::Jsonb => {
            out.push(1);
            text(cell, out)?;
        }
        Kind::Bool => out.push(match cell {
            b"t" => 1,
            b"f" => 0,
            _ => return None,
        }),
        Kind::Int2 => out.extend_from_slice(&i16::try_from(integer(cell)?).ok()?.to_be_bytes()),
        Kind::Int4 => out.extend_from_slice(&i32::try_from(integer(cell)?).ok()?.to_be_bytes()),
        Kind::Int8 => out.extend_from_slice(&integer(cell)?.to_be_bytes()),
        Kind::Numeric => numeric(cell, out)?,
        Kind::Date => out.extend_from_slice(&i32::try_from(date(cell)?).ok()?.to_be_bytes()),
        Kind::Timestamp => out.extend_from_slice(&timestamp(cell)?.to_be_bytes()),
        Kind::TimestampTz => {
            let sign = cell.iter().skip(19).position(|byte| matches!(byte, b'+' | b'-'))? + 19;
            let moment = timestamp(&cell[..sign])?.checked_sub(offset(&cell[sign..])?)?;
            out.extend_from_slice(&moment.to_be_bytes());
        }
        Kind::Uuid => uuid(cell, out)?,
    }
    let length = i32::try_from(out.len() - start - 4).ok()?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Some(())
}

fn text(cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = cell;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(match rest.get(at + 1)? {
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'\\' => b'\\',
            _ => return None,
        });
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    Some(())
}

/// At most 18 digits, so that nothing overflows.
fn integer(cell: &[u8]) -> Option<i64> {
    let (negative, digits) = match cell {
        [b'-', rest @ ..] => (true, rest),
        other => (false, other),
    };
    if digits.len() > 18 {
        return None;
    }
    let value = number(digits)?;
    Some(if negative { -value } else { value })
}

/// Digits alone, at least one.
fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// Groups of four digits, counted from the point.
fn numeric(cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (sign, digits) = match cell {
        [b'-', rest @ ..] => (0x4000_u16, rest),
        other => (0, other),
    };
    let (whole, fraction) = match memchr::memchr(b'.', digits) {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    if whole.is_empty() || digits.len() > LONGEST || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let mut groups = [0_u16; LONGEST / 4 + 2];
    let (before, after) = (whole.len().div_ceil(4), fraction.len().div_ceil(4));
    // Where the first group starts, with zeros in front so that the last one ends at the point.
    let lead = before * 4 - whole.len();
    for (at, byte) in whole.iter().enumerate() {
        let group = &mut groups[(lead + at) / 4];
        *group = *group * 10 + u16::from(byte - b'0');
    }
    for at in 0..after * 4 {
        let group = &mut groups[before + at / 4];
        *group = *group * 10 + fraction.get(at).map_or(0, |byte| u16::from(byte - b'0'));
    }
    let used = &groups[..before + after];
    let first = used.iter().position(|group| *group != 0).unwrap_or(used.len());
    let last = used.iter().rposition(|group| *group != 0).map_or(first, |last| last + 1);
    let digits = &used[first..last];
    let weight = if digits.is_empty() { 0 } else { i16::try_from(before).ok()? - 1 - i16::try_from(first).ok()? };
    out.extend_from_slice(&u16::try_from(digits.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&(if digits.is_empty() { 0 } else { sign }).to_be_bytes());
    out.extend_from_slice(&u16::try_from(fraction.len()).ok()?.to_be_bytes());
    for group in digits {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Some(())
}

/// `YYYY-MM-DD`, in days from PostgreSQL's epoch.
fn date(cell: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = cell else { return None };
    let (year, month, day) = (number(&[*y1, *y2, *y3, *y4])?, number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // There is no year 0.
    if year == 0 || day == 0 || day > length {
        return None;
    }
    // Howard Hinnant's days_from_civil: years from March, in eras of 400.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468 - EPOCH)
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]`, in microseconds from PostgreSQL's epoch.
fn timestamp(cell: &[u8]) -> Option<i64> {
    let (day, rest) = (date(cell.get(..10)?)?, cell.get(10..)?);
    let [b' ', h1, h2, b':', m1, m2, b':', s1, s2, fraction @ ..] = rest else { return None };
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if digits.len() <= 6 => number(digits)? * 10_i64.pow(6 - u32::try_from(digits.len()).ok()?),
        _ => return None,
    };
    Some((((day * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// `+HH[:MM[:SS]]`, in microseconds.
fn offset(cell: &[u8]) -> Option<i64> {
    let (sign, rest) = match cell {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes, seconds) = match rest {
        [h1, h2] => (number(&[*h1, *h2])?, 0, 0),
        [h1, h2, b':', m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?),
        _ => return None,
    };
    (hours <= 15 && minutes <= 59 && seconds <= 59)
        .then_some(sign * ((hours * 60 + minutes) * 60 + seconds) * 1_000_000)
}

fn uuid(cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if cell.len() != 36 || [8, 13, 18, 23].iter().any(|at| cell[*at] != b'-') {
        return None;
    }
    let mut bytes = [0; 16];
    let digits: Vec<u8> = cell.iter().copied().filter(|byte| *byte != b'-').collect();
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    out.extend_from_slice(&bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: Kind, cell: &str) -> Option<String> {
        let mut out = Vec::new();
        field(kind, cell.as_bytes(), &mut out).map(|()| hex::encode(out))
    }

    /// What `COPY ... TO STDOUT (FORMAT binary)` of PostgreSQL 15 gives.
    #[test]
    fn values_are_those_of_the_server() {
        for (kind, cell, bytes) in [
            (Kind::Int8, "-5", "00000008fffffffffffffffb"),
            (Kind::Int4, "2147483647", "000000047fffffff"),
            (Kind::Int2, "0", "000000020000"),
            (Kind::Bool, "t", "0000000101"),
            (Kind::Text, "a\\tb\\\\", "000000046109625c"),
            (Kind::Text, "\\N", "ffffffff"),
            (Kind::Numeric, "0.00000000", "000000080000000000000008"),
            (Kind::Numeric, "977.12345678", "0000000e000300000000000803d104d2162e"),
            (Kind::Numeric, "-10000", "0000000a00010001400000000001"),
            (Kind::Numeric, "0.0001", "0000000a0001ffff000000040001"),
            (Kind::Date, "2000-03-01", "000000040000003c"),
            (Kind::Date, "1999-12-31", "00000004ffffffff"),
            (Kind::Timestamp, "2000-01-01 00:00:01.5", "00000008000000000016e360"),
            (Kind::TimestampTz, "2000-01-01 01:00:00+01", "000000080000000000000000"),
            (Kind::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000010a0eebc999c0b4ef8bb6d6bb9bd380a11"),
            (Kind::Jsonb, "{}", "00000003017b7d"),
        ] {
            assert_eq!(written(kind, cell).as_deref(), Some(bytes), "{kind:?} {cell}");
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_the_server() {
        for (kind, cell) in [
            (Kind::Int8, "9223372036854775807"),
            (Kind::Int4, "2147483648"),
            (Kind::Int4, "x"),
            (Kind::Int4, ""),
            (Kind::Int2, "+1"),
            (Kind::Bool, "true"),
            (Kind::Text, "a\\x41"),
            (Kind::Text, "a\\"),
            (Kind::Numeric, "NaN"),
            (Kind::Numeric, "1e5"),
            (Kind::Numeric, ".5"),
            (Kind::Date, "2026-02-29"),
            (Kind::Date, "0044-03-15 BC"),
            (Kind::Timestamp, "infinity"),
            (Kind::Timestamp, "2026-01-01 24:00:00"),
            (Kind::Timestamp, "12026-01-01 00:00:00"),
            (Kind::TimestampTz, "2026-01-01 00:00:00"),
            (Kind::Uuid, "a0eebc99"),
        ] {
            assert_eq!(written(kind, cell), None, "{kind:?} {cell}");
        }
        let encoder = Encoder { columns: vec![Kind::Int4, Kind::Text] };
        assert_eq!(encoder.rows(b"1\ta\n2\tb\tc\n"), None, "a column too many");
        assert_eq!(encoder.rows(b"1\n"), None, "a column too few");
        assert_eq!(encoder.rows(b"1\ta"), None, "a row that was cut");
        assert_eq!(encoder.rows(b"1\t\n").unwrap(), b"\0\x02\0\0\0\x04\0\0\0\x01\0\0\0\0");
    }

    #[test]
    fn the_table_is_what_stands_before_the_columns() {
        assert_eq!(table("COPY public.\"Trade (old)\" (id, x) FROM stdin"), Some("public.\"Trade (old)\""));
        assert_eq!(table("SELECT 1"), None);
    }
}
