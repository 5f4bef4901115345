//! Letters and digits that a request writes as `%61`, which means the same as writing them plainly (RFC 3986, 6.2.2.2). Nobody
//! has to, but whoever hides from rules does: rules for web requests see an event as it stands, and with these read.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The letter or digit that three bytes stand for.
fn read(three: &[u8]) -> Option<char> {
    let [b'%', high, low] = *three else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    char::from_u32(digit(high)? << 4 | digit(low)?).filter(char::is_ascii_alphanumeric)
}

/// Where letters and digits are written so, in order.
pub(super) fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'%', bytes).filter(|at| bytes.get(*at..at + 3).is_some_and(|three| read(three).is_some()))
}

/// A text with letters and digits written plainly. What comes out of it is not read again: that is what the server does.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut from = 0;
    for at in places(text.as_bytes()) {
        out.push_str(&text[from..at]);
        out.extend(read(&text.as_bytes()[at..at + 3]));
        from = at + 3;
    }
    if from == 0 {
        return text.into();
    }
    out.push_str(&text[from..]);
    out.into()
}

/// The fields of an event with all of their texts so; nothing if that changes none.
pub(super) fn plain_fields(fields: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut out = fields.clone();
    rewrite_all(out.values_mut()).then_some(out)
}

/// Whether one of the values was changed.
fn rewrite_all<'a>(values: impl Iterator<Item = &'a mut Value>) -> bool {
    let mut changed = false;
    for value in values {
        changed |= rewrite(value);
    }
    changed
}

/// Whether a value was changed.
fn rewrite(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match plain(text) {
            Cow::Owned(read) => {
                *text = read;
                true
            }
            Cow::Borrowed(_) => false,
        },
        Value::Array(values) => rewrite_all(values.iter_mut()),
        Value::Object(fields) => rewrite_all(fields.values_mut()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_are_read_and_nothing_else() {
        for (text, want) in [
            ("/?q=%61lert%281%29", "/?q=alert%281%29"),
            ("%41%5a%61%7A%30%39", "AZaz09"),
            ("%40%5b%60%7b%2f%3a%20%2e%00", "%40%5b%60%7b%2f%3a%20%2e%00"),
            ("%e3%81%82", "%e3%81%82"),
            // Once: what is encoded twice stays encoded once.
            ("%2561 %25%36%31", "%2561 %2561"),
            ("%%361", "%61"),
            ("%6", "%6"),
            ("%6g %", "%6g %"),
            ("\u{e9}%61\u{e9}", "\u{e9}a\u{e9}"),
        ] {
            assert_eq!(plain(text), want, "{text}");
        }
    }

    #[test]
    fn texts_at_any_depth_are_read() {
        let fields = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let given = fields(r#"{"n":1,"a":["x",{"u":"/%61"}],"b":"%62"}"#);
        assert_eq!(plain_fields(&given), Some(fields(r#"{"n":1,"a":["x",{"u":"/a"}],"b":"b"}"#)));
        assert_eq!(plain_fields(&fields(r#"{"n":1,"%61":"%2f"}"#)), None);
    }
}
