use std::str::FromStr;

use bigdecimal::BigDecimal;

use crate::domain::Timestamp;

/// Longest text that is read as a number: PostgreSQL's numeric can be far longer, money is not.
const MAX_NUMBER: usize = 400;

/// A number of the table, exact: money is never a binary float.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// Finite.
    Finite(BigDecimal),
    /// `Infinity`: above every limit.
    Infinite,
    /// `NaN`, minus infinity, or text that is no number: nothing can be compared with it.
    Unusable,
}

impl Number {
    /// Reads the text form of PostgreSQL and SQLite.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.eq_ignore_ascii_case("infinity") || text.eq_ignore_ascii_case("inf") {
            return Self::Infinite;
        }
        if text.len() > MAX_NUMBER || !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
            return Self::Unusable;
        }
        // An exponent of a million would be computed digit by digit.
        if let Some((_, exponent)) = text.split_once(['e', 'E'])
            && exponent.parse::<i32>().map_or(true, |exponent| exponent.abs() > 400)
        {
            return Self::Unusable;
        }
        BigDecimal::from_str(text).map_or(Self::Unusable, Self::Finite)
    }

    /// The finite value.
    pub fn finite(&self) -> Option<&BigDecimal> {
        match self {
            Self::Finite(value) => Some(value),
            Self::Infinite | Self::Unusable => None,
        }
    }
}

/// Reads a moment in the text forms that PostgreSQL, SQLite and Prisma write; without a zone it is UTC (Prisma's
/// `TIMESTAMP(3)`). Whole numbers are seconds or, from 100,000,000,000 on, milliseconds since 1970. `infinity` is none.
pub fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return if number.abs() >= 100_000_000_000 {
            Timestamp::from_millisecond(number).ok()
        } else {
            Timestamp::from_second(number).ok()
        };
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    // PostgreSQL's `+00` is not in every parser's grammar; without a zone, UTC is meant.
    let (local, offset) = split_offset(text);
    let local: jiff::civil::DateTime = local.replacen(' ', "T", 1).parse().ok()?;
    jiff::tz::Offset::from_seconds(offset).ok()?.to_timestamp(local).ok()
}

/// Reads a moment as milliseconds since 1970, UTC, as [`moment`] does; the form that PostgreSQL writes for a timestamp
/// is read without allocating.
pub fn millis(text: &[u8]) -> Option<i64> {
    if let Some(millis) = plain_millis(text) {
        return Some(millis);
    }
    moment(std::str::from_utf8(text).ok()?).map(Timestamp::as_millisecond)
}

/// `2026-11-24 10:55:41[.fraction][+00]`.
fn plain_millis(text: &[u8]) -> Option<i64> {
    if text.len() < 19
        || text[4] != b'-'
        || text[7] != b'-'
        || !matches!(text[10], b' ' | b'T')
        || text[13] != b':'
        || text[16] != b':'
    {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let mut rest = &text[19..];
    let mut fraction = 0;
    if let [b'.', digits @ ..] = rest {
        let length = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
        for place in 0..3 {
            fraction =
                fraction * 10 + digits.get(place).filter(|_| place < length).map_or(0, |digit| i64::from(digit - b'0'));
        }
        rest = &digits[length..];
    }
    let lengths = [
        31,
        if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let days_in_month = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !matches!(rest, [] | b"Z" | b"+00" | b"+00:00")
        || day < 1
        || day > days_in_month
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    // Days since 1970 of the proleptic Gregorian calendar; years begin in March, so that the leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + fraction)
}

/// Splits `+HH`, `+HH:MM` or `Z` off a time's end: the rest, and the offset in seconds.
fn split_offset(text: &str) -> (&str, i32) {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return (local, 0);
    }
    let Some(position) = text.rfind(['+', '-']).filter(|position| *position > 10) else { return (text, 0) };
    let (local, zone) = text.split_at(position);
    let (sign, digits) = zone.split_at(1);
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    match (hours.parse::<i32>(), minutes.parse::<i32>()) {
        (Ok(hours), Ok(minutes)) if hours <= 18 && minutes < 60 => {
            let seconds = hours * 3600 + minutes * 60;
            (local, if sign == "-" { -seconds } else { seconds })
        }
        _ => (text, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_odd_ones_are_said() {
        let sixty_five = "1".repeat(65) + ".5";
        let Number::Finite(value) = Number::parse(&sixty_five) else { panic!("finite") };
        assert_eq!(value.to_string(), sixty_five);
        assert_eq!(Number::parse("Infinity"), Number::Infinite);
        for odd in ["NaN", "-Infinity", "", "1e999999999", "0x10", "abc"] {
            assert_eq!(Number::parse(odd), Number::Unusable, "{odd}");
        }
        assert!(Number::parse("-0.10").finite().unwrap() < Number::parse("0").finite().unwrap());
    }

    proptest::proptest! {
        #[test]
        fn the_quick_way_reads_the_same(millis in -50_000_000_000_000_i64..250_000_000_000_000) {
            let time = Timestamp::from_millisecond(millis).unwrap();
            let text = time.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string();
            proptest::prop_assert_eq!(super::millis(text.as_bytes()), Some(millis), "{}", text);
            proptest::prop_assert_eq!(moment(&text), Some(time));
        }
    }

    #[test]
    fn moments_of_every_form_are_the_same_moment() {
        let expected: Timestamp = "2026-11-24T10:55:41.123Z".parse().unwrap();
        for text in [
            "2026-11-24 10:55:41.123",
            "2026-11-24 10:55:41.123+00",
            "2026-11-24 12:55:41.123+02",
            "2026-11-24 16:25:41.123+05:30",
            "2026-11-24T10:55:41.123Z",
            "1795517741123",
        ] {
            assert_eq!(moment(text), Some(expected), "{text}");
        }
        assert_eq!(moment("infinity"), None);
        assert_eq!(moment("2026-13-01 00:00:00"), None);
    }
}
