use std::str::FromStr;

use bigdecimal::BigDecimal;

use super::value::Number;

/// A number of a row in ten bytes: exact up to 18 digits, beyond them its first 18. Whoever needs every digit of a
/// longer one reads the row's text with [`Number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Decimal {
    /// NULL, or no such column.
    #[default]
    Null,
    /// `NaN`, minus infinity, no number.
    Unusable,
    /// `Infinity`.
    Infinite,
    /// Mantissa and decimal places, without trailing zeros.
    Finite(i64, i8),
    /// The first 18 digits of a longer one.
    Long(i64, i8),
}

/// Places of the fixed-point sums.
const PLACES: i32 = 18;

impl Decimal {
    /// Reads the text form of PostgreSQL and SQLite.
    pub fn read(text: Option<&[u8]>) -> Self {
        let Some(text) = text else { return Self::Null };
        Self::short(text).unwrap_or_else(|| Self::long(text))
    }

    /// Plain digits with at most one point, without allocating.
    fn short(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let point = memchr::memchr(b'.', digits);
        let digits = match point {
            // Prisma's DECIMAL(65,30) ends in zeros that mean nothing.
            Some(_) => &digits[..digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1)],
            None => digits,
        };
        let mut mantissa: i64 = 0;
        let (mut count, mut places) = (0_usize, 0_usize);
        for (index, digit) in digits.iter().enumerate() {
            match digit {
                b'0'..=b'9' => {
                    mantissa = mantissa.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
                    count += usize::from(mantissa != 0);
                    places += usize::from(point.is_some_and(|point| index > point));
                }
                b'.' if point == Some(index) => {}
                _ => return None,
            }
        }
        if digits.is_empty() || digits == b"." || count > 18 || places > 100 {
            return None;
        }
        Some(Self::trimmed(if negative { -mantissa } else { mantissa }, i8::try_from(places).ok()?))
    }

    fn long(text: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(text) else { return Self::Unusable };
        match Number::parse(text) {
            Number::Infinite => Self::Infinite,
            Number::Unusable => Self::Unusable,
            Number::Finite(value) => {
                let rounded = value.with_prec(18).normalized();
                let rounds = rounded != value;
                let (mantissa, places) = rounded.into_bigint_and_exponent();
                match (i64::from_str(&mantissa.to_string()), i8::try_from(places)) {
                    (Ok(mantissa), Ok(places)) if rounds => Self::Long(mantissa, places),
                    (Ok(mantissa), Ok(places)) => Self::trimmed(mantissa, places),
                    _ => Self::Unusable,
                }
            }
        }
    }

    /// Without zeros at the end.
    pub(super) fn trimmed(mut mantissa: i64, mut places: i8) -> Self {
        if mantissa == 0 {
            return Self::Finite(0, 0);
        }
        while places > i8::MIN + 1 && mantissa % 10 == 0 {
            mantissa /= 10;
            places -= 1;
        }
        Self::Finite(mantissa, places)
    }

    /// As a binary float, for statistics and for a first look; never for money that is reported.
    #[expect(clippy::cast_precision_loss, reason = "statistics need no more")]
    pub fn approximate(self) -> Option<f64> {
        match self {
            Self::Finite(mantissa, places) | Self::Long(mantissa, places) => {
                Some(mantissa as f64 * power(-i32::from(places)))
            }
            _ => None,
        }
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        match self {
            Self::Finite(mantissa, places) => Self::Finite(mantissa.saturating_abs(), places),
            Self::Long(mantissa, places) => Self::Long(mantissa.saturating_abs(), places),
            other => other,
        }
    }

    /// As a whole number of `10^-18`; `None` beyond 1.7 · 10^20 or with no finite value.
    pub fn fixed(self) -> Option<i128> {
        let (mantissa, places) = self.parts()?;
        short_scaled(mantissa, i32::from(places))
    }

    /// The same where nothing is cut: `None` for numbers with more places, too.
    pub fn exact_fixed(self) -> Option<i128> {
        match self {
            Self::Finite(_, places) if i32::from(places) <= PLACES => self.fixed(),
            _ => None,
        }
    }

    /// The same, and the largest or smallest of its kind for what is larger: enough to tell what is far away.
    pub fn saturated(self) -> Option<i128> {
        let (mantissa, _) = self.parts()?;
        Some(self.fixed().unwrap_or(if mantissa < 0 { i128::MIN } else { i128::MAX }))
    }

    /// The product as a whole number of `10^-18`; digits beyond are dropped.
    pub fn times(self, other: Self) -> Option<i128> {
        let ((one, places), (two, more)) = (self.parts()?, other.parts()?);
        let places = i32::from(places) + i32::from(more);
        match one.checked_mul(two) {
            Some(product) => short_scaled(product, places),
            None => scaled(i128::from(one) * i128::from(two), places),
        }
    }

    fn parts(self) -> Option<(i64, i8)> {
        match self {
            Self::Finite(mantissa, places) | Self::Long(mantissa, places) => Some((mantissa, places)),
            _ => None,
        }
    }

    /// Whether it is a finite number, long or not.
    pub fn is_finite(self) -> bool {
        self.parts().is_some()
    }

    /// Below zero, zero or above: -1, 0, 1; `None` for what has no sign.
    pub fn sign(self) -> Option<i64> {
        self.parts().map(|(mantissa, _)| mantissa.signum())
    }

    /// Ten bytes for the spill, and back.
    pub(super) fn pack(self) -> (i64, i8, u8) {
        match self {
            Self::Null => (0, 0, 0),
            Self::Unusable => (0, 0, 1),
            Self::Infinite => (0, 0, 2),
            Self::Finite(mantissa, places) => (mantissa, places, 3),
            Self::Long(mantissa, places) => (mantissa, places, 4),
        }
    }

    pub(super) fn unpack(mantissa: i64, places: i8, kind: u8) -> Self {
        match kind {
            0 => Self::Null,
            2 => Self::Infinite,
            3 => Self::Finite(mantissa, places),
            4 => Self::Long(mantissa, places),
            _ => Self::Unusable,
        }
    }
}

