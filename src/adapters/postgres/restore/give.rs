//! Owners and rights of a restored database: as the dump says, as far as they exist here and owned something before.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use super::super::{code, fault};
use super::load::{Loaded, single};
use crate::domain::guard::quote_identifier;
use crate::ports::Fault;

/// What the old database says of owners and rights.
#[derive(Debug, Default, Clone)]
pub(super) struct Old {
    /// Owner of the database.
    pub owner: Option<String>,
    /// Every role that owns something in it.
    pub owners: BTreeSet<String>,
    /// Statements that give rights on the database itself: `{}` stands for its name.
    pub rights: Vec<String>,
    /// What the pause took away, as statements' values: schema, table, column, grantee, grantor, privilege, grantable.
    pub withheld: Vec<(String, String, String, String, String, String, bool)>,
}

const OWNERS: &str = "\
SELECT DISTINCT pg_catalog.pg_get_userbyid(o.owner)::text FROM (
  SELECT relowner AS owner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') AND n.nspname NOT LIKE 'pg\\_%'
  UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION SELECT datdba FROM pg_catalog.pg_database WHERE datname = current_database()) o";

const DATABASE_RIGHTS: &str = "\
SELECT 'GRANT ' || a.privilege_type || ' ON DATABASE {} TO ' || CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
FROM pg_catalog.pg_database d, LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
WHERE d.datname = current_database() AND a.grantee <> d.datdba";

/// Reads the old database, while it can be read.
pub(super) async fn old(connection: &mut PgConnection) -> Result<Old, Fault> {
    let failed = |error: sqlx::Error| fault("failed to read owners and rights of the old database", &error);
    let owner: String = sqlx::query_scalar(
        "SELECT pg_get_userbyid(datdba)::text FROM pg_catalog.pg_database WHERE datname = current_database()",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let owners: Vec<String> = sqlx::query_scalar(OWNERS).fetch_all(&mut *connection).await.map_err(failed)?;
    let rights: Vec<String> = sqlx::query_scalar(DATABASE_RIGHTS).fetch_all(&mut *connection).await.map_err(failed)?;
    let there: bool = sqlx::query_scalar("SELECT to_regclass('portcullis.withheld') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let withheld = if there {
        sqlx::query_as("SELECT schema_name, table_name, column_name, grantee, grantor, privilege, grantable FROM portcullis.withheld")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?
    } else {
        Vec::new()
    };
    Ok(Old { owner: Some(owner), owners: owners.into_iter().collect(), rights, withheld })
}

/// Gives what was loaded to its owners, and the rights back. Returns words about what could not be.
pub(super) async fn give(
    admin: &mut PgConnection,
    role: Option<&str>,
    (loaded, old): (&Loaded, &Old),
    database: &str,
) -> Result<Vec<String>, Fault> {
    let failed = |error: sqlx::Error| fault("failed to give the restored tables to their owners", &error);
    let mut words = Vec::new();
    if let Some(role) = role {
        let me: String =
            sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *admin).await.map_err(failed)?;
        let heir = quote_identifier(old.owner.as_ref().unwrap_or(&me));
        let sql = format!("REASSIGN OWNED BY {} TO {heir}", quote_identifier(role));
        admin.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
    }
    let known: Vec<String> = if old.owners.is_empty() {
        let all = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE NOT rolsuper AND rolname NOT LIKE 'pg\\_%'";
        sqlx::query_scalar(all).fetch_all(&mut *admin).await.map_err(failed)?
    } else {
        old.owners.iter().cloned().collect()
    };
    let mut unknown = BTreeSet::new();
    for (text, owner) in &loaded.owners {
        // A role that owned nothing before is given nothing: it may be the intruder's.
        if !known.contains(owner) || single(admin, text).await.is_err() {
            unknown.insert(owner.clone());
        }
    }
    if !unknown.is_empty() {
        let list: Vec<_> = unknown.into_iter().collect();
        words.push(format!("not made owners again: {}", list.join(", ")));
    }
    let mut lost = 0;
    for text in &loaded.rights {
        match single(admin, text).await {
            Ok(()) => {}
            Err(error) if matches!(code(&error).as_deref(), Some("42704" | "42501" | "3F000" | "42P01")) => lost += 1,
            Err(error) => return Err(fault("failed to give rights back", &error)),
        }
    }
    if lost > 0 {
        words.push(format!("{lost} rights could not be given back (unknown roles or objects)"));
    }
    if old.owner.is_some() {
        let name = quote_identifier(database);
        let mut sql = format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC;");
        for right in &old.rights {
            sql.push_str(&right.replace("{}", &name));
            sql.push(';');
        }
        admin.execute(AssertSqlSafe(sql)).await.map_err(failed)?;
    }
    Ok(words)
}
