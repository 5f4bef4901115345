//! The rights that a pause takes away and `release` gives back: exactly those, by their grantors, with their grant options.

use std::collections::BTreeSet;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, Row as _};

use super::super::{code, fault, qualified};
use super::put::objects_sql;
use super::tree::TREE;
use crate::domain::guard::quote_identifier;
use crate::policy::pause::{GuardPolicy, Statement};
use crate::ports::{Fault, TableName};

/// How often a change of rights is tried that somebody else's change of the same table got in the way of.
const TRIES: u32 = 3;

/// How many times what is left is looked at: rights that a role outside the pause handed on need a look each.
const DEPTH: u32 = 4;

/// One right on one table or column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub table: TableName,
    /// Empty for the whole table.
    pub column: String,
    /// Empty for PUBLIC.
    pub grantee: String,
    pub grantor: String,
    pub privilege: String,
    pub grantable: bool,
}

impl Right {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            table: TableName { schema: row.try_get("schema_name")?, name: row.try_get("table_name")? },
            column: row.try_get("column_name")?,
            grantee: row.try_get("grantee")?,
            grantor: row.try_get("grantor")?,
            privilege: row.try_get("privilege")?,
            grantable: row.try_get("grantable")?,
        })
    }

    /// `INSERT` or `INSERT ("symbol")`.
    fn what(&self) -> String {
        if self.column.is_empty() {
            return self.privilege.clone();
        }
        format!("{} ({})", self.privilege, quote_identifier(&self.column))
    }

    fn to(&self) -> String {
        if self.grantee.is_empty() { "PUBLIC".into() } else { quote_identifier(&self.grantee) }
    }

    fn revoke(&self) -> String {
        format!("REVOKE {} ON {} FROM {} CASCADE;", self.what(), qualified(&self.table), self.to())
    }

    fn grant(&self) -> String {
        let option = if self.grantable { " WITH GRANT OPTION" } else { "" };
        format!("GRANT {} ON {} TO {}{option};", self.what(), qualified(&self.table), self.to())
    }

    /// As the role that gave it: a right that somebody handed on stays one that they handed on.
    fn by_grantor(&self, sql: &str) -> String {
        format!("SET LOCAL ROLE {}; {sql} RESET ROLE;", quote_identifier(&self.grantor))
    }

    /// For people: `INSERT of "app"`.
    fn words(&self) -> String {
        format!("{} of {}", self.what(), if self.grantee.is_empty() { "PUBLIC" } else { &self.grantee })
    }
}

/// Privileges that the pause takes away: what `block` names, and TRUNCATE.
pub(super) fn privileges(policy: &GuardPolicy) -> Vec<&'static str> {
    let words = policy.block.iter().map(|statement| match statement {
        Statement::Insert => "INSERT",
        Statement::Update => "UPDATE",
        Statement::Delete => "DELETE",
    });
    words.chain(["TRUNCATE"]).collect()
}

/// What is granted now. Left out: the guard's owner, superusers (whom no right binds), and UPDATE of the table's owner, with which
/// foreign keys of other tables lock the rows that they refer to.
fn granted_sql() -> String {
    let wanted = "a.privilege_type = ANY($2) AND ge.rolsuper IS NOT TRUE AND NOT (a.grantee = c.relowner AND a.privilege_type = 'UPDATE') \
         AND a.grantee IS DISTINCT FROM (SELECT relowner FROM pg_catalog.pg_class WHERE oid = to_regclass('portcullis.guard'))";
    let columns = "coalesce(ge.rolname, '')::text AS grantee, gr.rolname::text AS grantor, a.privilege_type AS privilege, a.is_grantable AS grantable, \
         a.grantor = c.relowner AS by_owner, pg_has_role(a.grantor, 'MEMBER') AS may";
    let roles =
        "LEFT JOIN pg_catalog.pg_roles ge ON ge.oid = a.grantee JOIN pg_catalog.pg_roles gr ON gr.oid = a.grantor";
    let class = "FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
    let names = "n.nspname::text AS schema_name, c.relname::text AS table_name";
    format!(
        "{TREE} SELECT {names}, '' AS column_name, {columns} {class} \
         CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a {roles} WHERE {wanted} \
         UNION ALL SELECT {names}, t.attname::text, {columns} {class} \
         JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped AND t.attacl IS NOT NULL CROSS JOIN LATERAL aclexplode(t.attacl) a {roles} WHERE {wanted}"
    )
}

/// What can be taken away, in order, and what can't since this role could not give it back.
struct Granted {
    take: Vec<(Right, bool)>,
    leave: Vec<Right>,
}

async fn granted(
    connection: &mut PgConnection,
    table: &TableName,
    policy: &GuardPolicy,
) -> Result<Granted, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(granted_sql()))
        .bind(qualified(table))
        .bind(privileges(policy))
        .fetch_all(connection)
        .await?;
    let mut all = Vec::new();
    // Rights that someone handed on in whose name this role can't speak: the whole chain stays.
    let mut chained = BTreeSet::new();
    for row in &rows {
        let (right, by_owner, may): (_, bool, bool) =
            (Right::read(row)?, row.try_get("by_owner")?, row.try_get("may")?);
        if !may {
            chained.insert((right.table.clone(), right.privilege.clone()));
        }
        all.push((right, by_owner));
    }
    let (leave, take): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(right, _)| chained.contains(&(right.table.clone(), right.privilege.clone())));
    Ok(Granted { take, leave: leave.into_iter().map(|(right, _)| right).collect() })
}

