use super::Verdict;
use super::reach::{reaching_out, unusual};
use crate::domain::guard::{
    GUARD_FUNCTION, GUARD_TRIGGER, GUARD_TRUNCATE, POSTGRES_BODY, is_postgres_trigger, quote_identifier, sqlite_trigger,
};
use crate::domain::{DatabaseObject, Level};

/// Number of rules below.
pub(super) const COUNT: usize = 33;

/// Extensions through which files, hosts or commands are reached.
const REACHING: [&str; 10] = [
    "dblink",
    "file_fdw",
    "postgres_fdw",
    "pg_cron",
    "plpython3u",
    "plperlu",
    "plsh",
    "adminpack",
    "pg_read_server_files",
    "lo",
];

/// Settings that run a command or load code, with what they do.
const RUNNING: [(&str, &str); 7] = [
    ("archive_command", "runs a shell command at every WAL segment"),
    ("archive_library", "loads a library into the server"),
    ("restore_command", "runs a shell command while recovering"),
    ("shared_preload_libraries", "loads libraries into every process"),
    ("session_preload_libraries", "loads libraries into every session"),
    ("local_preload_libraries", "loads libraries into every session"),
    ("krb_server_keyfile", "names the file of keys that log-ins are checked with"),
];

/// Predefined roles that reach files and programs of the server.
const SERVER_ROLES: [&str; 3] = ["pg_execute_server_program", "pg_write_server_files", "pg_read_server_files"];

