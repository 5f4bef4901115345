//! What a newcomer does with the README alone: from `.env` and a database to a proven pause on a trade table of any shape.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::docs::{commands, words};
use crate::peers::Postgres;
use crate::support::{Ran, finish, folder, program};

const PASSWORD: &str = "password-of-the-newcomer";

/// Trade tables as Prisma projects have them: schema, table, columns, and an insert as the application makes it.
const SHAPES: [(&str, &str, &str, &str); 6] = [
    (
        "public",
        "Trade",
        "id TEXT PRIMARY KEY, symbol TEXT NOT NULL, side TEXT NOT NULL, quantity DECIMAL(18,8) NOT NULL, price DECIMAL(18,8) NOT NULL, \"createdAt\" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP",
        "(id, symbol, side, quantity, price) VALUES ('1', 'BTC', 'BUY', 1, 1)",
    ),
    (
        "desk",
        "trades",
        "id TEXT PRIMARY KEY, user_id TEXT NOT NULL, portfolio_id TEXT NOT NULL, symbol TEXT NOT NULL, type desk.\"TradeType\" NOT NULL, quantity DECIMAL(15,8) NOT NULL, price DECIMAL(15,2) NOT NULL, fees DECIMAL(15,2) NOT NULL DEFAULT 0, total_value DECIMAL(15,2) NOT NULL, executed_at TIMESTAMP(3) NOT NULL, notes TEXT",
        "(id, user_id, portfolio_id, symbol, type, quantity, price, total_value, executed_at) VALUES ('1', 'u', 'p', 'BTC', 'BUY', 1, 1, 1, now())",
    ),
    (
        "public",
        "Trade",
        "id UUID PRIMARY KEY DEFAULT gen_random_uuid(), \"accountId\" UUID NOT NULL, \"userId\" UUID NOT NULL, \"externalRef\" TEXT UNIQUE, pair TEXT NOT NULL, direction TEXT NOT NULL, \"entryPrice\" DECIMAL(18,6) NOT NULL, \"stopLoss\" DECIMAL(18,6), \"lotSize\" DECIMAL(12,4) NOT NULL, status TEXT NOT NULL, pnl DECIMAL(18,4), \"openedAt\" TIMESTAMP(3), \"updatedAt\" TIMESTAMP(3) NOT NULL",
        "(\"accountId\", \"userId\", pair, direction, \"entryPrice\", \"lotSize\", status, \"updatedAt\") VALUES (gen_random_uuid(), gen_random_uuid(), 'BTCUSD', 'LONG', 1, 1, 'OPEN', now())",
    ),
    (
        "public",
        "Trade",
        "id BIGSERIAL PRIMARY KEY, symbol TEXT NOT NULL, \"buyerOrderId\" BIGINT NOT NULL, \"sellerOrderId\" BIGINT NOT NULL, \"buyerUserId\" BIGINT NOT NULL, \"sellerUserId\" BIGINT NOT NULL, quantity DECIMAL(28,12) NOT NULL, price DECIMAL(28,12) NOT NULL, \"createdAt\" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP",
        "(symbol, \"buyerOrderId\", \"sellerOrderId\", \"buyerUserId\", \"sellerUserId\", quantity, price) VALUES ('BTC', 1, 2, 3, 4, 1, 1)",
    ),
    (
        "public",
        "executions",
        "id TEXT PRIMARY KEY, \"modelId\" TEXT NOT NULL, ticker TEXT NOT NULL, action TEXT NOT NULL, shares INTEGER NOT NULL, price DECIMAL(65,30) NOT NULL, \"totalValue\" DECIMAL(65,30) NOT NULL, \"brokerOrderId\" TEXT, \"executedAt\" TIMESTAMP(3)",
        "(id, \"modelId\", ticker, action, shares, price, \"totalValue\") VALUES ('1', 'm', 'ACME', 'BUY', 1, 1, 1)",
    ),
    (
        "public",
        "Trade",
        "id BIGSERIAL PRIMARY KEY, \"userId\" UUID NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL, qty DECIMAL(28,12) NOT NULL, \"priceBrl\" DECIMAL(18,2) NOT NULL, \"feeBrl\" DECIMAL(18,2) NOT NULL DEFAULT 0, ts TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP",
        "(\"userId\", symbol, side, qty, \"priceBrl\") VALUES (gen_random_uuid(), 'BTC', 'BUY', 1, 1)",
    ),
];

