use std::fmt::Write as _;

use super::{Purpose, Roster};
use crate::domain::Timestamp;

/// The roster as `ssh-keygen -Y verify` reads it (ALLOWED SIGNERS in ssh-keygen's manual): name, namespaces, validity, key.
/// Revoked people are left out.
pub fn allowed_signers(roster: &Roster<'_>) -> String {
    let namespaces = Purpose::ALL.map(Purpose::namespace).join(",");
    let mut text = String::new();
    for (person, key) in roster.keys() {
        let _ = write!(text, "{} namespaces=\"{namespaces}\"", person.name);
        for (option, moment) in [("valid-after", person.valid_from), ("valid-before", person.valid_until)] {
            if let Some(moment) = moment {
                let _ = write!(text, ",{option}=\"{}\"", stamp(moment));
            }
        }
        let _ = writeln!(text, " {}", key.line());
    }
    text
}

/// A moment as OpenSSH reads it. `Z` is understood since OpenSSH 9.1; without it the local zone would be meant.
fn stamp(moment: Timestamp) -> String {
    moment.strftime("%Y%m%d%H%M%SZ").to_string()
}
