//! Points in time on the command line.

use crate::detect::logs::formats::time;
use crate::domain::Timestamp;

/// Reads a point in time: RFC 3339 and what logs write, or a date, which is its first moment; UTC where no zone is named.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    time::parse(text, Timestamp::UNIX_EPOCH)
        .or_else(|| time::parse(&format!("{text}T00:00:00Z"), Timestamp::UNIX_EPOCH))
        .ok_or_else(|| format!("`{text}` is not a time: write 2026-11-24T01:02:03Z or 2026-11-24"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_dates_are_read_and_the_others_are_told_what_to_write() {
        for (text, want) in [
            ("2026-11-24T01:02:03Z", "2026-11-24T01:02:03Z"),
            ("2026-11-24T01:02:03+02:00", "2026-11-23T23:02:03Z"),
            ("2026-11-24 01:02:03", "2026-11-24T01:02:03Z"),
            ("2026-11-24", "2026-11-24T00:00:00Z"),
        ] {
            assert_eq!(moment(text).unwrap().to_string(), want);
        }
        for text in ["24h", "", "yesterday", "2026-13-01", "24.11.2026"] {
            let told = moment(text).unwrap_err();
            assert!(told.contains("write 2026-11-24T01:02:03Z or 2026-11-24"), "{told}");
        }
    }
}
