use std::borrow::Cow;
use std::io::Write as _;

/// What a cell's bytes are: the text that the database would write, or what the send function of the column's type writes (PostgreSQL's
/// manual, "COPY", File Formats; big-endian).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Text,
    /// A whole number of 2, 4 or 8 bytes.
    Whole,
    /// A transaction's number.
    Transaction,
    /// Microseconds since 2000-01-01 UTC.
    Time,
    /// `numeric_send`.
    Number,
    /// A binary float of 8 bytes.
    Double,
    /// One byte.
    Truth,
    /// 16 bytes.
    Uuid,
}

impl Form {
    /// Whether bytes can be a value of this form.
    pub fn fits(self, cell: &[u8]) -> bool {
        match self {
            Self::Text => true,
            Self::Whole => matches!(cell.len(), 2 | 4 | 8),
            Self::Transaction => cell.len() == 4,
            Self::Time | Self::Double => cell.len() == 8,
            Self::Number => word(cell, 0)
                .and_then(|count| usize::try_from(count).ok())
                .is_some_and(|count| cell.len() == 8 + 2 * count),
            Self::Truth => cell.len() == 1,
            Self::Uuid => cell.len() == 16,
        }
    }
}

/// A row as it was read, with no copy of its cells.
#[derive(Debug, Clone, Copy)]
pub struct RawRow<'a> {
    bytes: &'a [u8],
    cells: &'a [(u32, u32)],
    forms: &'a [Form],
}

impl<'a> RawRow<'a> {
    /// Start of a cell that is NULL.
    pub const NULL: u32 = u32::MAX;

    /// A row of texts whose cells are at those places of the bytes; a start of [`Self::NULL`] is NULL.
    pub fn new(bytes: &'a [u8], cells: &'a [(u32, u32)]) -> Self {
        Self { bytes, cells, forms: &[] }
    }

    /// The same with a form for each cell, which [fits](Form::fits).
    pub fn of_forms(bytes: &'a [u8], cells: &'a [(u32, u32)], forms: &'a [Form]) -> Self {
        Self { bytes, cells, forms }
    }

    fn raw(&self, index: usize) -> Option<(Form, &'a [u8])> {
        let (start, end) = self.cells.get(index).filter(|(start, _)| *start != Self::NULL)?;
        let bytes = self.bytes.get(*start as usize..*end as usize)?;
        Some((self.forms.get(index).copied().unwrap_or(Form::Text), bytes))
    }

    /// Whether a cell is neither NULL nor of a column that was not asked for.
    pub fn has(&self, index: usize) -> bool {
        self.raw(index).is_some()
    }

    /// A cell's text; `None` for NULL and for a column that was not asked for. It is what the text format would have, but for zeros at the end
    /// of a fraction and what is below a millisecond.
    pub fn cell(&self, index: usize) -> Option<Cow<'a, [u8]>> {
        match self.raw(index)? {
            (Form::Text, bytes) => Some(Cow::Borrowed(bytes)),
            (form, bytes) => {
                let mut text = Vec::with_capacity(40);
                write(form, bytes, &mut text);
                Some(Cow::Owned(text))
            }
        }
    }

    /// The same without an allocation for each: what has to be written is written into `scratch`.
    pub fn text<'s>(&self, index: usize, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]>
    where
        'a: 's,
    {
        match self.raw(index)? {
            (Form::Text, bytes) => Some(bytes),
            (form, bytes) => {
                scratch.clear();
                write(form, bytes, scratch);
                Some(scratch)
            }
        }
    }

    /// Milliseconds since 1970 of a moment of the years 1 to 9999, where the form says it; else the text does.
    pub fn millis(&self, index: usize) -> Option<i64> {
        match self.raw(index)? {
            (Form::Time, bytes) => millis(i64::from_be_bytes(*bytes.first_chunk()?)),
            _ => None,
        }
    }

    /// A whole number, where the form says it; else the text does.
    pub fn whole(&self, index: usize) -> Option<i64> {
        match self.raw(index)? {
            (Form::Whole, bytes) => whole(bytes),
            (Form::Transaction, bytes) => Some(u32::from_be_bytes(*bytes.first_chunk()?).into()),
            _ => None,
        }
    }

    /// Mantissa and decimal places of a number of up to 16 digits, where the form says it; else the text does.
    pub fn number(&self, index: usize) -> Option<(i64, i8)> {
        match self.raw(index)? {
            (Form::Number, bytes) => short(bytes),
            (Form::Whole, bytes) => Some((whole(bytes)?, 0)).filter(|(whole, _)| whole.unsigned_abs() < 10_u64.pow(16)),
            _ => None,
        }
    }
}

