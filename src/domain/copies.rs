//! Names of copies of checkpoints where these are files or objects: a name says what its bytes are.

use super::Digest;

/// Name of a copy: the number of entries in 20 digits, and the first 16 digits of the bytes' SHA-256.
pub fn copy_name(size: u64, note: &[u8]) -> String {
    format!("{size:020}-{}", short_digest(note))
}

/// Whether the bytes are those that a copy of that name was made of; folders may stand before the name.
pub fn is_copy(name: &str, bytes: &[u8]) -> bool {
    name.rsplit_once('-').is_some_and(|(_, digest)| digest == short_digest(bytes))
}

fn short_digest(bytes: &[u8]) -> String {
    hex::encode(&Digest::of(bytes).0[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_its_bytes() {
        let name = copy_name(12, b"note");
        assert_eq!(name, format!("00000000000000000012-{}", &Digest::of(b"note").to_string()[..16]));
        assert!(is_copy(&name, b"note") && is_copy(&format!("a-b/{name}"), b"note"));
        assert!(!is_copy(&name, b"other") && !is_copy("note", b"note") && !is_copy("12-", b"note"));
    }
}
