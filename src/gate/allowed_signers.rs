use std::fmt::Write as _;

use super::{NAMESPACE, Roster};

/// The roster as `ssh-keygen -Y verify` reads it (ALLOWED SIGNERS in ssh-keygen's manual): name, namespace, key.
/// Revoked people are left out.
pub fn allowed_signers(roster: &Roster<'_>) -> String {
    let mut text = String::new();
    for (name, key) in roster.keys() {
        let _ = writeln!(text, "{name} namespaces=\"{NAMESPACE}\" {}", key.line());
    }
    text
}
