/// Reads the binary form of SSH (RFC 4251, section 5): every string has its length in front, nothing is skipped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// A positive mpint of at most 32 bytes, in its one shortest form, as 32 bytes.
    pub(super) fn scalar(&mut self) -> Option<[u8; 32]> {
        let bytes = self.string()?;
        let digits = match bytes {
            [0, next, ..] if next & 0x80 != 0 => &bytes[1..],
            [first, ..] if (1..0x80).contains(first) => bytes,
            _ => return None,
        };
        let mut scalar = [0; 32];
        let start = scalar.len().checked_sub(digits.len())?;
        scalar[start..].copy_from_slice(digits);
        Some(scalar)
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Appends a string with its length in front.
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form() {
        let scalar = |bytes: &[u8]| {
            let mut out = Vec::new();
            put(&mut out, bytes);
            Reader::new(&out).scalar()
        };
        assert_eq!(scalar(&[5]).unwrap()[31], 5);
        assert_eq!(scalar(&[0, 0x80]).unwrap()[31], 0x80);
        for bad in [&[][..], &[0], &[0, 5], &[0x80], &[1; 33]] {
            assert_eq!(scalar(bad), None, "{bad:?}");
        }
        assert!(scalar(&[1; 32]).is_some());
        assert_eq!(Reader::new(&[0, 0, 0, 9, 1]).string(), None);
        assert_eq!(Reader::new(&[1]).end(), None);
    }

    #[test]
    fn what_is_read_is_what_lies_there_and_what_is_cut_short_is_nothing() {
        let mut reader = Reader::new(&[7, 0, 0, 1, 2, 0, 0, 0, 3, b'a', b'b', b'c', 9]);
        assert_eq!((reader.byte(), reader.number(), reader.string()), (Some(7), Some(0x102), Some(&b"abc"[..])));
        let rest = reader;
        assert_eq!((reader.number(), reader.take(2), rest.end()), (None, None, None));
        assert_eq!((reader.take(1), reader.byte(), reader.take(1)), (Some(&[9][..]), None, None));
        assert_eq!((reader.take(0), reader.end()), (Some(&[][..]), Some(())));
    }
}
