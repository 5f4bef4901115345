//! The trade table with everything below it, and what of the guard is there.

use std::collections::BTreeSet;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::super::{fault, qualified};
use crate::domain::guard::{GUARD_FUNCTION, GUARD_TABLES, GUARD_TRIGGER, GUARD_TRUNCATE, POSTGRES_BODY};
use crate::policy::pause::{GuardPolicy, Statement};
use crate::ports::{Fault, FaultKind, TableName};

/// The table and everything below it, partitions of partitions and inheriting tables included. `$1` is the table's name, quoted.
pub(super) const TREE: &str = "WITH RECURSIVE tree(oid) AS (SELECT $1::regclass::oid \
     UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent = t.oid)";

/// One table of the tree, and the triggers on it.
#[derive(Debug)]
pub(super) struct Member {
    pub table: TableName,
    /// Whether it is a partition: its row trigger is a clone of its parent's.
    pub partition: bool,
    /// What is wrong with the row trigger, if anything is.
    pub row: Option<&'static str>,
    /// What is wrong with the trigger against TRUNCATE, if anything is.
    pub truncate: Option<&'static str>,
    /// Whether a trigger of the row trigger's name is there.
    pub row_there: bool,
    /// Whether a trigger of the other's name is there.
    pub truncate_there: bool,
}

/// What is there.
#[derive(Debug)]
pub(super) struct Seen {
    pub members: Vec<Member>,
    /// What is wrong with the function or the flag, if anything is.
    pub function: Option<&'static str>,
    /// The flag; absent if its table or row is missing.
    pub paused: Option<bool>,
    /// How much is withheld; absent if its table is missing.
    pub withheld: Option<u64>,
    /// Whether schema, tables and function belong to the role that asks.
    pub own: bool,
}

impl Seen {
    /// What keeps rows from being refused, if anything does.
    pub fn row_problem(&self) -> Option<String> {
        if let Some(problem) = self.function {
            return Some(problem.into());
        }
        let wrong = self.members.iter().find_map(|member| Some((&member.table, member.row?)));
        if let Some((table, problem)) = wrong {
            return Some(format!("{problem} on {table}"));
        }
        self.paused.is_none().then(|| "the guard row is missing, so everything is refused".into())
    }

    /// What is not as `install` leaves it, if anything is.
    pub fn problem(&self) -> Option<String> {
        self.row_problem().or_else(|| {
            let wrong = self.members.iter().find_map(|member| Some((&member.table, member.truncate?)));
            match wrong {
                Some((table, problem)) => Some(format!("{problem} on {table}")),
                None if self.withheld.is_none() => Some("the table portcullis.withheld is missing".into()),
                None => None,
            }
        })
    }
}

/// The trade table as the catalog writes it.
pub(super) async fn table(
    connection: &mut PgConnection,
    policy: &GuardPolicy,
    schema: Option<&str>,
) -> Result<TableName, Fault> {
    let row = sqlx::query(
        "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND lower(c.relname) = lower($1) AND ($2::text IS NULL OR n.nspname = $2) \
         AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') \
         ORDER BY c.relname = $1 DESC, n.nspname = 'public' DESC, n.nspname LIMIT 1",
    )
    .bind(&policy.table)
    .bind(schema)
    .fetch_optional(connection)
    .await
    .map_err(|error| fault("failed to read the catalog", &error))?;
    let row = row.ok_or_else(|| {
        Fault::new(FaultKind::NotFound, format!("there is no table `{}` (pause.yml: guard.table)", policy.table))
    })?;
    let failed = |error: sqlx::Error| fault("failed to read the catalog", &error);
    Ok(TableName { schema: row.try_get(0).map_err(failed)?, name: row.try_get(1).map_err(failed)? })
}

/// `pg_trigger.tgtype` of the row trigger: 1 row, 2 before, 4 insert, 8 delete, 16 update.
fn row_type(policy: &GuardPolicy) -> i32 {
    policy.block.iter().fold(1 | 2, |bits, statement| {
        bits | match statement {
            Statement::Insert => 4,
            Statement::Delete => 8,
            Statement::Update => 16,
        }
    })
}

/// 2 before, 32 truncate.
const TRUNCATE_TYPE: i32 = 2 | 32;

fn trigger_problem(row: &PgRow, prefix: &str, wanted: i32) -> Result<Option<&'static str>, sqlx::Error> {
    let enabled: Option<String> = row.try_get(format!("{prefix}_enabled").as_str())?;
    let kind: Option<i32> = row.try_get(format!("{prefix}_type").as_str())?;
    let plain: Option<bool> = row.try_get(format!("{prefix}_plain").as_str())?;
    let Some(enabled) = enabled else {
        return Ok(Some(if prefix == "r" {
            "the trigger is missing"
        } else {
            "the trigger against TRUNCATE is missing"
        }));
    };
    Ok(if enabled != "A" {
        Some("the trigger is not ENABLE ALWAYS")
    } else if plain != Some(true) {
        Some("the trigger was altered")
    } else if kind != Some(wanted) {
        Some("the trigger does not block what pause.yml says")
    } else {
        None
    })
}

