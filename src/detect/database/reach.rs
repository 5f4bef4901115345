//! Rules over what reaches out of a database, runs by itself, or has no use for a back end.

use super::Verdict;
use super::rules::verdict;
use crate::domain::guard::quote_identifier;
use crate::domain::{DatabaseObject, Level};

/// What PostgreSQL has and a back end on Prisma has no use for.
pub(super) fn unusual(object: &DatabaseObject) -> Option<Verdict> {
    match object.class.as_str() {
        "call" => verdict(
            "db-function-called",
            "Function that runs unasked",
            Level::High,
            "the function runs whenever rows are written or read, an index is used or values are compared, as whoever does that",
            String::new(),
        ),
        "unusual" => verdict(
            "db-unusual-object",
            "Object of a kind that is not expected",
            Level::Medium,
            &object.definition,
            String::new(),
        ),
        "shadow" => verdict(
            "db-shadow",
            "Named like a part of PostgreSQL itself",
            Level::High,
            "is taken for the system's own, where its arguments fit better or its schema is searched first",
            String::new(),
        ),
        "public_right" => verdict(
            "db-public-right",
            "Everybody may write",
            Level::Medium,
            "any role that may log in changes the table",
            format!(
                "REVOKE ALL ON {} FROM PUBLIC",
                object.name.split('.').map(quote_identifier).collect::<Vec<_>>().join(".")
            ),
        ),
        "parameter_right" => verdict(
            "db-parameter-right",
            "Right on a setting of superusers",
            Level::High,
            "whoever has it sets what only superusers may, libraries to load among it",
            String::new(),
        ),
        _ => verdict(
            "db-large-object",
            "Large objects",
            Level::Medium,
            "hold any bytes beside all tables, and can be written out as files of the server",
            String::new(),
        ),
    }
}

/// Objects that reach out of this database, or run by themselves.
pub(super) fn reaching_out(object: &DatabaseObject) -> Option<Verdict> {
    match object.class.as_str() {
        "foreign_table" => verdict(
            "db-foreign-table",
            "Foreign table",
            Level::High,
            "reads or writes another host or a file under the name of a table",
            String::new(),
        ),
        "replication_slot" => verdict(
            "db-replication-slot",
            "Replication slot",
            Level::Medium,
            "keeps every change for whoever connects to it, and fills the disk until then",
            format!("SELECT pg_drop_replication_slot('{}')", object.name.replace('\'', "''")),
        ),
        "foreign_server" => verdict(
            "db-foreign-server",
            "Foreign server",
            Level::High,
            "lets queries read from or write to another host or to files",
            format!("DROP SERVER {} CASCADE", quote_identifier(&object.name)),
        ),
        "user_mapping" => verdict(
            "db-user-mapping",
            "User mapping",
            Level::Medium,
            "holds a password for another server",
            String::new(),
        ),
        "cron_job" => verdict(
            "db-cron-job",
            "Scheduled job",
            Level::High,
            "runs SQL again and again without a session of its maker",
            String::new(),
        ),
        "publication" => verdict(
            "db-publication",
            "Publication",
            Level::Medium,
            "sends changes of its tables to whoever subscribes",
            format!("DROP PUBLICATION {}", quote_identifier(&object.name)),
        ),
        "subscription" => verdict(
            "db-subscription",
            "Subscription",
            Level::High,
            "writes rows of another server into tables here",
            format!("DROP SUBSCRIPTION {}", quote_identifier(&object.name)),
        ),
        "table" => verdict(
            "db-virtual-table",
            "Virtual table",
            Level::Medium,
            "runs code of a module when it is read",
            String::new(),
        ),
        _ => None,
    }
}