/// What could be persistence, and what is known to be harmless.
pub(super) fn judge(object: &DatabaseObject, dialect: &str) -> Option<Verdict> {
    match object.class.as_str() {
        "trigger" | "view" if dialect == "sqlite" => sqlite_object(object),
        "trigger" => postgres_trigger(object),
        "event_trigger" => verdict(
            "db-event-trigger",
            "Event trigger",
            Level::Critical,
            "runs at every DDL statement of anybody, superusers included",
            format!("DROP EVENT TRIGGER {}", quote_identifier(&object.name)),
        ),
        "function" => function(object),
        "rule" => verdict(
            "db-rule",
            "Rewrite rule",
            Level::High,
            "replaces statements on its table by others, unseen by the application",
            String::new(),
        ),
        "policy" => verdict(
            "db-row-policy",
            "Row security policy",
            Level::Low,
            "hides or shows rows by role; one that was altered hides an intruder's rows",
            String::new(),
        ),
        "role" => role(object),
        "membership" => membership(object),
        "role_setting" => role_setting(object),
        "setting" => setting(object),
        "extension" => extension(object),
        "default" | "check" | "index" => calling(object),
        "language" => verdict(
            "db-language",
            "Untrusted language",
            Level::High,
            "functions in it run as the server's operating-system user",
            format!("DROP LANGUAGE {} CASCADE", quote_identifier(&object.name)),
        ),
        "default_acl" => verdict(
            "db-default-rights",
            "Rights on objects to come",
            Level::Low,
            "whoever is named gets them on every new object",
            String::new(),
        ),
        "hba" => hba(object),
        "call" | "unusual" | "shadow" | "public_right" | "parameter_right" | "large_object" => unusual(object),
        _ => reaching_out(object),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the rules above are expressions of the same form")]
pub(super) fn verdict(
    rule: &'static str,
    title: &'static str,
    level: Level,
    how: &str,
    remove: String,
) -> Option<Verdict> {
    Some(Verdict { rule, title, level, how: how.to_owned(), remove })
}

fn sqlite_object(object: &DatabaseObject) -> Option<Verdict> {
    let (table, name) = object.name.split_once('.').unwrap_or(("", &object.name));
    if object.class == "view" {
        return verdict(
            "db-view",
            "View",
            Level::Informational,
            "shows other rows than its name says, if it was put in the place of a table",
            format!("DROP VIEW {}", quote_identifier(name)),
        );
    }
    let ours = ["INSERT", "UPDATE", "DELETE"].map(|statement| sqlite_trigger(table, statement));
    match ours.iter().find(|(known, _)| known == name) {
        Some((_, text)) if *text == object.definition => None,
        Some(_) => {
            verdict("db-guard-altered", "The guard was altered", Level::Critical, ALTERED, "portcullis install".into())
        }
        None => verdict(
            "db-trigger",
            "Trigger that is not expected",
            Level::High,
            "runs whenever its table is written, whoever writes",
            format!("DROP TRIGGER {}", quote_identifier(name)),
        ),
    }
}

const ALTERED: &str = "the pause does not hold as long as the guard is not what was installed";

fn postgres_trigger(object: &DatabaseObject) -> Option<Verdict> {
    let mut parts = object.name.rsplitn(2, '.');
    let (name, table) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let ours = [GUARD_TRIGGER, GUARD_TRUNCATE].contains(&name);
    if ours || object.definition.contains(&format!("EXECUTE FUNCTION {GUARD_FUNCTION}")) {
        let whole = object
            .definition
            .strip_prefix("enabled=A ")
            .and_then(|rest| rest.strip_suffix(&format!(" -- body: {POSTGRES_BODY}")))
            .is_some_and(|definition| is_postgres_trigger(name, definition));
        if whole {
            return None;
        }
        return verdict(
            "db-guard-altered",
            "The guard was altered",
            Level::Critical,
            ALTERED,
            "portcullis install".into(),
        );
    }
    let table: Vec<_> = table.split('.').map(quote_identifier).collect();
    let table = table.join(".");
    if object.definition.starts_with("enabled=D ") {
        return verdict(
            "db-disabled-trigger",
            "Trigger that was switched off",
            Level::High,
            "what it checked or recorded is no longer checked or recorded",
            format!("ALTER TABLE {table} ENABLE TRIGGER {}", quote_identifier(name)),
        );
    }
    verdict(
        "db-trigger",
        "Trigger that is not expected",
        Level::High,
        "runs whenever its table is written, whoever writes",
        format!("DROP TRIGGER {} ON {table}", quote_identifier(name)),
    )
}

fn function(object: &DatabaseObject) -> Option<Verdict> {
    if object.name == GUARD_FUNCTION {
        let whole = format!("language=plpgsql trusted=true security_definer=false config= body: {POSTGRES_BODY}");
        if object.definition == whole {
            return None;
        }
        return verdict(
            "db-guard-altered",
            "The guard was altered",
            Level::Critical,
            ALTERED,
            "portcullis install".into(),
        );
    }
    let remove = drop_function(&object.name);
    let head = object.definition.split(" body: ").next().unwrap_or_default();
    if head.contains("trusted=false") && !head.contains("language=internal") {
        return verdict(
            "db-untrusted-language",
            "Function in an untrusted language",
            Level::Critical,
            "runs as the server's operating-system user",
            remove,
        );
    }
    if head.contains("security_definer=true") {
        return verdict(
            "db-security-definer",
            "SECURITY DEFINER function",
            Level::High,
            "runs with its owner's rights for anybody who may call it",
            remove,
        );
    }
    let body = object.definition.to_ascii_lowercase();
    if body.contains("program") && body.contains("copy") {
        return verdict(
            "db-copy-program",
            "Function that starts a program",
            Level::Critical,
            "COPY ... PROGRAM starts a program on the server",
            remove,
        );
    }
    verdict(
        "db-function",
        "Function that is not expected",
        Level::Low,
        "a back end on Prisma has none; triggers and defaults can call it",
        remove,
    )
}

/// The statement for `schema.name(arguments)`; none for a name that could end it and begin another one: whoever pastes it would run that.
fn drop_function(name: &str) -> String {
    let parts =
        name.split_once('.').and_then(|(schema, rest)| Some((schema, rest.strip_suffix(')')?.split_once('(')?)));
    let Some((schema, (function, arguments))) = parts else { return String::new() };
    let harmless = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | ' ' | ',' | '.' | '[' | ']');
    if !arguments.chars().all(harmless) {
        return String::new();
    }
    format!("DROP FUNCTION {}.{}({arguments})", quote_identifier(schema), quote_identifier(function))
}

fn role(object: &DatabaseObject) -> Option<Verdict> {
    let has = |word: &str| object.definition.split(' ').any(|one| one == word);
    if has("bootstrap") || has("containment") {
        return None;
    }
    let remove =
        format!("ALTER ROLE {} NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS", quote_identifier(&object.name));
    if has("superuser") {
        return verdict(
            "db-superuser",
            "Superuser that is not expected",
            Level::Critical,
            "may do anything, on the server's files too",
            remove,
        );
    }
    if has("createrole") || has("replication") || has("bypassrls") {
        return verdict(
            "db-powerful-role",
            "Role with powers that an application does not need",
            Level::High,
            "may make roles, copy the whole database or look past row security",
            remove,
        );
    }
    None
}

fn membership(object: &DatabaseObject) -> Option<Verdict> {
    let (member, role) = object.name.split_once(" in ")?;
    let remove = format!("REVOKE {} FROM {}", quote_identifier(role), quote_identifier(member));
    if SERVER_ROLES.contains(&role) {
        return verdict(
            "db-server-role",
            "Member of a role that reaches the server",
            Level::Critical,
            "may start programs or read and write files as the server's operating-system user",
            remove,
        );
    }
    if object.definition.contains("of a superuser") {
        return verdict(
            "db-superuser",
            "Superuser that is not expected",
            Level::Critical,
            "may become a superuser by SET ROLE",
            remove,
        );
    }
    if ["pg_write_all_data", "pg_read_all_data"].contains(&role) {
        let writes = role == "pg_write_all_data";
        return verdict(
            "db-all-data",
            "Member of a role that reaches all tables",
            if writes { Level::High } else { Level::Low },
            if writes { "may write every table" } else { "may read every table; roles for backups may" },
            remove,
        );
    }
    (object.definition.contains("admin")).then_some(Verdict {
        rule: "db-admin-option",
        title: "Membership with admin option",
        level: Level::Medium,
        how: "may hand the role to others".into(),
        remove,
    })
}

fn role_setting(object: &DatabaseObject) -> Option<Verdict> {
    let words = object.definition.to_ascii_lowercase();
    let dangerous = ["session_preload", "local_preload", "search_path", "session_replication_role", "row_security"];
    let level = if dangerous.iter().any(|word| words.contains(word)) { Level::High } else { Level::Low };
    verdict(
        "db-role-setting",
        "Setting bound to a role",
        level,
        "takes effect at every log-in of the role",
        String::new(),
    )
}

fn setting(object: &DatabaseObject) -> Option<Verdict> {
    let value = object.definition.split(" (from ").next().unwrap_or_default();
    if let Some((_, how)) = RUNNING.iter().find(|(name, _)| *name == object.name) {
        let harmless =
            ["", "(disabled)"].contains(&value) || (object.name == "krb_server_keyfile" && value.starts_with("FILE:"));
        if harmless {
            return None;
        }
        return verdict(
            "db-running-setting",
            "Setting that runs code",
            Level::High,
            how,
            format!("ALTER SYSTEM RESET {}", object.name),
        );
    }
    if object.name == "session_replication_role" && value != "origin" {
        return verdict(
            "db-running-setting",
            "Setting that switches triggers off",
            Level::High,
            "triggers don't fire for such sessions",
            String::new(),
        );
    }
    object.definition.contains("postgresql.auto.conf").then(|| Verdict {
        rule: "db-altered-setting",
        title: "Setting changed by ALTER SYSTEM",
        level: Level::Low,
        how: "changed from within the database, it survives restarts".into(),
        remove: format!("ALTER SYSTEM RESET {}", object.name),
    })
}

fn extension(object: &DatabaseObject) -> Option<Verdict> {
    REACHING.contains(&object.name.as_str()).then(|| Verdict {
        rule: "db-extension",
        title: "Extension that reaches out of the database",
        level: Level::High,
        how: "reaches files, hosts or schedules from within SQL".into(),
        remove: format!("DROP EXTENSION {}", quote_identifier(&object.name)),
    })
}

/// Defaults and checks are expected to call what PostgreSQL itself ships.
fn calling(object: &DatabaseObject) -> Option<Verdict> {
    let words = object.definition.to_ascii_lowercase();
    let reaching =
        ["dblink", "lo_import", "lo_export", "pg_read_file", "pg_ls_dir", "set_config", "query_to_xml", "program"];
    reaching.iter().any(|word| words.contains(word)).then(|| Verdict {
        rule: "db-calling-expression",
        title: "Default or check that calls out",
        level: Level::High,
        how: "is evaluated whenever a row is written".into(),
        remove: String::new(),
    })
}

fn hba(object: &DatabaseObject) -> Option<Verdict> {
    let words: Vec<&str> = object.definition.split(' ').collect();
    let trusting = words.contains(&"trust");
    let local =
        words.first() == Some(&"local") || object.definition.contains("127.0.0.1") || object.definition.contains("::1");
    if !trusting {
        return None;
    }
    let (level, how) = if local {
        (Level::Medium, "anybody on this machine logs in as any role without a password")
    } else {
        (Level::Critical, "anybody who reaches the port logs in as any role without a password")
    };
    verdict("db-trust", "Log-in without a password", level, how, String::new())
}
