use std::collections::BTreeSet;
use std::fmt::Write as _;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::detect::logs::sigma::modifier::base64_at;

/// Shortest value that is looked for, in bytes: shorter ones are found everywhere.
pub const MIN_VALUE: usize = 8;

/// The values to look for, in every encoding. Holds secrets: it has no `Debug`.
pub struct Needles {
    search: Option<AhoCorasick>,
    /// Credential and encoding of each pattern.
    owners: Vec<(String, &'static str)>,
    longest: usize,
    too_short: Vec<String>,
}

impl Needles {
    /// Takes `(credential id, value)` pairs.
    pub fn new(values: &[(&str, &str)]) -> Result<Self, aho_corasick::BuildError> {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let mut owners = Vec::new();
        let mut too_short = Vec::new();
        for (credential, value) in values {
            if value.len() < MIN_VALUE {
                too_short.push((*credential).to_owned());
                continue;
            }
            let mut seen = BTreeSet::new();
            for (encoding, encoded) in encodings(value) {
                if encoded.len() >= MIN_VALUE && seen.insert(encoded.clone()) {
                    patterns.push(encoded.into_bytes());
                    owners.push(((*credential).to_owned(), encoding));
                }
            }
        }
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let search = match patterns.is_empty() {
            true => None,
            // Overlapping: a value inside another one, or inside its own encoding, must not hide it.
            false => Some(AhoCorasick::builder().match_kind(MatchKind::Standard).build(&patterns)?),
        };
        patterns.iter_mut().for_each(zeroize::Zeroize::zeroize);
        Ok(Self { search, owners, longest, too_short })
    }

    /// Credentials whose value is too short to be looked for.
    pub fn too_short(&self) -> &[String] {
        &self.too_short
    }

    /// Length of the longest pattern, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Every occurrence: start, end, credential, encoding.
    pub(super) fn find<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = (usize, usize, &'a str, &'static str)> + 'a {
        self.search.iter().flat_map(move |search| search.find_overlapping_iter(bytes)).map(|found| {
            let (credential, encoding) = &self.owners[found.pattern().as_usize()];
            (found.start(), found.end(), credential.as_str(), *encoding)
        })
    }
}

fn encodings(value: &str) -> Vec<(&'static str, String)> {
    let mut out = vec![("plain", value.to_owned())];
    out.push(("base64", STANDARD.encode(value).trim_end_matches('=').to_owned()));
    let inner: Vec<String> = (0..3).map(|offset| base64_at(value.as_bytes(), offset)).collect();
    out.extend(inner.iter().map(|text| ("base64", text.clone())));
    // Only what differs is kept as base64url.
    out.push(("base64url", URL_SAFE_NO_PAD.encode(value)));
    out.extend(inner.iter().map(|text| ("base64url", text.replace('+', "-").replace('/', "_"))));
    out.push(("hex", hex::encode(value)));
    out.push(("hex", hex::encode_upper(value)));
    out.push(("url", percent(value, false)));
    out.push(("url", percent(value, true)));
    if let Ok(json) = serde_json::to_string(value) {
        let inner = json[1..json.len() - 1].to_owned();
        out.push(("json", inner.replace('/', "\\/")));
        out.push(("json", inner));
    }
    out
}

/// Percent-encoding (RFC 3986) of all but unreserved characters, with upper- or lower-case digits.
fn percent(value: &str, lower: bool) -> String {
    let mut out = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = if lower { write!(out, "%{byte:02x}") } else { write!(out, "%{byte:02X}") };
        }
    }
    out
}
