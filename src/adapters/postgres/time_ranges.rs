//! Conditions on time that indexes can serve.

use crate::domain::Timestamp;
use crate::domain::guard::quote_identifier;
use crate::ports::{Column, TimeRange};

/// The rows of a time, in two halves where its middle is known, so that two connections share them; each row is in one. None where a
/// column's type is no time.
pub(super) fn conditions(range: &TimeRange, now: Timestamp) -> Vec<String> {
    let Some(middle) = middle(range, now) else { return condition(range, true).into_iter().collect() };
    let (mut first, mut second) = (range.clone(), range.clone());
    (first.until, second.since) = (Some(middle), Some(middle));
    [condition(&first, true), condition(&second, false)].into_iter().flatten().collect()
}

fn middle(range: &TimeRange, now: Timestamp) -> Option<Timestamp> {
    let (since, until) = (range.since?.as_millisecond(), range.until.unwrap_or(now).as_millisecond());
    let middle = since.checked_add(until.checked_sub(since)? / 2)?;
    Timestamp::from_millisecond(middle).ok().filter(|_| since < middle)
}

/// `strays` asks also for rows whose time is no moment.
fn condition(range: &TimeRange, strays: bool) -> Option<String> {
    let or_none = |column: &Column| {
        let name = quote_identifier(&column.name);
        if column.nullable && strays { format!(" OR {name} IS NULL") } else { String::new() }
    };
    let own = within(&range.column, range, strays)?;
    match range.otherwise.as_ref().filter(|_| range.column.nullable) {
        Some(other) => {
            let column = quote_identifier(&range.column.name);
            Some(format!("{own} OR ({column} IS NULL AND ({}{}))", within(other, range, strays)?, or_none(other)))
        }
        None => Some(format!("{own}{}", or_none(&range.column))),
    }
}

/// Moments of the range, and what is none: such a row is a finding whenever it was made.
fn within(column: &Column, range: &TimeRange, strays: bool) -> Option<String> {
    if !column.data_type.starts_with("timestamp") {
        return None;
    }
    let name = quote_identifier(&column.name);
    let kind = if column.data_type.contains("with time zone") { "timestamptz" } else { "timestamp" };
    // Without a zone Prisma means UTC.
    let zone = if kind == "timestamptz" { "+00" } else { "" };
    let moment = |time: Timestamp| format!("'{}{zone}'::pg_catalog.{kind}", time.strftime("%Y-%m-%d %H:%M:%S%.6f"));
    let infinite = |sign: &str| format!("'{sign}infinity'::pg_catalog.{kind}");
    let since = range.since.map(|since| format!("{name} >= {}", moment(since)));
    let until = match range.until {
        Some(until) => Some(format!("{name} < {}", moment(until))),
        None if strays => None,
        None => Some(format!("{name} < {}", infinite(""))),
    };
    let both: Vec<_> = [since, until].into_iter().flatten().collect();
    let moments = both.join(" AND ");
    let none = if strays { format!(" OR {name} IN ({}, {})", infinite(""), infinite("-")) } else { String::new() };
    (!both.is_empty()).then(|| format!("{moments}{none}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, nullable: bool) -> Column {
        Column {
            name: name.into(),
            data_type: "timestamp(3) without time zone".into(),
            nullable,
            primary_key: false,
            generated: false,
        }
    }

    #[test]
    fn a_week_is_read_in_halves_and_what_has_no_time_once() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let mut range = TimeRange {
            column: column("at", true),
            otherwise: None,
            since: at("2026-11-20T00:00:00Z"),
            until: at("2026-11-24T00:00:00Z"),
        };
        let now = at("2026-11-30T00:00:00Z").unwrap();
        let [first, second] = conditions(&range, now).try_into().unwrap();
        assert_eq!(
            first,
            "\"at\" >= '2026-11-20 00:00:00.000000'::pg_catalog.timestamp AND \"at\" < '2026-11-22 00:00:00.000000'::pg_catalog.timestamp \
             OR \"at\" IN ('infinity'::pg_catalog.timestamp, '-infinity'::pg_catalog.timestamp) OR \"at\" IS NULL"
        );
        assert_eq!(
            second,
            "\"at\" >= '2026-11-22 00:00:00.000000'::pg_catalog.timestamp AND \"at\" < '2026-11-24 00:00:00.000000'::pg_catalog.timestamp"
        );
        range.until = None;
        let [_, second] = conditions(&range, now).try_into().unwrap();
        assert_eq!(
            second,
            "\"at\" >= '2026-11-25 00:00:00.000000'::pg_catalog.timestamp AND \"at\" < 'infinity'::pg_catalog.timestamp"
        );
        range.otherwise = Some(column("made", false));
        assert!(conditions(&range, now)[1].ends_with(
            " OR (\"at\" IS NULL AND (\"made\" >= '2026-11-25 00:00:00.000000'::pg_catalog.timestamp AND \"made\" < 'infinity'::pg_catalog.timestamp))"
        ));
        range.since = None;
        range.until = at("2026-11-24T00:00:00Z");
        assert_eq!(conditions(&range, now).len(), 1, "its middle is not known");
        range.column.data_type = "text".into();
        assert_eq!(conditions(&range, now), Vec::<String>::new());
    }
}
