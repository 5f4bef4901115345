//! What stands in a text: addresses, names of hosts, long runs of letters and digits. The same for a record's raw bytes and
//! for its decoded fields, so that what is found in the one is found in the other.
//!
//! A letter that ends an escape (`\n`, `%2F`, `\x3d`) stands before a name without being part of it, and nobody can tell which
//! is meant: both readings are tried.

use std::ops::Range;

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

/// The number of 16 bits that an IPv6 address begins with whose first colon stands there, if it is written with four digits.
pub(super) fn head_before(text: &[u8], colon: usize) -> Option<u32> {
    let digits = text.get(colon.checked_sub(4)?..colon)?;
    digits
        .iter()
        .rev()
        .zip([0, 4, 8, 12])
        .try_fold(0, |head, (digit, bits)| Some(head | char::from(*digit).to_digit(16)? << bits))
}

/// Whether an IPv4 address may follow a colon, or two, in the form of an IPv6 one.
pub(super) fn is_mapped(text: &[u8], colon: usize) -> bool {
    let after = colon + 1 + usize::from(text.get(colon + 1) == Some(&b':'));
    text.get(after..after + 5).is_some_and(|head| head.eq_ignore_ascii_case(b"ffff:"))
}

/// The first two numbers of an IPv4 address whose first point stands there; nothing where it takes more than a glance to say.
/// Where there is none, they are above 255 or of no meaning.
#[inline]
pub(super) fn quad_head(text: &[u8], dot: usize) -> Option<(u32, u32)> {
    const NONE: Option<(u32, u32)> = Some((u32::MAX, u32::MAX));
    let before: [u8; 4] = *text.get(dot.checked_sub(4)?..dot)?.first_chunk()?;
    let after: [u8; 4] = *text.get(dot + 1..)?.first_chunk()?;
    let (digits, after) = (u32::from_le_bytes(before) ^ ZEROS, u32::from_le_bytes(after) ^ ZEROS);
    let (first, second) = (others(digits).leading_zeros() / 8, others(after).trailing_zeros() / 8);
    if first == 0 {
        return NONE;
    }
    // Of four digits none is beside them: the last counts, which is one too.
    let beside = before[3 - first.min(3) as usize];
    if beside.is_ascii_alphanumeric() || matches!(beside, b'%' | b'\\' | b'.') {
        return None;
    }
    if second == 0 || second == 4 {
        return NONE;
    }
    // What is no digit falls out.
    let drop = 32 - 8 * first;
    Some((number(digits >> drop << drop), number(after << (32 - 8 * second))))
}

/// The digit 0, four times.
const ZEROS: u32 = 0x3030_3030;

/// The top bit of each byte that is above nine.
fn others(digits: u32) -> u32 {
    (((digits & 0x7f7f_7f7f) + 0x7676_7676) | digits) & 0x8080_8080
}

/// The number that the upper three of four digits make, the last of them uppermost.
fn number(digits: u32) -> u32 {
    (digits >> 24) + (digits >> 16 & 0xff) * 10 + (digits >> 8 & 0xff) * 100
}

/// The name of a host in a text.
pub(super) struct Host {
    pub(super) start: usize,
    /// Where it ends, without the points behind it, and where these end.
    pub(super) end: usize,
    pub(super) after: usize,
}

/// The name around a place, of which at most `longest` bytes count.
pub(super) fn host_at(text: &[u8], at: usize, longest: usize) -> Host {
    let after = at + text[at..].iter().take_while(|b| is_host_byte(**b)).count();
    let mut end = after;
    while end > at && text[end - 1] == b'.' {
        end -= 1;
    }
    let mut start = at;
    while start > 0 && end - start <= longest && is_host_byte(text[start - 1]) {
        start -= 1;
    }
    Host { start, end, after }
}

/// The whole run of letters and digits around a place.
pub(super) fn run_at(text: &[u8], at: usize) -> Range<usize> {
    let end = at + text[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let before = text[..at].iter().rev().take_while(|b| b.is_ascii_alphanumeric()).count();
    at - before..end
}

/// Both readings of the run, for the caller.
pub(super) fn run_readings(text: &[u8], start: usize) -> impl Iterator<Item = usize> {
    readings(text, start)
}
