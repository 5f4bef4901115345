//! Exact thresholds.

use bigdecimal::{BigDecimal, ToPrimitive};
use serde::{Deserialize, Deserializer};

use super::decimal::to_fixed;
use super::value::Number;

/// An exact number of a policy or of an account, with what rows are compared with, so that nothing is computed for each row. In a
/// policy it is written as text or as a whole number.
#[derive(Debug, Clone, PartialEq)]
pub struct Amount {
    /// The number.
    pub exact: BigDecimal,
    /// The same as a whole number of `10^-18`, where it is one.
    pub fixed: Option<i128>,
    /// A little less than it: what is below this is below the number for sure.
    pub below: f64,
}

impl Amount {
    /// Of a number.
    pub fn new(exact: BigDecimal) -> Self {
        let fixed = to_fixed(&exact).filter(|_| exact.normalized().fractional_digit_count() <= 18);
        let about = exact.to_f64().unwrap_or(0.0);
        Self { below: about - about.abs() * 1e-6, exact, fixed }
    }

    /// As a whole number of `10^-18`, digits beyond cut; `None` where it is too large.
    pub fn cut(&self) -> Option<i128> {
        self.fixed.or_else(|| to_fixed(&self.exact))
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Number::parse(&text) {
            Number::Finite(value) => Ok(Self::new(value)),
            _ => Err(serde::de::Error::custom("not an exact number: write it as \"1000.50\"")),
        }
    }
}
