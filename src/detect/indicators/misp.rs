//! MISP: events (`{"Event":{..}}`, one or a list of them, as the API and feeds give them) and lists of attributes.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::kind::Named;
use super::reader::{Given, LineOf, Reader};
use crate::domain::Level;

/// Deepest nesting of what holds attributes.
const DEPTH: usize = 6;

#[derive(Debug, Deserialize)]
struct Holder<'a> {
    #[serde(borrow, rename = "Event", alias = "response", default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, rename = "Attribute", default)]
    attributes: Option<&'a RawValue>,
    #[serde(borrow, rename = "Object", default)]
    objects: Option<&'a RawValue>,
    #[serde(default)]
    threat_level_id: Option<Number>,
    #[serde(default)]
    info: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Attribute {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    #[serde(default)]
    to_ids: Option<bool>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    deleted: Option<bool>,
}

/// A number that some writers put in quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Quoted(String),
}

/// What an event says for its attributes.
#[derive(Debug, Clone, Default)]
struct Around {
    level: Option<Level>,
    info: String,
}

/// Reads a document.
pub(super) fn read(reader: &mut Reader, text: &str) {
    let mut lines = LineOf::new(text);
    match serde_json::from_str::<&RawValue>(text) {
        Ok(all) => {
            let before = reader.set.len();
            let any = below(reader, all.get(), &mut lines, &Around::default(), 0);
            if !any && before == reader.set.len() {
                reader.refuse(1, "neither a STIX 2.1 bundle nor MISP: no `objects`, no `Attribute`");
            }
        }
        Err(error) => reader.refuse(error.line() as u64, format!("not JSON: {error}")),
    }
}

/// Whether there was anything of MISP in it.
fn below(reader: &mut Reader, text: &str, lines: &mut LineOf<'_>, around: &Around, depth: usize) -> bool {
    if depth > DEPTH {
        return false;
    }
    if text.starts_with('[') {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else { return false };
        let mut any = false;
        for item in items {
            any |= one(reader, item.get(), lines, around, depth);
        }
        return any;
    }
    one(reader, text, lines, around, depth)
}

fn one(reader: &mut Reader, text: &str, lines: &mut LineOf<'_>, around: &Around, depth: usize) -> bool {
    if let Ok(attribute) = serde_json::from_str::<Attribute>(text) {
        give(reader, &attribute, lines.of(text), around);
        return true;
    }
    let Ok(holder) = serde_json::from_str::<Holder<'_>>(text) else {
        let line = lines.of(text);
        reader.refuse(line, "no attribute: `type` and `value` are texts");
        return true;
    };
    let number = holder.threat_level_id.and_then(|id| match id {
        Number::Plain(number) => Some(number),
        Number::Quoted(text) => text.parse().ok(),
    });
    let level = match number {
        Some(1) => Some(Level::High),
        Some(2) => Some(Level::Medium),
        Some(3) => Some(Level::Low),
        _ => around.level,
    };
    let around = Around { level, info: holder.info.unwrap_or_else(|| around.info.clone()) };
    let mut parts: Vec<&RawValue> = [holder.event, holder.attributes, holder.objects].into_iter().flatten().collect();
    // Lines are counted forward.
    parts.sort_by_key(|part| part.get().as_ptr().addr());
    let any = !parts.is_empty();
    for part in parts.into_iter().filter(|part| part.get() != "null") {
        below(reader, part.get(), lines, &around, depth + 1);
    }
    any
}

fn give(reader: &mut Reader, attribute: &Attribute, line: u64, around: &Around) {
    if attribute.to_ids == Some(false) || attribute.deleted == Some(true) {
        return reader.left_out();
    }
    let note = attribute.comment.as_deref().filter(|note| !note.is_empty()).unwrap_or(&around.info);
    // `filename|md5`, `ip-dst|port`, `domain|ip`: two values behind one another.
    let kinds = attribute.kind.split('|');
    let values: Vec<&str> =
        if attribute.kind.contains('|') { attribute.value.split('|').collect() } else { vec![&attribute.value] };
    let mut any = false;
    for (kind, value) in kinds.zip(values) {
        if matches!(kind, "port" | "filename") && attribute.kind.contains('|') {
            continue;
        }
        let Some(named) = Named::of(kind) else { continue };
        any = true;
        reader.give(Given { named: Some(named), value, note, level: around.level, line });
    }
    if !any {
        reader.refuse(line, format!("attributes of type `{}` are not looked for in logs", attribute.kind));
    }
}
