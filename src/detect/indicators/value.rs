//! Values of indicators: read in any spelling, judged, brought into the form that is looked for.

use std::net::Ipv6Addr;

use super::kind::{Kind, Named};
use super::text::{is_host_byte, quad};

/// Shortest text that may be looked for.
const SHORTEST: usize = 4;
/// Longest.
const LONGEST: usize = 2_048;
/// Shortest key id, digest or wallet that stands alone as a run of letters and digits; shorter ones are looked for as texts.
pub(super) const SHORTEST_RUN: usize = 16;
/// Longest such run.
pub(super) const LONGEST_RUN: usize = 128;
/// Longest name of a host.
pub(super) const LONGEST_HOST: usize = 253;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// An IPv4 network.
    V4 { first: u32, bits: u8 },
    /// An IPv6 network.
    V6 { first: u128, bits: u8 },
    /// A domain.
    Host,
    /// A whole run of letters and digits.
    Run,
    /// A text, with what may stand beside it.
    Text(Edges),
}

/// What may stand on both sides of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edges {
    /// Anything.
    Open,
    /// No letter, digit or underscore.
    Word,
    /// Nothing that would make it another address or path.
    Path,
}

/// A value that can be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) kind: Kind,
    /// As it is shown and compared, without regard to ASCII case.
    pub(super) text: String,
    pub(super) form: Form,
}

