//! The guard's own definition, as text: the adapters install it, the database scan knows it by these exact words.

/// `SQLSTATE` (PostgreSQL) or message prefix (SQLite) with which the guard refuses.
pub const GUARD_CODE: &str = "PC001";
/// Words with which the guard refuses.
pub const GUARD_MESSAGE: &str = "trading is paused by portcullis";
/// Schema on PostgreSQL, prefix of names on SQLite.
pub const GUARD_NAME: &str = "portcullis";
/// Name of the trigger on PostgreSQL. The first letters put it in front of other triggers, which fire in order of name.
pub const GUARD_TRIGGER: &str = "aa_portcullis_guard";

/// Body of the PostgreSQL trigger function. A missing guard row refuses too.
pub const POSTGRES_BODY: &str = "
BEGIN
  IF (SELECT g.paused FROM portcullis.guard g WHERE g.id = 1) IS DISTINCT FROM false THEN
    RAISE EXCEPTION 'trading is paused by portcullis' USING ERRCODE = 'PC001';
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN OLD;
  END IF;
  RETURN NEW;
END
";

/// An identifier in double quotes, for either dialect.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// SQLite: the guard table.
pub const SQLITE_TABLE: &str = "CREATE TABLE portcullis_guard (id INTEGER PRIMARY KEY CHECK (id = 1), paused INTEGER NOT NULL, \
     changed_at TEXT NOT NULL, changed_by TEXT NOT NULL)";

/// SQLite: name and definition of the trigger for one kind of statement (`INSERT`, `UPDATE`, `DELETE`).
/// A missing guard row refuses too.
pub fn sqlite_trigger(table: &str, statement: &str) -> (String, String) {
    let name = format!("portcullis_guard_{}", statement.to_ascii_lowercase());
    let text = format!(
        "CREATE TRIGGER {name} BEFORE {statement} ON {} \
         WHEN (SELECT paused FROM portcullis_guard WHERE id = 1) IS NOT 0 \
         BEGIN SELECT RAISE(ABORT, '{GUARD_CODE}: {GUARD_MESSAGE}'); END",
        quote_identifier(table)
    );
    (name, text)
}
