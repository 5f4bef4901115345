//! Field modifiers of Sigma 2.1: a field's name with modifiers and its values become tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::expression::Expression;
use super::many::Many;
use super::pattern::{Anchor, Order, Part, Piece, Test, pieces};
use super::text::TextPattern;
use crate::detect::logs::placeholders::Placeholders;

/// A field with its tests.
#[derive(Debug, Clone)]
pub(super) struct FieldTest {
    /// Empty for keywords.
    pub(super) name: String,
    pub(super) tests: Vec<Test>,
    /// The tests as one.
    pub(super) many: Many,
    /// All tests must hold, instead of one.
    pub(super) all: bool,
    pub(super) negated: bool,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a modifier of its own, in any combination")]
struct Modifiers {
    anchor: Anchor,
    encodings: Vec<Encoding>,
    all: bool,
    cased: bool,
    negated: bool,
    windash: bool,
    kind: Kind,
    flags: String,
    part: Option<Part>,
    expand: bool,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Kind {
    #[default]
    Text,
    Regex,
    Cidr,
    Exists,
    FieldRef,
    Compare(Order),
}

/// The part of a date that a time modifier takes.
fn part_of(modifier: &str) -> Option<Part> {
    Some(match modifier {
        "minute" => Part::Minute,
        "hour" => Part::Hour,
        "day" => Part::Day,
        "week" => Part::Week,
        "month" => Part::Month,
        "year" => Part::Year,
        _ => return None,
    })
}

#[derive(Clone, Copy)]
enum Encoding {
    Base64,
    Base64Offset,
    Utf16Le,
    Utf16Be,
    Utf16,
}

/// Compiles `name|modifier|modifier: value`.
pub(super) fn compile(key: &str, value: &Value, placeholders: &Placeholders) -> Result<FieldTest, String> {
    let mut parts = key.split('|');
    let name = parts.next().unwrap_or_default().to_owned();
    let mut modifiers = Modifiers::default();
    for part in parts {
        modifiers.add(part, key)?;
    }
    if name.is_empty() && modifiers.kind == Kind::Text {
        // A keyword is looked for anywhere in a value.
        modifiers.anchor = Anchor::Anywhere;
    }
    let values = match value {
        Value::Array(items) if items.is_empty() => return Err(format!("`{key}` has an empty list of values")),
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut tests = Vec::with_capacity(values.len());
    let named = |reason| format!("`{key}`: {reason}");
    for value in values {
        match value {
            Value::String(text) if modifiers.expand => {
                for value in placeholders.expand(text).map_err(named)? {
                    modifiers.tests(&Value::String(value), &mut tests).map_err(named)?;
                }
            }
            value => modifiers.tests(value, &mut tests).map_err(named)?,
        }
    }
    Ok(FieldTest { name, many: Many::new(&tests), tests, all: modifiers.all, negated: modifiers.negated })
}

impl Modifiers {
    fn add(&mut self, modifier: &str, key: &str) -> Result<(), String> {
        match modifier {
            "contains" => self.anchor = Anchor::Anywhere,
            "startswith" => self.anchor = Anchor::Start,
            "endswith" => self.anchor = Anchor::End,
            "all" => self.all = true,
            "cased" => self.cased = true,
            "neq" => self.negated = true,
            "windash" => self.windash = true,
            "re" => self.kind = Kind::Regex,
            "i" | "m" | "s" if self.kind == Kind::Regex => self.flags.push_str(modifier),
            "cidr" => self.kind = Kind::Cidr,
            "exists" => self.kind = Kind::Exists,
            "fieldref" => self.kind = Kind::FieldRef,
            "lt" => self.kind = Kind::Compare(Order::Less),
            "lte" => self.kind = Kind::Compare(Order::LessOrEqual),
            "gt" => self.kind = Kind::Compare(Order::Greater),
            "gte" => self.kind = Kind::Compare(Order::GreaterOrEqual),
            "base64" => self.encodings.push(Encoding::Base64),
            "base64offset" => self.encodings.push(Encoding::Base64Offset),
            "utf16le" | "wide" => self.encodings.push(Encoding::Utf16Le),
            "utf16be" => self.encodings.push(Encoding::Utf16Be),
            "utf16" => self.encodings.push(Encoding::Utf16),
            "expand" => self.expand = true,
            other => match part_of(other) {
                Some(part) => self.part = Some(part),
                None => return Err(format!("`{key}`: unknown modifier `{other}`")),
            },
        }
        Ok(())
    }

    fn tests(&self, value: &Value, out: &mut Vec<Test>) -> Result<(), String> {
        if let Some(part) = self.part {
            let text = scalar(value)?;
            let limit = text.parse().map_err(|_| format!("`{text}` is not a whole number"))?;
            let order = if let Kind::Compare(order) = self.kind { order } else { Order::Equal };
            out.push(Test::Date(part, order, limit));
            return Ok(());
        }
        match self.kind {
            Kind::Text => return self.text_tests(value, out),
            Kind::Regex => {
                let flags = if self.flags.is_empty() { String::new() } else { format!("(?{})", self.flags) };
                out.push(Test::Regex(Expression::new(format!("{flags}{}", scalar(value)?))?));
            }
            Kind::Cidr => {
                let text = scalar(value)?;
                let net =
                    text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from).map_err(|_| ()));
                out.push(Test::Cidr(net.map_err(|()| format!("`{text}` is not a network"))?));
            }
            Kind::Exists => match value.as_bool() {
                Some(wanted) => out.push(Test::Exists(wanted)),
                None => return Err("`exists` needs true or false".into()),
            },
            Kind::FieldRef => out.push(Test::FieldRef(scalar(value)?, self.anchor)),
            Kind::Compare(order) => {
                let text = scalar(value)?;
                let limit = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
                out.push(Test::Compare(order, limit));
            }
        }
        Ok(())
    }

