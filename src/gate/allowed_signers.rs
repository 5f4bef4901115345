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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::key_line;
    use crate::policy::resume::ResumePolicy;

    #[test]
    fn each_key_has_a_line_with_its_purposes_and_times_and_the_revoked_have_none() {
        let (one, two, three) = (key_line(1), key_line(2), key_line(3));
        let text = format!(
            "version: 1\nthreshold: 1\napprovers:\n  - {{ name: alice, keys: [\"{one} a comment\"] }}\n  - {{ name: bob, keys: [\"{two}\"], valid_from: 2026-01-02T03:04:05Z, valid_until: 2027-01-02T03:04:05Z }}\n  - {{ name: carol, revoked: true, keys: [\"{three}\"] }}\n"
        );
        let policy: ResumePolicy = crate::policy::parse("resume.yml", &text).unwrap();
        let namespaces = "namespaces=\"portcullis-resume-v1,portcullis-break-glass-v1,portcullis-refuse-v1\"";
        assert_eq!(
            allowed_signers(&Roster::new(&policy).unwrap()),
            format!(
                "alice {namespaces} {one}\nbob {namespaces},valid-after=\"20260102030405Z\",valid-before=\"20270102030405Z\" {two}\n"
            )
        );
    }
}