/// Powers of ten that a 128-bit number holds.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A mantissa of 64 bits, which most have: its product with up to 10^18 always fits, and needs no test for it.
fn short_scaled(mantissa: i64, places: i32) -> Option<i128> {
    let shift = usize::try_from(PLACES - places).ok().filter(|shift| *shift <= 18);
    match shift.and_then(|shift| POWERS.get(shift)) {
        Some(factor) => Some(i128::from(mantissa) * factor),
        None => scaled(i128::from(mantissa), places),
    }
}

/// A mantissa with so many places as a whole number of `10^-18`, cut beyond; `None` where it does not fit.
fn scaled(mantissa: i128, places: i32) -> Option<i128> {
    let shift = PLACES - places;
    let factor = usize::try_from(shift.unsigned_abs()).ok().and_then(|place| POWERS.get(place));
    match factor {
        Some(factor) if shift >= 0 => mantissa.checked_mul(*factor),
        Some(factor) => Some(mantissa / factor),
        None if shift < 0 || mantissa == 0 => Some(0),
        None => None,
    }
}

/// A whole number of `10^-18` as decimal text.
pub fn fixed_text(value: i128) -> String {
    BigDecimal::new(value.into(), i64::from(PLACES)).normalized().to_plain_string()
}

/// An exact number as a whole number of `10^-18`, cut beyond.
pub fn to_fixed(value: &BigDecimal) -> Option<i128> {
    let (mantissa, _) = value.with_scale(i64::from(PLACES)).into_bigint_and_exponent();
    i128::from_str(&mantissa.to_string()).ok()
}

/// Powers of ten that money needs, without computing them for each row.
fn power(exponent: i32) -> f64 {
    const SMALL: [f64; 19] = [
        1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16,
        1e-17, 1e-18,
    ];
    usize::try_from(-exponent).ok().and_then(|index| SMALL.get(index).copied()).unwrap_or_else(|| 10_f64.powi(exponent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Decimal {
        Decimal::read(Some(text.as_bytes()))
    }

    #[test]
    fn odd_numbers_are_told_apart() {
        assert_eq!(read("190.500000000000000000000000000000"), Decimal::Finite(1905, 1));
        assert_eq!(read("1900"), Decimal::Finite(19, -2));
        assert_eq!((read("0"), read("-0.000")), (Decimal::Finite(0, 0), Decimal::Finite(0, 0)));
        assert_eq!(read("-0.10"), Decimal::Finite(-1, 1));
        assert_eq!(
            (read("Infinity"), read("NaN"), read("-Infinity")),
            (Decimal::Infinite, Decimal::Unusable, Decimal::Unusable)
        );
        for odd in ["", ".", "-", "1.2.3", "abc", "1e999999999", "0x10"] {
            assert_eq!(read(odd), Decimal::Unusable, "{odd}");
        }
        let long = "1".repeat(65);
        assert_eq!(read(&long), Decimal::Long(111_111_111_111_111_111, -47));
        assert_eq!(read("1e3"), Decimal::Finite(1, -3));
        assert_eq!(Decimal::read(None), Decimal::Null);
    }

    proptest! {
        #[test]
        fn what_it_reads_is_what_is_written(mantissa in -999_999_999_999_999_999_i64..=999_999_999_999_999_999, places in 0_i64..18) {
            let exact = BigDecimal::new(mantissa.into(), places);
            let decimal = read(&exact.to_plain_string());
            prop_assert!(decimal.is_finite());
            prop_assert_eq!(decimal.fixed(), to_fixed(&exact));
        }

        #[test]
        fn nothing_panics(text in "[-+0-9.eE nNaAiIfF]{0,40}") {
            let _ = read(&text);
        }
    }
}
