use std::collections::BTreeSet;

use super::Dialect;
use crate::detect::trades::expression::{Compare, Expression, Hours, Operand, Operator};
use crate::detect::trades::plan::Plan;
use crate::detect::trades::record::Side;
use crate::detect::trades::reference::Reference;
use crate::detect::trades::roles::{Mapping, Role, SchemaMapping};
use crate::detect::trades::row::{NOT_DELETED, VOID};

/// How a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Text,
    Number,
    Millis,
    Side,
}

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Millis => "ms",
            Self::Side => "way",
        }
    }
}

/// A table whose columns are brought into the forms that are compared.
pub(super) struct Source<'a> {
    dialect: Dialect,
    mapping: &'a Mapping,
    asked: BTreeSet<(Role, Form)>,
}

impl<'a> Source<'a> {
    pub(super) fn new(dialect: Dialect, mapping: &'a Mapping) -> Self {
        Self { dialect, mapping, asked: BTreeSet::new() }
    }

    /// The name of a column in that form; NULL throughout if the table has none.
    pub(super) fn column(&mut self, role: Role, form: Form) -> String {
        self.asked.insert((role, form));
        format!("{}_{}", role.name(), form.suffix())
    }

    fn read(&self, role: Role, form: Form) -> String {
        let dialect = self.dialect;
        if role == Role::Id && !self.mapping.composite.is_empty() {
            let parts = self.mapping.composite.iter().map(|part| dialect.text(&dialect.identifier(&part.column)));
            return format!("concat({})", parts.collect::<Vec<_>>().join(", '/', "));
        }
        let Some(mapped) = self.mapping.roles.iter().find(|mapped| mapped.role == role) else {
            let kind = match form {
                Form::Text => dialect.text_type(),
                Form::Number => dialect.decimal(),
                Form::Millis => "BIGINT",
                Form::Side => return "0".into(),
            };
            return format!("CAST(NULL AS {kind})");
        };
        let column = dialect.identifier(&mapped.column);
        match form {
            Form::Text if role == Role::Instrument && self.mapping.is_pair() => {
                let paid = self.mapping.column(Role::Currency).map(|paid| dialect.text(&dialect.identifier(paid)));
                let paid = paid.unwrap_or_else(|| "NULL".into());
                let own = dialect.text(&column);
                format!("CASE WHEN {own} IS NOT NULL THEN concat({own}, coalesce(concat('/', {paid}), '')) END")
            }
            Form::Text => dialect.text(&column),
            Form::Number => dialect.number(&column, &mapped.data_type),
            Form::Millis => dialect.millis(&column, &mapped.data_type),
            Form::Side => {
                let text = format!("lower({})", dialect.text(&column));
                let (mut buying, mut selling) = (dialect.list(Side::BUY), dialect.list(Side::SELL));
                if self.mapping.side_is_of_the_maker() {
                    std::mem::swap(&mut buying, &mut selling);
                }
                format!("CASE WHEN {text} IN ({buying}) THEN 1 WHEN {text} IN ({selling}) THEN 2 ELSE 0 END")
            }
        }
    }

    /// The statement that reads the table, with columns besides.
    pub(super) fn select(&self, besides: &[String]) -> String {
        let own = self
            .asked
            .iter()
            .map(|(role, form)| format!("{} AS {}_{}", self.read(*role, *form), role.name(), form.suffix()));
        let columns: Vec<_> = besides.iter().cloned().chain(own).collect();
        format!("SELECT {} FROM {}", columns.join(", "), self.dialect.identifier(&self.mapping.table.name))
    }
}

/// What a statement is made of.
pub(super) struct Base<'a> {
    pub(super) dialect: Dialect,
    pub(super) plan: &'a Plan,
    pub(super) mapping: &'a SchemaMapping,
    pub(super) reference: &'a Reference,
    pub(super) trades: Source<'a>,
    /// Named parts before the last one, after `t`.
    pub(super) parts: Vec<(&'static str, String)>,
    /// Rows that were deleted softly are left out.
    pub(super) only_live: bool,
    /// Conditions of the window that was asked for.
    pub(super) within: Vec<String>,
}

impl<'a> Base<'a> {
    pub(super) fn new(dialect: Dialect, plan: &'a Plan, mapping: &'a SchemaMapping, reference: &'a Reference) -> Self {
        let trades = Source::new(dialect, &mapping.trades);
        Self { dialect, plan, mapping, reference, trades, parts: Vec::new(), only_live: false, within: Vec::new() }
    }

    pub(super) fn text(&mut self, role: Role) -> String {
        self.trades.column(role, Form::Text)
    }

    pub(super) fn number(&mut self, role: Role) -> String {
        self.trades.column(role, Form::Number)
    }

    pub(super) fn millis(&mut self, role: Role) -> String {
        self.trades.column(role, Form::Millis)
    }

    pub(super) fn side(&mut self) -> String {
        self.trades.column(Role::Side, Form::Side)
    }

    /// The trades with id, time, and place in the order of time.
    pub(super) fn rows(&self) -> String {
        let read = |role, form| self.trades.read(role, form);
        let id = read(Role::Id, Form::Text);
        let time =
            format!("coalesce({}, {})", read(Role::ExecutedAt, Form::Millis), read(Role::CreatedAt, Form::Millis));
        let place = if self.plan.whole_ids { format!("CAST({id} AS BIGINT)") } else { id.clone() };
        let rows = self.trades.select(&[format!("{id} AS id"), format!("{time} AS time"), format!("{place} AS place")]);
        match self.deleted().filter(|_| self.only_live) {
            Some(deleted) => format!("{rows} WHERE NOT {deleted}"),
            None => rows,
        }
    }