    fn text_tests(&self, value: &Value, out: &mut Vec<Test>) -> Result<(), String> {
        if value.is_null() {
            out.push(Test::Null);
            return Ok(());
        }
        let text = scalar(value)?;
        if self.encodings.is_empty() {
            let variants = if self.windash { dashes(&text) } else { vec![text] };
            for variant in variants {
                self.push(pieces(&variant), out)?;
            }
            return Ok(());
        }
        let split = pieces(&text);
        let plain = match split.as_slice() {
            [] => String::new(),
            [Piece::Text(plain)] => plain.clone(),
            _ => return Err("a value with wildcards can't be encoded".into()),
        };
        let variants = if self.windash { dashes(&plain) } else { vec![plain] };
        for encoded in variants.into_iter().flat_map(|variant| self.encode(variant.into_bytes())) {
            self.push(vec![Piece::Text(encoded)], out)?;
        }
        Ok(())
    }

    fn push(&self, pieces: Vec<Piece>, out: &mut Vec<Test>) -> Result<(), String> {
        // What base64 encodes has a case that means something.
        let base64 = self.encodings.iter().any(|e| matches!(e, Encoding::Base64 | Encoding::Base64Offset));
        out.push(Test::Text(TextPattern::new(&self.anchor.apply(pieces), self.cased || base64)?));
        Ok(())
    }

    fn encode(&self, plain: Vec<u8>) -> Vec<String> {
        let mut all = vec![plain];
        for encoding in &self.encodings {
            all = all.iter().flat_map(|bytes| encoding.apply(bytes)).collect();
        }
        all.into_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }
}

impl Encoding {
    fn apply(self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let units = || String::from_utf8_lossy(bytes).encode_utf16().collect::<Vec<u16>>();
        match self {
            Self::Base64 => vec![STANDARD.encode(bytes).into_bytes()],
            Self::Base64Offset => (0..3).map(|offset| base64_at(bytes, offset).into_bytes()).collect(),
            Self::Utf16Le => vec![units().into_iter().flat_map(u16::to_le_bytes).collect()],
            Self::Utf16Be => vec![units().into_iter().flat_map(u16::to_be_bytes).collect()],
            Self::Utf16 => {
                let mut out = vec![0xff, 0xfe];
                out.extend(units().into_iter().flat_map(u16::to_le_bytes));
                vec![out]
            }
        }
    }
}

/// The part of the base64 text of `bytes` that is the same whatever stands around them, when they start `offset` bytes
/// (0 to 2) after a multiple of three.
pub(in crate::detect) fn base64_at(bytes: &[u8], offset: usize) -> String {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(bytes);
    let encoded = STANDARD.encode(&padded);
    // Leading digits that also hold bits of what stands before; trailing ones that also hold bits of what follows.
    let start = [0, 2, 3][offset % 3];
    let end = encoded.len() - [0, 3, 2][padded.len() % 3];
    encoded.get(start..end).unwrap_or_default().to_owned()
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err("a text, number or boolean is expected".into()),
    }
}

