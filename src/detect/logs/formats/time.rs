//! The time of an event, by its own clock.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

const KEYS: [&str; 9] = [
    "eventTime",
    "timestamp",
    "time",
    "@timestamp",
    "ts",
    "datetime",
    "requestReceivedTimestamp",
    "created_at",
    "date",
];

/// The time of an event. A time without a zone counts as UTC, one without a year (RFC 3164) as of `default_year`.
pub fn of_event(fields: &Map<String, Value>, default_year: i16) -> Option<Timestamp> {
    let named = KEYS.iter().find_map(|key| of_value(fields.get(*key)?, default_year));
    named.or_else(|| of_text_start(fields.get("message")?.as_str()?))
}

fn of_value(value: &Value, default_year: i16) -> Option<Timestamp> {
    match value {
        Value::String(text) => parse(text, default_year),
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

/// Reads a time as logs write it.
pub fn parse(text: &str, default_year: i16) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(time) = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text) {
        return Some(time);
    }
    if let Some(time) = text.parse::<DateTime>().ok().and_then(utc) {
        return Some(time);
    }
    if text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) {
        let dated = format!("{default_year} {text}");
        return DateTime::strptime("%Y %b %e %H:%M:%S", &dated).ok().and_then(utc);
    }
    text.parse::<f64>().ok().and_then(of_number)
}

fn utc(time: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(time).ok()
}

/// The time at the start of a line of text: `2026-11-24 01:02:03.456 UTC [5] LOG: ..`, perhaps in brackets.
fn of_text_start(text: &str) -> Option<Timestamp> {
    let text = text.trim_start_matches('[');
    let mut words = text.split([' ', ']', ',']).filter(|word| !word.is_empty());
    let first = words.next()?;
    if first.len() < 10 || first.len() > 40 || !first.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    if let Some(time) = parse(first, 1970).filter(|_| first.contains('T')) {
        return Some(time);
    }
    let time = words.next().filter(|word| word.contains(':'))?;
    let zone = words.next().filter(|zone| {
        matches!(zone.as_bytes().first(), Some(b'+' | b'-'))
            && zone[1..].bytes().all(|b| b.is_ascii_digit() || b == b':')
    });
    parse(&format!("{first}T{time}{}", zone.unwrap_or("")), 1970)
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
        ] {
            let got = of_event(event.as_object().unwrap(), 2026);
            assert_eq!(got.map(|time| time.to_string()).as_deref(), Some(want), "{event}");
        }
        for event in [json!({}), json!({"time": "soon"}), json!({"ts": 5}), json!({"message": "12345678901 x"})] {
            assert_eq!(of_event(event.as_object().unwrap(), 2026), None, "{event}");
        }
    }
}
