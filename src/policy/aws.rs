//! AWS identities as issuers of credentials (`policies/credentials.yml`).

use std::time::Duration;

use serde::Deserialize;

/// An access key of an IAM user. The user has one key when all is done: any other is disabled and deleted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsIamUserPolicy {
    /// Name of the user.
    pub user: String,
    /// Whether this program itself signs with this key: it is then rotated after everything else, and never killed before
    /// its successor works.
    #[serde(default)]
    pub own: bool,
    /// Seconds that a change takes to reach all of AWS (default 6): for so long a new key may be refused, and for so long
    /// the old one must be.
    #[serde(default = "default_settle")]
    pub settle_s: u64,
}

/// All sessions of a role, ended by a policy on `aws:TokenIssueTime`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsRoleSessionsPolicy {
    /// ARN of the role.
    pub role_arn: String,
    /// What a session is asked to do to show whether it lives: something that the role may do.
    #[serde(default)]
    pub probe_action: ProbeAction,
    /// Seconds that a change takes to reach all of AWS (default 6).
    #[serde(default = "default_settle")]
    pub settle_s: u64,
}

/// A harmless request that a policy can deny. `sts:GetCallerIdentity` is none: it is answered despite any deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeAction {
    /// `secretsmanager:ListSecrets`.
    #[default]
    ListSecrets,
    /// `iam:ListAccountAliases`.
    ListAccountAliases,
}

/// Longest `settle_s`: within it a verification ends before its step's time is up.
pub(super) const LONGEST_SETTLE: u64 = 10;

fn default_settle() -> u64 {
    6
}

impl AwsIamUserPolicy {
    /// How long a change takes to be seen everywhere.
    pub fn propagation(&self) -> Duration {
        Duration::from_secs(self.settle_s)
    }
}

impl AwsRoleSessionsPolicy {
    /// How long a change takes to be seen everywhere.
    pub fn propagation(&self) -> Duration {
        Duration::from_secs(self.settle_s)
    }

    /// The role's name: what follows the last slash of its ARN, since a role may have a path.
    pub fn role_name(&self) -> &str {
        self.role_arn.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn is_role(&self) -> bool {
        let parts: Vec<&str> = self.role_arn.splitn(6, ':').collect();
        matches!(parts.as_slice(), ["arn", _, "iam", _, _, resource]
            if resource.starts_with("role/") && !self.role_name().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(arn: &str) -> AwsRoleSessionsPolicy {
        AwsRoleSessionsPolicy { role_arn: arn.into(), probe_action: ProbeAction::default(), settle_s: 6 }
    }

    #[test]
    fn a_role_is_known_by_the_end_of_its_path() {
        assert_eq!(role("arn:aws:iam::123456789012:role/app/desk/trader").role_name(), "trader");
        assert!(role("arn:aws-cn:iam::123456789012:role/trader").is_role());
        for arn in ["trader", "arn:aws:iam::123456789012:user/trader", "arn:aws:iam::1:role/", "arn:aws:sts::1:role/t"]
        {
            assert!(!role(arn).is_role(), "{arn}");
        }
    }
}
