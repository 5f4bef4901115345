//! The shape that nearly every line of an access log has around its request: an address, no user, a date; a status and a size.

/// Longest address, in bytes.
const ADDRESS: usize = 15;
/// What stands between the address and the request: `0` is a digit, `a` a letter (or `[` to `` ` ``), `+` a sign.
const BEHIND: &[u8; 35] = b" - - [00/aaa/0000:00:00:00 +0000] \"";
/// Least and greatest byte of an address: `.`, `/`, digits, `:`.
const OF_ADDRESS: (u8, u8) = (b'.', b':');
/// Bytes of [`BEHIND`] that are compared together, eight at once: where they begin, the least of each and the greatest.
const WORDS: [(usize, u64, u64); 5] = [word(0), word(8), word(16), word(24), word(BEHIND.len() - 8)];

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

const fn bounds(at: usize) -> (u8, u8) {
    match BEHIND[at] {
        b'0' => (b'0', b'9'),
        b'a' => (b'A', b'z'),
        b'+' => (b'+', b'-'),
        byte => (byte, byte),
    }
}

const fn word(from: usize) -> (usize, u64, u64) {
    let (mut least, mut most) = ([0; 8], [0; 8]);
    let mut at = 0;
    while at < 8 {
        (least[at], most[at]) = bounds(from + at);
        at += 1;
    }
    (from, u64::from_le_bytes(least), u64::from_le_bytes(most))
}

/// The top bit of each byte that lies outside its bounds, all of which are ASCII: no byte carries into the next.
const fn outside(bytes: u64, least: u64, most: u64) -> u64 {
    let above = (bytes & !TOPS) + (!most & !TOPS);
    let not_below = (bytes | TOPS) - least;
    (bytes | above | !not_below) & TOPS
}

/// Where the request's quote is in a line of that shape, which begins with the text; nothing for a line of another.
pub(in crate::detect::logs) fn head(text: &[u8]) -> Option<usize> {
    let (low, high) = text.first_chunk::<{ ADDRESS + 1 }>()?.split_at(8);
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (low, high) = (number(low), number(high));
    let space = |bytes: u64| {
        let others = bytes ^ (ONES * 0x20);
        // The lowest top bit that is left is that of the first space: nothing below it borrows.
        (others.wrapping_sub(ONES) & !others & TOPS).trailing_zeros()
    };
    let before = |bytes: u64, bits: u32| {
        let kept = 1_u64.checked_shl(bits).map_or(u64::MAX, |bit| bit - 1);
        outside(
            (bytes & kept) | ((ONES * u64::from(b'0')) & !kept),
            ONES * u64::from(OF_ADDRESS.0),
            ONES * u64::from(OF_ADDRESS.1),
        )
    };
    let first = space(low);
    let (length, odd) = if first < 64 {
        (first / 8, before(low, first & !7))
    } else {
        let second = space(high);
        (8 + second / 8, before(low, 64) | before(high, second & !7))
    };
    let behind = text.get(length as usize..)?.first_chunk::<{ BEHIND.len() }>()?;
    let odd = WORDS.iter().fold(odd, |odd, (at, least, most)| odd | outside(number(&behind[*at..]), *least, *most));
    let length = length as usize;
    (odd == 0 && (1..=ADDRESS).contains(&length)).then_some(length + BEHIND.len() - 1)
}

/// Where the address ends in a line of that shape, by where its request's quote is.
pub(in crate::detect::logs) const fn address_end(quote: usize) -> usize {
    quote + 1 - BEHIND.len()
}

/// Bytes of a status and a size, and of a line's end.
const STATUS: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        bytes[digit as usize] = true;
        digit += 1;
    }
    bytes[b' ' as usize] = true;
    bytes[b'-' as usize] = true;
    bytes[b'\r' as usize] = true;
    bytes
};

