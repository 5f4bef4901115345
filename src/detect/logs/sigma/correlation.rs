//! Correlation rules (Sigma Correlation Rules Specification 2.1): text to typed rules.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::domain::RuleRef;

/// Keys of a correlation.
const KNOWN: [&str; 7] = ["type", "rules", "group-by", "timespan", "condition", "aliases", "generate"];
/// Most rules, fields or aliases of one correlation.
const MAX_PARTS: usize = 200;

/// What a correlation looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Number of events.
    EventCount,
    /// Number of distinct values of a field.
    ValueCount,
    /// All rules within the time, in any order.
    Temporal,
    /// All rules within the time, in their order.
    TemporalOrdered,
    /// Sum of a field.
    ValueSum,
    /// Mean of a field.
    ValueAvg,
    /// A percentile (0 to 100) of a field.
    ValuePercentile(f64),
}

/// A correlation rule.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// Id, title and level.
    pub rule: RuleRef,
    /// Its name, by which others refer to it.
    pub name: Option<String>,
    /// File that it comes from.
    pub file: String,
    /// Line on which it starts, from 1.
    pub line: u64,
    /// What it looks at.
    pub kind: Kind,
    /// Ids or names of the rules that it is built on.
    pub rules: Vec<String>,
    /// Fields whose values must be the same.
    pub group_by: Vec<String>,
    /// Length of the window, in nanoseconds.
    pub timespan: i64,
    /// Comparisons that must all hold; empty for "all rules".
    pub condition: Vec<(Comparison, f64)>,
    /// Fields whose values are counted or computed with.
    pub fields: Vec<String>,
    /// Field names by alias and rule.
    pub aliases: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the rules that it is built on give findings of their own.
    pub generate: bool,
}

/// A comparison of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
}

impl Comparison {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gt" => Self::Gt,
            "gte" => Self::Gte,
            "lt" => Self::Lt,
            "lte" => Self::Lte,
            "eq" => Self::Eq,
            "neq" => Self::Neq,
            _ => return None,
        })
    }

    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Gt => value > limit,
            Self::Gte => value >= limit,
            Self::Lt => value < limit,
            Self::Lte => value <= limit,
            Self::Eq => (value - limit).abs() < f64::EPSILON * limit.abs().max(1.0),
            Self::Neq => !Self::Eq.holds(value, limit),
        }
    }
}

impl Correlation {
    /// Whether a number meets the condition.
    pub fn meets(&self, value: f64) -> bool {
        self.condition.iter().all(|(comparison, limit)| comparison.holds(value, *limit))
    }

    /// The field of an event of `rule` (by one of its names) that stands for a field of this correlation.
    pub fn field_of<'a>(&'a self, field: &'a str, names: &[&str]) -> &'a str {
        let alias = self.aliases.get(field);
        alias.and_then(|by_rule| names.iter().find_map(|name| by_rule.get(*name))).map_or(field, String::as_str)
    }
}

