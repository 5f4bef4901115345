//! Who could get past the guard, role by role, and what would mend it.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::super::{fault, qualified};
use crate::domain::guard::{GUARD_FUNCTION, GUARD_TABLES, quote_identifier};
use crate::ports::{Bypass, Fault, TableName};

/// Roles that log in, and the application's whether it may at the moment or not. Membership counts as ownership.
const ROLES: &str = "SELECT r.rolname::text AS name, r.rolsuper, r.oid = 10 AS bootstrap, r.rolreplication, r.rolname = current_user AS own, \
     pg_has_role(r.oid, c.relowner, 'MEMBER') AS owns, pg_get_userbyid(c.relowner)::text AS owner, r.oid = c.relowner AS is_owner, \
     pg_has_role(r.oid, n.nspowner, 'MEMBER') AS owns_schema, pg_get_userbyid(n.nspowner)::text AS schema_owner, r.oid = n.nspowner AS is_schema_owner, \
     coalesce(pg_has_role(r.oid, g.relowner, 'MEMBER'), false) OR coalesce(pg_has_role(r.oid, p.proowner, 'MEMBER'), false) \
       OR coalesce(pg_has_role(r.oid, gn.nspowner, 'MEMBER'), false) AS owns_guard, \
     coalesce(has_any_column_privilege(r.oid, g.oid, 'UPDATE'), false) AS may_flag, \
     pg_has_role(r.oid, 'pg_execute_server_program', 'MEMBER') OR pg_has_role(r.oid, 'pg_write_server_files', 'MEMBER') AS server, \
     CASE WHEN current_setting('server_version_num')::int < 160000 \
       THEN r.rolcreaterole AND NOT (o.rolsuper AND coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = g.relowner), true)) \
       ELSE pg_has_role(r.oid, c.relowner, 'MEMBER WITH ADMIN OPTION') OR coalesce(pg_has_role(r.oid, g.relowner, 'MEMBER WITH ADMIN OPTION'), false) END AS grants_itself, \
     r.rolname = $2 AS app, c.relname::text AS table_name \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles o ON o.oid = c.relowner \
     LEFT JOIN pg_catalog.pg_class g ON g.oid = to_regclass($3) LEFT JOIN pg_catalog.pg_proc p ON p.oid = to_regprocedure($4) \
     LEFT JOIN pg_catalog.pg_namespace gn ON gn.oid = g.relnamespace CROSS JOIN pg_catalog.pg_roles r \
     WHERE c.oid = $1::regclass AND (r.rolcanlogin OR r.rolname = $2) ORDER BY r.rolname = $2 DESC, r.rolname";

/// How a role could undo the guard.
struct Way {
    how: String,
    mend: Option<String>,
    /// Whether it undoes the guard, rather than going around it.
    undoes: bool,
}

/// What the application's role could do, and everybody else.
pub(super) struct Found {
    pub bypass: Vec<Bypass>,
    /// Why the application's role could undo the guard, if it could: "owns the trade table".
    pub app_undoes: Option<String>,
    /// Whether the application's role exists.
    pub app_exists: bool,
    /// Whether this program works as the application's own role.
    pub app_is_own: bool,
}

fn ways(row: &PgRow, table: &TableName) -> Result<Vec<Way>, sqlx::Error> {
    let is = |name: &str| row.try_get::<bool, _>(name);
    let text = |name: &str| row.try_get::<String, _>(name);
    let role = quote_identifier(&text("name")?);
    let (owner, schema_owner) = (text("owner")?, text("schema_owner")?);
    let mut ways = Vec::new();
    let mut add = |undoes: bool, how: String, mend: Option<String>| ways.push(Way { how, mend, undoes });
    if is("rolsuper")? {
        // The first superuser is the server's own; another way to be one is not needed.
        let mend = (!is("bootstrap")?).then(|| format!("ALTER ROLE {role} NOSUPERUSER"));
        add(true, "is a superuser: it can disable the guard".into(), mend);
        return Ok(ways);
    }
    if is("is_owner")? {
        let mend = format!("ALTER TABLE {} OWNER TO another_role", qualified(table));
        add(true, "owns the trade table: it can drop the guard".into(), Some(mend));
    } else if is("owns")? {
        let mend = format!("REVOKE {} FROM {role}", quote_identifier(&owner));
        add(true, format!("is a member of {owner}, which owns the trade table: it can drop the guard"), Some(mend));
    }
    if is("owns_schema")? && !is("owns")? {
        let how = if is("is_schema_owner")? {
            format!("owns the schema {}", table.schema)
        } else {
            format!("is a member of {schema_owner}, which owns the schema {}", table.schema)
        };
        let mend = format!("ALTER SCHEMA {} OWNER TO another_role", quote_identifier(&table.schema));
        add(true, format!("{how}: it can drop the trade table and make another"), Some(mend));
    }
    if is("owns_guard")? {
        let mend = "portcullis install, as a role that the application is not a member of".to_owned();
        add(true, "owns the guard's own objects: it can lift the pause".into(), Some(mend));
    } else if is("may_flag")? {
        let mend = format!("REVOKE UPDATE ON {} FROM {role}", GUARD_TABLES[0]);
        add(true, "may change the guard's flag".into(), Some(mend));
    }
    if is("server")? {
        let mend = format!("REVOKE pg_execute_server_program, pg_write_server_files FROM {role}");
        add(true, "may start programs or write files as the server's user".into(), Some(mend));
    }
    if is("grants_itself")? && !is("owns")? {
        let mend = format!("ALTER ROLE {role} NOCREATEROLE");
        add(true, format!("may make itself a member of {owner} (CREATEROLE)"), Some(mend));
    }
    if is("rolreplication")? {
        let mend = format!("ALTER ROLE {role} NOREPLICATION");
        add(false, "may replicate: it reads the whole server, which no pause hides".into(), Some(mend));
    }
    Ok(ways)
}

