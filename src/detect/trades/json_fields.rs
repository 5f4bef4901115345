//! The fields of JSON objects, nested ones too, without a copy of most texts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::other::{Fields, role_of};
use crate::detect::logs::formats::event_of_line;

/// Deepest object that is looked into.
const DEPTH: usize = 3;

struct Flat<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Flat<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fill;
        impl<'de> Visitor<'de> for Fill {
            type Value = Flat<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(key) = map.next_key::<BorrowedText<'de>>()? {
                    all.push((key.0, map.next_value::<&'de RawValue>()?));
                }
                Ok(Flat(all))
            }
        }
        deserializer.deserialize_map(Fill)
    }
}

/// A text, borrowed where it holds no escape.
#[derive(serde::Deserialize)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of an object.
pub(super) fn flatten<'a>(json: &'a str, fields: &mut Fields<'a>, depth: usize) -> Result<(), serde_json::Error> {
    for (name, value) in serde_json::from_str::<Flat<'a>>(json)?.0 {
        let raw = value.get();
        match raw.as_bytes().first() {
            Some(b'"') => fields.push((name, serde_json::from_str::<BorrowedText<'a>>(raw)?.0)),
            Some(b'{') if depth < DEPTH => {
                let from = fields.len();
                flatten(raw, fields, depth + 1)?;
                name_ids(&name, &mut fields[from..]);
            }
            Some(b'{' | b'[' | b'n') => {}
            _ => fields.push((name, raw.into())),
        }
    }
    Ok(())
}

/// `account: { id }` is the account's: an `id` of an object whose own name says what it is gets that name.
fn name_ids(owner: &str, fields: &mut [(Cow<'_, str>, Cow<'_, str>)]) {
    let whole = format!("{owner}Id");
    if role_of(&whole).is_some() {
        fields
            .iter_mut()
            .filter(|(name, _)| name.eq_ignore_ascii_case("id"))
            .for_each(|(name, _)| *name = whole.clone().into());
    }
}

/// The fields of a line that carries its event inside: the log of a container, syslog, `key=value`.
pub(super) fn carried(line: &str) -> Fields<'static> {
    let mut fields = Fields::new();
    spread(event_of_line(line), &mut fields, 0);
    fields
}

fn spread(event: Map<String, Value>, fields: &mut Fields<'static>, depth: usize) {
    for (name, value) in event {
        match value {
            Value::String(text) => fields.push((name.into(), text.into())),
            Value::Number(number) => fields.push((name.into(), number.to_string().into())),
            Value::Bool(truth) => fields.push((name.into(), truth.to_string().into())),
            Value::Object(inner) if depth < DEPTH => {
                let from = fields.len();
                spread(inner, fields, depth + 1);
                name_ids(&name, &mut fields[from..]);
            }
            Value::Object(_) | Value::Array(_) | Value::Null => {}
        }
    }
}

/// The entries of an answer that holds them in a list: `{"fills": [...]}`.
pub(super) fn listed(text: &str) -> Vec<&str> {
    let Ok(Flat(fields)) = serde_json::from_str::<Flat<'_>>(text) else { return Vec::new() };
    let lists = fields.into_iter().filter_map(|(_, value)| value.get().strip_prefix('['));
    lists.map(|list| objects(list.trim_start())).find(|found| !found.is_empty()).unwrap_or_default()
}

/// The objects of a line: one, or those of an array on one line.
pub(super) fn objects(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while rest.starts_with('{') {
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let Some(Ok(value)) = stream.next() else {
            found.push(rest);
            break;
        };
        found.push(value.get());
        rest = rest[stream.byte_offset()..].trim_start_matches([',', ' ', '\n', '\r', '\t']);
    }
    found
}
