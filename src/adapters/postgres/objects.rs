//! Catalog objects that could be persistence, and what is captured as evidence.

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row as _};

use super::fault;
use crate::ports::{DatabaseObject, Fault, ObjectList};

/// Classes with the query that gives name, owner and definition. Objects of extensions and of the system are left out.
const CLASSES: &[(&str, &str)] = &[
    (
        "trigger",
        "SELECT n.nspname || '.' || c.relname || '.' || t.tgname, pg_get_userbyid(c.relowner)::text, \
        'enabled=' || t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid) || ' -- body: ' || coalesce(p.prosrc, '') \
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid \
        WHERE NOT t.tgisinternal ORDER BY 1",
    ),
    (
        "event_trigger",
        "SELECT evtname::text, pg_get_userbyid(evtowner)::text, 'on ' || evtevent || ' enabled=' || evtenabled::text || ' runs ' || evtfoid::regproc::text \
        FROM pg_event_trigger ORDER BY 1",
    ),
    (
        "function",
        "SELECT n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', pg_get_userbyid(p.proowner)::text, \
        'language=' || l.lanname || ' trusted=' || l.lanpltrusted::text || ' security_definer=' || p.prosecdef::text || ' config=' || coalesce(array_to_string(p.proconfig, ','), '') || ' body: ' || p.prosrc \
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' \
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY 1",
    ),
    (
        "rule",
        "SELECT schemaname || '.' || tablename || '.' || rulename, NULL::text, definition FROM pg_rules WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
    ),
    (
        "policy",
        "SELECT schemaname || '.' || tablename || '.' || policyname, NULL::text, permissive || ' ' || cmd || ' using ' || coalesce(qual, '') || ' check ' || coalesce(with_check, '') FROM pg_policies ORDER BY 1",
    ),
    (
        "view",
        "SELECT schemaname || '.' || viewname, viewowner::text, definition FROM pg_views WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'portcullis') ORDER BY 1",
    ),
    (
        "role",
        "SELECT rolname::text, NULL::text, concat_ws(' ', CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolcreaterole THEN 'createrole' END, CASE WHEN rolcreatedb THEN 'createdb' END, \
        CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END, CASE WHEN rolcanlogin THEN 'login' END, CASE WHEN oid = 10 THEN 'bootstrap' END, \
        CASE WHEN rolname = current_user THEN 'containment' END) \
        FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1",
    ),
    (
        "membership",
        "SELECT m.rolname || ' in ' || r.rolname, NULL::text, CASE WHEN a.admin_option THEN 'with admin option' ELSE 'member' END || CASE WHEN r.rolsuper THEN ' of a superuser' ELSE '' END \
        FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member WHERE m.rolname NOT LIKE 'pg\\_%' ORDER BY 1",
    ),
    (
        "role_setting",
        "SELECT coalesce(r.rolname, 'all roles') || ' in ' || coalesce(d.datname, 'all databases'), NULL::text, array_to_string(s.setconfig, ', ') \
        FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase ORDER BY 1",
    ),
    (
        "setting",
        "SELECT name, NULL::text, setting || ' (from ' || coalesce(sourcefile, source) || ')' FROM pg_settings \
        WHERE name IN ('archive_command', 'archive_library', 'restore_command', 'shared_preload_libraries', 'session_preload_libraries', 'local_preload_libraries', 'ssl', 'password_encryption', 'log_statement', \
        'session_replication_role', 'allow_in_place_tablespaces', 'krb_server_keyfile') OR sourcefile LIKE '%postgresql.auto.conf' ORDER BY 1",
    ),
    (
        "extension",
        "SELECT extname::text, pg_get_userbyid(extowner)::text, 'version ' || extversion FROM pg_extension ORDER BY 1",
    ),
    (
        "foreign_server",
        "SELECT srvname::text, pg_get_userbyid(srvowner)::text, 'wrapper ' || w.fdwname FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw ORDER BY 1",
    ),
    ("user_mapping", "SELECT srvname || ' for ' || usename, NULL::text, 'mapping' FROM pg_user_mappings ORDER BY 1"),
    (
        "default",
        "SELECT n.nspname || '.' || c.relname || '.' || a.attname, pg_get_userbyid(c.relowner)::text, pg_get_expr(d.adbin, d.adrelid) \
        FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') ORDER BY 1",
    ),
    (
        "check",
        "SELECT n.nspname || '.' || c.relname || '.' || k.conname, pg_get_userbyid(c.relowner)::text, pg_get_constraintdef(k.oid) \
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE k.contype = 'c' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') ORDER BY 1",
    ),
    (
        "index",
        "SELECT n.nspname || '.' || c.relname, pg_get_userbyid(c.relowner)::text, pg_get_indexdef(c.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') \
        AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1",
    ),
    (
        "language",
        "SELECT lanname::text, pg_get_userbyid(lanowner)::text, 'untrusted' FROM pg_language WHERE NOT lanpltrusted AND lanispl ORDER BY 1",
    ),
    (
        "default_acl",
        "SELECT pg_get_userbyid(defaclrole) || ' ' || defaclobjtype::text || ' ' || coalesce(n.nspname, '*'), pg_get_userbyid(defaclrole)::text, array_to_string(defaclacl, ', ') \
        FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace ORDER BY 1",
    ),
    (
        "foreign_table",
        "SELECT n.nspname || '.' || c.relname, pg_get_userbyid(c.relowner)::text, 'server ' || s.srvname FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid \
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_foreign_server s ON s.oid = f.ftserver ORDER BY 1",
    ),
    (
        "replication_slot",
        "SELECT slot_name::text, NULL::text, concat_ws(' ', slot_type, plugin, CASE WHEN active THEN 'active' ELSE 'waiting' END) FROM pg_replication_slots ORDER BY 1",
    ),
    (
        "publication",
        "SELECT pubname::text, pg_get_userbyid(pubowner)::text, CASE WHEN puballtables THEN 'all tables' ELSE 'some tables' END FROM pg_publication ORDER BY 1",
    ),
    (
        "subscription",
        "SELECT subname::text, pg_get_userbyid(subowner)::text, 'enabled=' || subenabled::text FROM pg_subscription \
        WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1",
    ),
    (
        "hba",
        "SELECT 'line ' || line_number, NULL::text, concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask, auth_method, error) FROM pg_hba_file_rules ORDER BY line_number",
    ),
];