/// The commands of the README's first steps on a table, in order.
fn first_steps() -> Vec<Vec<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let part = text.split_once("\n## A proven pause on your own table\n").unwrap().1;
    let part = part.split_once("\n## ").unwrap().0;
    commands(part).into_iter().map(|(_, command)| words(&command)[1..].to_vec()).collect()
}

fn key(folder: &Path, name: &str) {
    fs::create_dir_all(folder.join("keys")).unwrap();
    let path = folder.join("keys").join(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(path).status();
    assert!(made.unwrap().success());
}

/// Types a command; `--yes` stands for the person who confirms.
fn type_words(folder: &Path, words: &[String]) -> Ran {
    finish(program(folder).args(words).arg("--yes"))
}

fn to_a_proven_pause(number: usize) {
    let (schema, table, columns, insert) = SHAPES[number];
    let Some(postgres) = Postgres::fresh(&format!("newcomer{number}")) else { return };
    let role = format!("app_{}", postgres.name);
    postgres.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; ALTER DATABASE {} OWNER TO {role}",
        postgres.name
    ));
    let run = |sql: &str| postgres.sql_as(&role, PASSWORD, sql);
    let enumeration = if schema == "desk" { "CREATE TYPE desk.\"TradeType\" AS ENUM ('BUY', 'SELL');" } else { "" };
    if schema == "desk" {
        run("CREATE SCHEMA desk").unwrap();
    } else {
        postgres.sql(&format!("GRANT CREATE ON SCHEMA public TO {role}"));
    }
    let insert = format!("INSERT INTO \"{schema}\".\"{table}\" {insert}");
    run(&format!(
        "{enumeration} CREATE TABLE \"{schema}\".\"User\" (id text PRIMARY KEY, email text, \"createdAt\" timestamp(3));
         CREATE TABLE \"{schema}\".\"Order\" (id text PRIMARY KEY, symbol text, side text, quantity numeric, price numeric, \"userId\" text, \"createdAt\" timestamp(3));
         CREATE TABLE \"{schema}\".\"{table}\" ({columns})"
    ))
    .unwrap();
    run(&insert).unwrap();
    let root = folder();
    let url = format!("postgresql://{role}:{PASSWORD}@{}/{}?schema={schema}", postgres.place, postgres.name);
    fs::write(root.path().join(".env"), format!("# the desk\nDATABASE_URL=\"{url}\"\nPORT=3001\n")).unwrap();
    key(root.path(), "alice");
    key(root.path(), "bob");
    let steps = first_steps();
    assert!(steps.len() < 10 && steps[0][0] == "init", "{steps:?}");
    for step in &steps {
        let ran = type_words(root.path(), step);
        assert_eq!(ran.code, Some(0), "{table}: {step:?}\n{}\n{}", ran.stdout, ran.stderr);
        match step[0].as_str() {
            "init" => assert!(ran.stdout.contains(&format!("{schema}.{table}")), "{}", ran.stdout),
            "pause" if step[1] == "on" => assert!(ran.stdout.contains("refused"), "{}", ran.stdout),
            _ => {}
        }
    }
    // The application can't trade, and cannot undo it.
    let refused = run(&insert.replace("'1'", "'2'"));
    assert!(refused.is_err(), "{table}: a trade went through");
    let rows = postgres.sql(&format!("SELECT count(*) FROM \"{schema}\".\"{table}\""));
    assert_eq!(rows, "1", "{table}");
    let explained = type_words(root.path(), &["scan".into(), "trades".into(), "--explain".into()]);
    assert_eq!(explained.code, Some(0), "{}\n{}", explained.stdout, explained.stderr);
}