/// Whether a byte is one of a status and a size, or of the line's end.
pub(in crate::detect::logs) fn is_status(byte: u8) -> bool {
    STATUS[usize::from(byte)]
}

/// Whether a text (in lower case) can stand before the request, or between it and the next quote, of a line of that shape.
pub(in crate::detect::logs) fn may_hold(literal: &[u8]) -> bool {
    let fits = |byte: u8, (least, most): (u8, u8)| {
        [byte, byte.to_ascii_uppercase()].iter().any(|byte| (least..=most).contains(byte))
    };
    let places: Vec<(u8, u8)> = [OF_ADDRESS; ADDRESS].into_iter().chain((0..BEHIND.len()).map(bounds)).collect();
    literal.iter().all(|byte| is_status(*byte))
        || places
            .windows(literal.len().max(1))
            .any(|places| literal.iter().zip(places).all(|(byte, bounds)| fits(*byte, *bounds)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::access;
    use super::*;

    #[test]
    fn the_usual_line_has_the_shape() {
        let line = |head: &str| format!("{head} \"GET / HTTP/1.1\" 200 5");
        for head in ["1.2.3.4 - - [24/Nov/2026:01:02:03 +0000]", "203.113.113.113 - - [01/jan/2026:01:02:03 -0930]"] {
            assert_eq!(super::head(line(head).as_bytes()), Some(head.len() + 1), "{head}");
        }
        for head in [
            " - - [24/Nov/2026:01:02:03 +0000]",
            "1.2.3.4 - bob [24/Nov/2026:01:02:03 +0000]",
            "fe80::1 - - [24/Nov/2026:01:02:03 +0000]",
            "1.2.3.4 - - [24/11/2026:01:02:03 +0000]",
            "1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] ",
            "203.113.113.1133 - - [24/Nov/2026:01:02:03 +0000]",
        ] {
            assert_eq!(super::head(line(head).as_bytes()), None, "{head}");
        }
        assert!(may_hold(b"nov/2026") && may_hold(b"1:2") && may_hold(b" 200 -") && may_hold(b"- [1"));
        assert!(
            !may_hold(b"select ") && !may_hold(b"a.b") && !may_hold(b"../a") && !may_hold(b"1=1") && !may_hold(b"%24")
        );
    }

    /// The same, byte by byte.
    fn plain(line: &[u8]) -> Option<usize> {
        let length = line.iter().position(|byte| *byte == b' ').filter(|length| (1..=ADDRESS).contains(length))?;
        let is = |(at, byte): (usize, &u8)| (bounds(at).0..=bounds(at).1).contains(byte);
        let behind = line.get(length..length + BEHIND.len())?;
        let address = line[..length].iter().all(|byte| (OF_ADDRESS.0..=OF_ADDRESS.1).contains(byte));
        (address && behind.iter().enumerate().all(is)).then(|| length + BEHIND.len() - 1)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_a_line_of_the_shape_holds_before_its_request_is_known(
            address in "[0-9.:]{1,15}", date in "[0-9]{2}/[A-Za-z]{3}/[0-9]{4}(:[0-9]{2}){3} [+-][0-9]{4}",
            request in "[a-z /\\[\\]]{0,9}", from in 0..50_usize, length in 1..9_usize, odd in any::<u8>(),
        ) {
            let line = format!("{address} - - [{date}] \"{request}\" 200 5");
            let quote = head(line.as_bytes()).expect("the shape");
            prop_assert_eq!(access::request(line.as_bytes()).map(|request| request.start), Some(quote));
            prop_assert!(access::outline(line.as_bytes()));
            let from = from.min(quote - 1);
            for at in 0..=quote {
                let mut other = line.clone().into_bytes();
                other[at] = odd;
                prop_assert_eq!(head(&other), plain(&other), "{} with {} at {}", line, odd, at);
            }
            prop_assert!(may_hold(&line.to_lowercase().as_bytes()[from..quote.min(from + length)]));
        }
    }
}
