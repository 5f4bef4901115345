//! The time of an event, by its own clock.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

const KEYS: [&str; 18] = [
    "eventTime",
    "timestamp",
    "time",
    "@timestamp",
    "ts",
    "datetime",
    "requestReceivedTimestamp",
    "created_at",
    "date",
    "log_time",
    "__REALTIME_TIMESTAMP",
    "_SOURCE_REALTIME_TIMESTAMP",
    "event_time",
    "startTime",
    "_time",
    "timeUnixNano",
    "start",
    "EventTime",
];

/// Offsets of zones that logs name by letters, in hours; other names count as UTC.
const ZONES: [(&str, f32); 22] = [
    ("CET", 1.0),
    ("CEST", 2.0),
    ("EET", 2.0),
    ("EEST", 3.0),
    ("WET", 0.0),
    ("WEST", 1.0),
    ("BST", 1.0),
    ("MSK", 3.0),
    ("EST", -5.0),
    ("EDT", -4.0),
    ("CST", -6.0),
    ("CDT", -5.0),
    ("MST", -7.0),
    ("MDT", -6.0),
    ("PST", -8.0),
    ("PDT", -7.0),
    ("IST", 5.5),
    ("JST", 9.0),
    ("KST", 9.0),
    ("HKT", 8.0),
    ("SGT", 8.0),
    ("AEST", 10.0),
];

/// The time of an event. A time without a zone counts as UTC; one without a year (RFC 3164) is the last such time before
/// a day after `written`, so that a December line in a file last written in January is of the year before.
pub fn of_event(fields: &Map<String, Value>, written: Timestamp) -> Option<Timestamp> {
    let named = KEYS.iter().find_map(|key| of_value(fields.get(*key)?, written));
    named.or_else(|| of_text_start(fields.get("message")?.as_str()?))
}

