//! The guard's own definition, as text: the adapters install it, the database scan knows it by these exact words.

/// `SQLSTATE` (PostgreSQL) or message prefix (SQLite) with which the guard refuses.
pub const GUARD_CODE: &str = "PC001";
/// Words with which the guard refuses.
pub const GUARD_MESSAGE: &str = "trading is paused by portcullis";
/// Schema on PostgreSQL, prefix of names on SQLite.
pub const GUARD_NAME: &str = "portcullis";
/// Name of the row trigger on PostgreSQL. The first letters put it in front of other triggers, which fire in order of name.
pub const GUARD_TRIGGER: &str = "aa_portcullis_guard";
/// Name of the statement trigger against TRUNCATE, which row triggers don't see.
pub const GUARD_TRUNCATE: &str = "aa_portcullis_truncate";
/// The trigger function on PostgreSQL, as the catalog writes it.
pub const GUARD_FUNCTION: &str = "portcullis.refuse_while_paused()";
/// Tables of the guard on PostgreSQL: the flag, and what the pause took away and `release` gives back.
pub const GUARD_TABLES: [&str; 2] = ["portcullis.guard", "portcullis.withheld"];

/// Body of the PostgreSQL trigger function. A missing guard row refuses too. No operator but `pg_catalog`'s is looked up, so that
/// a session's `search_path` can't put another in its place; the table has one row at most. A statement, where an expression would
/// do: PL/pgSQL runs it by a quarter faster.
pub const POSTGRES_BODY: &str = "
DECLARE
  is_paused boolean;
BEGIN
  SELECT g.paused INTO is_paused FROM portcullis.guard g;
  IF is_paused IS NOT FALSE THEN
    RAISE EXCEPTION 'trading is paused by portcullis' USING ERRCODE = 'PC001';
  END IF;
  IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
    RETURN OLD;
  END IF;
  RETURN NEW;
END
";

/// Whether that is the definition of one of the guard's triggers as `pg_get_triggerdef` and `pg_dump` write it: no column list, no
/// condition, our function.
pub fn is_postgres_trigger(name: &str, definition: &str) -> bool {
    let Some(rest) = definition.strip_prefix(&format!("CREATE TRIGGER {name} BEFORE ")) else { return false };
    let Some((events, rest)) = rest.split_once(" ON ") else { return false };
    let call = format!("EXECUTE FUNCTION {GUARD_FUNCTION}");
    let mut events = events.split(" OR ");
    match name {
        GUARD_TRIGGER => {
            rest.ends_with(&format!(" FOR EACH ROW {call}"))
                && !rest.contains(" WHEN (")
                && events.all(|event| ["INSERT", "UPDATE", "DELETE"].contains(&event))
        }
        GUARD_TRUNCATE => {
            rest.ends_with(&format!(" FOR EACH STATEMENT {call}"))
                && !rest.contains(" WHEN (")
                && events.all(|event| event == "TRUNCATE")
        }
        _ => false,
    }
}

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