/// Digests of no bytes at all, which logs of cloud services are full of.
const OF_NOTHING: [&str; 3] = [
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

/// Texts that stand in most events.
const EVERYWHERE: [&str; 8] = ["mozilla/5.0", "http", "https", "http/1.1", "null", "true", "false", "info"];

/// Reads a value, of the given type or of the one that it looks like.
pub(super) fn read(named: Option<Named>, given: &str) -> Result<Value, String> {
    let given = given.trim();
    if given.is_empty() {
        return Err("there is no value".into());
    }
    if given.len() > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    if given.chars().any(|c| c.is_control() || c == '\u{fffd}') {
        return Err("control characters or broken UTF-8 in the value".into());
    }
    let plain = refanged(given);
    let Named { kind, private } = named.unwrap_or_else(|| Named { kind: looks_like(&plain), private: false });
    let read = match kind {
        Kind::Ip => address(&plain, private),
        Kind::Domain => domain(&plain),
        Kind::Url => url(&plain),
        Kind::Email => email(&plain),
        Kind::Hash => digest(&plain),
        Kind::KeyId => id(&plain).map(|form| (plain.clone(), form)),
        Kind::Wallet => {
            let plain = plain.strip_prefix("bitcoincash:").or_else(|| plain.strip_prefix("bitcoin:")).unwrap_or(&plain);
            id(plain).map(|form| (plain.to_owned(), form))
        }
        Kind::UserAgent => text(given, Edges::Word).map(|form| (given.to_owned(), form)),
        Kind::String => text(given, Edges::Open).map(|form| (given.to_owned(), form)),
    };
    read.map(|(text, form)| Value { kind, text, form })
}

/// The value as it was before somebody made it harmless: `hxxp`, `[.]`, `(dot)`, `[at]`, `[:]`.
fn refanged(value: &str) -> String {
    let mut out = value.to_owned();
    for (from, to) in [
        ("[.]", "."),
        ("(.)", "."),
        ("{.}", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("[:]", ":"),
        ("[://]", "://"),
        ("[/]", "/"),
        ("[@]", "@"),
        ("[at]", "@"),
        ("(at)", "@"),
    ] {
        if out.contains(from) {
            out = out.replace(from, to);
        }
    }
    let head = out.get(..4).unwrap_or_default();
    if head.eq_ignore_ascii_case("hxxp") {
        out.replace_range(..4, "http");
    } else if head.eq_ignore_ascii_case("fxp:") || head.eq_ignore_ascii_case("fxp[") {
        out.replace_range(..3, "ftp");
    }
    out
}

/// The kind of a value that comes without a type.
fn looks_like(value: &str) -> Kind {
    let alphanumeric = value.bytes().all(|b| b.is_ascii_alphanumeric());
    let hex = value.bytes().all(|b| b.is_ascii_hexdigit());
    if value.contains("://") {
        Kind::Url
    } else if network(value).is_some() {
        Kind::Ip
    } else if hex && matches!(value.len(), 32 | 40 | 64 | 96 | 128) {
        Kind::Hash
    } else if email(value).is_ok() {
        Kind::Email
    } else if alphanumeric && value.len() == 20 && ["AKIA", "ASIA"].iter().any(|head| value.starts_with(head)) {
        Kind::KeyId
    } else if alphanumeric && is_wallet(value) {
        Kind::Wallet
    } else if domain(value).is_ok() {
        Kind::Domain
    } else {
        Kind::String
    }
}

/// Whether it has the form of an Ethereum or Bitcoin address.
fn is_wallet(value: &str) -> bool {
    let base58 = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
    let ethereum =
        value.strip_prefix("0x").is_some_and(|hex| hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let bech32 = ["bc1", "ltc1", "tb1"].iter().any(|head| value.starts_with(head)) && (26..=90).contains(&value.len());
    let legacy = value.starts_with(['1', '3']) && (26..=35).contains(&value.len()) && value.bytes().all(base58);
    ethereum || bech32 || legacy
}

/// A network: the address, the bits that count, the bits that there are.
pub(super) fn network(value: &str) -> Option<(u128, u8, u8)> {
    let (address, bits) = value.split_once('/').map_or((value, None), |(address, bits)| (address, Some(bits)));
    let bits = bits.map(str::parse::<u8>).transpose().ok()?;
    if let Some((address, end)) = quad(address.as_bytes(), 0)
        && end == value.split('/').next().map_or(0, str::len)
    {
        let bits = bits.unwrap_or(32);
        return (bits <= 32).then_some((u128::from(address), bits, 32));
    }
    let address = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
    let address: Ipv6Addr = address.parse().ok()?;
    let bits = bits.unwrap_or(128);
    match address.to_ipv4_mapped() {
        Some(inner) if (96..=128).contains(&bits) => Some((u128::from(u32::from(inner)), bits - 96, 32)),
        _ => (bits <= 128).then_some((u128::from(address), bits, 128)),
    }
}

fn address(value: &str, private: bool) -> Result<(String, Form), String> {
    let Some((address, bits, of)) = network(value) else {
        return Err(if value.contains('-') && !value.contains("://") {
            format!("`{value}` is no address: write a range as networks (192.0.2.0/28)")
        } else {
            format!("`{value}` is neither an IP address nor a network such as 192.0.2.0/24")
        });
    };
    let fewest = if of == 32 { 8 } else { 16 };
    if bits < fewest {
        return Err(format!("`{value}` is too wide: a /{bits} would match most traffic; /{fewest} is the widest"));
    }
    let (first, form) = if of == 32 {
        let mask = u32::MAX << (32 - u32::from(bits));
        let first = u32::try_from(address).unwrap_or(0) & mask;
        (std::net::IpAddr::V4(first.into()), Form::V4 { first, bits })
    } else {
        let first = address & (u128::MAX << (128 - u32::from(bits)));
        (std::net::IpAddr::V6(first.into()), Form::V6 { first, bits })
    };
    if let Some(what) = special(first).filter(|_| !private) {
        return Err(format!(
            "`{value}` is {what}: it would match your own traffic; write `private-ip:{value}` if it is meant"
        ));
    }
    let text = if bits == of { first.to_string() } else { format!("{first}/{bits}") };
    Ok((text, form))
}

/// What an address is that says nothing about who uses it.
fn special(address: std::net::IpAddr) -> Option<&'static str> {
    match address {
        std::net::IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            match (a, b) {
                (10, _) | (172, 16..=31) | (192, 168) => Some("a private address"),
                (127, _) => Some("a loopback address"),
                (0, _) => Some("no host's address"),
                (100, 64..=127) => Some("a provider's inner address"),
                (169, 254) => Some("a link-local address"),
                (224.., _) => Some("a multicast or reserved address"),
                _ => None,
            }
        }
        std::net::IpAddr::V6(v6) => match v6.segments()[0] {
            0 if v6.is_loopback() => Some("the loopback address"),
            0 if v6.is_unspecified() => Some("no host's address"),
            0xfc00..=0xfdff => Some("a private address"),
            0xfe80..=0xfebf => Some("a link-local address"),
            0xff00..=0xffff => Some("a multicast address"),
            _ => None,
        },
    }
}

fn domain(value: &str) -> Result<(String, Form), String> {
    let name = value.strip_prefix("*.").or_else(|| value.strip_prefix('.')).unwrap_or(value).trim_end_matches('.');
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if !name.is_ascii() {
        return Err(format!("`{value}`: write the name as it is looked up (xn--...)"));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if !name.contains('.') {
        return Err(format!("`{value}` is one label only: it would match too much"));
    }
    if name.len() > LONGEST_HOST || !name.split('.').all(label) || !last.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        return Err(format!("`{value}` is not the name of a domain"));
    }
    if name.len() < SHORTEST {
        return Err(format!("`{value}` is too short: at least {SHORTEST} bytes"));
    }
    Ok((name.to_ascii_lowercase(), Form::Host))
}

fn url(value: &str) -> Result<(String, Form), String> {
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/');
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(host_end);
    let name = host.rsplit('@').next().unwrap_or(host);
    let name = name.split_once(':').filter(|_| !name.starts_with('[')).map_or(name, |(name, _)| name);
    if name.is_empty() || (domain(name).is_err() && network(name).is_none()) {
        return Err(format!("`{value}` has no host that could be looked for"));
    }
    if path.is_empty() && network(name).is_some() {
        return address(name, false);
    }
    if path.is_empty() && host == name {
        return domain(name);
    }
    text(rest, Edges::Path).map(|form| (rest.to_owned(), form))
}

fn email(value: &str) -> Result<(String, Form), String> {
    let value = value.strip_prefix("mailto:").unwrap_or(value);
    let wrong = || format!("`{value}` is not an e-mail address");
    let (user, host) = value.rsplit_once('@').ok_or_else(wrong)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    if user.is_empty() || !user.bytes().all(plain) || domain(host).is_err() {
        return Err(wrong());
    }
    text(value, Edges::Path).map(|form| (value.to_owned(), form))
}

fn digest(value: &str) -> Result<(String, Form), String> {
    if !value.bytes().all(|b| b.is_ascii_hexdigit()) || !matches!(value.len(), 32 | 40 | 64 | 96 | 128) {
        return Err(format!("`{value}` is no digest: MD5, SHA-1, SHA-256, SHA-384 or SHA-512 in hex"));
    }
    let value = value.to_ascii_lowercase();
    if OF_NOTHING.contains(&value.as_str()) || value.bytes().all(|b| b == b'0') {
        return Err(format!("`{value}` is the digest of nothing: it would match what is harmless"));
    }
    Ok((value, Form::Run))
}

/// Key ids and wallets: runs of letters and digits, or texts of their own.
fn id(value: &str) -> Result<Form, String> {
    let run = (SHORTEST_RUN..=LONGEST_RUN).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric());
    if run { Ok(Form::Run) } else { text(value, Edges::Word) }
}