fn of_value(value: &Value, written: Timestamp) -> Option<Timestamp> {
    match value {
        Value::String(text) => parse(text, written),
        Value::Number(number) => of_number(number.as_f64()?),
        _ => None,
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
fn of_number(number: f64) -> Option<Timestamp> {
    let seconds = match number {
        n if !(1e8..1e19).contains(&n) => return None,
        n if n < 1e11 => n,
        n if n < 1e14 => n / 1e3,
        n if n < 1e17 => n / 1e6,
        n => n / 1e9,
    };
    #[expect(clippy::cast_possible_truncation, reason = "bounded above: at most 1e14 milliseconds")]
    let millis = (seconds * 1e3).round() as i64;
    Timestamp::from_millisecond(millis).ok()
}

/// Reads a time as logs write it; for `written` see [`of_event`].
pub fn parse(text: &str, written: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    let letters = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    if letters {
        return without_year(text, written).or_else(|| {
            let forms = ["%a %b %e %H:%M:%S%.f %Y", "%b %e %Y %H:%M:%S", "%b %e %H:%M:%S %Y"];
            forms.into_iter().find_map(|form| DateTime::strptime(form, text).ok()).and_then(utc)
        });
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if text.as_bytes().get(2) == Some(&b'/') {
        return Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok();
    }
    if let Some(time) = text.parse::<DateTime>().ok().and_then(utc) {
        return Some(time);
    }
    if text.as_bytes().get(4) == Some(&b' ') {
        return DateTime::strptime("%Y %b %e %H:%M:%S", text).ok().and_then(utc);
    }
    zoned(text).or_else(|| text.parse::<f64>().ok().and_then(of_number))
}

/// The date and time of day as a text gives them, whatever its zone; a number is seconds (or parts of one) since 1970.
pub fn civil(text: &str) -> Option<DateTime> {
    let text = text.trim();
    let zone = text.len().saturating_sub(usize::from(text.ends_with(['Z', 'z'])));
    let plain = text.get(..zone)?;
    // jiff takes the civil part of a time with an offset only where the zone is left out.
    let cut = plain.get(19..).and_then(|rest| rest.find(['+', '-', ' ']).map(|at| at + 19)).unwrap_or(plain.len());
    let civil = plain[..cut].replace(',', ".").parse::<DateTime>().ok();
    civil.or_else(|| parse(text, Timestamp::UNIX_EPOCH).map(|time| TimeZone::UTC.to_datetime(time)))
}

/// `2026-11-24 01:02:03.456 CET`, also with `/` in the date or `,` before the fraction.
fn zoned(text: &str) -> Option<Timestamp> {
    let date = text.get(..10)?.replace('/', "-");
    let rest = text.get(10..)?.trim_start_matches(['T', ' ']);
    let end = rest.find([' ', '+', '-']).unwrap_or(rest.len());
    let time = rest[..end].replace(',', ".");
    let zone = rest[end..].trim();
    let local: DateTime = format!("{date}T{time}").parse().ok()?;
    if zone.starts_with(['+', '-']) {
        return format!("{date}T{time}{zone}").parse().ok();
    }
    let hours = ZONES.iter().find(|(name, _)| *name == zone).map_or(0.0, |(_, hours)| *hours);
    #[expect(clippy::cast_possible_truncation, reason = "at most half a day in seconds")]
    let offset = jiff::tz::Offset::from_seconds((hours * 3_600.0) as i32).ok()?;
    offset.to_timestamp(local).ok()
}

/// `Nov 24 01:02:03`: the last one before a day after `written`. A 29 February is looked for in the leap years before.
fn without_year(text: &str, written: Timestamp) -> Option<Timestamp> {
    let limit = written.checked_add(jiff::SignedDuration::from_hours(24)).ok()?;
    let year = TimeZone::UTC.to_datetime(limit).year();
    let mut parts = strtime::parse("%b %e %H:%M:%S%.f", text).ok()?;
    (0..=8).find_map(|back| {
        parts.set_year(Some(year - back)).ok()?;
        parts.to_datetime().ok().and_then(utc).filter(|time| *time < limit)
    })
}

fn utc(time: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(time).ok()
}

/// The time at the start of a line of text: `2026-11-24 01:02:03.456 UTC [5] LOG: ..`, perhaps in brackets.
fn of_text_start(text: &str) -> Option<Timestamp> {
    if let Some((inner, _)) = text.strip_prefix('[').and_then(|text| text.split_once(']'))
        && let Some(time) = parse(inner, Timestamp::UNIX_EPOCH).filter(|_| inner.len() >= 10)
    {
        return Some(time);
    }
    let mut words = text.trim_start_matches('[').split([' ', ']']).filter(|word| !word.is_empty());
    let first = words.next()?;
    if first.len() < 10 || first.len() > 40 || !first.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    if let Some(time) = parse(first, Timestamp::UNIX_EPOCH).filter(|_| first.contains('T')) {
        return Some(time);
    }
    let time = words.next().filter(|word| word.contains(':'))?;
    let zone = words.next().unwrap_or_default();
    zoned(&format!("{first} {time} {zone}")).or_else(|| zoned(&format!("{first} {time}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        for (event, want) in [
            (json!({"eventTime": "2024-07-31T13:06:24Z"}), "2024-07-31T13:06:24Z"),
            (json!({"time": "2026-11-24T01:02:03.004+01:00"}), "2026-11-24T00:02:03.004Z"),
            (json!({"timestamp": "2026-11-24 01:02:03"}), "2026-11-24T01:02:03Z"),
            (json!({"ts": 1_700_000_000}), "2023-11-14T22:13:20Z"),
            (json!({"ts": 1_700_000_000_123_u64}), "2023-11-14T22:13:20.123Z"),
            (json!({"time": "17/May/2015:10:05:03 +0200"}), "2015-05-17T08:05:03Z"),
            (json!({"time": "Mar  7 13:06:56"}), "2026-03-07T13:06:56Z"),
            (json!({"message": "2026-11-24 01:02:03.456 UTC [5] LOG:  x"}), "2026-11-24T01:02:03.456Z"),
            (json!({"message": "2026/11/24 01:02:03 [error] 7#7: x"}), "2026-11-24T01:02:03Z"),
            (json!({"message": "[Tue Nov 24 01:02:03.500000 2026] [core:error] x"}), "2026-11-24T01:02:03.5Z"),
            (json!({"timestamp": "2026-11-24 01:02:03.456 CET"}), "2026-11-24T00:02:03.456Z"),
            (json!({"timestamp": "2026-11-24 01:02:03,456"}), "2026-11-24T01:02:03.456Z"),
            (json!({"time": "1364481363.243"}), "2013-03-28T14:36:03.243Z"),
        ] {
            let got = of_event(event.as_object().unwrap(), "2026-06-01T00:00:00Z".parse().unwrap());
            assert_eq!(got.map(|time| time.to_string()).as_deref(), Some(want), "{event}");
        }
        for event in [json!({}), json!({"time": "soon"}), json!({"ts": 5}), json!({"message": "12345678901 x"})] {
            assert_eq!(of_event(event.as_object().unwrap(), Timestamp::UNIX_EPOCH), None, "{event}");
        }
    }

    #[test]
    fn times_without_a_year_are_the_last_before_the_file_was_written() {
        for (text, written, want) in [
            ("Dec 31 23:59:59", "2026-01-02T00:00:00Z", "2025-12-31T23:59:59Z"),
            ("Jan  1 00:00:01", "2026-01-02T00:00:00Z", "2026-01-01T00:00:01Z"),
            // Written a little before by a machine whose zone is ahead.
            ("Jan  1 05:00:00", "2025-12-31T20:00:00Z", "2026-01-01T05:00:00Z"),
            ("Feb 29 01:00:00", "2026-06-01T00:00:00Z", "2024-02-29T01:00:00Z"),
        ] {
            assert_eq!(parse(text, written.parse().unwrap()).map(|t| t.to_string()).as_deref(), Some(want), "{text}");
        }
    }
}