/// Objects whose parts are functions of this database, and what else no back end on Prisma makes; by the server's number, since older servers lack some catalogs.
const REACHED: &[(i64, &str, &str)] = &[
    (
        100_000,
        "call",
        "SELECT DISTINCT o.type || ' ' || o.identity, NULL::text, 'calls ' || string_agg(n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', '; ' ORDER BY n.nspname, p.proname) \
        FROM pg_depend d JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid JOIN pg_namespace n ON n.oid = p.pronamespace \
        CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) o \
        WHERE p.oid >= 16384 AND d.deptype IN ('n', 'a') AND d.classid NOT IN ('pg_trigger'::regclass, 'pg_event_trigger'::regclass, 'pg_language'::regclass, 'pg_foreign_data_wrapper'::regclass) \
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e') \
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e') \
        AND n.nspname <> 'portcullis' GROUP BY o.type, o.identity ORDER BY 1",
    ),
    (
        100_000,
        "unusual",
        "SELECT o.type || ' ' || o.identity, NULL::text, u.what FROM ( \
        SELECT 'pg_cast'::regclass AS classid, oid, 'converts values wherever the types meet' AS what FROM pg_cast \
        UNION ALL SELECT 'pg_operator'::regclass, oid, 'takes the place of an operator where its types fit better' FROM pg_operator \
        UNION ALL SELECT 'pg_opclass'::regclass, oid, 'its functions run whenever an index is used' FROM pg_opclass \
        UNION ALL SELECT 'pg_conversion'::regclass, oid, 'runs on every text of a client with that encoding' FROM pg_conversion \
        UNION ALL SELECT 'pg_ts_template'::regclass, oid, 'its functions run whenever texts are searched' FROM pg_ts_template \
        UNION ALL SELECT 'pg_ts_parser'::regclass, oid, 'its functions run whenever texts are searched' FROM pg_ts_parser \
        UNION ALL SELECT 'pg_am'::regclass, oid, 'its handler is code of the server that reads and writes tables' FROM pg_am \
        UNION ALL SELECT 'pg_transform'::regclass, oid, 'runs whenever a function of its language takes such a value' FROM pg_transform \
        UNION ALL SELECT 'pg_type'::regclass, rngtypid, 'its functions run whenever such a value is made' FROM pg_range WHERE rngcanonical <> 0 OR rngsubdiff <> 0 \
        ) u CROSS JOIN LATERAL pg_identify_object(u.classid, u.oid, 0) o WHERE u.oid >= 16384 \
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = u.classid AND e.objid = u.oid AND e.deptype IN ('e', 'i')) ORDER BY 1",
    ),
    (
        100_000,
        "shadow",
        "SELECT n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', pg_get_userbyid(p.proowner)::text, 'function' \
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid >= 16384 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'portcullis') \
        AND EXISTS (SELECT 1 FROM pg_proc s WHERE s.proname = p.proname AND s.pronamespace = 'pg_catalog'::regnamespace) \
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i')) \
        UNION ALL SELECT n.nspname || '.' || c.relname, pg_get_userbyid(c.relowner)::text, 'relation' \
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid >= 16384 AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
        AND EXISTS (SELECT 1 FROM pg_class s WHERE s.relname = c.relname AND s.relnamespace = 'pg_catalog'::regnamespace) \
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') ORDER BY 1",
    ),
    (
        100_000,
        "public_right",
        "SELECT n.nspname || '.' || c.relname, pg_get_userbyid(c.relowner)::text, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) \
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) a \
        WHERE a.grantee = 0 AND a.privilege_type NOT IN ('SELECT', 'USAGE') AND c.oid >= 16384 AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') GROUP BY 1, 2 ORDER BY 1",
    ),
    (
        100_000,
        "large_object",
        "SELECT 'large objects of ' || pg_get_userbyid(lomowner), pg_get_userbyid(lomowner)::text, count(*)::text || ' from oid ' || min(oid)::text \
        FROM pg_largeobject_metadata GROUP BY lomowner ORDER BY 1",
    ),
    (
        150_000,
        "parameter_right",
        "SELECT p.parname || ' for ' || CASE WHEN a.grantee = 0 THEN 'everybody' ELSE pg_get_userbyid(a.grantee)::text END, NULL::text, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) \
        FROM pg_parameter_acl p CROSS JOIN LATERAL aclexplode(p.paracl) a WHERE a.grantee <> 10 GROUP BY 1 ORDER BY 1",
    ),
];