/// 2000-01-01, in milliseconds since 1970.
const EPOCH: i64 = 946_684_800_000;
/// The years 1 to 9999.
const MOMENTS: std::ops::Range<i64> = -62_135_596_800_000..253_402_300_800_000;

fn millis(micros: i64) -> Option<i64> {
    let millis = micros.div_euclid(1000).saturating_add(EPOCH);
    MOMENTS.contains(&millis).then_some(millis)
}

fn whole(cell: &[u8]) -> Option<i64> {
    Some(match cell.len() {
        2 => i64::from(i16::from_be_bytes(cell.try_into().ok()?)),
        4 => i64::from(i32::from_be_bytes(cell.try_into().ok()?)),
        _ => i64::from_be_bytes(cell.try_into().ok()?),
    })
}

fn word(cell: &[u8], index: usize) -> Option<i16> {
    cell.get(index * 2..index * 2 + 2)?.try_into().ok().map(i16::from_be_bytes)
}

/// `numeric_send` of at most four groups of four digits.
fn short(cell: &[u8]) -> Option<(i64, i8)> {
    let (count, weight, sign) = (word(cell, 0)?, word(cell, 1)?, word(cell, 2)?.cast_unsigned());
    if !(0..=4).contains(&count) || !matches!(sign, 0 | 0x4000) {
        return None;
    }
    let mut mantissa = 0;
    for index in 0..usize::from(count.unsigned_abs()) {
        mantissa = mantissa * 10_000 + i64::from(word(cell, 4 + index)?);
    }
    let places = 4 * (i32::from(count) - 1 - i32::from(weight));
    Some((if sign == 0 { mantissa } else { -mantissa }, i8::try_from(places).ok()?))
}

/// Writes a value, which fits its form, as text.
fn write(form: Form, cell: &[u8], into: &mut Vec<u8>) {
    let whole_text = |number: i64, into: &mut Vec<u8>| {
        if number < 0 {
            into.push(b'-');
        }
        digits(number.unsigned_abs(), into);
    };
    match form {
        Form::Text => into.extend_from_slice(cell),
        Form::Whole => whole_text(whole(cell).unwrap_or_default(), into),
        Form::Transaction => digits(cell.first_chunk().map_or(0, |cell| u32::from_be_bytes(*cell)).into(), into),
        Form::Time => time(cell.first_chunk().map_or(0, |cell| i64::from_be_bytes(*cell)), into),
        Form::Number => {
            let _ = numeric(cell, into);
        }
        Form::Double => {
            let value = cell.first_chunk().map_or(f64::NAN, |cell| f64::from_be_bytes(*cell));
            if value.is_infinite() {
                into.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
            } else {
                let _ = write!(into, "{value}");
            }
        }
        Form::Truth => into.push(if cell == [0] { b'f' } else { b't' }),
        Form::Uuid => {
            for (index, byte) in cell.iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    into.push(b'-');
                }
                let _ = write!(into, "{byte:02x}");
            }
        }
    }
}

