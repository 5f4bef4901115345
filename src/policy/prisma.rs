//! The tables that a Prisma schema declares, for as much as a starting point needs: names and columns of its models.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::{Column, Table, TableName};

static BLOCK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^\s*(model|enum)\s+(\w+)\s*\{").ok());
static FIELD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^(\w+)\s+(\w+)(\[\])?(\?)?(.*)$").ok());
static MAPPED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"@map\(\s*(?:name:\s*)?"([^"]+)"\s*\)"#).ok());
static TABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"@@map\(\s*(?:name:\s*)?"([^"]+)"\s*\)"#).ok());
static SCHEMA: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"@@schema\(\s*"([^"]+)"\s*\)"#).ok());

/// The type of a column in PostgreSQL's words; `None` for a relation, which is no column.
fn data_type(name: &str, enums: &[&str]) -> Option<&'static str> {
    Some(match name {
        "String" => "text",
        "Int" => "integer",
        "BigInt" => "bigint",
        "Float" => "double precision",
        "Decimal" => "numeric(65,30)",
        "Boolean" => "boolean",
        "DateTime" => "timestamp(3) without time zone",
        "Json" => "jsonb",
        "Bytes" => "bytea",
        _ if enums.contains(&name) => "text",
        _ => return None,
    })
}

/// First group of the first match.
fn capture<'a>(pattern: &LazyLock<Option<Regex>>, text: &'a str) -> Option<&'a str> {
    pattern.as_ref()?.captures(text)?.get(1).map(|group| group.as_str())
}

/// One line of a model as a column.
fn column(line: &str, enums: &[&str]) -> Option<Column> {
    let field = FIELD.as_ref()?.captures(line)?;
    let rest = field.get(5).map_or("", |rest| rest.as_str());
    let data_type = data_type(&field[2], enums)?;
    Some(Column {
        name: capture(&MAPPED, rest).unwrap_or(&field[1]).to_owned(),
        data_type: if field.get(3).is_some() { format!("{data_type}[]") } else { data_type.to_owned() },
        nullable: field.get(4).is_some(),
        primary_key: rest.split_whitespace().any(|word| word == "@id" || word.starts_with("@id(")),
        generated: false,
    })
}

/// Tables in the order of the schema's models (<https://www.prisma.io/docs/orm/reference/prisma-schema-reference>). What is not
/// understood is left out: this is a hint, never a check.
pub fn tables(schema: &str) -> Vec<Table> {
    let without_comments: String = schema
        .lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .fold(String::new(), |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        });
    let Some(block) = BLOCK.as_ref() else { return Vec::new() };
    let blocks: Vec<(&str, &str, &str)> = block
        .captures_iter(&without_comments)
        .filter_map(|found| {
            let (whole, kind, name) = (found.get(0)?, found.get(1)?, found.get(2)?);
            let body = without_comments.get(whole.end()..)?;
            Some((kind.as_str(), name.as_str(), body.split_once('}').map_or(body, |(body, _)| body)))
        })
        .collect();
    let enums: Vec<&str> = blocks.iter().filter(|(kind, ..)| *kind == "enum").map(|(_, name, _)| *name).collect();
    let models = blocks.iter().filter(|(kind, ..)| *kind == "model");
    models
        .map(|(_, name, body)| Table {
            name: TableName {
                schema: capture(&SCHEMA, body).unwrap_or("public").to_owned(),
                name: capture(&TABLE, body).unwrap_or(name).to_owned(),
            },
            columns: body.lines().filter_map(|line| column(line.trim(), &enums)).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_become_tables() {
        let schema = r#"
datasource db { provider = "postgresql" }
/// A person
model User {
  id     String  @id @default(cuid())
  trades Trade[]
}
enum Side { BUY SELL }
model Trade { // what was done
  id        BigInt   @id @default(autoincrement())
  userId    String   @map("user_id")
  user      User     @relation(fields: [userId], references: [id])
  side      Side
  tags      String[]
  price     Decimal? @db.Decimal(18, 8)
  createdAt DateTime @default(now()) @map(name: "created_at")
  @@index([userId])
  @@map("trade_executions")
  @@schema("desk")
}
"#;
        let tables = tables(schema);
        assert_eq!(
            tables.iter().map(|table| table.name.to_string()).collect::<Vec<_>>(),
            ["public.User", "desk.trade_executions"]
        );
        let columns: Vec<_> = tables[1]
            .columns
            .iter()
            .map(|column| (column.name.as_str(), column.data_type.as_str(), column.nullable, column.primary_key))
            .collect();
        assert_eq!(
            columns,
            [
                ("id", "bigint", false, true),
                ("user_id", "text", false, false),
                ("side", "text", false, false),
                ("tags", "text[]", false, false),
                ("price", "numeric(65,30)", true, false),
                ("created_at", "timestamp(3) without time zone", false, false),
            ]
        );
    }

    #[test]
    fn anything_else_is_no_table() {
        for text in ["", "model", "model {", "model Trade {", "}{", "model Trade {\n id\n}", "enum A { B }"] {
            assert!(tables(text).iter().all(|table| table.columns.is_empty()), "{text}");
        }
    }
}