/// What ALTER SYSTEM wrote and no server has loaded yet: only superusers may read it.
const WRITTEN: &str = "SELECT f.name, NULL::text, f.setting || ' (from ' || f.sourcefile || ', not loaded yet)' FROM pg_file_settings f \
    WHERE f.sourcefile LIKE '%postgresql.auto.conf' AND f.name IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_settings s WHERE lower(s.name) = lower(f.name) AND s.sourcefile LIKE '%postgresql.auto.conf') \
    AND pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE') ORDER BY 1";

/// Only where `pg_cron` is installed.
const CRON: &str = "SELECT 'job ' || jobid, username::text, schedule || ' ' || command FROM cron.job ORDER BY 1";

/// Evidence: name and query of one JSON text a row. Query texts of sessions are left out: they can hold secrets.
pub(super) const EVIDENCE: &[(&str, &str)] = &[
    (
        "sessions",
        "SELECT row_to_json(s)::text FROM (SELECT pid, usename, application_name, client_addr, client_port, backend_start, xact_start, state_change, state, wait_event, backend_type, \
        md5(query) AS query_md5 FROM pg_stat_activity WHERE datname = current_database() ORDER BY pid) s",
    ),
    (
        "roles",
        "SELECT row_to_json(r)::text FROM (SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolvaliduntil FROM pg_roles ORDER BY rolname) r",
    ),
    (
        "tables",
        "SELECT row_to_json(t)::text FROM (SELECT schemaname, relname, n_live_tup, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1, 2) t",
    ),
];

/// Reads every class; one that is refused is named, the others are read all the same.
pub(super) async fn read(connection: &mut PgConnection) -> Result<ObjectList, Fault> {
    let mut list = ObjectList::default();
    for (class, sql) in CLASSES {
        read_class(connection, class, sql, &mut list).await?;
    }
    let failed = |error: sqlx::Error| fault("failed to read the catalog", &error);
    let version: String =
        sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut *connection).await.map_err(failed)?;
    let version: i64 = version.parse().unwrap_or(0);
    for (_, class, sql) in REACHED.iter().filter(|(from, ..)| version >= *from) {
        read_class(connection, class, sql, &mut list).await?;
    }
    // `hba` says the same to whoever is no superuser.
    if !list.uncovered.iter().any(|(class, _)| class == "hba") {
        read_class(connection, "setting", WRITTEN, &mut list).await?;
    }
    if list.objects.iter().any(|object| object.class == "extension" && object.name == "pg_cron") {
        read_class(connection, "cron_job", CRON, &mut list).await?;
    }
    Ok(list)
}

async fn read_class(
    connection: &mut PgConnection,
    class: &str,
    sql: &'static str,
    list: &mut ObjectList,
) -> Result<(), Fault> {
    let failed = |error: sqlx::Error| fault("failed to read the catalog", &error);
    // A refused query must not end the snapshot for the others.
    connection.execute("SAVEPOINT class").await.map_err(failed)?;
    match sqlx::query(sql).fetch_all(&mut *connection).await {
        Ok(rows) => {
            for row in rows {
                list.objects.push(DatabaseObject {
                    class: class.to_owned(),
                    name: row.try_get(0).map_err(failed)?,
                    owner: row.try_get(1).map_err(failed)?,
                    definition: row.try_get::<Option<String>, _>(2).map_err(failed)?.unwrap_or_default(),
                });
            }
        }
        Err(error) if error.as_database_error().is_some() => {
            list.uncovered.push((class.to_owned(), fault("the catalog refused", &error).message));
            connection.execute("ROLLBACK TO SAVEPOINT class").await.map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(())
}