fn literal(text: &str) -> String {
    // A backslash means itself in this form whatever the session's settings are.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Remembers and revokes. A right that is remembered already stays remembered with its grant option.
fn take_sql(take: &[(Right, bool)]) -> String {
    let mut sql = String::new();
    for (right, _) in take {
        let texts =
            [&right.table.schema, &right.table.name, &right.column, &right.grantee, &right.grantor, &right.privilege];
        let texts: Vec<_> = texts.iter().map(|text| literal(text)).collect();
        sql.push_str(&format!(
            "INSERT INTO portcullis.withheld (schema_name, table_name, column_name, grantee, grantor, privilege, grantable) VALUES ({}, {}) \
             ON CONFLICT (schema_name, table_name, column_name, grantee, grantor, privilege) DO UPDATE SET grantable = withheld.grantable OR excluded.grantable;",
            texts.join(", "),
            right.grantable
        ));
    }
    // Roots only: what was handed on goes with them, and a grantor who lost the right may no longer be spoken for.
    let handed_on: BTreeSet<_> =
        take.iter().map(|(right, _)| (&right.table, &right.privilege, &right.grantee)).collect();
    for (right, by_owner) in take {
        if *by_owner {
            sql.push_str(&right.revoke());
        } else if !handed_on.contains(&(&right.table, &right.privilege, &right.grantor)) {
            sql.push_str(&right.by_grantor(&right.revoke()));
        }
    }
    sql
}

/// Takes the rights away, remembering them in the same transaction. Never fails the pause: what could not be done is said.
pub(super) async fn take(connection: &mut PgConnection, table: &TableName, policy: &GuardPolicy) -> String {
    let mut attempt = 1;
    loop {
        match try_take(connection, table, policy).await {
            Ok(words) => return words,
            Err(error) => {
                let _ = connection.execute("ROLLBACK").await;
                // XX000: "tuple concurrently updated", somebody else changed rights or statistics of the table.
                if matches!(code(&error).as_deref(), Some("XX000" | "40P01")) && attempt < TRIES {
                    attempt += 1;
                    continue;
                }
                let why = if code(&error).as_deref() == Some("55P03") {
                    "another session is changing rights of the table".to_owned()
                } else {
                    fault("refused", &error).message
                };
                return format!("rights NOT taken away ({why}); the trigger holds without");
            }
        }
    }
}

async fn try_take(
    connection: &mut PgConnection,
    table: &TableName,
    policy: &GuardPolicy,
) -> Result<String, sqlx::Error> {
    // The row of the flag orders pauses and releases one after another.
    connection
        .execute("BEGIN; SET LOCAL lock_timeout = '200ms'; SELECT paused FROM portcullis.guard WHERE id = 1 FOR UPDATE")
        .await?;
    let mut first = granted(connection, table, policy).await?;
    let mut left = first.take.clone();
    for _ in 0..DEPTH {
        if left.is_empty() {
            break;
        }
        connection.execute(AssertSqlSafe(take_sql(&left))).await?;
        left = granted(connection, table, policy).await?.take;
    }
    connection.execute("COMMIT").await?;
    first.take.retain(|right| !left.contains(right));
    first.leave.extend(left.into_iter().map(|(right, _)| right));
    Ok(said(&first))
}

fn said(granted: &Granted) -> String {
    let list = |rights: &mut dyn Iterator<Item = &Right>| {
        let words: BTreeSet<String> = rights.map(Right::words).collect();
        words.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut words = match granted.take.len() {
        0 => "no rights to take away".to_owned(),
        count => format!("{count} rights taken away: {}", list(&mut granted.take.iter().map(|(right, _)| right))),
    };
    if !granted.leave.is_empty() {
        words.push_str(&format!(
            "; NOT taken away, since they could not be given back or stayed: {}",
            list(&mut granted.leave.iter())
        ));
    }
    words
}

/// Remembered rights: what can be given back, and words for what can't, since its role, table or column is gone.
pub(super) struct Remembered {
    /// Statements that give them back, in an order in which each grantor may.
    pub sql: String,
    pub given: usize,
    pub gone: Vec<String>,
}

/// A remembered right with what is true of it now.
struct Held {
    right: Right,
    /// Whether table, column, grantee still exist.
    here: bool,
    /// Whether it was given by who is the table's owner now, or by nobody who is still there.
    by_owner: bool,
    /// Whether the grantor may hand it on now.
    able: bool,
}

/// Reads what is withheld of this table. The names of a table that is not the trade table are none of ours: an intruder's rows.
pub(super) async fn remembered(connection: &mut PgConnection, table: &TableName) -> Result<Remembered, Fault> {
    let failed = |error: sqlx::Error| fault("failed to read what was withheld", &error);
    let sql = format!(
        "{TREE} SELECT w.schema_name, w.table_name, w.column_name, w.grantee, w.grantor, w.privilege, w.grantable, \
         (c.oid IS NOT NULL AND (w.grantee = '' OR ge.oid IS NOT NULL) AND (w.column_name = '' OR t.attname IS NOT NULL)) AS here, \
         coalesce(gr.oid = c.relowner, true) AS by_owner, \
         CASE WHEN gr.oid IS NULL OR c.oid IS NULL THEN false WHEN w.column_name = '' THEN has_table_privilege(gr.oid, c.oid, w.privilege || ' WITH GRANT OPTION') \
         WHEN t.attname IS NULL THEN false ELSE has_column_privilege(gr.oid, c.oid, t.attnum, w.privilege || ' WITH GRANT OPTION') END AS able \
         FROM portcullis.withheld w LEFT JOIN (tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace) \
         ON n.nspname = w.schema_name AND c.relname = w.table_name LEFT JOIN pg_catalog.pg_roles ge ON ge.rolname = w.grantee \
         LEFT JOIN pg_catalog.pg_roles gr ON gr.rolname = w.grantor \
         LEFT JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND t.attname = w.column_name AND NOT t.attisdropped \
         WHERE w.privilege IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') ORDER BY 1, 2, 3, 4, 5, 6"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(qualified(table)).fetch_all(connection).await.map_err(failed)?;
    let held = |row: &PgRow| -> Result<Held, sqlx::Error> {
        let (here, by_owner, able) = (row.try_get("here")?, row.try_get("by_owner")?, row.try_get("able")?);
        Ok(Held { right: Right::read(row)?, here, by_owner, able })
    };
    let held = rows.iter().map(held).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let (here, gone): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.here);
    let gone = gone.iter().map(|held| format!("{} on {}", held.right.words(), held.right.table)).collect();
    Ok(Remembered { given: here.len(), sql: give_sql(here), gone })
}

/// Each right after the one that lets its grantor hand it on.
fn give_sql(mut pending: Vec<Held>) -> String {
    let mut sql = String::new();
    let mut able: BTreeSet<(TableName, String, String)> = BTreeSet::new();
    loop {
        let before = pending.len();
        let mut later = Vec::new();
        for held in pending {
            let right = &held.right;
            let key = (right.table.clone(), right.privilege.clone(), right.grantor.clone());
            if held.by_owner {
                sql.push_str(&right.grant());
            } else if held.able || able.contains(&key) {
                sql.push_str(&right.by_grantor(&right.grant()));
            } else {
                later.push(held);
                continue;
            }
            if right.grantable {
                able.insert((right.table.clone(), right.privilege.clone(), right.grantee.clone()));
            }
        }
        pending = later;
        if pending.is_empty() || pending.len() == before {
            break;
        }
    }
    // Their grantors have lost the option otherwise: the owner gives them.
    sql.extend(pending.iter().map(|held| held.right.grant()));
    sql
}

/// Makes the tables of the guard where an older version left one out.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), Fault> {
    super::put::transaction(connection, &objects_sql())
        .await
        .map_err(|error| fault("failed to make the guard's tables", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(grantee: &str, grantor: &str, grantable: bool) -> Right {
        Right {
            table: TableName { schema: "public".into(), name: "Trade".into() },
            column: String::new(),
            grantee: grantee.into(),
            grantor: grantor.into(),
            privilege: "INSERT".into(),
            grantable,
        }
    }

    #[test]
    fn what_was_handed_on_is_given_back_after_the_right_to_hand_it_on() {
        let held = |right: Right, by_owner| Held { right, here: true, by_owner, able: false };
        let sql = give_sql(vec![
            held(right("c", "b", false), false),
            held(right("b", "a", true), false),
            held(right("a", "owner", true), true),
        ]);
        let at = |words: &str| sql.find(words).unwrap_or_else(|| panic!("{words} in {sql}"));
        assert!(at("TO \"a\" WITH GRANT OPTION") < at("SET LOCAL ROLE \"a\""));
        assert!(at("TO \"b\" WITH GRANT OPTION") < at("SET LOCAL ROLE \"b\""));
        // Nobody is left who may hand it on: the owner does.
        let sql = give_sql(vec![held(right("c", "gone", false), false)]);
        assert_eq!(sql, "GRANT INSERT ON \"public\".\"Trade\" TO \"c\";");
    }

    #[test]
    fn names_can_not_leave_their_quotes() {
        let mut odd = right("a\"; DROP TABLE x; --", "o'r\\", false);
        odd.column = "c\"d".into();
        let sql = take_sql(&[(odd, false)]);
        assert!(sql.contains("FROM \"a\"\"; DROP TABLE x; --\" CASCADE;"), "{sql}");
        assert!(sql.contains("E'o''r\\\\'"), "{sql}");
        assert!(sql.contains("REVOKE INSERT (\"c\"\"d\")"), "{sql}");
        let public = right("", "owner", false);
        assert!(public.revoke().ends_with("FROM PUBLIC CASCADE;"));
    }
}
