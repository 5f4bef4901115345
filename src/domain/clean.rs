use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal or a reader could be deceived by the character: C0 and C1 controls, DEL, bidirectional
/// overrides and isolates, zero-width characters, line and paragraph separators, the byte-order mark, tag characters.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text from logs, rows or files made safe for a terminal: hostile characters are shown as `\u{..}` escapes, on one line.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hostile(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// JSON text with the hostile characters that JSON itself allows raw written as `\uXXXX`: the value stays the same.
pub fn clean_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hostile) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hostile(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_of_a_terminal_are_shown_not_obeyed() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}31m\u{202e}c"), "a\\u{1b}[2Jb\\u{9b}31m\\u{202e}c");
        assert_eq!(clean("plain \u{e9}"), "plain \u{e9}");
    }

    proptest! {
        #[test]
        fn nothing_hostile_remains(text in any::<String>()) {
            prop_assert!(!clean(&text).chars().any(is_hostile));
        }

        #[test]
        fn json_keeps_its_value(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let cleaned = clean_json(&json);
            prop_assert!(!cleaned.chars().any(is_hostile));
            prop_assert_eq!(serde_json::from_str::<String>(&cleaned).unwrap(), text);
        }
    }
}
