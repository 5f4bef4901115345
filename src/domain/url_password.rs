//! The password inside a connection URL (RFC 3986 userinfo): read it, replace it, and leave every other byte alone.

use std::fmt::Write as _;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};

/// Where the password's text lies. The last `@` before the path ends the userinfo, as URL parsers of databases read it.
fn password_range(url: &str) -> Option<Range<usize>> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |offset| start + offset);
    let at = start + url[start..end].rfind('@')?;
    let colon = start + url[start..at].find(':')?;
    Some(colon + 1..at)
}

/// The password, percent-decoded; `None` if the text holds none.
pub fn password_of(url: &SecretString) -> Option<SecretString> {
    let url = url.expose_secret();
    let text = &url[password_range(url)?];
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let pair = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok().map(SecretString::from)
}

/// The URL with another password, percent-encoded but for unreserved characters; `None` if it holds none.
pub fn with_password(url: &SecretString, password: &SecretString) -> Option<SecretString> {
    let url = url.expose_secret();
    let range = password_range(url)?;
    let mut text = String::with_capacity(url.len() + password.expose_secret().len() * 3);
    text.push_str(&url[..range.start]);
    for byte in password.expose_secret().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text.push_str(&url[range.end..]);
    Some(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_password_changes() {
        let url = SecretString::from("postgresql://app:p%40s:s@db:5432/x?schema=public#f");
        assert_eq!(password_of(&url).unwrap().expose_secret(), "p@s:s");
        let replaced = with_password(&url, &SecretString::from("n/w")).unwrap();
        assert_eq!(replaced.expose_secret(), "postgresql://app:n%2Fw@db:5432/x?schema=public#f");
        for none in ["postgresql://app@db/x", "file:./dev.db", "postgresql://db/x?a=b:c@d", ""] {
            assert!(password_of(&SecretString::from(none)).is_none(), "{none}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_read_back(password in "\\PC{1,40}") {
            let url = SecretString::from("postgres://u:old@h/db");
            let password = SecretString::from(password);
            let replaced = with_password(&url, &password).unwrap();
            let read = password_of(&replaced).unwrap();
            prop_assert_eq!(read.expose_secret(), password.expose_secret());
        }
    }
}
