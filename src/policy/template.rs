//! Templates of requests: text with `{placeholder}`s. A brace that does not open a placeholder is itself, so that JSON needs no
//! escaping.

use super::nearest;

/// A text with holes.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    /// As it was written.
    pub source: String,
    /// Its parts, in order.
    pub parts: Vec<Part>,
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.source)
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Stands for itself.
    Text(String),
    /// Stands for a value.
    Hole(Hole),
    /// Stands for the hash of a template: `{sha256:...}` is its bytes, `{sha256_hex:...}` the same in hex.
    Hash {
        /// Which hash.
        hash: Hash,
        /// Whether it is written in hex.
        hex: bool,
        /// What is hashed.
        of: Template,
    },
}

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hole {
    /// Id of the key that authenticates the request.
    Id,
    /// Its secret.
    Secret,
    /// Id of the key that the request is about.
    TargetId,
    /// Seconds since 1970.
    Timestamp,
    /// Milliseconds since 1970.
    TimestampMs,
    /// The time as RFC 3339 with milliseconds, in UTC.
    TimestampIso,
    /// A number that grows with every request: milliseconds since 1970, or more.
    Nonce,
    /// The same in microseconds.
    NonceUs,
    /// The same in nanoseconds.
    NonceNs,
    /// The signature.
    Signature,
    /// The method.
    Method,
    /// The path of the address.
    Path,
    /// The query of the address, without the parameter that holds the signature.
    Query,
    /// The path and, if there is one, `?` and that query.
    Target,
    /// The body.
    Body,
    /// An environment variable.
    Env(String),
}

/// Names of the placeholders, as templates write them.
const NAMES: [(&str, Hole); 15] = [
    ("id", Hole::Id),
    ("secret", Hole::Secret),
    ("target_id", Hole::TargetId),
    ("timestamp", Hole::Timestamp),
    ("timestamp_ms", Hole::TimestampMs),
    ("timestamp_iso", Hole::TimestampIso),
    ("nonce", Hole::Nonce),
    ("nonce_us", Hole::NonceUs),
    ("nonce_ns", Hole::NonceNs),
    ("signature", Hole::Signature),
    ("method", Hole::Method),
    ("path", Hole::Path),
    ("query", Hole::Query),
    ("target", Hole::Target),
    ("body", Hole::Body),
];

/// Deepest nesting of hashes.
const DEEPEST: usize = 4;

impl Template {
    /// Reads a template; what is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (template, _) = parse(text, 0)?;
        Ok(Self { source: text.to_owned(), ..template })
    }

    /// Whether a placeholder stands somewhere in it.
    pub fn holds(&self, hole: &Hole) -> bool {
        self.holes().contains(&hole)
    }

    /// The template without the last parameter of a form (`&name={signature}`), which holds the signature.
    #[must_use]
    pub fn unsigned(&self) -> Self {
        let Some(at) = self.parts.iter().position(|part| *part == Part::Hole(Hole::Signature)) else {
            return self.clone();
        };
        let mut parts = self.parts[..at].to_vec();
        if let Some(Part::Text(text)) = parts.last_mut() {
            text.truncate(text.rfind(['&', '?']).unwrap_or(0));
        }
        Self { source: self.source.clone(), parts }
    }

    /// All placeholders, those inside hashes included.
    pub fn holes(&self) -> Vec<&Hole> {
        let mut found = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(_) => {}
                Part::Hole(hole) => found.push(hole),
                Part::Hash { of, .. } => found.extend(of.holes()),
            }
        }
        found
    }

    fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }
}

/// Reads up to the end, or inside a hash (`depth` > 0) up to the brace that closes it; what comes after that.
fn parse(mut text: &str, depth: usize) -> Result<(Template, &str), String> {
    let mut template = Template::default();
    loop {
        let Some(at) = text.find(['{', '}']) else {
            template.push_text(text);
            return if depth == 0 { Ok((template, "")) } else { Err("a hash is not closed by `}`".into()) };
        };
        template.push_text(&text[..at]);
        let (brace, rest) = text[at..].split_at(1);
        if brace == "}" {
            if depth > 0 {
                return Ok((template, rest));
            }
            template.push_text(brace);
            text = rest;
            continue;
        }
        if let Some((part, rest)) = placeholder(rest, depth)? {
            template.parts.push(part);
            text = rest;
        } else {
            template.push_text(brace);
            text = rest;
        }
    }
}