fn member(row: &PgRow, policy: &GuardPolicy) -> Result<Member, sqlx::Error> {
    let kind: String = row.try_get("kind")?;
    let truncatable = kind == "r" || kind == "p";
    let truncate = if truncatable { trigger_problem(row, "s", TRUNCATE_TYPE)? } else { None };
    Ok(Member {
        table: TableName { schema: row.try_get("schema")?, name: row.try_get("name")? },
        partition: row.try_get("partition")?,
        row: trigger_problem(row, "r", row_type(policy))?,
        truncate,
        row_there: row.try_get::<Option<String>, _>("r_enabled")?.is_some(),
        truncate_there: row.try_get::<Option<String>, _>("s_enabled")?.is_some(),
    })
}

/// Looks at all of it. One query for the triggers, one for what they stand on, one for the flag.
pub(super) async fn look(
    connection: &mut PgConnection,
    table: &TableName,
    policy: &GuardPolicy,
) -> Result<Seen, Fault> {
    let failed = |error: sqlx::Error| fault("failed to inspect the guard", &error);
    let plain = |t: &str| {
        format!(
            "{t}.tgqual IS NULL AND {t}.tgattr::text = '' AND {t}.tgconstraint = 0 AND {t}.tgfoid = to_regprocedure('{GUARD_FUNCTION}')"
        )
    };
    let sql = format!(
        "{TREE} SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, c.relispartition AS partition, \
         r.tgenabled::text AS r_enabled, r.tgtype::int AS r_type, {} AS r_plain, s.tgenabled::text AS s_enabled, s.tgtype::int AS s_type, {} AS s_plain \
         FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_trigger r ON r.tgrelid = c.oid AND r.tgname = $2 \
         LEFT JOIN pg_catalog.pg_trigger s ON s.tgrelid = c.oid AND s.tgname = $3 ORDER BY c.oid = $1::regclass DESC, 1, 2",
        plain("r"),
        plain("s"),
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(qualified(table))
        .bind(GUARD_TRIGGER)
        .bind(GUARD_TRUNCATE)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let members = rows.iter().map(|row| member(row, policy)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let base = base(connection).await.map_err(failed)?;
    let (paused, withheld) = state(connection, &base).await.map_err(failed)?;
    Ok(Seen { members, function: base.function, paused, withheld, own: base.own })
}

/// What the triggers stand on.
struct Base {
    function: Option<&'static str>,
    tables: BTreeSet<String>,
    own: bool,
}

async fn base(connection: &mut PgConnection) -> Result<Base, sqlx::Error> {
    let row = sqlx::query(
        "SELECT p.prosrc, coalesce(l.lanname = 'plpgsql' AND NOT p.prosecdef AND p.proconfig IS NULL, false) AS plain, \
         to_regclass($2) IS NOT NULL AS flag, to_regclass($3) IS NOT NULL AS withheld, \
         coalesce(p.proowner = me.oid AND n.nspowner = me.oid AND g.relowner = me.oid AND w.relowner = me.oid, false) AS own \
         FROM pg_catalog.pg_roles me LEFT JOIN pg_catalog.pg_proc p ON p.oid = to_regprocedure($1) \
         LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         LEFT JOIN pg_catalog.pg_class g ON g.oid = to_regclass($2) LEFT JOIN pg_catalog.pg_class w ON w.oid = to_regclass($3) \
         WHERE me.rolname = current_user",
    )
    .bind(GUARD_FUNCTION)
    .bind(GUARD_TABLES[0])
    .bind(GUARD_TABLES[1])
    .fetch_one(connection)
    .await?;
    let body: Option<String> = row.try_get("prosrc")?;
    let plain: bool = row.try_get("plain")?;
    let function = match body {
        None => Some("the trigger's function is missing"),
        Some(body) if body != POSTGRES_BODY || !plain => Some("the trigger's function was altered"),
        Some(_) => None,
    };
    let there = [("flag", GUARD_TABLES[0]), ("withheld", GUARD_TABLES[1])];
    let mut tables = BTreeSet::new();
    for (column, name) in there {
        if row.try_get(column)? {
            tables.insert(name.to_owned());
        }
    }
    Ok(Base { function, tables, own: row.try_get("own")? })
}

async fn state(connection: &mut PgConnection, base: &Base) -> Result<(Option<bool>, Option<u64>), sqlx::Error> {
    let (flag, withheld) = (base.tables.contains(GUARD_TABLES[0]), base.tables.contains(GUARD_TABLES[1]));
    if !flag && !withheld {
        return Ok((None, None));
    }
    let part = |there: bool, sql: &'static str| if there { sql } else { "NULL" };
    // Only the containment role may count what is withheld; for others it stays unknown.
    let sql = format!(
        "SELECT ({})::boolean, ({})::bigint",
        part(flag, "SELECT paused FROM portcullis.guard WHERE id = 1"),
        part(withheld, "SELECT count(*) FROM portcullis.withheld"),
    );
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?;
    let count: Option<i64> = row.try_get(1)?;
    Ok((row.try_get(0)?, count.map(|count| u64::try_from(count).unwrap_or(0))))
}
