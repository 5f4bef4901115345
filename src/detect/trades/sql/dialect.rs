use bigdecimal::BigDecimal;
use serde::Serialize;

use crate::domain::guard::quote_identifier;

/// An engine's way to write SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Apache Spark SQL 3.4 and newer.
    Spark,
    /// `PostgreSQL` 12 and newer.
    Postgresql,
}

impl Dialect {
    /// A name, whatever it holds.
    pub(super) fn identifier(self, name: &str) -> String {
        match self {
            Self::Spark => format!("`{}`", name.replace('`', "``")),
            Self::Postgresql => quote_identifier(name),
        }
    }

    /// A text. How an engine reads quotes and backslashes is a matter of its settings, so that what is not plain is written as bytes.
    pub(super) fn text_literal(self, text: &str) -> String {
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _-.,:/@+*".contains(&byte)) {
            return format!("'{text}'");
        }
        let bytes = hex::encode(text);
        match self {
            Self::Spark => format!("decode(X'{bytes}', 'UTF-8')"),
            Self::Postgresql => format!("convert_from(decode('{bytes}', 'hex'), 'UTF8')"),
        }
    }

    /// A list of texts.
    pub(super) fn list<T: AsRef<str>>(self, texts: impl IntoIterator<Item = T>) -> String {
        texts.into_iter().map(|text| self.text_literal(text.as_ref())).collect::<Vec<_>>().join(", ")
    }

    /// The type of exact numbers: on Spark with 20 digits before the point and 18 behind.
    pub(super) fn decimal(self) -> &'static str {
        match self {
            Self::Spark => "DECIMAL(38, 18)",
            Self::Postgresql => "numeric",
        }
    }

    /// The type of texts.
    pub(super) fn text_type(self) -> &'static str {
        match self {
            Self::Spark => "STRING",
            Self::Postgresql => "text",
        }
    }

    /// The type of binary floats.
    pub(super) fn double(self) -> &'static str {
        match self {
            Self::Spark => "DOUBLE",
            Self::Postgresql => "double precision",
        }
    }

    /// A product of exact numbers; NULL where an engine's numbers are too short for it.
    pub(super) fn times(self, one: &str, other: &str) -> String {
        match self {
            Self::Spark => format!("try_multiply({one}, {other})"),
            Self::Postgresql => format!("({one}) * ({other})"),
        }
    }

    /// A sum of exact numbers.
    pub(super) fn sum(self, of: &str) -> String {
        match self {
            Self::Spark => format!("try_sum({of})"),
            Self::Postgresql => format!("sum({of})"),
        }
    }

    /// An exact number.
    pub(super) fn amount(self, number: &BigDecimal) -> String {
        format!("CAST('{}' AS {})", number.normalized().to_plain_string(), self.decimal())
    }

    /// A column as a text.
    pub(super) fn text(self, column: &str) -> String {
        format!("CAST({column} AS {})", self.text_type())
    }

    /// A column as a finite number, else NULL.
    pub(super) fn number(self, column: &str, data_type: &str) -> String {
        match self {
            Self::Spark => format!("TRY_CAST({column} AS {})", self.decimal()),
            Self::Postgresql if data_type.starts_with("numeric") => format!("NULLIF({column}, 'NaN')"),
            Self::Postgresql => format!(
                "CASE WHEN {column}::text ~ '^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]{{1,3}})?$' THEN {column}::text::numeric END"
            ),
        }
    }

    /// A column as milliseconds since 1970, else NULL.
    pub(super) fn millis(self, column: &str, data_type: &str) -> String {
        if ["bigint", "int"].iter().any(|name| data_type.starts_with(name)) {
            return format!("CASE WHEN abs({column}) >= 100000000000 THEN {column} ELSE {column} * 1000 END");
        }
        match self {
            Self::Spark => format!("unix_millis(TRY_CAST({column} AS TIMESTAMP))"),
            Self::Postgresql => {
                let moment =
                    if data_type.starts_with("timestamp") { column.to_owned() } else { format!("{column}::timestamp") };
                format!("CASE WHEN isfinite({moment}) THEN floor(extract(epoch FROM {moment}) * 1000)::bigint END")
            }
        }
    }

    /// What is left of a whole number, never below zero.
    pub(super) fn modulo(self, number: &str, of: i64) -> String {
        match self {
            Self::Spark => format!("pmod({number}, {of})"),
            Self::Postgresql => format!("((({number}) % {of} + {of}) % {of})"),
        }
    }

    /// A whole number divided, downwards.
    pub(super) fn divide(self, number: &str, by: i64) -> String {
        format!("CAST((({number}) - {}) / {by} AS BIGINT)", self.modulo(number, by))
    }

    /// All values of a window as a list.
    pub(super) fn collect(self) -> &'static str {
        match self {
            Self::Spark => "collect_list",
            Self::Postgresql => "array_agg",
        }
    }

    /// The number of values of a list.
    pub(super) fn size(self, list: &str) -> String {
        match self {
            Self::Spark => format!("size({list})"),
            Self::Postgresql => format!("cardinality({list})"),
        }
    }

    /// The middle one of a list's values, the upper one of two.
    pub(super) fn middle(self, list: &str) -> String {
        match self {
            Self::Spark => format!("element_at(sort_array({list}), CAST(size({list}) DIV 2 AS INT) + 1)"),
            Self::Postgresql => {
                format!("(SELECT v FROM unnest({list}) AS u(v) ORDER BY v OFFSET cardinality({list}) / 2 LIMIT 1)")
            }
        }
    }

    /// Whether a text holds another one.
    pub(super) fn holds(self, text: &str, part: &str) -> String {
        match self {
            Self::Spark => format!("instr({text}, {}) > 0", self.text_literal(part)),
            Self::Postgresql => format!("strpos({text}, {}) > 0", self.text_literal(part)),
        }
    }

    /// What stands before the first `/`.
    pub(super) fn before_slash(self, text: &str) -> String {
        match self {
            Self::Spark => format!("substring_index({text}, '/', 1)"),
            Self::Postgresql => format!("split_part({text}, '/', 1)"),
        }
    }
}