/// Looks at every role. `app` is the application's.
pub(super) async fn roles(connection: &mut PgConnection, table: &TableName, app: &str) -> Result<Found, Fault> {
    let failed = |error: sqlx::Error| fault("failed to look for bypasses", &error);
    let rows = sqlx::query(ROLES)
        .bind(qualified(table))
        .bind(app)
        .bind(GUARD_TABLES[0])
        .bind(GUARD_FUNCTION)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let mut found = Found { bypass: Vec::new(), app_undoes: None, app_exists: false, app_is_own: false };
    for row in &rows {
        let (is_app, own): (bool, bool) = (row.try_get("app").map_err(failed)?, row.try_get("own").map_err(failed)?);
        found.app_exists |= is_app;
        found.app_is_own |= is_app && own;
        // The role that this program works as must be able to; only if the application has it too, that is worth a word.
        if own && !is_app {
            continue;
        }
        let name: String = row.try_get("name").map_err(failed)?;
        let who = if is_app { format!("the application's role {name}") } else { format!("the role {name}") };
        for way in ways(row, table).map_err(failed)? {
            if is_app && way.undoes && found.app_undoes.is_none() {
                found.app_undoes = Some(way.how.split(':').next().unwrap_or_default().to_owned());
            }
            let how = format!("{who} {}", way.how);
            found.bypass.push(Bypass { who: name.clone(), grave: is_app, how, mend: way.mend });
        }
    }
    if !found.app_exists {
        let how = format!("the application's role {app} does not exist");
        let mend = Some("set DATABASE_URL as the application has it".to_owned());
        found.bypass.insert(0, Bypass { who: app.to_owned(), grave: true, how, mend });
    }
    found.bypass.extend(event_triggers(connection).await?);
    Ok(found)
}

/// They run inside the guard's own statements, with the rights of whoever makes those.
async fn event_triggers(connection: &mut PgConnection) -> Result<Vec<Bypass>, Fault> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT evtname::text, pg_get_userbyid(evtowner)::text FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D' ORDER BY 1",
    )
    .fetch_all(connection)
    .await
    .map_err(|error| fault("failed to look for event triggers", &error))?;
    let bypass = rows.into_iter().map(|(name, owner)| Bypass {
        how: format!(
            "the event trigger {name} of {owner} runs inside every DDL statement, those of install and pause included: it can refuse or undo them"
        ),
        mend: Some(format!("DROP EVENT TRIGGER {}", quote_identifier(&name))),
        who: name,
        grave: false,
    });
    Ok(bypass.collect())
}

/// What the containment role itself may.
pub(super) struct Powers {
    pub name: String,
    /// Sees every session's transaction, and ends every session but a superuser's.
    pub drains: bool,
    /// May take rights on the table from others.
    pub revokes: bool,
    /// May take the application's log-in away.
    pub forbids: bool,
}

/// Reads them.
pub(super) async fn powers(connection: &mut PgConnection, table: &TableName, app: &str) -> Result<Powers, Fault> {
    let failed = |error: sqlx::Error| fault("failed to look for this role's own rights", &error);
    let row = sqlx::query(
        "SELECT me.rolname::text AS name, me.rolsuper OR (pg_has_role('pg_read_all_stats', 'USAGE') AND pg_has_role('pg_signal_backend', 'USAGE')) AS drains, \
         pg_has_role(c.relowner, 'USAGE') AS revokes, \
         coalesce(me.rolsuper OR (me.rolcreaterole AND NOT app.rolsuper AND (current_setting('server_version_num')::int < 160000 \
           OR pg_has_role(app.oid, 'MEMBER WITH ADMIN OPTION'))), false) AND me.rolname <> $2 AS forbids \
         FROM pg_catalog.pg_roles me CROSS JOIN pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_roles app ON app.rolname = $2 \
         WHERE me.rolname = current_user AND c.oid = $1::regclass",
    )
    .bind(qualified(table))
    .bind(app)
    .fetch_one(connection)
    .await
    .map_err(failed)?;
    let is = |name: &str| row.try_get::<bool, _>(name).map_err(failed);
    Ok(Powers {
        name: row.try_get("name").map_err(failed)?,
        drains: is("drains")?,
        revokes: is("revokes")?,
        forbids: is("forbids")?,
    })
}

/// What the containment role lacks for a pause as it should be.
pub(super) fn lacks(powers: &Powers, found: &Found) -> Vec<Bypass> {
    let role = quote_identifier(&powers.name);
    let mut lacks = Vec::new();
    let mut add = |how: String, mend: String| {
        lacks.push(Bypass { who: powers.name.clone(), grave: true, how, mend: Some(mend) });
    };
    if !powers.drains {
        let how = format!(
            "the role {} may not see or end the sessions of others, so older transactions can't be drained",
            powers.name
        );
        add(how, format!("GRANT pg_read_all_stats, pg_signal_backend TO {role}"));
    }
    if let Some(why) = &found.app_undoes {
        if found.app_is_own {
            let how = format!(
                "portcullis works as the application's own role {}, which {why}: the pause can't take its log-in away",
                powers.name
            );
            let mend =
                "CREATE ROLE portcullis LOGIN SUPERUSER; then \\password portcullis, and set PORTCULLIS_DATABASE_URL";
            add(how, mend.to_owned());
        } else if !powers.forbids {
            let how =
                format!("the role {} may not take the log-in of the application's role, which {why}", powers.name);
            add(how, format!("ALTER ROLE {role} SUPERUSER"));
        }
    }
    lacks
}
