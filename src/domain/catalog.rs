use serde::{Deserialize, Serialize};

/// A table or view of the deployment's database, by schema and name, exactly as the catalog writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct TableName {
    /// Schema; `main` on SQLite.
    pub schema: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A column as the catalog describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type in the database's words, lower case (`numeric(18,8)`, `text`, `timestamp(3) without time zone`).
    pub data_type: String,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether it is part of the primary key.
    pub primary_key: bool,
    /// Whether the database computes it (generated columns can't be inserted into).
    pub generated: bool,
}

/// A table with its columns, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Name.
    pub name: TableName,
    /// Columns.
    pub columns: Vec<Column>,
}

/// An object of the catalog that could be persistence: a trigger, a function, a role, a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseObject {
    /// `trigger`, `event_trigger`, `function`, `rule`, `policy`, `role`, `membership`, `setting`, `role_setting`, `extension`,
    /// `foreign_server`, `user_mapping`, `cron_job`, `default`, `check`, `view`, `hba`, `publication`, `subscription`, `table`.
    pub class: String,
    /// Qualified name.
    pub name: String,
    /// Owner, where there is one.
    pub owner: Option<String>,
    /// The definition, or the facts that matter, in the database's words.
    pub definition: String,
}

/// What the catalog gave, and what it refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObjectList {
    /// Objects, in a stable order.
    pub objects: Vec<DatabaseObject>,
    /// Classes that could not be read, with the reason.
    pub uncovered: Vec<(String, String)>,
}

/// A row: one text per asked column, in the database's text form; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// What the catalog says of columns besides their types.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Relations {
    /// Foreign keys of one column: table, column, the table that it names.
    pub foreign_keys: Vec<(TableName, String, TableName)>,
    /// Labels of columns whose type is an enumeration: table, column, labels.
    pub labels: Vec<(TableName, String, Vec<String>)>,
}

impl Relations {
    /// The table that a column names.
    pub fn target(&self, table: &TableName, column: &str) -> Option<&TableName> {
        self.foreign_keys.iter().find(|(from, name, _)| from == table && name == column).map(|(_, _, to)| to)
    }

    /// The labels of a column's enumeration.
    pub fn labels(&self, table: &TableName, column: &str) -> Option<&[String]> {
        self.labels.iter().find(|(of, name, _)| of == table && name == column).map(|(_, _, labels)| labels.as_slice())
    }
}
