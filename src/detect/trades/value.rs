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
