//! STIX 2.1 bundles: the patterns of their indicators, as far as a log can answer them one observation at a time.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::kind::{Kind, Named};
use super::reader::{Given, LineOf, Reader};
use crate::domain::Level;

#[derive(Debug, Deserialize)]
struct Bundle<'a> {
    #[serde(borrow)]
    objects: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    pattern_type: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    revoked: bool,
    #[serde(default)]
    x_level: Option<Level>,
}

/// Whether a document is a bundle.
pub(super) fn is(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_str::<Head>(text).is_ok_and(|head| head.kind == "bundle")
}

/// Reads a bundle.
pub(super) fn read(reader: &mut Reader, text: &str) {
    let bundle: Bundle<'_> = match serde_json::from_str(text) {
        Ok(bundle) => bundle,
        Err(error) => return reader.refuse(error.line() as u64, format!("not a STIX bundle: {error}")),
    };
    let mut lines = LineOf::new(text);
    for object in bundle.objects {
        let line = lines.of(object.get());
        match serde_json::from_str::<Object>(object.get()) {
            Ok(object) if object.kind == "indicator" => indicator(reader, &object, line),
            Ok(_) => {}
            Err(error) => reader.refuse(line, format!("not an object of STIX: {error}")),
        }
    }
}

fn indicator(reader: &mut Reader, object: &Object, line: u64) {
    if object.revoked {
        return reader.left_out();
    }
    if object.pattern_type.as_deref().is_some_and(|kind| kind != "stix") {
        let kind = object.pattern_type.as_deref().unwrap_or_default();
        return reader.refuse(line, format!("a pattern in `{kind}`, not in STIX's own language"));
    }
    let Some(pattern) = &object.pattern else { return reader.refuse(line, "an indicator without a pattern") };
    let note = object.name.as_deref().or(object.description.as_deref()).unwrap_or_default();
    match comparisons(pattern) {
        Ok(comparisons) => {
            for (named, value) in comparisons {
                reader.give(Given { named: Some(named), value: &value, note, level: object.x_level, line });
            }
        }
        Err(reason) => reader.refuse(line, reason),
    }
}

/// A word, a text or a sign of the pattern language.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

fn tokens(pattern: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter.is_whitespace() => {}
            '\'' => {
                let mut text = String::new();
                loop {
                    match letters.next() {
                        Some('\\') => text.extend(letters.next()),
                        Some('\'') => break,
                        Some(letter) => text.push(letter),
                        None => return Err("a quote of the pattern is not closed".into()),
                    }
                }
                out.push(Token::Text(text));
            }
            '[' | ']' | '(' | ')' | '=' | '!' | '<' | '>' | ',' => out.push(Token::Sign(letter)),
            letter => {
                let mut word = String::from(letter);
                // A path may have parts in quotes: file:hashes.'SHA-256'.
                while let Some(next) = letters.peek().copied() {
                    if next.is_whitespace() || matches!(next, '[' | ']' | '(' | ')' | '=' | '!' | '<' | '>' | ',') {
                        break;
                    }
                    word.push(next);
                    letters.next();
                }
                out.push(Token::Word(word));
            }
        }
    }
    Ok(out)
}

/// The comparisons of a pattern that are joined by OR alone.
fn comparisons(pattern: &str) -> Result<Vec<(Named, String)>, String> {
    let tokens = tokens(pattern)?;
    let mut out = Vec::new();
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        rest = match rest {
            [Token::Sign('[' | ']' | '(' | ')'), rest @ ..] => rest,
            [Token::Word(path), Token::Sign('='), Token::Text(value), rest @ ..] => {
                out.push((named(path)?, value.clone()));
                rest
            }
            [Token::Word(path), Token::Word(operator), Token::Text(value), rest @ ..]
                if operator.eq_ignore_ascii_case("ISSUBSET") =>
            {
                out.push((named(path)?, value.clone()));
                rest
            }
            [Token::Word(path), Token::Word(operator), Token::Sign('('), rest @ ..]
                if operator.eq_ignore_ascii_case("IN") =>
            {
                let named = named(path)?;
                let mut rest = rest;
                while let [Token::Text(value), after @ ..] = rest {
                    out.push((named, value.clone()));
                    rest = if let [Token::Sign(','), after @ ..] = after { after } else { after };
                }
                rest
            }
            [Token::Word(join), rest @ ..] if join.eq_ignore_ascii_case("OR") => rest,
            [Token::Word(join), ..] if matches!(join.to_ascii_uppercase().as_str(), "AND" | "FOLLOWEDBY") => {
                return Err(format!("the pattern needs several things at once ({join}): only OR is looked for"));
            }
            [Token::Word(word), ..] => {
                return Err(format!("`{word}` of the pattern is not known: =, IN, ISSUBSET and OR are"));
            }
            _ => return Err("the pattern is not one of comparisons joined by OR".into()),
        };
    }
    if out.is_empty() { Err("the pattern compares nothing".into()) } else { Ok(out) }
}

/// The type of what a path names.
fn named(path: &str) -> Result<Named, String> {
    let (object, rest) = path.split_once(':').unwrap_or((path, ""));
    let rest = rest.to_ascii_lowercase();
    let kind = match object {
        "ipv4-addr" | "ipv6-addr" if rest == "value" => Some(Kind::Ip),
        "network-traffic" if rest.ends_with("_ref.value") => Some(Kind::Ip),
        "domain-name" if rest == "value" => Some(Kind::Domain),
        "url" if rest == "value" => Some(Kind::Url),
        "email-addr" if rest == "value" => Some(Kind::Email),
        "email-message" if rest.ends_with("ref.value") => Some(Kind::Email),
        "file" | "artifact" | "x509-certificate" if rest.starts_with("hashes.") => Some(Kind::Hash),
        "file" if rest == "name" => Some(Kind::String),
        "network-traffic" if rest.contains("user-agent") => Some(Kind::UserAgent),
        "user-account" if matches!(rest.as_str(), "account_login" | "user_id" | "credential") => Some(Kind::KeyId),
        _ if object.contains("wallet") || object.contains("cryptocurrency") => Some(Kind::Wallet),
        _ => None,
    };
    kind.map(|kind| Named { kind, private: false })
        .ok_or_else(|| format!("`{path}` of the pattern does not stand in logs in a known way"))
}
