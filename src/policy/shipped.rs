//! The policies that come with the program: what `init` writes and the drill starts from.

/// Path below the policies folder and text, in path order.
pub const SHIPPED: &[(&str, &str)] = &[
    ("contacts.yml", include_str!("../../policies/contacts.yml")),
    ("credentials.yml", include_str!("../../policies/credentials.yml")),
    ("logs/admin-endpoint.yml", include_str!("../../policies/logs/admin-endpoint.yml")),
    ("logs/cloudtrail-stopped.yml", include_str!("../../policies/logs/cloudtrail-stopped.yml")),
    ("logs/database-persistence.yml", include_str!("../../policies/logs/database-persistence.yml")),
    ("logs/iam-access-key-created.yml", include_str!("../../policies/logs/iam-access-key-created.yml")),
    ("logs/leaked-key-trade.yml", include_str!("../../policies/logs/leaked-key-trade.yml")),
    ("logs/path-traversal-probe.yml", include_str!("../../policies/logs/path-traversal-probe.yml")),
    ("logs/pause-flag-changed.yml", include_str!("../../policies/logs/pause-flag-changed.yml")),
    ("logs/revoked-key-used.yml", include_str!("../../policies/logs/revoked-key-used.yml")),
    ("logs/secrets-mass-read.yml", include_str!("../../policies/logs/secrets-mass-read.yml")),
    ("logs/sql-injection-probe.yml", include_str!("../../policies/logs/sql-injection-probe.yml")),
    ("logs/ssh-root-password.yml", include_str!("../../policies/logs/ssh-root-password.yml")),
    ("logs/sudo-root-shell.yml", include_str!("../../policies/logs/sudo-root-shell.yml")),
    ("monitoring.yml", include_str!("../../policies/monitoring.yml")),
    ("pause.yml", include_str!("../../policies/pause.yml")),
    ("recovery.yml", include_str!("../../policies/recovery.yml")),
    ("resume.yml", include_str!("../../policies/resume.yml")),
    ("trades/burst.yml", include_str!("../../policies/trades/burst.yml")),
    ("trades/deleted-rows.yml", include_str!("../../policies/trades/deleted-rows.yml")),
    ("trades/edited-after.yml", include_str!("../../policies/trades/edited-after.yml")),
    ("trades/off-market.yml", include_str!("../../policies/trades/off-market.yml")),
    ("trades/over-limit.yml", include_str!("../../policies/trades/over-limit.yml")),
    ("trades/revoked-key.yml", include_str!("../../policies/trades/revoked-key.yml")),
    ("trades/unknown-key.yml", include_str!("../../policies/trades/unknown-key.yml")),
    ("trades/while-paused.yml", include_str!("../../policies/trades/while-paused.yml")),
];

/// `.env.example`.
pub const ENV_EXAMPLE: &str = include_str!("../../.env.example");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::policy::Policies;

    #[test]
    fn every_file_of_the_folder_is_shipped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let on_disk = crate::adapters::policy_files::read(&folder).unwrap();
        let shipped: BTreeMap<_, _> = SHIPPED.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        assert_eq!(on_disk, shipped);
    }

    #[test]
    fn the_shipped_policies_are_readable() {
        let texts = SHIPPED.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        let policies = Policies::from_texts(texts).unwrap();
        assert_eq!(policies.resume.threshold, 2);
    }
}
