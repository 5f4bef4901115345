//! AWS identities as issuers of credentials (`policies/credentials.yml`).

use serde::Deserialize;

/// An access key of an IAM user. The user has one key when all is done: any other is disabled and deleted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsIamUserPolicy {
    /// Name of the user.
    pub user: String,
}

/// All sessions of a role, ended by a policy on `aws:TokenIssueTime`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsRoleSessionsPolicy {
    /// ARN of the role.
    pub role_arn: String,
}
