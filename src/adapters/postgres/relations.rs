//! Foreign keys of one column, and the labels of enumerations.

use sqlx::postgres::PgConnection;

use super::fault;
use crate::ports::{Fault, Relations, TableName};

const FOREIGN_KEYS: &str = "SELECT n.nspname::text, c.relname::text, a.attname::text, m.nspname::text, t.relname::text \
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_class t ON t.oid = k.confrelid JOIN pg_catalog.pg_namespace m ON m.oid = t.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1] \
    WHERE k.contype = 'f' AND pg_catalog.array_length(k.conkey, 1) = 1 ORDER BY 1, 2, 3";
const LABELS: &str = "SELECT n.nspname::text, c.relname::text, a.attname::text, \
    ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = a.atttypid ORDER BY e.enumsortorder) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    JOIN pg_catalog.pg_type y ON y.oid = a.atttypid AND y.typtype = 'e' WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1, 2, 3";

pub(super) async fn read(connection: &mut PgConnection) -> Result<Relations, Fault> {
    let failed = |error: sqlx::Error| fault("failed to read the catalog", &error);
    let keys: Vec<(String, String, String, String, String)> =
        sqlx::query_as(FOREIGN_KEYS).fetch_all(&mut *connection).await.map_err(failed)?;
    let labels: Vec<(String, String, String, Vec<String>)> =
        sqlx::query_as(LABELS).fetch_all(&mut *connection).await.map_err(failed)?;
    let table = |schema: String, name: String| TableName { schema, name };
    Ok(Relations {
        foreign_keys: keys.into_iter().map(|(s, t, column, m, n)| (table(s, t), column, table(m, n))).collect(),
        labels: labels.into_iter().map(|(s, t, column, labels)| (table(s, t), column, labels)).collect(),
    })
}
