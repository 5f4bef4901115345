use std::borrow::Cow;
use std::cmp::Ordering;

use bigdecimal::BigDecimal;
use serde::Deserialize;

use super::decimal::Decimal;
use super::policy::Amount;
use super::roles::Role;
use super::value::{Number, millis};

/// A condition on one row: a closed set of operators, no text of SQL. What can't be read makes it false.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expression {
    /// All hold.
    All(Vec<Expression>),
    /// One holds.
    Any(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// The role has a value.
    Present(Role),
    /// The role is NULL.
    Absent(Role),
    /// The role holds no finite number, though it holds something.
    NotANumber(Role),
    /// The role holds no moment (`infinity` is none), though it holds something.
    NotATime(Role),
    /// The role's text is one of these, whatever the case.
    OneOf(OneOf),
    /// Two roles have the same text.
    Same(Role, Role),
    /// Two numbers.
    Compare(Compare),
    /// One moment is later than another by more than the tolerance.
    Later(Later),
    /// The moment lies outside the hours (UTC) or the days of trading.
    OutsideHours(Hours),
}

/// See [`Expression::OneOf`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneOf {
    /// Role.
    pub role: Role,
    /// Texts.
    pub values: Vec<String>,
}

/// See [`Expression::Compare`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// Left side.
    pub left: Operand,
    /// Operator.
    pub is: Operator,
    /// Right side.
    pub right: Operand,
}

/// A number of a row or of the policy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// A column.
    Role(Role),
    /// A number.
    Number(Amount),
    /// What the trade is worth: its value, else quantity times price, without sign.
    Worth,
}

/// Comparison of exact numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is named for what it means")]
pub enum Operator {
    Below,
    AtMost,
    Equal,
    NotEqual,
    AtLeast,
    Above,
}

/// See [`Expression::Later`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Later {
    /// The later moment.
    pub role: Role,
    /// The earlier one; absent: the moment of the scan.
    #[serde(default)]
    pub than: Option<Role>,
    /// So many seconds are let pass.
    pub tolerance_s: i64,
}

/// See [`Expression::OutsideHours`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// First minute of trading, `HH:MM` UTC.
    pub from: Clock,
    /// First minute after it, `HH:MM` UTC; before `from`: on the next day.
    pub to: Clock,
    /// Days of trading, `mon` to `sun`; a session that ends after midnight counts to the day it began.
    pub days: Vec<Day>,
}

/// Minutes of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock(i64);

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = text.split_once(':').and_then(|(hours, minutes)| {
            let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
            ((0..=23).contains(&hours) && (0..=59).contains(&minutes)).then_some(Self(hours * 60 + minutes))
        });
        read.ok_or_else(|| serde::de::Error::custom("not a time of day: write it as \"09:30\""))
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is named for what it means")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// Days since Thursday: 1970-01-01 was one.
    pub(super) fn since_thursday(self) -> i64 {
        match self {
            Self::Thu => 0,
            Self::Fri => 1,
            Self::Sat => 2,
            Self::Sun => 3,
            Self::Mon => 4,
            Self::Tue => 5,
            Self::Wed => 6,
        }
    }
}

/// Deepest nesting.
const DEPTH: usize = 16;

/// The cells of a row by role.
pub trait Cells {
    /// Text of a cell; `None` for NULL or no such column.
    fn text(&self, role: Role) -> Option<Cow<'_, [u8]>>;
    /// Whether there is such a cell.
    fn has(&self, role: Role) -> bool {
        self.text(role).is_some()
    }
    /// The column that says when the trade happened.
    fn time_role(&self) -> Option<Role>;
    /// The moment of the scan, in milliseconds.
    fn now(&self) -> i64;
    /// A cell as a number.
    fn decimal(&self, role: Role) -> Decimal {
        Decimal::read(self.text(role).as_deref())
    }
    /// A cell as a moment, in milliseconds.
    fn millis(&self, role: Role) -> Option<i64> {
        self.text(role).and_then(|text| millis(&text))
    }
}

fn number(cells: &impl Cells, role: Role) -> Option<Number> {
    Some(std::str::from_utf8(&cells.text(role)?).map_or(Number::Unusable, Number::parse))
}

/// What the trade is worth, exactly. Sign does not matter.
pub fn worth(cells: &impl Cells) -> Option<Number> {
    let value = match number(cells, Role::Worth).or_else(|| number(cells, Role::Value)) {
        Some(value) => value,
        None => match (number(cells, Role::Quantity)?, number(cells, Role::Price)?) {
            (Number::Finite(quantity), Number::Finite(price)) => Number::Finite(quantity * price),
            (Number::Unusable, _) | (_, Number::Unusable) => Number::Unusable,
            _ => Number::Infinite,
        },
    };
    Some(match value {
        Number::Finite(value) => Number::Finite(value.abs()),
        other => other,
    })
}

