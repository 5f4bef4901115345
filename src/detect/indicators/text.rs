//! What stands in a text: addresses, names of hosts, long runs of letters and digits. The same for a record's raw bytes and
//! for its decoded fields, so that what is found in the one is found in the other.
//!
//! A letter that ends an escape (`\n`, `%2F`, `\x3d`) stands before a name without being part of it, and nobody can tell which
//! is meant: both readings are tried.

/// Letters, digits, hyphen, underscore and point.
pub(super) fn is_host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

/// Where what follows an escape starts, if one stands before `start` and reaches into what is there.
pub(super) fn after_escape(text: &[u8], start: usize) -> Option<usize> {
    let before = *text.get(start.checked_sub(1)?)?;
    let hex = |count: usize, from: usize| {
        text.get(from..from + count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    match (before, *text.get(start)?) {
        (b'%', _) if hex(2, start) => Some(start + 2),
        (b'\\', b'x') if hex(2, start + 1) => Some(start + 3),
        (b'\\', b'u') if hex(4, start + 1) => Some(start + 5),
        (b'\\', b'a' | b'b' | b'e' | b'f' | b'n' | b'r' | b't' | b'v' | b'0') => Some(start + 1),
        _ => None,
    }
}

/// Whether something can begin there: nothing that `joined` names stands before it, or only the end of an escape.
pub(super) fn begins(text: &[u8], start: usize, joined: impl Fn(u8) -> bool) -> bool {
    let mut from = start;
    // The longest end of an escape is five letters and digits.
    while from > 0 && start - from < 6 && joined(text[from - 1]) && text[from - 1] != b'%' {
        from -= 1;
    }
    from == start && start.checked_sub(1).is_none_or(|before| !joined(text[before]))
        || after_escape(text, from) == Some(start)
}

/// The IPv4 address that starts there, and where it ends. Leading zeros are read as such.
pub(super) fn quad(text: &[u8], start: usize) -> Option<(u32, usize)> {
    let mut address = 0_u32;
    let mut at = start;
    for group in 0..4 {
        if group > 0 {
            if text.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let mut number = 0_u32;
        let first = at;
        while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit()) {
            number = number * 10 + u32::from(digit - b'0');
            at += 1;
            if at - first > 3 {
                return None;
            }
        }
        if at == first || number > 255 {
            return None;
        }
        address = address << 8 | number;
    }
    Some((address, at))
}

/// The start of the run of letters and digits that ends before `end`, looking back at most eight bytes.
fn run_start(text: &[u8], end: usize) -> usize {
    let mut start = end;
    while start > 0 && end - start < 9 && text[start - 1].is_ascii_alphanumeric() {
        start -= 1;
    }
    start
}

/// Both readings of a run that starts there.
fn readings(text: &[u8], start: usize) -> impl Iterator<Item = usize> {
    std::iter::once(start).chain(after_escape(text, start))
}

/// Calls `found` with each IPv4 address whose first point stands at `dot`.
pub(super) fn v4_at(text: &[u8], dot: usize, mut found: impl FnMut(usize, usize, u32)) {
    let start = run_start(text, dot);
    // Not the second point of something longer.
    if start > 0 && text[start - 1] == b'.' && after_escape(text, start).is_none() {
        return;
    }
    for from in readings(text, start) {
        if from < dot
            && dot - from <= 3
            && let Some((address, end)) = quad(text, from)
            && !continues(text, end)
        {
            found(from, end, address);
        }
    }
}

/// Whether what follows makes an address another: a letter, a digit, or a point with one of these behind it.
fn continues(text: &[u8], end: usize) -> bool {
    let word = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphanumeric);
    word(end) || (text.get(end) == Some(&b'.') && word(end + 1))
}

/// Longest IPv6 address as text.
const LONGEST_V6: usize = 45;

/// How many colons there are, and whether two stand side by side.
fn colons(text: &[u8]) -> (usize, bool) {
    let (mut count, mut short, mut last) = (0, false, 0);
    for byte in text {
        count += usize::from(*byte == b':');
        short |= *byte == b':' && last == b':';
        last = *byte;
    }
    (count, short)
}

/// Whether a point is followed by another as near as in an address: numbers of versions are not.
#[inline]
pub(super) fn near_another(text: &[u8], dot: usize) -> bool {
    (2..=4).any(|ahead| text.get(dot + ahead) == Some(&b'.'))
}

/// Calls `found` with the IPv6 address around a colon; the end of what was looked at.
pub(super) fn v6_at(text: &[u8], colon: usize, mut found: impl FnMut(usize, usize, u128)) -> usize {
    let part = |b: u8| b.is_ascii_hexdigit() || b == b':';
    let mut start = colon;
    while start > 0 && colon - start <= LONGEST_V6 && part(text[start - 1]) {
        start -= 1;
    }
    let mut end = colon;
    while end < text.len() && end - colon <= LONGEST_V6 && (part(text[end]) || text[end] == b'.') {
        end += 1;
    }
    let after = end;
    // Times (`01:02:03`) and names of resources (`arn:aws:iam::`) have colons too: most end here.
    let (colons, short) = colons(&text[start..end]);
    if colons < 2 || (!short && !(6..=9).contains(&colons)) {
        return after;
    }
    // What ends a sentence or a label is no part of it.
    while end > colon + 1 && (text[end - 1] == b'.' || (text[end - 1] == b':' && text[end - 2] != b':')) {
        end -= 1;
    }
    if text.get(after).is_some_and(u8::is_ascii_alphanumeric) {
        return after;
    }
    // The end of an escape may stand before it, or a name with a colon (`src:2001:db8::1`).
    let first = run_start(text, start);
    let name = (first < start || text[start] == b':').then(|| memchr::memchr(b':', &text[start..end])).flatten();
    for from in readings(text, first).chain(name.map(|colon| start + colon + 1)) {
        if from >= start
            && from < end
            && let Some(address) = std::str::from_utf8(&text[from..end]).ok().and_then(|text| text.parse().ok())
        {
            found(from, end, std::net::Ipv6Addr::to_bits(address));
        }
    }
    after
}

const EACH: u64 = 0x0101_0101_0101_0101;
const TOP: u64 = 0x80 * EACH;

/// The top bit of each byte that is a letter, a digit or a colon.
#[inline]
fn words(eight: u64) -> u64 {
    let (low, folded) = (eight & !TOP, (eight | (0x20 * EACH)) & !TOP);
    let letter = (folded + (0x80 - 0x61) * EACH) & !(folded + (0x7f - 0x7a) * EACH);
    let digit = (low + (0x80 - 0x30) * EACH) & !(low + (0x7f - 0x3a) * EACH);
    (letter | digit) & !eight & TOP
}

/// Calls `check` with the place of each aligned word of eight letters, digits and colons that goes on for four more on one
/// side: every run of fifteen holds one, wherever it stands, and so does every IPv6 address that is written out.
#[inline]
pub(super) fn full_words(text: &[u8], mut check: impl FnMut(usize)) {
    const LOW: u64 = 0x8080_8080;
    const HIGH: u64 = 0x8080_8080_0000_0000;
    let mut before = 0;
    let (whole, rest) = text.as_chunks::<8>();
    let mut last = |at: usize, is: u64, next: u64, before: u64| {
        if is == TOP && (before & HIGH == HIGH || next & LOW == LOW) {
            check(at);
        }
    };
    let mut is = whole.first().map_or(0, |eight| words(u64::from_le_bytes(*eight)));
    for (at, eight) in whole.iter().enumerate().skip(1) {
        let next = words(u64::from_le_bytes(*eight));
        last(at * 8 - 8, is, next, before);
        (before, is) = (is, next);
    }
    let mut end = [0; 8];
    end[..rest.len()].copy_from_slice(rest);
    if let Some(at) = whole.len().checked_sub(1) {
        last(at * 8, is, words(u64::from_le_bytes(end)), before);
    }
}

/// The whole run of letters and digits around a place, as far as it may go.
pub(super) fn run_at(text: &[u8], at: usize, longest: usize) -> (usize, usize) {
    let (mut start, mut end) = (at, at);
    while start > 0 && at - start <= longest && text[start - 1].is_ascii_alphanumeric() {
        start -= 1;
    }
    while end < text.len() && end - start <= longest && text[end].is_ascii_alphanumeric() {
        end += 1;
    }
    (start, end)
}

/// Both readings of the run, for the caller.
pub(super) fn run_readings(text: &[u8], start: usize) -> impl Iterator<Item = usize> {
    readings(text, start)
}