/// The text with each option dash (at the start or after white space) written in the ways that Windows accepts.
fn dashes(text: &str) -> Vec<String> {
    let mut out = vec![text.to_owned()];
    for dash in ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'] {
        let mut before = ' ';
        let variant: String = text
            .chars()
            .map(|c| {
                let option = matches!(c, '-' | '/') && before.is_whitespace();
                before = c;
                if option { dash } else { c }
            })
            .collect();
        if !out.contains(&variant) {
            out.push(variant);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(key: &str, rule: &Value, event: &Value) -> bool {
        compile(key, rule, &Placeholders::default()).unwrap().tests.iter().any(|test| test.holds(event))
    }

    #[test]
    fn each_modifier_matches_and_refuses() {
        assert!(
            holds("f|startswith", &json!("ab"), &json!("ABc")) && !holds("f|startswith", &json!("ab"), &json!("cab"))
        );
        assert!(holds("f|endswith", &json!("ab"), &json!("cAB")) && !holds("f|endswith", &json!("ab"), &json!("abc")));
        assert!(!holds("f|cased", &json!("ab"), &json!("AB")) && holds("f|cased", &json!("ab"), &json!("ab")));
        assert!(holds("f|re", &json!("^a.c$"), &json!("abc")) && !holds("f|re", &json!("^a.c$"), &json!("ABC")));
        assert!(holds("f|re|i", &json!("^a.c$"), &json!("ABC")));
        assert!(holds("f|cidr", &json!("10.0.0.0/8"), &json!("10.1.2.3")));
        assert!(!holds("f|cidr", &json!("10.0.0.0/8"), &json!("11.1.2.3")));
        assert!(holds("f|gte", &json!(5), &json!("5")) && !holds("f|lt", &json!(5), &json!(5)));
        assert!(holds("f", &json!(200), &json!("200")) && holds("f", &json!("true"), &json!(true)));
        assert!(holds("f|windash|contains", &json!(" -enc"), &json!("ps /enc x")));
        assert!(
            holds("f|base64", &json!("admin"), &json!("YWRtaW4="))
                && !holds("f|base64", &json!("admin"), &json!("ywrtaw4="))
        );
        assert!(holds("f|wide|base64offset|contains", &json!("ping"), &json!("xxcABpAG4AZw")));
    }

    #[test]
    fn placeholders_are_expanded_before_the_other_modifiers() {
        let file = "version: 1\nplaceholders:\n  admins: [alice, 'svc-*']\n";
        let placeholders = Placeholders::read("p.yml", file).unwrap();
        let holds = |key: &str, value: &str, event: &str| {
            let test = compile(key, &json!(value), &placeholders).unwrap();
            test.tests.iter().any(|test| test.holds(&json!(event)))
        };
        assert!(holds("f|expand", "%admins%", "Alice") && holds("f|expand", "%admins%", "svc-deploy"));
        assert!(!holds("f|expand", "%admins%", "xalice") && holds("f|contains|expand", "%admins%", "xalicex"));
        assert!(holds("f|expand|endswith", "\\%admins%", "CORP\\alice"));
        assert!(holds("f|re|expand", "^%admins%$", "alice") && !holds("f", "%admins%", "alice"));
    }

    #[test]
    fn base64_offsets_are_found_whatever_stands_around() {
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "z", "zy"] {
                let encoded = json!(STANDARD.encode(format!("{before}s3cret-token{after}")));
                assert!(holds("f|base64offset|contains", &json!("s3cret-token"), &encoded), "{before} {after}");
            }
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_reason() {
        for (key, value, want) in [
            ("f|expand", json!("%x%"), "`%x%`"),
            ("f|nonsense", json!("x"), "unknown modifier `nonsense`"),
            ("f|re", json!("(?=x)"), "regular expression"),
            ("f|cidr", json!("10.0.0"), "not a network"),
            ("f|exists", json!("yes"), "true or false"),
            ("f", json!([]), "empty list"),
            ("f", json!({"a": 1}), "expected"),
            ("f|base64", json!("a*"), "wildcards"),
        ] {
            assert!(compile(key, &value, &Placeholders::default()).unwrap_err().contains(want), "{key}");
        }
    }
}