/// What comes after `{`; `None` if that brace is only a brace.
fn placeholder(text: &str, depth: usize) -> Result<Option<(Part, &str)>, String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(rest) = rest.strip_prefix('}') {
        if let Some((_, hole)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Some((Part::Hole(hole.clone()), rest)));
        }
        let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        let near = nearest(name, &known).map_or(String::new(), |near| format!("; did you mean `{{{near}}}`?"));
        return Err(format!("unknown placeholder `{{{name}}}`{near}"));
    }
    let Some(rest) = rest.strip_prefix(':') else { return Ok(None) };
    if name == "env" {
        let (variable, rest) = rest.split_once('}').ok_or("`{env:` is not closed by `}`")?;
        if !super::contacts::is_variable(variable) {
            return Err("`{env:NAME}` holds the name of an environment variable, never the secret itself".into());
        }
        return Ok(Some((Part::Hole(Hole::Env(variable.to_owned())), rest)));
    }
    let (hash, hex) = match name {
        "sha256" => (Hash::Sha256, false),
        "sha256_hex" => (Hash::Sha256, true),
        "sha512" => (Hash::Sha512, false),
        "sha512_hex" => (Hash::Sha512, true),
        _ => return Ok(None),
    };
    if depth == DEEPEST {
        return Err(format!("hashes are nested more than {DEEPEST} deep"));
    }
    let (of, rest) = parse(rest, depth + 1)?;
    Ok(Some((Part::Hash { hash, hex, of }, rest)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn braces_of_json_are_text_and_names_are_holes() {
        let body = Template::parse(r#"{"nonce":"{nonce}","a":{"b":[1]},"k":"{env:PASS}"}"#).unwrap();
        assert_eq!(
            body.parts,
            [
                Part::Text(r#"{"nonce":""#.into()),
                Part::Hole(Hole::Nonce),
                Part::Text(r#"","a":{"b":[1]},"k":""#.into()),
                Part::Hole(Hole::Env("PASS".into())),
                Part::Text("\"}".into()),
            ]
        );
    }

    #[test]
    fn hashes_nest() {
        let over = Template::parse("{path}{sha256:{nonce}{body}}").unwrap();
        let [Part::Hole(Hole::Path), Part::Hash { hash: Hash::Sha256, hex: false, of }] = over.parts.as_slice() else {
            panic!("{over:?}")
        };
        assert_eq!(of.parts, [Part::Hole(Hole::Nonce), Part::Hole(Hole::Body)]);
        assert_eq!(over.holes(), [&Hole::Path, &Hole::Nonce, &Hole::Body]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("{signatur}", "did you mean `{signature}`?"),
            ("{xyzzy}", "unknown placeholder `{xyzzy}`"),
            ("{sha256:{body}", "not closed"),
            ("{env:hunter2 is my password}", "never the secret itself"),
            ("{env:A", "not closed"),
            ("{sha256:{sha256:{sha256:{sha256:{sha256:a}}}}}", "nested more than 4 deep"),
        ] {
            let words = Template::parse(text).unwrap_err();
            assert!(words.contains(expected), "`{words}` should say `{expected}`");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_text_without_braces_is_itself(text in ".{0,60}") {
            match Template::parse(&text) {
                Ok(template) if !text.contains(['{', '}']) && !text.is_empty() => {
                    prop_assert_eq!(template.parts, [Part::Text(text)]);
                }
                Ok(_) => {}
                Err(words) => {
                    let said = text.contains('{') && !words.is_empty();
                    prop_assert!(said, "{}", words);
                }
            }
        }

        #[test]
        fn any_mixture_of_names_and_braces_ends(words in prop::collection::vec(
            prop::sample::select(vec!["{", "}", "{id}", "{sha256:", "{env:", ":", "x", "{body}", "é"]), 0..30)
        ) {
            let _ = Template::parse(&words.concat());
        }
    }
}