fn text(value: &str, edges: Edges) -> Result<Form, String> {
    if value.len() < SHORTEST {
        return Err(format!("`{value}` is too short: at least {SHORTEST} bytes"));
    }
    if EVERYWHERE.iter().any(|common| value.eq_ignore_ascii_case(common)) {
        return Err(format!("`{value}` stands in most events"));
    }
    if alike(value).next().is_none() {
        return Err(format!("`{value}` has no three bytes in a row that logs always write alike"));
    }
    Ok(Form::Text(edges))
}

/// The parts of a text that every format writes alike, and where each starts. Quotes, slashes and backslashes can stand
/// behind an escape, or be doubled.
pub(super) fn alike(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let odd = |c: char| matches!(c, '"' | '\\' | '/' | '\'') || c.is_control();
    let mut start = 0;
    text.split_inclusive(odd).filter_map(move |part| {
        let from = start;
        start += part.len();
        let part = part.strip_suffix(odd).unwrap_or(part);
        (part.len() >= super::SHORTEST_NEEDLE).then_some((from, part))
    })
}

/// Whether a text could stand there: what is beside it does not make it another.
pub(super) fn fits(text: &[u8], start: usize, end: usize, edges: Edges) -> bool {
    let (first, last) = (text[start], text[end - 1]);
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let joined = |b: u8| match edges {
        Edges::Open => false,
        Edges::Word => word(b),
        Edges::Path => is_host_byte(b) || matches!(b, b'%' | b'~' | b'+'),
    };
    let after = text.get(end).copied();
    // A point that ends a sentence is no part of a path.
    let dot = after == Some(b'.') && !text.get(end + 1).copied().is_some_and(word);
    let right = !word(last) || dot || !after.is_some_and(joined);
    right && (!word(first) || super::text::begins(text, start, joined))
}