/// Reads the `correlation` of a rule; a fault names the key that it stands at.
pub(super) fn parse(document: &Map<String, Value>, rule: RuleRef, file: &str) -> Result<Correlation, (String, String)> {
    let at = |key: &str, reason: &str| (key.to_owned(), reason.to_owned());
    let Some(Value::Object(body)) = document.get("correlation") else {
        return Err(at("correlation", "`correlation` must be a map"));
    };
    if let Some(key) = body.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err((key.clone(), format!("a correlation has no `{key}`: known are {}", KNOWN.join(", "))));
    }
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let empty = Map::new();
    let condition = match body.get("condition") {
        None => &empty,
        Some(Value::Object(condition)) => condition,
        Some(_) => return Err(at("condition", "the `condition` of a correlation must be a map such as `gte: 10`")),
    };
    let kind = kind(text("type").ok_or_else(|| at("correlation", "the correlation has no `type`"))?, condition)
        .map_err(|reason| ("type".to_owned(), reason))?;
    let rules = texts(body.get("rules")).filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| at("rules", "the correlation names no `rules`"))?;
    let timespan = text("timespan").ok_or_else(|| at("correlation", "the correlation has no `timespan`"))?;
    let fields = match condition.get("field") {
        None => Vec::new(),
        field => texts(field).ok_or_else(|| at("field", "`field` must be a name or a list of names"))?,
    };
    let ordered = matches!(kind, Kind::Temporal | Kind::TemporalOrdered);
    if fields.is_empty() && !ordered && kind != Kind::EventCount {
        return Err(at("condition", "this type of correlation needs a `field` in its condition"));
    }
    let comparisons = comparisons(condition)?;
    if comparisons.is_empty() && !ordered {
        return Err(at("condition", "this type of correlation needs a condition such as `gte: 10`"));
    }
    let group_by = texts(body.get("group-by")).unwrap_or_default();
    if rules.len() + group_by.len() + fields.len() > MAX_PARTS {
        return Err(at("correlation", "the correlation has too many parts"));
    }
    let generate =
        [body.get("generate"), document.get("generate")].into_iter().flatten().any(|v| v == &Value::Bool(true));
    Ok(Correlation {
        rule,
        name: document.get("name").and_then(Value::as_str).map(str::to_owned),
        file: file.to_owned(),
        line: 1,
        kind,
        rules,
        group_by,
        timespan: timespan_of(timespan)
            .ok_or_else(|| at("timespan", "`timespan` must be a number above 0 and s, m, h or d, such as 5m"))?,
        condition: comparisons,
        fields,
        aliases: aliases(body.get("aliases"))
            .ok_or_else(|| at("aliases", "`aliases` must map a name to rules and fields"))?,
        generate,
    })
}

fn kind(name: &str, condition: &Map<String, Value>) -> Result<Kind, String> {
    Ok(match name {
        "event_count" => Kind::EventCount,
        "value_count" => Kind::ValueCount,
        "temporal" => Kind::Temporal,
        "temporal_ordered" => Kind::TemporalOrdered,
        "value_sum" => Kind::ValueSum,
        "value_avg" => Kind::ValueAvg,
        "value_median" => Kind::ValuePercentile(50.0),
        "value_percentile" => {
            let percentile = condition.get("percentile").map_or(Some(95.0), Value::as_f64);
            let valid = percentile.filter(|p| (0.0..=100.0).contains(p));
            Kind::ValuePercentile(valid.ok_or("`percentile` must be a number from 0 to 100")?)
        }
        other => return Err(format!("`{other}` is not a type of correlation")),
    })
}

fn comparisons(condition: &Map<String, Value>) -> Result<Vec<(Comparison, f64)>, (String, String)> {
    let mut out = Vec::new();
    for (key, value) in condition.iter().filter(|(key, _)| !matches!(key.as_str(), "field" | "percentile")) {
        let comparison = Comparison::named(key).ok_or_else(|| (key.clone(), format!("`{key}` is not a comparison")))?;
        let limit = value.as_f64().ok_or_else(|| (key.clone(), format!("`{key}` needs a number")))?;
        out.push((comparison, limit));
    }
    Ok(out)
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn aliases(value: Option<&Value>) -> Option<BTreeMap<String, BTreeMap<String, String>>> {
    let Some(value) = value else { return Some(BTreeMap::new()) };
    let by_rule = |value: &Value| {
        let fields = value.as_object()?.iter().map(|(rule, field)| Some((rule.clone(), field.as_str()?.to_owned())));
        fields.collect::<Option<BTreeMap<_, _>>>()
    };
    value.as_object()?.iter().map(|(alias, value)| Some((alias.clone(), by_rule(value)?))).collect()
}

fn timespan_of(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at))?);
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let number = number.parse::<i64>().ok().filter(|number| *number > 0)?;
    number.checked_mul(seconds)?.checked_mul(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timespans_are_a_number_and_a_letter() {
        assert_eq!(timespan_of("5m"), Some(300_000_000_000));
        for wrong in ["", "m", "0s", "-1h", "5", "5M", "1.5h", "5\u{e9}", "99999999999999d"] {
            assert_eq!(timespan_of(wrong), None, "{wrong}");
        }
    }
}
