//! The forms in which a value is written down by other programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroize as _;

use crate::detect::logs::sigma::modifier::base64_at;

/// Every form of a value with its name, each once; the first name counts.
pub(super) fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut out: Vec<(&'static str, Vec<u8>)> = vec![("plain", value.as_bytes().to_vec())];
    let mut text = |name, text: String| out.push((name, text.into_bytes()));
    text("base64", STANDARD.encode(value).trim_end_matches('=').to_owned());
    let inner: Vec<String> = (0..3).map(|offset| base64_at(value.as_bytes(), offset)).collect();
    for inner in &inner {
        text("base64", inner.clone());
    }
    text("base64url", URL_SAFE_NO_PAD.encode(value));
    for inner in &inner {
        text("base64url", inner.replace('+', "-").replace('/', "_"));
    }
    text("hex", hex::encode(value));
    text("hex", hex::encode_upper(value));
    for lower in [false, true] {
        text("url", percent(value, "-._~", lower));
        // As JavaScript's encodeURIComponent and as HTML forms write it.
        text("url", percent(value, "-._~!*'()", lower));
        text("url", percent(value, "-._*", lower).replace("%20", "+"));
    }
    if let Ok(json) = serde_json::to_string(value) {
        let inner = &json[1..json.len() - 1];
        text("json", inner.replace('/', "\\/"));
        text("json", html_safe(inner));
        text("json", ascii(inner));
        // A line of JSON inside a line of JSON, as container logs hold it.
        text("json", inner.replace('\\', "\\\\").replace('"', "\\\""));
        text("json", inner.to_owned());
    }
    out.push(("utf-16le", value.encode_utf16().flat_map(u16::to_le_bytes).collect()));
    out.push(("utf-16be", value.encode_utf16().flat_map(u16::to_be_bytes).collect()));
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    out.retain(|(_, form)| seen.insert(form.clone()));
    for mut form in seen {
        form.zeroize();
    }
    out
}

/// Percent-encoding (RFC 3986) of all but letters, digits and `plain`, with upper- or lower-case digits.
fn percent(value: &str, plain: &str, lower: bool) -> String {
    let mut out = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = if lower { write!(out, "%{byte:02x}") } else { write!(out, "%{byte:02X}") };
        }
    }
    out
}

/// As Go writes JSON.
fn html_safe(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// As Python and PHP write JSON: nothing outside ASCII.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}
