//! Calls of AWS for the rules that come with the program: what each must find, and what it must spare.

use std::collections::BTreeSet;

use super::shipped_tests::titles;
use crate::policy::shipped::SHIPPED;

/// The file's name, the title of a rule in it, calls that it must find and calls that it must spare. A call is a service, a name, its parameters in JSON
/// and, behind ` + `, other members.
const CALLS: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "aws-credentials-harvested",
        "Parameter store read from its root",
        &[r#"ssm GetParametersByPath {"path":"/","recursive":true,"withDecryption":true}"#],
        &[
            r#"ssm GetParametersByPath {"path":"/app/","recursive":true,"withDecryption":true}"#,
            r#"ssm GetParametersByPath {"path":"/","withDecryption":false}"#,
        ],
    ),
    (
        "aws-discovery",
        "Change of rights refused by AWS",
        &[
            r#"iam CreateAccessKey {"userName":"a"} + "errorCode":"AccessDenied""#,
            r#"cloudtrail StopLogging {"name":"t"} + "errorCode":"AccessDeniedException""#,
        ],
        &[
            r#"iam CreateAccessKey {"userName":"a"} + "errorCode":"LimitExceededException""#,
            r#"s3 ListBuckets {} + "errorCode":"AccessDenied""#,
        ],
    ),
    (
        "aws-identity-changed",
        "Identity provider or trust anchor made",
        &[
            r#"iam CreateSAMLProvider {"name":"x"}"#,
            r#"rolesanywhere CreateTrustAnchor {"name":"x","enabled":true}"#,
            "sso EnableExternalIdPConfigurationForDirectory {}",
        ],
        &[r#"iam CreateSAMLProvider {"name":"x"} + "errorCode":"AccessDenied""#, "iam GetSAMLProvider {}"],
    ),
    (
        "aws-identity-changed",
        "OpenID provider or profile of roles made",
        &[
            r#"iam CreateOpenIDConnectProvider {"url":"https://x.example"}"#,
            r#"rolesanywhere CreateProfile {"name":"x"}"#,
        ],
        &[r#"codeguru CreateProfile {"name":"x"}"#, "iam ListOpenIDConnectProviders {}"],
    ),
    (
        "aws-identity-changed",
        "Limit on rights or passwords taken away",
        &[r#"iam DeleteRolePermissionsBoundary {"roleName":"r"}"#, "iam DeleteAccountPasswordPolicy {}"],
        &[r#"iam PutRolePermissionsBoundary {"roleName":"r"}"#],
    ),
    (
        "aws-identity-changed",
        "Second factor or rules for passwords weakened",
        &[
            "iam DeleteVirtualMFADevice {}",
            r#"iam UpdateAccountPasswordPolicy {"minimumPasswordLength":7}"#,
            r#"cognito-idp UpdateUserPool {"mfaConfiguration":"OFF"}"#,
        ],
        &[
            r#"iam UpdateAccountPasswordPolicy {"minimumPasswordLength":8}"#,
            r#"cognito-idp UpdateUserPool {"mfaConfiguration":"ON"}"#,
            "iam EnableMFADevice {}",
        ],
    ),
    (
        "aws-identity-changed",
        "Way in made for an IAM user beside its keys",
        &[
            r#"iam CreateServiceSpecificCredential {"userName":"a"}"#,
            r#"iam UpdateAccessKey {"userName":"a","status":"Active"}"#,
        ],
        &[r#"iam UpdateAccessKey {"userName":"a","status":"Inactive"}"#],
    ),
    (
        "aws-identity-changed",
        "Account left its organization or lost its limits",
        &[
            r#"organizations LeaveOrganization null + "errorCode":"AccessDenied""#,
            "organizations LeaveOrganization null",
            r#"organizations DetachPolicy {"policyId":"p-x"}"#,
        ],
        &[r#"iam DeletePolicy {"policyArn":"x"}"#, "organizations DescribeOrganization null"],
    ),
    (
        "aws-identity-changed",
        "Rights of everybody given by the identity centre",
        &[
            r#"sso AttachManagedPolicyToPermissionSet {"managedPolicyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}"#,
        ],
        &[r#"sso AttachManagedPolicyToPermissionSet {"managedPolicyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}"#],
    ),
    (
        "aws-identity-changed",
        "Account given to a person in the identity centre",
        &[r#"sso CreateAccountAssignment {"principalType":"USER"}"#],
        &[r#"sso CreateAccountAssignment {"principalType":"GROUP"}"#],
    ),
    (
        "aws-compute-taken",
        "Commands sent to instances",
        &[
            r#"ssm SendCommand {"documentName":"AWS-RunShellScript","instanceIds":["i-1"]}"#,
            r#"ssm SendCommand {"documentName":"arn:aws:ssm:eu-central-1::document/AWS-RunPowerShellScript"}"#,
        ],
        &[
            r#"ssm SendCommand {"documentName":"AWS-RunPatchBaseline"}"#,
            r#"ssm SendCommand {"documentName":"AWS-RunShellScript"} + "userIdentity":{"invokedBy":"ssm.amazonaws.com"}"#,
        ],
    ),
    (
        "aws-compute-taken",
        "SSH key sent to a serial console, or for root",
        &[
            r#"ec2-instance-connect SendSerialConsoleSSHPublicKey {"instanceId":"i-1"}"#,
            r#"ec2-instance-connect SendSSHPublicKey {"instanceOSUser":"root"}"#,
        ],
        &[r#"ec2-instance-connect SendSSHPublicKey {"instanceOSUser":"ec2-user"}"#],
    ),
    (
        "aws-compute-taken",
        "User data of an instance rewritten",
        &[r#"ec2 ModifyInstanceAttribute {"instanceId":"i-1","userData":"<sensitiveDataRemoved>"}"#],
        &[r#"ec2 ModifyInstanceAttribute {"instanceId":"i-1","instanceType":{"value":"m6i.large"}}"#],
    ),
    (
        "aws-compute-taken",
        "Unusual instances asked for",
        &[
            r#"ec2 RunInstances {"instanceType":"p2.xlarge"} + "errorCode":"Client.UnauthorizedOperation""#,
            r#"ec2 RunInstances {"instanceType":"c6a.48xlarge"}"#,
            r#"ec2 RunInstances {"instanceType":"t3.micro"} + "errorCode":"Client.VcpuLimitExceeded""#,
        ],
        &[
            r#"ec2 RunInstances {"instanceType":"c6a.xlarge"}"#,
            r#"ec2 RunInstances {"instanceType":"g5.xlarge"} + "userIdentity":{"invokedBy":"autoscaling.amazonaws.com"}"#,
        ],
    ),
    (
        "aws-compute-taken",
        "Profile or metadata service of an instance changed",
        &[
            r#"ec2 AssociateIamInstanceProfile {"instanceId":"i-1"}"#,
            r#"ec2 ModifyInstanceMetadataOptions {"ModifyInstanceMetadataOptionsRequest":{"HttpTokens":"optional"}}"#,
        ],
        &[
            r#"ec2 ModifyInstanceMetadataOptions {"ModifyInstanceMetadataOptionsRequest":{"HttpTokens":"required"}}"#,
            "ec2 DescribeIamInstanceProfileAssociations {}",
        ],
    ),
    (
        "aws-compute-taken",
        "Key pair for instances made",
        &[r#"ec2 ImportKeyPair {"keyName":"x"}"#],
        &["ec2 DescribeKeyPairs {}"],
    ),
    (
        "aws-compute-taken",
        "Shell opened in a container",
        &[r#"ecs ExecuteCommand {"command":"/bin/sh"}"#],
        &["ecs RunTask {}", r#"ecs ExecuteCommand {"command":"/bin/sh"} + "errorCode":"AccessDenied""#],
    ),
    (
        "aws-compute-taken",
        "Workbench with the rights of a role opened",
        &[r#"glue CreateDevEndpoint {"roleArn":"x"}"#],
        &["glue GetDevEndpoints {}"],
    ),
    (
        "aws-compute-taken",
        "Access to a cluster widened",
        &[
            r#"eks AssociateAccessPolicy {"policyArn":"arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"}"#,
            r#"eks CreateAccessEntry {"principalArn":"arn:aws:iam::123456789012:user/x"}"#,
            r#"eks UpdateClusterConfig {"resourcesVpcConfig":{"publicAccessCidrs":["0.0.0.0/0"]}}"#,
            r#"eks UpdateClusterConfig {"logging":{"clusterLogging":[{"types":["audit"],"enabled":false}]}}"#,
        ],
        &[
            r#"eks CreateAccessEntry {"principalArn":"arn:aws:iam::123456789012:role/nodes"}"#,
            r#"eks UpdateClusterConfig {"logging":{"clusterLogging":[{"types":["audit"],"enabled":true}]}}"#,
        ],
    ),
    (
        "aws-function-changed",
        "Function opened to others",
        &[
            r#"lambda AddPermission20150331v2 {"principal":"*","action":"lambda:InvokeFunction"}"#,
            r#"lambda AddPermission20150331v2 {"principal":"123456789012"}"#,
            r#"lambda CreateFunctionUrlConfig {"authType":"NONE"}"#,
        ],
        &[
            r#"lambda AddPermission20150331v2 {"principal":"apigateway.amazonaws.com"}"#,
            r#"lambda AddPermission20150331v2 {"principal":"*","sourceArn":"arn:aws:s3:::b"}"#,
            r#"lambda CreateFunctionUrlConfig {"authType":"AWS_IAM"}"#,
        ],
    ),
    (
        "aws-function-changed",
        "Code of a function changed by hand",
        &[
            r#"lambda UpdateFunctionCode20150331v2 {"functionName":"f"} + "userAgent":"Boto3/1.34","userIdentity":{"type":"IAMUser"}"#,
            r#"lambda UpdateFunctionConfiguration20150331v2 {"layers":["x"]} + "userAgent":"x","userIdentity":{"type":"IAMUser"}"#,
        ],
        &[
            r#"lambda UpdateFunctionCode20150331v2 {"functionName":"f"} + "userAgent":"APN/1.0 HashiCorp/1.0 Terraform/1.9","userIdentity":{"type":"IAMUser"}"#,
            r#"lambda UpdateFunctionCode20150331v2 {"functionName":"f"} + "userAgent":"Boto3/1.34","userIdentity":{"type":"AssumedRole"}"#,
            r#"lambda UpdateFunctionConfiguration20150331v2 {"timeout":3} + "userAgent":"x","userIdentity":{"type":"IAMUser"}"#,
        ],
    ),
    (
        "aws-bucket-opened",
        "Bucket opened to everybody",
        &[
            r#"s3 PutBucketPolicy {"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}]}}"#,
            r#"s3 PutBucketPolicy {"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObject"}]}}"#,
            r#"s3 PutBucketAcl {"AccessControlPolicy":{"Grant":{"URI":"http://acs.amazonaws.com/groups/global/AllUsers"}}}"#,
            r#"s3 CreateBucket {"x-amz-acl":["public-read"]}"#,
        ],
        &[
            r#"s3 PutBucketPolicy {"bucketPolicy":{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*"}]}}"#,
            r#"s3 PutBucketPolicy {"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Condition":{"x":1}}]}}"#,
            r#"s3 PutBucketPolicy {"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"Service":"cloudfront.amazonaws.com"}}]}}"#,
            r#"s3 PutBucketAcl {"x-amz-acl":["private"]}"#,
        ],
    ),
    (
        "aws-bucket-opened",
        "Bucket given to another account",
        &[
            r#"s3 PutBucketPolicy {"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":["s3:GetObject"]}]}}"#,
            r#"s3 PutBucketReplication {"ReplicationConfiguration":{"Rule":{"Destination":{"Bucket":"b","Account":"123456789012"}}}}"#,
        ],
        &[
            r#"s3 PutBucketPolicy {"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"s3:PutObject"}]}}"#,
            r#"s3 PutBucketReplication {"ReplicationConfiguration":{"Rule":{"Destination":{"Bucket":"b"}}}}"#,
        ],
    ),
    (
        "aws-bucket-opened",
        "Protection of a bucket taken away",
        &[
            r#"s3 DeleteBucketPublicAccessBlock {"bucketName":"b"}"#,
            r#"s3 PutBucketPublicAccessBlock {"PublicAccessBlockConfiguration":{"BlockPublicAcls":false}}"#,
            r#"s3 PutBucketVersioning {"VersioningConfiguration":{"Status":"Suspended"}}"#,
            r#"s3 PutBucketLifecycle {"LifecycleConfiguration":{"Rule":{"Status":"Enabled","Filter":{"Prefix":""},"Expiration":{"Days":1}}}}"#,
        ],
        &[
            r#"s3 PutBucketPublicAccessBlock {"PublicAccessBlockConfiguration":{"BlockPublicAcls":true}}"#,
            r#"s3 DeleteBucketPublicAccessBlock {"bucketName":"b"} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"s3 PutBucketVersioning {"VersioningConfiguration":{"Status":"Enabled"}}"#,
            r#"s3 PutBucketLifecycle {"LifecycleConfiguration":{"Rule":{"Status":"Enabled","Filter":{"Prefix":"tmp/"},"Expiration":{"Days":1}}}}"#,
            r#"s3 PutBucketLifecycle {"LifecycleConfiguration":{"Rule":{"Status":"Enabled","Filter":{"Prefix":""},"Expiration":{"Days":2}}}}"#,
        ],
    ),
    (
        "aws-bucket-opened",
        "Bucket of the audit trail touched",
        &[
            r#"s3 PutBucketLifecycle {"bucketName":"our-trail","LifecycleConfiguration":{"Rule":{"Expiration":{"Days":7}}}}"#,
            r#"s3 DeleteBucket {"bucketName":"aws-cloudtrail-logs-1"}"#,
            r#"s3 PutBucketPolicy {"bucketName":"trail","bucketPolicy":{"Statement":[{"Effect":"Deny","Principal":{"Service":"cloudtrail.amazonaws.com"}}]}}"#,
        ],
        &[
            r#"s3 PutBucketLifecycle {"bucketName":"our-trail","LifecycleConfiguration":{"Rule":{"Expiration":{"Days":8}}}}"#,
            r#"s3 DeleteBucket {"bucketName":"assets"}"#,
            r#"s3 DeleteBucket {"bucketName":"audit-review"} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"s3 PutBucketPolicy {"bucketName":"trail","bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"}}]}}"#,
        ],
    ),
    (
        "aws-objects-destroyed",
        "Ransom note laid into a bucket",
        &[
            r#"s3 PutObject {"key":"FILES-DELETED.txt"}"#,
            r#"s3 PutObject {"key":"a/HOW_TO_RECOVER_DATA.html"}"#,
            r#"s3 PutObject {"key":"ransom-note.txt"}"#,
        ],
        &[
            r#"s3 PutObject {"key":"docs/restore.md"}"#,
            r#"s3 PutObject {"key":"files/2026/deleted.csv"}"#,
            r#"s3 GetObject {"key":"ransom-note.txt"}"#,
        ],
    ),
    (
        "aws-database-changed",
        "Database opened to the internet",
        &[r#"rds ModifyDBInstance {"publiclyAccessible":true}"#, r#"rds ModifyDBInstance {"backupRetentionPeriod":0}"#],
        &[
            r#"rds ModifyDBInstance {"publiclyAccessible":false}"#,
            r#"rds ModifyDBInstance {"backupRetentionPeriod":10}"#,
        ],
    ),
    (
        "aws-database-changed",
        "Database made with an address of the internet",
        &[r#"rds RestoreDBInstanceFromDBSnapshot {"publiclyAccessible":true}"#],
        &[r#"rds CreateDBInstance {"publiclyAccessible":false}"#],
    ),
    (
        "aws-database-changed",
        "Master password or protection of a database changed",
        &[
            r#"rds ModifyDBInstance {"masterUserPassword":"****"}"#,
            r#"rds ModifyDBCluster {"deletionProtection":false}"#,
        ],
        &[
            r#"rds ModifyDBInstance {"deletionProtection":true,"allocatedStorage":40}"#,
            r#"rds ModifyDBInstance {"deletionProtection":false} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
        ],
    ),
    (
        "aws-database-changed",
        "Database deleted without a copy",
        &[r#"rds DeleteDBInstance {"skipFinalSnapshot":true}"#],
        &[
            r#"rds DeleteDBInstance {"skipFinalSnapshot":false}"#,
            r#"rds DeleteDBInstance {"skipFinalSnapshot":true} + "sourceIPAddress":"cloudformation.amazonaws.com""#,
        ],
    ),
    (
        "aws-database-changed",
        "Snapshot of a database exported",
        &[r#"rds StartExportTask {"s3BucketName":"b"}"#],
        &["logs StartExportTask {}", "rds DescribeExportTasks {}"],
    ),
    (
        "aws-backups-destroyed",
        "Backups of the account destroyed",
        &[
            r#"backup DeleteBackupVault {"backupVaultName":"v"}"#,
            r#"backup DeleteRecoveryPoint {"backupVaultName":"v"}"#,
            r#"dynamodb UpdateContinuousBackups {"pointInTimeRecoverySpecification":{"pointInTimeRecoveryEnabled":false}}"#,
        ],
        &[
            r#"backup DeleteRecoveryPoint {} + "userIdentity":{"type":"AWSService","invokedBy":"backup.amazonaws.com"}"#,
            "backup ListBackupVaults {}",
            r#"backup DeleteBackupVault {} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"dynamodb UpdateContinuousBackups {"pointInTimeRecoverySpecification":{"pointInTimeRecoveryEnabled":true}}"#,
        ],
    ),
    (
        "aws-backups-destroyed",
        "Secret deleted without a way back",
        &[r#"secretsmanager DeleteSecret {"secretId":"a","forceDeleteWithoutRecovery":true}"#],
        &[
            r#"secretsmanager DeleteSecret {"secretId":"a","recoveryWindowInDays":30}"#,
            r#"secretsmanager DeleteSecret {"secretId":"a","forceDeleteWithoutRecovery":true} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
        ],
    ),
    (
        "aws-backups-destroyed",
        "Data, logs or keys taken down by a plan",
        &[
            r#"secretsmanager DeleteSecret {"forceDeleteWithoutRecovery":true} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"rds DeleteDBInstance {"skipFinalSnapshot":true} + "sourceIPAddress":"cloudformation.amazonaws.com""#,
            r#"logs DeleteLogGroup {} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"cloudtrail UpdateTrail {"s3BucketName":"b"} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"rds ModifyDBInstance {"deletionProtection":false} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"route53 DeleteHostedZone {"id":"Z"} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
        ],
        &[
            r#"secretsmanager DeleteSecret {"recoveryWindowInDays":7} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"logs DeleteLogGroup {} + "userAgent":"Boto3/1.34""#,
            r#"rds ModifyDBInstance {"allocatedStorage":100} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"cloudtrail UpdateTrail {"isMultiRegionTrail":true} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
        ],
    ),
    (
        "aws-resource-shared",
        "Secret, key or store opened to others",
        &[
            r#"secretsmanager PutResourcePolicy {"resourcePolicy":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\"}}]}"}"#,
            r#"kms PutKeyPolicy {"policy":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"}}]}"}"#,
            r#"ecr SetRepositoryPolicy {"policyText":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\"}]}"}"#,
            r#"sqs SetQueueAttributes {"attributes":{"Policy":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\"}]}"}}"#,
        ],
        &[
            r#"sqs SetQueueAttributes {"attributes":{"Policy":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Condition\":{}}]}"}}"#,
            r#"kms PutKeyPolicy {"policy":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\"}}]}"}"#,
            r#"secretsmanager PutResourcePolicy {"resourcePolicy":"{\"Statement\":[{\"Effect\":\"Deny\",\"Principal\":\"*\"}]}"}"#,
        ],
    ),
    (
        "aws-resource-shared",
        "Key or topic given to another account",
        &[
            r#"kms CreateGrant {"granteePrincipal":"arn:aws:iam::123456789012:root"}"#,
            r#"sns AddPermission {"aWSAccountIds":["123456789012"]}"#,
            r#"ssm ModifyDocumentPermission {"accountIdsToAdd":["all"]}"#,
            r#"ec2 CreateVpcPeeringConnection {"peerOwnerId":"123456789012"}"#,
            r#"ecr PutReplicationConfiguration {"rules":[{"destinations":[{"registryId":"123456789012"}]}]}"#,
            r#"elasticache CopySnapshot {"targetBucket":"b"}"#,
            r#"acm ExportCertificate {"certificateArn":"x"}"#,
        ],
        &[
            r#"kms CreateGrant {"granteePrincipal":"arn:aws:iam::123456789012:role/r"}"#,
            r#"ec2 CreateVpcPeeringConnection {"peerVpcId":"vpc-2"}"#,
            r#"elasticache CopySnapshot {"targetSnapshotName":"s"}"#,
        ],
    ),
    (
        "aws-network-changed",
        "Traffic of instances copied",
        &["ec2 CreateTrafficMirrorSession {}"],
        &["ec2 DescribeTrafficMirrorSessions {}"],
    ),
    (
        "aws-network-changed",
        "Network opened to every address",
        &[
            r#"ec2 CreateNetworkAclEntry {"egress":false,"ruleAction":"allow","cidrBlock":"0.0.0.0/0","aclProtocol":"-1"}"#,
        ],
        &[
            r#"ec2 CreateNetworkAclEntry {"egress":true,"ruleAction":"allow","cidrBlock":"0.0.0.0/0","aclProtocol":"-1"}"#,
            r#"ec2 CreateNetworkAclEntry {"egress":false,"ruleAction":"allow","cidrBlock":"0.0.0.0/0","aclProtocol":"6"}"#,
        ],
    ),
    (
        "aws-network-changed",
        "Domain given away or unlocked",
        &[r#"route53domains DisableDomainTransferLock {"domainName":"x.example"}"#],
        &[r#"route53domains EnableDomainTransferLock {"domainName":"x.example"}"#],
    ),
    (
        "aws-network-changed",
        "Zone of names deleted",
        &[r#"route53 DeleteHostedZone {"id":"Z"}"#],
        &[
            r#"route53 DeleteHostedZone {"id":"Z"} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
            r#"route53 GetHostedZone {"id":"Z"}"#,
        ],
    ),
    (
        "aws-service-abused",
        "Models asked for that the account did not use",
        &["bedrock PutUseCaseForModelAccess null", "bedrock DeleteModelInvocationLoggingConfiguration null"],
        &[r#"bedrock InvokeModel {"modelId":"m"}"#],
    ),
    (
        "aws-service-abused",
        "Sending of mail or messages widened",
        &[
            r#"ses UpdateAccountSendingEnabled {"enabled":true}"#,
            r#"sns SetSMSAttributes {"attributes":{"MonthlySpendLimit":"500"}}"#,
        ],
        &[r#"sns SetSMSAttributes {"attributes":{"DefaultSenderID":"x"}}"#, "ses SendEmail {}"],
    ),
    (
        "aws-service-abused",
        "Region or limit of the account widened",
        &[r#"account EnableRegion {"regionName":"ap-east-1"}"#],
        &["account ListRegions {}"],
    ),
    (
        "aws-service-abused",
        "More of a service asked for",
        &[r#"servicequotas RequestServiceQuotaIncrease {"desiredValue":1000}"#],
        &["servicequotas GetServiceQuota {}"],
    ),
    (
        "aws-service-abused",
        "User of the application raised by AWS",
        &[
            r#"cognito-idp AdminAddUserToGroup {"groupName":"admins"}"#,
            r#"cognito-idp AdminSetUserPassword {"username":"a"}"#,
        ],
        &[r#"cognito-idp AdminAddUserToGroup {"groupName":"traders"}"#],
    ),
];

/// Rules of before that were made to tell what is usual from what is not, in the same form.
const CHANGED: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "iam-rights-widened",
        "IAM rights widened",
        &[
            r#"iam AttachUserPolicy {"policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}"#,
            r#"iam AttachRolePolicy {"policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}"#,
            r#"iam PutGroupPolicy {"policyDocument":"{\"Statement\":[{\"Action\":[\"s3:GetObject\",\"iam:*\"],\"Resource\":\"*\"}]}"}"#,
            r#"iam CreatePolicyVersion {"policyDocument":"{\"Statement\":[{\"Action\":\"*\",\"Resource\":[\"*\"]}]}"}"#,
            r#"iam CreatePolicy {"policyDocument":"{\"Statement\":[{\"Resource\":\"*\",\"Effect\":\"Allow\",\"Action\":\"iam:*\"}]}"}"#,
            r#"iam UpdateAssumeRolePolicy {"policyDocument":"{\n \"Statement\":[{\"Principal\": {\n\"AWS\": \"arn:aws:iam::123456789012:root\"}}]}"}"#,
            r#"iam CreateRole {"assumeRolePolicyDocument":"{\"Statement\":[{\"Principal\":{\"AWS\":[\"123456789012\"]}}]}"}"#,
        ],
        &[
            r#"iam AttachRolePolicy {"policyArn":"arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"}"#,
            r#"iam PutRolePolicy {"policyDocument":"{\"Statement\":[{\"Action\":[\"s3:GetObject\"],\"Resource\":\"*\"}]}"}"#,
            r#"iam PutRolePolicy {"policyDocument":"{\"Statement\":[{\"Action\":\"iam:PassRole\",\"Resource\":\"arn:aws:iam::1:role/r\"},{\"Action\":\"ecs:*\",\"Resource\":\"*\"}]}"}"#,
            r#"iam UpdateAssumeRolePolicy {"policyDocument":"{\"Statement\":[{\"Principal\":{\"Service\":\"ecs-tasks.amazonaws.com\"}}]}"}"#,
            r#"iam CreateRole {"assumeRolePolicyDocument":"{\"Statement\":[{\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\"},\"Condition\":{\"StringEquals\":{\"sts:ExternalId\":\"x\"}}}]}"}"#,
        ],
    ),
    (
        "iam-rights-widened",
        "IAM rights changed",
        &[r#"iam PutRolePolicy {"policyDocument":"{}"} + "userAgent":"Boto3/1.34""#],
        &[r#"iam PutRolePolicy {"policyDocument":"{}"} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#],
    ),
    (
        "secrets-mass-read",
        "Secrets read in bulk",
        &[r#"secretsmanager BatchGetSecretValue {"filters":[{"key":"tag-key"}]}"#],
        &[r#"secretsmanager BatchGetSecretValue {"secretIdList":["a","b"]}"#],
    ),
    (
        "secrets-mass-read",
        "Secret read with the key of a person",
        &[
            r#"secretsmanager GetSecretValue {"secretId":"a"} + "userAgent":"aws-cli/2.17","userIdentity":{"type":"IAMUser"}"#,
        ],
        &[
            r#"secretsmanager GetSecretValue {"secretId":"a"} + "userAgent":"Boto3/1.34","userIdentity":{"type":"AssumedRole"}"#,
            r#"secretsmanager GetSecretValue {"secretId":"a"} + "userAgent":"aws-sdk-js/3","userIdentity":{"type":"IAMUser"}"#,
        ],
    ),
    (
        "cloudtrail-stopped",
        "CloudTrail logging stopped",
        &[
            "cloudtrail DeleteEventDataStore {}",
            r#"cloudtrail UpdateTrail {"isMultiRegionTrail":false}"#,
            r#"cloudtrail PutEventSelectors {"eventSelectors":[{"readWriteType":"ReadOnly","includeManagementEvents":false}]}"#,
            r#"cloudtrail PutEventSelectors {"advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Data"]}]}]}"#,
        ],
        &[
            r#"cloudtrail UpdateTrail {"isMultiRegionTrail":true}"#,
            r#"cloudtrail PutEventSelectors {"eventSelectors":[{"readWriteType":"All","includeManagementEvents":true}]}"#,
            r#"cloudtrail PutEventSelectors {"advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]}]}]}"#,
        ],
    ),
    (
        "cloudtrail-stopped",
        "CloudTrail changed",
        &[r#"cloudtrail UpdateTrail {"s3BucketName":"b"} + "userAgent":"Boto3/1.34""#],
        &[r#"cloudtrail UpdateTrail {"s3BucketName":"b"} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#],
    ),
    (
        "kms-key-disabled",
        "Encryption key disabled or deleted",
        &[r#"kms ScheduleKeyDeletion {"pendingWindowInDays":7}"#, r#"kms DisableKey {"keyId":"k"}"#],
        &[
            r#"kms ScheduleKeyDeletion {"pendingWindowInDays":30}"#,
            r#"kms ScheduleKeyDeletion {"pendingWindowInDays":7} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
        ],
    ),
    (
        "kms-key-disabled",
        "Encryption key to be deleted in a month",
        &[r#"kms ScheduleKeyDeletion {"pendingWindowInDays":30}"#],
        &[r#"kms ScheduleKeyDeletion {"pendingWindowInDays":29}"#],
    ),
    (
        "security-group-opened",
        "Security group opened to the world",
        &[
            r#"ec2 AuthorizeSecurityGroupIngress {"ipPermissions":{"items":[{"fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}"#,
            r#"ec2 AuthorizeSecurityGroupIngress {"ipPermissions":{"items":[{"fromPort":443,"toPort":443},{"fromPort":5432,"toPort":5432,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}"#,
            r#"ec2 AuthorizeSecurityGroupIngress {"ipPermissions":{"items":[{"fromPort":0,"toPort":443,"ipv6Ranges":{"items":[{"cidrIpv6":"::/0"}]}}]}}"#,
            r#"ec2 AuthorizeSecurityGroupIngress {"cidrIp":"192.0.2.7/0","fromPort":22,"toPort":22}"#,
        ],
        &[
            r#"ec2 AuthorizeSecurityGroupIngress {"ipPermissions":{"items":[{"fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}"#,
            r#"ec2 AuthorizeSecurityGroupIngress {"ipPermissions":{"items":[{"fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"192.0.2.7/32"}]}}]}}"#,
        ],
    ),
    (
        "snapshot-shared",
        "Snapshot or image shared",
        &[
            r#"redshift AuthorizeSnapshotAccess {"accountWithRestoreAccess":"123456789012"}"#,
            r#"ec2 ModifyImageAttribute {"launchPermission":{"add":{"items":[{"group":"all"}]}}}"#,
        ],
        &[r#"ec2 ModifyImageAttribute {"launchPermission":{"remove":{"items":[{"group":"all"}]}}}"#],
    ),
    (
        "sts-session-made",
        "Session token made from a long-lived key",
        &[r#"sts GetSessionToken {"durationSeconds":900}"#, r#"sts GetFederationToken {"name":"x"}"#],
        &[r#"sts GetSessionToken {"serialNumber":"arn:aws:iam::1:mfa/a"}"#],
    ),
    (
        "aws-logs-off",
        "AWS logs or detection switched off",
        &[
            r#"guardduty UpdateDetector {"enable":false}"#,
            "securityhub BatchDisableStandards {}",
            "logs DeleteLogGroup {}",
        ],
        &[
            r#"guardduty UpdateDetector {"enable":true}"#,
            r#"ec2 DeleteFlowLogs {} + "errorCode":"AccessDenied""#,
            r#"logs DeleteLogGroup {} + "userAgent":"x HashiCorp/1.0 Terraform/1.9""#,
        ],
    ),
    (
        "aws-logs-off",
        "Watch over the account narrowed",
        &[
            r#"guardduty CreateIPSet {"activate":true}"#,
            r#"guardduty CreateFilter {"action":"ARCHIVE"}"#,
            "wafv2 DeleteWebACL {}",
            "inspector2 Disable {}",
            "ec2 DisableSnapshotBlockPublicAccess {}",
            r#"logs PutRetentionPolicy {"retentionInDays":3}"#,
            r#"events DisableRule {"name":"guardduty-to-siem"}"#,
            r#"monitoring DeleteAlarms {"alarmNames":["root"]}"#,
        ],
        &[
            r#"guardduty CreateFilter {"action":"NOOP"}"#,
            r#"logs PutRetentionPolicy {"retentionInDays":5}"#,
            r#"events DisableRule {"name":"nightly"}"#,
            "inspector2 Enable {}",
            r#"monitoring DeleteAlarms {} + "userIdentity":{"invokedBy":"autoscaling.amazonaws.com"}"#,
        ],
    ),
    (
        "iam-access-key-created",
        "IAM access key created",
        &[r#"iam CreateAccessKey {"userName":"admin"} + "userIdentity":{"userName":"eve"}"#],
        &[r#"iam CreateAccessKey {"userName":"eve"} + "userIdentity":{"userName":"eve"}"#],
    ),
    (
        "iam-access-key-created",
        "IAM user made an own access key",
        &[r#"iam CreateAccessKey {"userName":"eve"} + "userIdentity":{"userName":"eve"}"#],
        &[r#"iam CreateAccessKey {"userName":"admin"} + "userIdentity":{"userName":"eve"}"#],
    ),
];

/// Rules that count: the file's name, the title, how many calls make it, the call with `%` for its number, and what in it may not be so (and by what).
const COUNTED: &[(&str, &str, usize, &str, &str, &str)] = &[
    (
        "aws-credentials-harvested",
        "Passwords of many instances asked for",
        5,
        r#"ec2 GetPasswordData {"instanceId":"i-%"}"#,
        "i-%",
        "i-1",
    ),
    (
        "aws-credentials-harvested",
        "User data of many instances asked for",
        5,
        r#"ec2 DescribeInstanceAttribute {"instanceId":"i-%","attribute":"userData"}"#,
        "userData",
        "instanceType",
    ),
    (
        "aws-credentials-harvested",
        "Credentials of an instance used from two addresses",
        2,
        r#"sts GetCallerIdentity null + "sourceIPAddress":"192.0.2.%","userIdentity":{"principalId":"AROA:i-0123456789abcdef0","arn":"arn:aws:sts::1:assumed-role/r/i-0123456789abcdef0"}"#,
        "192.0.2.%",
        "10.0.2.%",
    ),
    (
        "aws-discovery",
        "Account searched",
        6,
        r#"iam LOOK% {} + "userIdentity":{"type":"IAMUser","accessKeyId":"A"}"#,
        "IAMUser",
        "AssumedRole",
    ),
    (
        "aws-discovery",
        "Many different calls refused by AWS",
        8,
        r#"ec2 Describe% {} + "errorCode":"Client.UnauthorizedOperation","userIdentity":{"accessKeyId":"A"}"#,
        "Client.UnauthorizedOperation",
        "Client.InvalidParameter",
    ),
    (
        "aws-compute-taken",
        "Sessions on several instances begun",
        3,
        r#"ssm StartSession {"target":"i-%"}"#,
        "i-%",
        "i-1",
    ),
    (
        "aws-compute-taken",
        "SSH keys sent to several instances",
        3,
        r#"ec2-instance-connect SendSSHPublicKey {"instanceId":"i-%"}"#,
        "i-%",
        "i-1",
    ),
    (
        "aws-compute-taken",
        "Snapshot read block by block",
        20,
        r#"ebs GetSnapshotBlock {"blockIndex":%}"#,
        "GetSnapshotBlock",
        "PutSnapshotBlock",
    ),
    (
        "aws-objects-destroyed",
        "Many objects deleted",
        40,
        r#"s3 DeleteObject {"bucketName":"b","key":"%"}"#,
        "\"b\"",
        "\"b%\"",
    ),
    (
        "aws-objects-destroyed",
        "Versions of many objects deleted",
        20,
        r#"s3 DeleteObject {"bucketName":"b","key":"%","versionId":"v"}"#,
        "versionId",
        "x",
    ),
    (
        "aws-objects-destroyed",
        "Lists of objects deleted",
        10,
        r#"s3 DeleteObjects {"bucketName":"b"}"#,
        "DeleteObjects",
        "ListObjects",
    ),
    (
        "aws-objects-destroyed",
        "Many objects encrypted with a key from outside",
        10,
        r#"s3 CopyObject {"bucketName":"b","x-amz-server-side-encryption-customer-algorithm":"AES256"}"#,
        "encryption-customer-algorithm",
        "encryption",
    ),
    (
        "aws-backups-destroyed",
        "Many snapshots deleted",
        8,
        r#"ec2 DeleteSnapshot {"snapshotId":"snap-%"} + "sourceIPAddress":"192.0.2.7""#,
        "192.0.2.7",
        "backup.amazonaws.com",
    ),
    (
        "aws-backups-destroyed",
        "Instances ended again and again",
        3,
        r#"ec2 TerminateInstances {"x":%} + "userAgent":"Boto3""#,
        "Boto3",
        "karpenter.sh-1.0",
    ),
    (
        "aws-service-abused",
        "Limits of sending looked up by a key of a person",
        2,
        r#"ses MAIL% null + "userIdentity":{"type":"IAMUser","accessKeyId":"A"}"#,
        "IAMUser",
        "AssumedRole",
    ),
    (
        "aws-attack-tool",
        "Tool for attacks used on the account",
        1,
        r#"iam ListUsers null + "userAgent":"aws-cli/2 Linux/6.6-kali-amd64""#,
        "-kali",
        "-debian",
    ),
    (
        "console-login-guessing",
        "Passwords of the console guessed",
        10,
        r#"signin ConsoleLogin null + "sourceIPAddress":"192.0.2.7","responseElements":{"ConsoleLogin":"Failure"}"#,
        "Failure",
        "Success",
    ),
    (
        "secrets-mass-read",
        "Many secrets asked for and refused",
        5,
        r#"secretsmanager GetSecretValue {"secretId":"s%"} + "errorCode":"AccessDenied""#,
        "s%",
        "s1",
    ),
];

/// Different calls of one kind.
const LOOKS: [&str; 6] = ["ListUsers", "ListRoles", "ListGroups", "ListSecrets", "ListBuckets", "GetCallerIdentity"];
const MAILS: [&str; 2] = ["GetSendQuota", "ListIdentities"];

/// One event of CloudTrail, `n` seconds after one o'clock.
fn event(call: &str, n: usize) -> String {
    let mut call = call.replace('%', &n.to_string());
    for (word, names) in [("LOOK", &LOOKS[..]), ("MAIL", &MAILS[..])] {
        call = call.replace(&format!("{word}{n}"), names.get(n).unwrap_or(&"x"));
    }
    let (call, more) = call.split_once(" + ").map_or((call.as_str(), String::new()), |(a, b)| (a, format!(",{b}")));
    let mut words = call.splitn(3, ' ');
    let (source, name, parameters) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    format!(
        "{{\"eventTime\":\"2026-11-24T01:{:02}:{:02}Z\",\"eventSource\":\"{source}.amazonaws.com\",\"eventName\":\"{name}\",\"requestParameters\":{parameters}{more}}}\n",
        n / 60,
        n % 60
    )
}

#[test]
fn calls_of_an_intruder_are_found_and_those_of_everyday_are_spared() {
    let mut wrong = Vec::new();
    for (file, title, yes, no) in CALLS.iter().chain(CHANGED) {
        let found = |call: &str| titles(file, &event(call, 0)).iter().any(|found| found == title);
        wrong.extend(yes.iter().filter(|call| !found(call)).map(|call| format!("{title} misses {call}")));
        wrong.extend(no.iter().filter(|call| found(call)).map(|call| format!("{title} finds {call}")));
    }
    assert_eq!(wrong, [] as [&str; 0]);
}

#[test]
fn calls_that_count_are_found_by_their_number() {
    let mut wrong = Vec::new();
    for (file, title, count, call, part, other) in COUNTED {
        let log = |call: &str, count: usize| (0..count).map(|n| event(call, n)).collect::<String>();
        let found = |log: &str| titles(file, log).iter().any(|found| found == title);
        let cases = [
            (log(call, *count), true),
            (log(call, count - 1), false),
            (log(&call.replacen(part, other, 1), *count), false),
        ];
        wrong.extend(
            cases.into_iter().filter(|(log, want)| found(log) != *want).map(|(log, _)| format!("{title}: {log}")),
        );
    }
    assert_eq!(wrong, [] as [&str; 0]);
}

#[test]
fn parameters_read_by_who_listed_them_are_found() {
    let title = "Parameters listed and read in the clear";
    let read = event(r#"ssm GetParameters {"names":["/a"],"withDecryption":true}"#, 9);
    let found = |listed: &str| titles("aws-credentials-harvested", &(event(listed, 1) + &read)).contains(&title.into());
    assert!(found(r#"ssm DescribeParameters {"maxResults":50}"#));
    assert!(!found(r#"ssm DescribeParameters {"parameterFilters":[{"key":"Name","values":["/a"]}]}"#));
    assert!(!found(r#"ssm GetParameters {"names":["/b"],"withDecryption":true}"#));
}

/// Every rule in the files about AWS that says something by itself is in one of the tables.
#[test]
fn no_rule_about_aws_is_without_its_calls() {
    let tested: BTreeSet<&str> = CALLS
        .iter()
        .chain(CHANGED)
        .map(|case| case.1)
        .chain(COUNTED.iter().map(|case| case.1))
        .chain(["Parameters listed and read in the clear"])
        .collect();
    let files: BTreeSet<&str> =
        CALLS.iter().chain(CHANGED).map(|case| case.0).chain(COUNTED.iter().map(|case| case.0)).collect();
    let mut untested = Vec::new();
    for (path, text) in SHIPPED {
        let name = path.trim_start_matches("logs/").trim_end_matches(".yml");
        for rule in text.split("---\n").filter(|_| files.contains(name)) {
            let title = rule.lines().find_map(|line| line.strip_prefix("title: ")).unwrap();
            if !rule.contains("level: informational") && !tested.contains(title) {
                untested.push(title);
            }
        }
    }
    assert_eq!(untested, [] as [&str; 0]);
}