/// `2026-11-24 10:55:41.123`, UTC. What is no moment of the years 1 to 9999 is written as one that never comes.
fn time(micros: i64, into: &mut Vec<u8>) {
    let date = millis(micros).and_then(|millis| Some((date(millis.div_euclid(86_400_000))?, millis)));
    let Some((date, millis)) = date else {
        into.extend_from_slice(if micros == i64::MIN { b"-infinity" } else { b"infinity" });
        return;
    };
    into.extend_from_slice(&date);
    let mut left = millis.rem_euclid(86_400_000);
    for (unit, before, width) in [(3_600_000, b' ', 2), (60_000, b':', 2), (1000, b':', 2), (1, b'.', 3)] {
        into.push(before);
        padded((left / unit).unsigned_abs(), width, into);
        left %= unit;
    }
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

/// The date of a day since 1970.
fn date(day: i64) -> Option<[u8; 10]> {
    let day = i32::try_from(day).ok()?;
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).ok()?).ok()?;
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
    let (count, weight, sign) = (word(cell, 0)?, word(cell, 1)?, word(cell, 2)?.cast_unsigned());
    match sign {
        0xc000 => into.extend_from_slice(b"NaN"),
        0xd000 => into.extend_from_slice(b"Infinity"),
        0xf000 => into.extend_from_slice(b"-Infinity"),
        _ => {
            if sign == 0x4000 {
                into.push(b'-');
            }
            let count = i32::from(count);
            let group = |index: i32| if index < count { word(cell, 4 + usize::try_from(index).ok()?) } else { Some(0) };
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

    fn with<T>(form: Form, cell: &[u8], ask: impl Fn(RawRow<'_>) -> T) -> T {
        let end = u32::try_from(cell.len()).unwrap();
        ask(RawRow::of_forms(cell, &[(0, end)], &[form]))
    }

    fn text(form: Form, cell: &[u8]) -> String {
        with(form, cell, |row| {
            let mut scratch = b"before".to_vec();
            let text = row.cell(0).unwrap().into_owned();
            assert_eq!(row.text(0, &mut scratch), Some(&*text), "both ways say the same");
            String::from_utf8(text).unwrap()
        })
    }

    fn number(words: &[i16]) -> (String, Option<(i64, i8)>) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        assert!(Form::Number.fits(&bytes));
        (text(Form::Number, &bytes), with(Form::Number, &bytes, |row| row.number(0)))
    }

    #[test]
    fn values_have_the_text_of_the_text_format() {
        assert_eq!(number(&[2, 1, 0, 2, 1, 2345]).0, "12345");
        assert_eq!(number(&[3, 0, 0x4000, 5, 12, 3400, 500]).0, "-12.34000500");
        assert_eq!(number(&[1, -2, 0, 8, 7]).0, "0.00000007");
        assert_eq!(number(&[1, 2, 0, 0, 9]).0, "900000000");
        assert_eq!(number(&[0, 0, 0, 0]).0, "0");
        assert_eq!(number(&[0, 0, -0x4000, 0]).0, "NaN");
        assert_eq!(text(Form::Whole, &i64::MIN.to_be_bytes()), i64::MIN.to_string());
        assert_eq!(text(Form::Whole, &(-7_i16).to_be_bytes()), "-7");
        assert_eq!(text(Form::Transaction, &u32::MAX.to_be_bytes()), u32::MAX.to_string());
        assert_eq!(text(Form::Time, &0_i64.to_be_bytes()), "2000-01-01 00:00:00.000");
        assert_eq!(text(Form::Time, &(-1_i64).to_be_bytes()), "1999-12-31 23:59:59.999");
        assert_eq!(text(Form::Time, &i64::MAX.to_be_bytes()), "infinity");
        assert_eq!(text(Form::Time, &i64::MIN.to_be_bytes()), "-infinity");
        assert_eq!(text(Form::Double, &0.1_f64.to_be_bytes()), "0.1");
        assert_eq!(text(Form::Double, &f64::NEG_INFINITY.to_be_bytes()), "-Infinity");
        assert_eq!(text(Form::Uuid, &[0xab; 16]), "abababab-abab-abab-abab-abababababab");
        assert_eq!((text(Form::Truth, &[0]), text(Form::Truth, &[1])), ("f".into(), "t".into()));
    }

    #[test]
    fn values_are_read_without_their_text() {
        assert_eq!(number(&[3, 0, 0x4000, 5, 12, 3400, 500]).1, Some((-12_3400_0500, 8)));
        assert_eq!(number(&[1, 2, 0, 0, 9]).1, Some((9, -8)));
        assert_eq!(number(&[0, 0, 0, 0]).1.map(|(mantissa, _)| mantissa), Some(0));
        assert_eq!(number(&[4, 3, 0, 0, 9999, 9999, 9999, 9999]).1, Some((9_999_999_999_999_999, 0)));
        for odd in [&[5, 4, 0, 0, 1, 2, 3, 4, 5][..], &[0, 0, -0x4000, 0], &[0, 0, -0x3000, 0], &[1, -100, 0, 0, 1]] {
            assert_eq!(number(odd).1, None, "{odd:?}");
        }
        let millis = |micros: i64| with(Form::Time, &micros.to_be_bytes(), |row| row.millis(0));
        assert_eq!((millis(0), millis(-1)), (Some(EPOCH), Some(EPOCH - 1)));
        assert_eq!((millis(i64::MAX), millis(i64::MIN)), (None, None));
        assert_eq!(
            with(Form::Whole, &(-7_i32).to_be_bytes(), |row| (row.whole(0), row.number(0))),
            (Some(-7), Some((-7, 0)))
        );
        assert_eq!(
            with(Form::Whole, &i64::MAX.to_be_bytes(), |row| (row.whole(0), row.number(0))),
            (Some(i64::MAX), None)
        );
        assert_eq!(
            with(Form::Text, b"7", |row| (row.whole(0), row.number(0), row.millis(0), row.has(0), row.has(1))),
            (None, None, None, true, false)
        );
        assert!(!RawRow::new(b"", &[(RawRow::NULL, 0)]).has(0));
    }

    #[test]
    fn only_what_fits_is_a_value() {
        for (form, sizes) in [
            (Form::Whole, &[2, 4, 8][..]),
            (Form::Transaction, &[4]),
            (Form::Time, &[8]),
            (Form::Double, &[8]),
            (Form::Truth, &[1]),
            (Form::Uuid, &[16]),
        ] {
            for size in 0..20 {
                assert_eq!(form.fits(&vec![0; size]), sizes.contains(&size), "{form:?} {size}");
            }
        }
        assert!(!Form::Number.fits(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 1]), "a group is missing");
        assert!(!Form::Number.fits(&[0xff, 0xff, 0, 0, 0, 0, 0, 0]) && !Form::Number.fits(&[0]));
    }

    proptest::proptest! {
        /// What is read without the text is what the text says.
        #[test]
        fn both_ways_say_the_same(groups in proptest::collection::vec(0_i16..10_000, 0..5), weight in -6_i16..6, minus: bool, micros in -70_000_000_000_000_000_i64..260_000_000_000_000_000) {
            let mut words = vec![i16::try_from(groups.len()).unwrap(), weight, if minus { 0x4000 } else { 0 }, 20];
            words.extend(&groups);
            let (text, short) = number(&words);
            let (mantissa, places) = short.unwrap();
            let exact: bigdecimal::BigDecimal = text.parse().unwrap();
            proptest::prop_assert_eq!(exact, bigdecimal::BigDecimal::new(mantissa.into(), places.into()));
            let cell = micros.to_be_bytes();
            if let Some(millis) = with(Form::Time, &cell, |row| row.millis(0)) {
                let time: jiff::Timestamp = format!("{}Z", self::text(Form::Time, &cell).replace(' ', "T")).parse().unwrap();
                proptest::prop_assert_eq!(time.as_millisecond(), millis);
            }
        }
    }
}
