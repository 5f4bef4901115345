use super::statements::{DumpError, MAX_PIECE};

/// A statement under construction.
#[derive(Default)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    line: Option<u64>,
}

impl Text {
    pub(super) fn push(&mut self, byte: u8, line: u64) -> Result<(), DumpError> {
        if self.line.is_none() {
            if byte.is_ascii_whitespace() {
                return Ok(());
            }
            self.line = Some(line);
        }
        if self.bytes.len() >= MAX_PIECE {
            return Err(DumpError::TooLong { line: self.line.unwrap_or(line) });
        }
        self.bytes.push(byte);
        Ok(())
    }

    pub(super) fn is_blank(&self) -> bool {
        self.line.is_none()
    }

    /// Whether a string that starts now has backslash escapes: `E'...'`, but not `name'...'`.
    pub(super) fn ends_in_escape_prefix(&self) -> bool {
        let mut back = self.bytes.iter().rev();
        matches!(back.next(), Some(b'e' | b'E'))
            && !back.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
    }

    pub(super) fn may_be_trigger(&self) -> bool {
        self.bytes.get(..6).is_some_and(|head| head.eq_ignore_ascii_case(b"create"))
    }

    pub(super) fn finish(self) -> Result<(u64, String), DumpError> {
        let line = self.line.unwrap_or(0);
        String::from_utf8(self.bytes).map(|text| (line, text)).map_err(|_| DumpError::NotUtf8 { line })
    }
}