impl Expression {
    /// What the types do not forbid.
    pub(super) fn fault(&self) -> Option<&'static str> {
        (self.depth() > DEPTH).then_some("the condition is nested too deeply")
    }

    fn depth(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => 1 + parts.iter().map(Self::depth).max().unwrap_or(0),
            Self::Not(part) => 1 + part.depth(),
            _ => 1,
        }
    }

    /// Roles without which it can't be evaluated: those that every way needs.
    pub fn roles(&self) -> Vec<Role> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::roles).collect(),
            Self::Not(part) => part.roles(),
            Self::Present(role) | Self::Absent(role) | Self::NotANumber(role) | Self::NotATime(role) => vec![*role],
            Self::OneOf(one) => vec![one.role],
            Self::Same(one, other) => vec![*one, *other],
            Self::Compare(compare) => {
                let of = |operand: &Operand| match operand {
                    Operand::Role(role) => vec![*role],
                    Operand::Number(_) | Operand::Worth => vec![],
                };
                [of(&compare.left), of(&compare.right)].concat()
            }
            Self::Later(later) => std::iter::once(later.role).chain(later.than).collect(),
            Self::OutsideHours(_) => vec![],
        }
    }

    /// Whether a part of it can hold though others lack their columns.
    pub fn parts(&self) -> &[Expression] {
        match self {
            Self::Any(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// Whether it holds.
    pub fn holds(&self, cells: &impl Cells) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(cells)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(cells)),
            Self::Not(part) => !part.holds(cells),
            Self::Present(role) => cells.has(*role),
            Self::Absent(role) => !cells.has(*role),
            Self::NotANumber(role) => matches!(cells.decimal(*role), Decimal::Unusable | Decimal::Infinite),
            Self::NotATime(role) => cells.has(*role) && cells.millis(*role).is_none(),
            Self::OneOf(one) => cells
                .text(one.role)
                .is_some_and(|text| one.values.iter().any(|value| value.as_bytes().eq_ignore_ascii_case(&text))),
            Self::Same(one, other) => cells.text(*one).is_some_and(|text| Some(text) == cells.text(*other)),
            Self::Compare(compare) => compare.holds(cells),
            Self::Later(later) => later.holds(cells),
            Self::OutsideHours(hours) => {
                cells.time_role().and_then(|role| cells.millis(role)).is_some_and(|at| hours.outside(at))
            }
        }
    }
}

impl Compare {
    fn holds(&self, cells: &impl Cells) -> bool {
        let value = |operand: &Operand| -> Option<BigDecimal> {
            match operand {
                Operand::Role(role) => number(cells, *role)?.finite().cloned(),
                Operand::Number(amount) => Some(amount.exact.clone()),
                Operand::Worth => worth(cells)?.finite().cloned(),
            }
        };
        // Most numbers are short: no allocation for each row.
        let short = |operand: &Operand| match operand {
            Operand::Role(role) => cells.decimal(*role).exact_fixed(),
            Operand::Number(amount) => amount.fixed,
            Operand::Worth => None,
        };
        let order = if let (Some(left), Some(right)) = (short(&self.left), short(&self.right)) {
            left.cmp(&right)
        } else {
            let (Some(left), Some(right)) = (value(&self.left), value(&self.right)) else { return false };
            left.cmp(&right)
        };
        match self.is {
            Operator::Below => order == Ordering::Less,
            Operator::AtMost => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => order != Ordering::Equal,
            Operator::AtLeast => order != Ordering::Less,
            Operator::Above => order == Ordering::Greater,
        }
    }
}

impl Later {
    fn holds(&self, cells: &impl Cells) -> bool {
        let Some(late) = cells.millis(self.role) else { return false };
        let early = match self.than {
            Some(role) => cells.millis(role),
            None => Some(cells.now()),
        };
        early.is_some_and(|early| late.saturating_sub(early) > self.tolerance_s.saturating_mul(1000))
    }
}

impl Hours {
    fn outside(&self, at: i64) -> bool {
        let minutes = at.div_euclid(60_000);
        let (day, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
        let (from, to) = self.minutes();
        let (inside, began) = if from <= to {
            (minute >= from && minute < to, day)
        } else if minute < to {
            (true, day - 1)
        } else {
            (minute >= from, day)
        };
        let weekday = began.rem_euclid(7);
        !(inside && self.days.iter().any(|day| day.since_thursday() == weekday))
    }

    /// First minute of trading and first minute after it.
    pub(super) fn minutes(&self) -> (i64, i64) {
        (self.from.0, self.to.0)
    }
}