    /// Whether a row was deleted softly; `None` where no column says so.
    fn deleted(&self) -> Option<String> {
        self.mapping.trades.column(Role::DeletedAt)?;
        let said = self.trades.read(Role::DeletedAt, Form::Text);
        Some(format!("(coalesce(lower({said}), '') NOT IN ({}))", self.dialect.list(NOT_DELETED)))
    }

    /// 1 for a trade that did not take place or was undone, else 0; of the columns of the trade table.
    pub(super) fn void(&mut self) -> String {
        let text = self.text(Role::Status);
        let status = format!("coalesce(lower({text}), '') IN ({})", self.dialect.list(VOID));
        let deleted = self.mapping.trades.column(Role::DeletedAt).map(|_| {
            let said = self.text(Role::DeletedAt);
            format!(" OR coalesce(lower({said}), '') NOT IN ({})", self.dialect.list(NOT_DELETED))
        });
        format!("CASE WHEN {status}{} THEN 1 ELSE 0 END", deleted.unwrap_or_default())
    }

    /// What a trade is worth: its value, else quantity times price, without sign.
    pub(super) fn worth(&mut self) -> String {
        let (text, value) = (self.text(Role::Value), self.number(Role::Value));
        let (quantity, price) = (self.number(Role::Quantity), self.number(Role::Price));
        if self.mapping.trades.has(Role::Worth) {
            let (text, worth) = (self.text(Role::Worth), self.number(Role::Worth));
            return format!("abs(CASE WHEN {text} IS NOT NULL THEN {worth} ELSE {value} END)");
        }
        format!("abs(CASE WHEN {text} IS NOT NULL THEN {value} ELSE {} END)", self.dialect.times(&quantity, &price))
    }

    /// A condition that is true or false, never NULL.
    pub(super) fn condition(&mut self, expression: &Expression) -> String {
        let sure = |text: String| format!("coalesce({text}, FALSE)");
        match expression {
            Expression::All(parts) => self.joined(parts, " AND ", "TRUE"),
            Expression::Any(parts) => self.joined(parts, " OR ", "FALSE"),
            Expression::Not(part) => format!("NOT {}", self.condition(part)),
            Expression::Present(role) => format!("({} IS NOT NULL)", self.text(*role)),
            Expression::Absent(role) => format!("({} IS NULL)", self.text(*role)),
            Expression::NotANumber(role) => {
                let (text, number) = (self.text(*role), self.number(*role));
                format!("({text} IS NOT NULL AND ({number} IS NULL OR {text} IN ('Infinity', '-Infinity')))")
            }
            Expression::NotATime(role) => {
                format!("({} IS NOT NULL AND {} IS NULL)", self.text(*role), self.millis(*role))
            }
            Expression::OneOf(one) => {
                let words = self.dialect.list(one.values.iter().map(|value| value.to_lowercase()));
                sure(format!("lower({}) IN ({words})", self.text(one.role)))
            }
            Expression::Same(one, other) => sure(format!("{} = {}", self.text(*one), self.text(*other))),
            Expression::Compare(compare) => sure(self.comparison(compare)),
            Expression::Later(later) => {
                let early = match later.than {
                    Some(role) => self.millis(role),
                    None => self.reference.now.to_string(),
                };
                let tolerance = later.tolerance_s.saturating_mul(1000);
                sure(format!("{} - {early} > {tolerance}", self.millis(later.role)))
            }
            Expression::OutsideHours(hours) => sure(self.outside(hours)),
        }
    }

    fn joined(&mut self, parts: &[Expression], word: &str, none: &str) -> String {
        let parts: Vec<_> = parts.iter().map(|part| self.condition(part)).collect();
        if parts.is_empty() { none.to_owned() } else { format!("({})", parts.join(word)) }
    }

    fn comparison(&mut self, compare: &Compare) -> String {
        let mut operand = |operand: &Operand| match operand {
            Operand::Role(role) => self.number(*role),
            Operand::Number(amount) => self.dialect.amount(&amount.exact),
            Operand::Worth => self.worth(),
        };
        let (left, right) = (operand(&compare.left), operand(&compare.right));
        let sign = match compare.is {
            Operator::Below => "<",
            Operator::AtMost => "<=",
            Operator::Equal => "=",
            Operator::NotEqual => "<>",
            Operator::AtLeast => ">=",
            Operator::Above => ">",
        };
        format!("{left} {sign} {right}")
    }

    fn outside(&mut self, hours: &Hours) -> String {
        let minutes = self.dialect.divide("time", 60_000);
        let minute = self.dialect.modulo(&minutes, 1440);
        let (from, to) = hours.minutes();
        let days: Vec<_> = hours.days.iter().map(|day| day.since_thursday().to_string()).collect();
        // A session that ends after midnight counts to the day it began.
        let (inside, began) = if from <= to {
            (format!("{minute} >= {from} AND {minute} < {to}"), minutes.clone())
        } else {
            (
                format!("({minute} < {to} OR {minute} >= {from})"),
                format!("{minutes} - CASE WHEN {minute} < {to} THEN 1440 ELSE 0 END"),
            )
        };
        let day = self.dialect.modulo(&self.dialect.divide(&began, 1440), 7);
        let days = if days.is_empty() { "-1".to_owned() } else { days.join(", ") };
        format!("NOT ({inside} AND {day} IN ({days}))")
    }
}