#[test]
fn the_first_steps_of_the_readme_pause_a_table_of_any_shape() {
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..SHAPES.len()).map(|number| scope.spawn(move || to_a_proven_pause(number))).collect();
        let failed = runs.into_iter().map(std::thread::ScopedJoinHandle::join).filter(Result::is_err).count();
        assert_eq!(failed, 0);
    });
}

/// What `init` took for what, by the names of its records.
fn found(ran: &Ran) -> impl Fn(&str) -> Option<String> {
    let records: Vec<Value> = ran.of_type("found");
    move |what| {
        let record = records.iter().find(|record| record["what"] == what && !record["value"].is_null())?;
        record["value"].as_str().map(String::from)
    }
}

#[test]
fn init_finds_what_lies_around_and_says_it() {
    let root = folder();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(".env", "JWT_SECRET=not-shown-1\nSTRIPE_API_KEY=not-shown-2\nPORT=4000\n");
    write(
        "docker-compose.yml",
        "services:\n  postgres: { image: postgres }\n  engine:\n    ports: ['8080:3001']\n    healthcheck: { test: [CMD, curl, 'http://localhost:3001/up'] }\n",
    );
    write(
        "prisma/schema.prisma",
        "model Fill {\n id String @id\n symbol String\n side String\n quantity Decimal\n price Decimal\n executedAt DateTime\n accountId String\n @@map(\"desk_fills\")\n}\nmodel User {\n id String @id\n}\n",
    );
    for day in ["01", "02", "03"] {
        write(&format!("dumps/nightly_202611{day}.dump"), "x");
    }
    write("dumps/README.sql", "x");
    write("logs/app.log", "x\n");
    write("scripts/validate-data.ts", "");
    let ran = finish(program(root.path()).args(["--format", "json", "init"])).expect(0);
    let found = found(&ran);
    for (what, value) in [
        ("services", "postgres engine"),
        ("back end", "engine"),
        ("health", "http://localhost:8080/up"),
        ("secrets", "JWT_SECRET"),
        ("trades", "public.desk_fills"),
        ("backups", "dumps/nightly_*.dump"),
        ("validation", "bun run scripts/validate-data.ts"),
    ] {
        assert_eq!(found(what).as_deref(), Some(value), "{what}");
    }
    assert!(found("logs").unwrap().starts_with("logs"), "{:?}", found("logs"));
    assert!(!ran.stdout.contains("not-shown"), "{}", ran.stdout);
    let policy = |name: &str| fs::read_to_string(root.path().join("policies").join(name)).unwrap();
    assert!(policy("pause.yml").contains("table: \"desk_fills\"\n"), "{}", policy("pause.yml"));
    assert!(policy("recovery.yml").contains("directory: \"dumps\"\npattern: \"nightly_*.dump\"\n"));
    assert!(policy("credentials.yml").contains("health: http://localhost:8080/up\n"));
    assert!(policy("monitoring.yml").contains("logs: [\"logs\""));
    // Everything that was written can be read, and is kept the next time.
    fs::write(root.path().join("policies/pause.yml"), policy("pause.yml").replace("desk_fills", "mine")).unwrap();
    finish(program(root.path()).args(["init", "--table", "mine"])).expect(2);
    let again = finish(program(root.path()).args(["--format", "json", "init"])).expect(0);
    assert!(
        again
            .of_type("file")
            .iter()
            .all(|file| file["written"] == false || file["path"].as_str().unwrap().ends_with("machine.key"))
    );
    assert!(policy("pause.yml").contains("mine"));
    finish(program(root.path()).args(["lockdown", "--plan", "--reason", "rehearsal"])).expect(0);
}
