//! The policies that come with the program: what `init` writes and the drill starts from.

/// Path below the policies folder and text, in path order.
pub const SHIPPED: &[(&str, &str)] = &[
    ("contacts.yml", include_str!("../../policies/contacts.yml")),
    ("credentials.yml", include_str!("../../policies/credentials.yml")),
    ("logs/admin-endpoint.yml", include_str!("../../policies/logs/admin-endpoint.yml")),
    ("logs/admin-page-probe.yml", include_str!("../../policies/logs/admin-page-probe.yml")),
    ("logs/api-key-made.yml", include_str!("../../policies/logs/api-key-made.yml")),
    ("logs/authorized-keys-changed.yml", include_str!("../../policies/logs/authorized-keys-changed.yml")),
    ("logs/aws-logs-off.yml", include_str!("../../policies/logs/aws-logs-off.yml")),
    ("logs/aws-root-used.yml", include_str!("../../policies/logs/aws-root-used.yml")),
    ("logs/brute-force-then-login.yml", include_str!("../../policies/logs/brute-force-then-login.yml")),
    ("logs/cloudtrail-stopped.yml", include_str!("../../policies/logs/cloudtrail-stopped.yml")),
    ("logs/code-injection-probe.yml", include_str!("../../policies/logs/code-injection-probe.yml")),
    ("logs/console-login-without-mfa.yml", include_str!("../../policies/logs/console-login-without-mfa.yml")),
    ("logs/cron-changed.yml", include_str!("../../policies/logs/cron-changed.yml")),
    ("logs/cross-site-scripting-probe.yml", include_str!("../../policies/logs/cross-site-scripting-probe.yml")),
    ("logs/database-data-destroyed.yml", include_str!("../../policies/logs/database-data-destroyed.yml")),
    ("logs/database-defences-off.yml", include_str!("../../policies/logs/database-defences-off.yml")),
    ("logs/database-injection.yml", include_str!("../../policies/logs/database-injection.yml")),
    ("logs/database-injection-error.yml", include_str!("../../policies/logs/database-injection-error.yml")),
    ("logs/database-keys-read.yml", include_str!("../../policies/logs/database-keys-read.yml")),
    ("logs/database-log-changed.yml", include_str!("../../policies/logs/database-log-changed.yml")),
    ("logs/database-password-guessing.yml", include_str!("../../policies/logs/database-password-guessing.yml")),
    ("logs/database-persistence.yml", include_str!("../../policies/logs/database-persistence.yml")),
    ("logs/database-program-run.yml", include_str!("../../policies/logs/database-program-run.yml")),
    ("logs/database-ransom.yml", include_str!("../../policies/logs/database-ransom.yml")),
    ("logs/database-secrets-read.yml", include_str!("../../policies/logs/database-secrets-read.yml")),
    ("logs/database-superuser.yml", include_str!("../../policies/logs/database-superuser.yml")),
    ("logs/database-tampering.yml", include_str!("../../policies/logs/database-tampering.yml")),
    ("logs/header-content-probe.yml", include_str!("../../policies/logs/header-content-probe.yml")),
    ("logs/header-injection-probe.yml", include_str!("../../policies/logs/header-injection-probe.yml")),
    ("logs/iam-access-key-created.yml", include_str!("../../policies/logs/iam-access-key-created.yml")),
    ("logs/iam-console-access-made.yml", include_str!("../../policies/logs/iam-console-access-made.yml")),
    ("logs/iam-rights-widened.yml", include_str!("../../policies/logs/iam-rights-widened.yml")),
    ("logs/internal-address-asked-for.yml", include_str!("../../policies/logs/internal-address-asked-for.yml")),
    ("logs/kms-key-disabled.yml", include_str!("../../policies/logs/kms-key-disabled.yml")),
    ("logs/leaked-key-trade.yml", include_str!("../../policies/logs/leaked-key-trade.yml")),
    ("logs/logs-cut.yml", include_str!("../../policies/logs/logs-cut.yml")),
    ("logs/logs-silent.yml", include_str!("../../policies/logs/logs-silent.yml")),
    ("logs/lookup-injection-probe.yml", include_str!("../../policies/logs/lookup-injection-probe.yml")),
    ("logs/mass-export.yml", include_str!("../../policies/logs/mass-export.yml")),
    ("logs/metadata-service-asked-for.yml", include_str!("../../policies/logs/metadata-service-asked-for.yml")),
    ("logs/object-injection-probe.yml", include_str!("../../policies/logs/object-injection-probe.yml")),
    ("logs/open-redirect-probe.yml", include_str!("../../policies/logs/open-redirect-probe.yml")),
    ("logs/password-spraying.yml", include_str!("../../policies/logs/password-spraying.yml")),
    ("logs/path-traversal-probe.yml", include_str!("../../policies/logs/path-traversal-probe.yml")),
    ("logs/pause-flag-changed.yml", include_str!("../../policies/logs/pause-flag-changed.yml")),
    ("logs/pause-guard-touched.yml", include_str!("../../policies/logs/pause-guard-touched.yml")),
    ("logs/placeholders.yml", include_str!("../../policies/logs/placeholders.yml")),
    ("logs/remote-file-probe.yml", include_str!("../../policies/logs/remote-file-probe.yml")),
    ("logs/request-encoded-twice.yml", include_str!("../../policies/logs/request-encoded-twice.yml")),
    ("logs/revoked-key-used.yml", include_str!("../../policies/logs/revoked-key-used.yml")),
    ("logs/scanner-user-agent.yml", include_str!("../../policies/logs/scanner-user-agent.yml")),
    ("logs/secrets-mass-read.yml", include_str!("../../policies/logs/secrets-mass-read.yml")),
    ("logs/secrets-swept.yml", include_str!("../../policies/logs/secrets-swept.yml")),
    ("logs/security-group-opened.yml", include_str!("../../policies/logs/security-group-opened.yml")),
    ("logs/sensitive-file-probe.yml", include_str!("../../policies/logs/sensitive-file-probe.yml")),
    ("logs/snapshot-shared.yml", include_str!("../../policies/logs/snapshot-shared.yml")),
    ("logs/sources.yml", include_str!("../../policies/logs/sources.yml")),
    ("logs/sql-injection-probe.yml", include_str!("../../policies/logs/sql-injection-probe.yml")),
    ("logs/ssh-account.yml", include_str!("../../policies/logs/ssh-account.yml")),
    ("logs/ssh-brute-force.yml", include_str!("../../policies/logs/ssh-brute-force.yml")),
    ("logs/ssh-forwarding.yml", include_str!("../../policies/logs/ssh-forwarding.yml")),
    ("logs/ssh-root-password.yml", include_str!("../../policies/logs/ssh-root-password.yml")),
    ("logs/ssh-scan.yml", include_str!("../../policies/logs/ssh-scan.yml")),
    ("logs/sts-session-made.yml", include_str!("../../policies/logs/sts-session-made.yml")),
    ("logs/sudo-command.yml", include_str!("../../policies/logs/sudo-command.yml")),
    ("logs/sudo-root-shell.yml", include_str!("../../policies/logs/sudo-root-shell.yml")),
    ("logs/user-from-many-addresses.yml", include_str!("../../policies/logs/user-from-many-addresses.yml")),
    ("logs/user-made-on-host.yml", include_str!("../../policies/logs/user-made-on-host.yml")),
    ("logs/user-role-raised.yml", include_str!("../../policies/logs/user-role-raised.yml")),
    ("logs/web-enumeration.yml", include_str!("../../policies/logs/web-enumeration.yml")),
    ("logs/web-login-guessing.yml", include_str!("../../policies/logs/web-login-guessing.yml")),
    ("logs/web-method-odd.yml", include_str!("../../policies/logs/web-method-odd.yml")),
    ("logs/web-scan.yml", include_str!("../../policies/logs/web-scan.yml")),
    ("logs/webshell-probe.yml", include_str!("../../policies/logs/webshell-probe.yml")),
    ("logs/webshell.yml", include_str!("../../policies/logs/webshell.yml")),
    ("logs/withdrawal-address-changed.yml", include_str!("../../policies/logs/withdrawal-address-changed.yml")),
    ("monitoring.yml", include_str!("../../policies/monitoring.yml")),
    ("pause.yml", include_str!("../../policies/pause.yml")),
    ("recovery.yml", include_str!("../../policies/recovery.yml")),
    ("resume.yml", include_str!("../../policies/resume.yml")),
    ("trades/account-before-it-was-made.yml", include_str!("../../policies/trades/account-before-it-was-made.yml")),
    ("trades/after-its-order.yml", include_str!("../../policies/trades/after-its-order.yml")),
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
    ("trades/filled-otherwise.yml", include_str!("../../policies/trades/filled-otherwise.yml")),
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
    ("trades/negative-quantity.yml", include_str!("../../policies/trades/negative-quantity.yml")),
    ("trades/new-address.yml", include_str!("../../policies/trades/new-address.yml")),
    ("trades/new-destination.yml", include_str!("../../policies/trades/new-destination.yml")),
    ("trades/new-instrument.yml", include_str!("../../policies/trades/new-instrument.yml")),
    ("trades/no-fill.yml", include_str!("../../policies/trades/no-fill.yml")),
    ("trades/no-log-line.yml", include_str!("../../policies/trades/no-log-line.yml")),
    ("trades/off-hours.yml", include_str!("../../policies/trades/off-hours.yml")),
    ("trades/off-market.yml", include_str!("../../policies/trades/off-market.yml")),
    ("trades/order-mismatch.yml", include_str!("../../policies/trades/order-mismatch.yml")),
    ("trades/order-still-waits.yml", include_str!("../../policies/trades/order-still-waits.yml")),
    ("trades/orphan.yml", include_str!("../../policies/trades/orphan.yml")),
    ("trades/over-daily-limit.yml", include_str!("../../policies/trades/over-daily-limit.yml")),
    ("trades/over-limit.yml", include_str!("../../policies/trades/over-limit.yml")),
    ("trades/over-position-limit.yml", include_str!("../../policies/trades/over-position-limit.yml")),
    ("trades/overfilled-order.yml", include_str!("../../policies/trades/overfilled-order.yml")),
    ("trades/quantity-outlier.yml", include_str!("../../policies/trades/quantity-outlier.yml")),
    ("trades/refused-order.yml", include_str!("../../policies/trades/refused-order.yml")),
    ("trades/revoked-key.yml", include_str!("../../policies/trades/revoked-key.yml")),
    ("trades/round-trips.yml", include_str!("../../policies/trades/round-trips.yml")),
    ("trades/same-reference.yml", include_str!("../../policies/trades/same-reference.yml")),
    ("trades/self-dealing.yml", include_str!("../../policies/trades/self-dealing.yml")),
    ("trades/unknown-account.yml", include_str!("../../policies/trades/unknown-account.yml")),
    ("trades/unknown-key.yml", include_str!("../../policies/trades/unknown-key.yml")),
    ("trades/value-does-not-fit.yml", include_str!("../../policies/trades/value-does-not-fit.yml")),
    ("trades/value-outlier.yml", include_str!("../../policies/trades/value-outlier.yml")),
    ("trades/wash.yml", include_str!("../../policies/trades/wash.yml")),
    ("trades/wash-within-a-minute.yml", include_str!("../../policies/trades/wash-within-a-minute.yml")),
    ("trades/while-paused.yml", include_str!("../../policies/trades/while-paused.yml")),
    ("trades/written-late.yml", include_str!("../../policies/trades/written-late.yml")),
];

/// An example of a list of indicators: path below the policies folder and text. It is not read from there.
pub const INDICATORS_EXAMPLE: (&str, &str) = ("indicators/EXAMPLE", include_str!("../../policies/indicators/EXAMPLE"));

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
