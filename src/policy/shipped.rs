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
    ("logs/placeholders.yml", include_str!("../../policies/logs/placeholders.yml")),
    ("logs/revoked-key-used.yml", include_str!("../../policies/logs/revoked-key-used.yml")),
    ("logs/secrets-mass-read.yml", include_str!("../../policies/logs/secrets-mass-read.yml")),
    ("logs/sources.yml", include_str!("../../policies/logs/sources.yml")),
    ("logs/sql-injection-probe.yml", include_str!("../../policies/logs/sql-injection-probe.yml")),
    ("logs/ssh-root-password.yml", include_str!("../../policies/logs/ssh-root-password.yml")),
    ("logs/sudo-root-shell.yml", include_str!("../../policies/logs/sudo-root-shell.yml")),
    ("monitoring.yml", include_str!("../../policies/monitoring.yml")),
    ("pause.yml", include_str!("../../policies/pause.yml")),
    ("recovery.yml", include_str!("../../policies/recovery.yml")),
    ("resume.yml", include_str!("../../policies/resume.yml")),
    ("trades/account-before-it-was-made.yml", include_str!("../../policies/trades/account-before-it-was-made.yml")),
    ("trades/back-dated.yml", include_str!("../../policies/trades/back-dated.yml")),
    ("trades/before-its-order.yml", include_str!("../../policies/trades/before-its-order.yml")),
    ("trades/burst.yml", include_str!("../../policies/trades/burst.yml")),
    ("trades/burst-of-account.yml", include_str!("../../policies/trades/burst-of-account.yml")),
    ("trades/closed-account.yml", include_str!("../../policies/trades/closed-account.yml")),
    ("trades/deleted-rows.yml", include_str!("../../policies/trades/deleted-rows.yml")),
    ("trades/dormant-account.yml", include_str!("../../policies/trades/dormant-account.yml")),
    ("trades/duplicate.yml", include_str!("../../policies/trades/duplicate.yml")),
    ("trades/during-intrusion.yml", include_str!("../../policies/trades/during-intrusion.yml")),
    ("trades/edited-after.yml", include_str!("../../policies/trades/edited-after.yml")),
    ("trades/edited-silently.yml", include_str!("../../policies/trades/edited-silently.yml")),
    ("trades/executed-without-time.yml", include_str!("../../policies/trades/executed-without-time.yml")),
    ("trades/expired-key.yml", include_str!("../../policies/trades/expired-key.yml")),
    ("trades/fill-differs.yml", include_str!("../../policies/trades/fill-differs.yml")),
    ("trades/fill-without-row.yml", include_str!("../../policies/trades/fill-without-row.yml")),
    ("trades/first-use.yml", include_str!("../../policies/trades/first-use.yml")),
    ("trades/future-time.yml", include_str!("../../policies/trades/future-time.yml")),
    ("trades/impossible-number.yml", include_str!("../../policies/trades/impossible-number.yml")),
    ("trades/impossible-time.yml", include_str!("../../policies/trades/impossible-time.yml")),
    ("trades/key-before-it-was-made.yml", include_str!("../../policies/trades/key-before-it-was-made.yml")),
    ("trades/key-from-another-address.yml", include_str!("../../policies/trades/key-from-another-address.yml")),
    ("trades/key-of-another-account.yml", include_str!("../../policies/trades/key-of-another-account.yml")),
    ("trades/key-out-of-scope.yml", include_str!("../../policies/trades/key-out-of-scope.yml")),
    ("trades/log-line-differs.yml", include_str!("../../policies/trades/log-line-differs.yml")),
    ("trades/log-line-without-row.yml", include_str!("../../policies/trades/log-line-without-row.yml")),
    ("trades/new-address.yml", include_str!("../../policies/trades/new-address.yml")),
    ("trades/new-destination.yml", include_str!("../../policies/trades/new-destination.yml")),
    ("trades/new-instrument.yml", include_str!("../../policies/trades/new-instrument.yml")),
    ("trades/no-fill.yml", include_str!("../../policies/trades/no-fill.yml")),
    ("trades/no-log-line.yml", include_str!("../../policies/trades/no-log-line.yml")),
    ("trades/off-hours.yml", include_str!("../../policies/trades/off-hours.yml")),
    ("trades/off-market.yml", include_str!("../../policies/trades/off-market.yml")),
    ("trades/order-mismatch.yml", include_str!("../../policies/trades/order-mismatch.yml")),
    ("trades/orphan.yml", include_str!("../../policies/trades/orphan.yml")),
    ("trades/over-daily-limit.yml", include_str!("../../policies/trades/over-daily-limit.yml")),
    ("trades/over-limit.yml", include_str!("../../policies/trades/over-limit.yml")),
    ("trades/over-position-limit.yml", include_str!("../../policies/trades/over-position-limit.yml")),
    ("trades/overfilled-order.yml", include_str!("../../policies/trades/overfilled-order.yml")),
    ("trades/quantity-outlier.yml", include_str!("../../policies/trades/quantity-outlier.yml")),
    ("trades/refused-order.yml", include_str!("../../policies/trades/refused-order.yml")),
    ("trades/revoked-key.yml", include_str!("../../policies/trades/revoked-key.yml")),
    ("trades/round-trips.yml", include_str!("../../policies/trades/round-trips.yml")),
    ("trades/self-dealing.yml", include_str!("../../policies/trades/self-dealing.yml")),
    ("trades/unknown-account.yml", include_str!("../../policies/trades/unknown-account.yml")),
    ("trades/unknown-key.yml", include_str!("../../policies/trades/unknown-key.yml")),
    ("trades/value-does-not-fit.yml", include_str!("../../policies/trades/value-does-not-fit.yml")),
    ("trades/value-outlier.yml", include_str!("../../policies/trades/value-outlier.yml")),
    ("trades/wash.yml", include_str!("../../policies/trades/wash.yml")),
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
